problem p
space    x, y, z
domain   Omega = extruded(ball(radius = 1), 2)
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
