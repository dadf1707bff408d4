problem poisson
space    x, y
domain   Omega = disk(radius = 1)
unknown  u : scalar on Omega
-lap(u) = 1
u = 0
