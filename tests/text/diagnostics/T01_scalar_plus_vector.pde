problem stokes
space    x, y
domain   Omega = disk(radius = 1)
unknown  v : vector on Omega, p : scalar on Omega
in Omega:
    momentum:   lap(v) - p = 0
    continuity: div(v) = 0
on boundary(Omega): v = 1
require integral(p, Omega) = 0
