# A plucked string. Two initial conditions, because the equation is of second order in time.
problem wave
space    x
time     t in [0, 2]
domain   string = interval(0, 1)
param    c ~ uniform(0.5, 1.5)
unknown  u : scalar on string
in string:           dtt(u) = c^2*dxx(u)
on boundary(string): u = 0
at t = 0:            u = sin(pi*x); dt(u) = 0
reference u = cos(pi*c*t)*sin(pi*x)
