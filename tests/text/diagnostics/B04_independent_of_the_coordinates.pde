problem constant
space    x, y
domain   Omega = disk(radius = 1)
param    k ~ uniform(0, 1)
unknown  u : scalar on Omega
in Omega: lap(u) + dx(k)*u + dt(u) = dot(grad(k), grad(u))
on boundary(Omega): u = 0
