problem zero
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dxx(u)/(1 - 1) = log(0) + 0^-1
on boundary(L): u = 0
