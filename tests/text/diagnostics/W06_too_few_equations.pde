problem stokes
space    x, y
domain   Omega = disk(radius = 1)
unknown  v : vector on Omega, p : scalar on Omega
in Omega: lap(v) = grad(p)
on boundary(Omega): v = 0
require integral(p, Omega) = 0
