problem p
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : scalar on Q
in Q: -lap(u) = 1
on boundary(Q, x < 0.4 or y < 1): u = 0
