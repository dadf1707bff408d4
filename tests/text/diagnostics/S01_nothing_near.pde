problem words
space    x, y
domain   Q = triangle([0, 0])
domain   Omega = disk(radius = 1)
boundary g = envelope(Omega)
unknown  u : scalar on Omega
in Omega: lap(u) = viscosity_of(u) + qqq
on boundary(Omega): u = 0
