problem poisson
space    x, y
domain   Omega = disk(radius = 1)
const    k = 2
param    k ~ uniform(1, 2)
unknown  u : scalar on Omega
in Omega:
    balance: -k*lap(u) = 1
on boundary(Omega):
    balance: u = 0
