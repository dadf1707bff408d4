problem p
space    x
domain   Omega = rotated(interval(0, 1), pi)
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
