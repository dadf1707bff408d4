problem burgers
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
periodic x
unknown  u : scalar on L
in L: dt(u) + u*dx(u) = 0.01*dxx(u)
on side(L, x = 0): u = 0
at t = 0: u = sin(2*pi*x)
