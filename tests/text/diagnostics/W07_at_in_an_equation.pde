problem probe
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dxx(u) = at(dx(u), 0)
on boundary(L): u = 0
