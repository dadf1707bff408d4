problem layers
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
in L:           dxx(u) = if(x < 1/4, 1, x > 3/4, 2) + if(x < 1/2, 1)
on boundary(L): u = 0
