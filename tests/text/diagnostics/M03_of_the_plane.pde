problem part
space    x, y, z
domain   Omega = mesh("square.msh")
boundary wall = group(Omega, "wall")
unknown  u : scalar on Omega
in Omega:       lap(u) = 1
on wall:        u = 0
on rest(Omega): u = 1
