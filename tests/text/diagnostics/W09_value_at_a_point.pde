problem pinned
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : scalar on Q
in Q: lap(u) = 1
on boundary(Q): u = 0
at (0.5, 0.5): u = 1
