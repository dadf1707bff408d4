# A hump of water that spreads over a periodic sea of depth one.
problem shallow_water
space    x, y
time     t in [0, 1]
domain   sea = rectangle([-1, -1], [1, 1])
periodic x, y
const    g = 1
param    height ~ uniform(0.05, 0.2)
unknown  h : scalar on sea > 0, v : vector on sea
in sea:
    mass:     dt(h) + div(h*v) = 0
    momentum: dt(h*v) + div(h*outer(v, v) + g*h^2/2*I) = 0
at t = 0:
    h = 1 + height*exp(2*(cos(pi*x) + cos(pi*y) - 2))
    v = 0
output volume := integral(h, sea)
