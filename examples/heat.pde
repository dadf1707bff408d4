# Heat in a rod whose ends are kept cold; the second harmonic of the initial temperature is drawn per sample.
problem heat
space    x
time     t in [0, 1]
domain   rod = interval(0, 1)
param    a ~ uniform(-1, 1)
const    kappa = 0.05
unknown  u : scalar on rod
in rod:            dt(u) = kappa*dxx(u)
on boundary(rod):  u = 0
at t = 0:          u = sin(pi*x) + a*sin(2*pi*x)
reference u = exp(-pi^2*kappa*t)*sin(pi*x) + a*exp(-4*pi^2*kappa*t)*sin(2*pi*x)
