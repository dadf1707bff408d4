problem layers
space    x
domain   L = interval(0, 1)
unknown  v : vector on L
unknown  u : scalar on L
in L:           dxx(u) = sin(x < 1/2) + if(x, 1, 2) + if(v < 1, 1, 2) + if(x = 1, 1, 2) + piecewise(x < 1, 1, 2) + if(x < 1, v, 1)
on boundary(L): u = 0
