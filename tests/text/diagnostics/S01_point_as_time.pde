problem heat
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dt(u) = dxx(u)
at x = 0: u = 0
on side(L, x = 1): u = 0
at t = 0: u = sin(pi*x)
