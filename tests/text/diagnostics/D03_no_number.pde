problem rod
space    x
domain   L = interval(0, 1)
trainable k = 1
unknown  u : scalar on L [K]
in L: -k*dxx(u) = 1
on boundary(L): u = 0
data u on L from "empty_cells.csv"
