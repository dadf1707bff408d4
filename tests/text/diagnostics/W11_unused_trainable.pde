problem bar
space     x
domain    L = interval(0, 1)
trainable k = 1, c = 2
unknown   u : scalar on L
in L:           k*dxx(u) = 1
on boundary(L): u = 0
