problem cancelled
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dxx(u) - dxx(u) = 1
on boundary(L): u = u
