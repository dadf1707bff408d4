problem probe
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : scalar on Q, v : vector on Q
in Q: lap(u) = 0; lap(v) = 0
on boundary(Q): u = 0; v = 0
output a := grad(u)(0.5, 0.5)
output b := v.x(0.5, 0.5)
output c := at(dx(u), 0.5)
output d := at(dx(u), [x, 0.5])
output e := at(dn(u), [0, 0.5])
output f := at(dx(u))
