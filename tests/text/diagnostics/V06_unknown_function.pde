problem drum
space    x
domain   L = interval(1, 2)
unknown  u : scalar on L
in L:           dxx(u) = besselj(1/3, x) + besselk(40, x)
on boundary(L): u = polygamma(-1, x)
