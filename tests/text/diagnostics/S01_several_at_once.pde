problem flow
space    x, y
domain   Omega = disk(radius = 1)
const    mu = 1
unknown  v : vector on Omega, p : scalar on Omega
in Omega:
    momentum:   -muu*lap(v) + gradd(p) = fource
    continuity: dvi(v) = 0
on boundary(Omgea): v = 0
require integral(q, Omega) = 0
