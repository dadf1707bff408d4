problem part
space    x, y, z
domain   Omega = mesh("open.stl")
boundary wall = boundary(Omega, x < 0.001)
unknown  u : scalar on Omega
in Omega:       lap(u) = 1
on wall:        u = 0
on rest(Omega): u = 1
