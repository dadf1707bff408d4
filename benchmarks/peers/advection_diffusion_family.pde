# Random states carried around a ring while they spread.
problem advection_diffusion_family
space   x
time    t in [0, 1]
domain  ring = interval(0, 1)
periodic x
input   v : scalar on ring ~ grf(length = 0.159)
unknown u : scalar on ring
in ring:  dt(u) + dx(u) = 0.005*dxx(u)
at t = 0: u = v
