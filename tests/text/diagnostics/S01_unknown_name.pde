problem burgers
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
periodic x
const    nu = 0.01
unknown  u : scalar on L
in L:
    momentum: dt(u) + u*dx(u) = nuu*dxx(u)
at t = 0: u = sin(2*pi*x)
