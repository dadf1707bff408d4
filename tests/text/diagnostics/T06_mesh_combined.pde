problem part
space    x, y
domain   Omega = mesh("square.msh") - disk(radius = 0.1)
boundary wall = boundary(Omega)
unknown  u : scalar on Omega
in Omega:       lap(u) = 1
on wall:        u = 0
