problem poisson
space    x, y
domain   Omega = disk(radius = 1)
input    f : scalar on Omega ~ gausians(count = 2)
param    c ~ uniform(0, 1, siez = 3)
unknown  u : scaler on Omega
in Omega: -lap(u) = f
on boundary(Omega): u = 0
