problem words
space    x, y
domain   Q = triangle([0, 0])
domain   Omega = disk(radius = 1)
boundary g = envelope(Omega)
unknown  u : scalar on Omega
in Omega: lap(u) = bessel_k0(u) + qqq
on boundary(Omega): u = 0
