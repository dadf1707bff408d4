problem poisson
space    x, y
domain   Omega = disk(radius = 1)
const    a = 2, b = 3
unknown  u : scalar on Omega
in Omega: 2u - a b*lap(u) = (1 + u)(1 - u)
on boundary(Omega): u = a(x + y)
