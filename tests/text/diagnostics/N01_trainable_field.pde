problem p
space x
domain L = interval(0, 1)
trainable k : scalar on L
unknown u : scalar on L
in L: -k*dxx(u) = 1
on boundary(L): u = 0
