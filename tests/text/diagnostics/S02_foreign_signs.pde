problem poisson
space    x, y
domain   Omega = disk(radius = 1)
const    k = 2; const c = 1
unknown  u : scalar on Omega
in Omega: -lap(u) == 1   % Laplace
on boundary(Omega): u = {0}
