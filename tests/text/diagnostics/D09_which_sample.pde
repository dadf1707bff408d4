problem rods
space    x
domain   L = interval(0, 1)
param    q ~ uniform(1, 2)
unknown  u : scalar on L
in L: -dxx(u) = q
on boundary(L): u = 0
data u on L from "rods.csv"
