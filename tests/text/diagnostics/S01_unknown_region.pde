problem poisson
space    x, y
domain   Omega = disk(radius = 1)
boundary Gamma = boundary(Omega)
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on Gama:  u = 0
