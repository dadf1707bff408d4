problem heat
space    x, y
time     t in [0, 1]
domain   Omega = disk(radius = 1)
const    k = 2
unknown  u : scalar on Omega
in Omega: du/dt = k*d2u/dx2 + ∂u/∂y
on boundary(Omega): k*du/dn = 0
at t = 0: u = 0
