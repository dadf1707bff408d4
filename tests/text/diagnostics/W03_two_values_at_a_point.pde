problem channel
space    x, y
domain   Q = rectangle([0, 0], [2, 1])
param    a ~ uniform(0.2, 0.4)
unknown  v : vector on Q, p : scalar on Q
in Q: lap(v) = grad(p); div(v) = 0
on boundary(Q): v = 0
at (a, 0): p = 0
at (a, 0): p = 1
at (2*a - a, 0): v = [1, 0]
