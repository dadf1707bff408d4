problem cube
space x
domain L = interval(0, 1)
unknown u : scalar on L
in L: dxx(u) = (-8)^(1/3)*u
on boundary(L): u = 0
