problem p
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : scalar on Q
in Q: -lap(u) = 1
on side(Q, y = 1, x > 2): u = 0
on rest(Q, side(Q, y = 1)): u = 0
on side(Q, y = 1): u = 0
