problem poisson
space    x, y
domain   Omega = disk(radius = 1)
unknown  u : scalar on Omega
k(w) := 1 + w^2
in Omega: div(k(u)*grad(u) = 1
on boundary(Omega): u = 0
