problem p
space    x, y
domain   Omega = scaled(disk(radius = 1), 0)
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
