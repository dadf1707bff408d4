problem channel
space    x, y
domain   Q = rectangle([0, 0], [2, 1]) - disk(radius = 0.2, center = [0.5, 0.5])
unknown  v : vector on Q, p : scalar on Q
in Q: lap(v) = grad(p); div(v) = 0
on boundary(Q): v = 0
at (0.5, 0.4): p = 0
