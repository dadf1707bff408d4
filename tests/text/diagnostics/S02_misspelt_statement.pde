problem poisson
space    x, y
domian   Omega = disk(radius = 1)
unkown   u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
