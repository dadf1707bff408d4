problem heat
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dt(u) = dxx(u)
on boundary(L): u = 0
