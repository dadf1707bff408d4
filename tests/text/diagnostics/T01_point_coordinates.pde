problem pinned
space    x, y
time     t in [0, 1]
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : scalar on Q
in Q: dt(u) = lap(u)
at t = 0: u = 0
on boundary(Q): dn(u) = 0
at (0.5): u = 1
at x = 0.5, t = 1: u = 1
at (0.5, x): u = 1
at (0.5, 0.5): dn(u) = 1
