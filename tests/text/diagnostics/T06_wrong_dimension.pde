problem dimensions
space    x, y
domain   Omega = ball(radius = 1)
domain   B = rectangle([0, 0], [1, 1]) - interval(0, 1)
domain   D = disk(radius = 1, center = [0, 0, 0])
unknown  u : scalar on Omega
in Omega: lap(u) = 0
on boundary(Omega): u = 0
