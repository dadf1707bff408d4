problem part
space    x, y
domain   Omega = mesh("square.msh")
boundary wall = group(Omega, wall)
unknown  u : scalar on Omega
in Omega:       lap(u) = sin("x")
on wall:        u = 0
on rest(Omega): u = 1
