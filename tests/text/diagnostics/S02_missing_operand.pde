problem poisson
space    x, y
domain   Omega = disk(radius = 1)
unknown  u : scalar on Omega
in Omega: -lap(u) + = 1
on boundary(Omega): u =
