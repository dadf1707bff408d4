problem rod
space    x
trainable c = 0, size = 4
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dxx(u) = c[0]*u + 1
on boundary(L): u = 0
