problem p
space    x, y
domain   Omega = rotated(rectangle([0, 0], [1, 1]), pi, axis = [0, 0, 1])
unknown  u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
