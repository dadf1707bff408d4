problem ridge
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
k := if(x < 1/2, 1, 400)
in L:           dxx(u) + dx(k)*u + dxx(abs(u)) = dx(floor(3*x))
on boundary(L): u = 0
