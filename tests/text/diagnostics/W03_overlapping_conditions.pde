problem poisson
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega):    u = 0
on side(Omega, y = 1): u = 1
