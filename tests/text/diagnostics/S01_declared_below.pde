problem poisson
space    x, y
domain   Omega = disk(radius = R)
param    R ~ uniform(1, 2)
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
