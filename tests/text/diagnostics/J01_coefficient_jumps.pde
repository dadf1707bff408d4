problem inclusion
space    x, y
domain   plate = rectangle([-1, -1], [1, 1])
unknown  u : scalar on plate
k := if(x^2 + y^2 < 1/4, 10, 1)
in plate:           div(k*grad(u)) = 0
on boundary(plate): u = x
