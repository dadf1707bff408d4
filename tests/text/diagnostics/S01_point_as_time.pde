problem heat
space    x, y
time     t in [0, 1]
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : scalar on Q
in Q: dt(u) = lap(u)
at x = 0: u = 0
on rest(Q, side(Q, x = 0)): u = 0
at t = 0: u = sin(pi*x)
