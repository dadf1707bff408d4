problem rods
space    x
domain   L = interval(0, 1)
input    f : scalar on L from "loads.csv"
unknown  u : scalar on L
in L: -dxx(u) = f
on boundary(L): u = 0
data u on L from "rods.csv"
