problem part
space    x, y
domain   Omega = mesh("square.msh")
boundary wall = side(Omega, x = 0)
unknown  u : scalar on Omega
in Omega:       lap(u) = 1
on wall:        u = 0
on rest(Omega): u = 1
