problem p
space    x, y, z
domain   Omega = cylinder(radius = 1, height = 2, axis = [0, 0, 0])
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
