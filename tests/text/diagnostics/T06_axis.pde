problem pipe
space    r, z axisymmetric
domain   Q = rectangle([-1, 0], [1, 2])
unknown  u : scalar on Q, T : tensor on Q
in Q: lap(u) = 1
on boundary(Q): u = 0
