problem ranks
space    x, y
domain   Omega = disk(radius = 1)
unknown  u : scalar on Omega, v : vector on Omega
in Omega:
    a: div(u) = 0
    b: lap(v) + det(v)*v + sqrt(v) = 0
on boundary(Omega): u = u.x; v = 0
