# A wave train carried along a ring while it spreads.
problem advection_diffusion
space    x
time     t in [0, 1]
domain   ring = interval(0, 1)
periodic x
param    a ~ uniform(0.5, 2)
const    kappa = 0.005
unknown  u : scalar on ring
in ring:  dt(u) + a*dx(u) = kappa*dxx(u)
at t = 0: u = sin(2*pi*x)
reference u = exp(-4*pi^2*kappa*t)*sin(2*pi*(x - a*t))
