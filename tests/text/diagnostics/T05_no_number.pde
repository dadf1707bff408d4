problem slope
space    x, y
domain   D = rectangle([0, 0], [1, 1])
boundary diagonal = side(D, x = y)
unknown  p : scalar on D
in D:           lap(p) = 1
on boundary(D): dn(p) = 1/4
require integral(p, D) = x
