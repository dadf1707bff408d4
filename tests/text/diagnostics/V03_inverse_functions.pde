problem inverse
space    x, y
param    a ~ uniform(0.2, 0.8)
domain   Q = rectangle([-1, 0], [1, 1])
unknown  u : scalar on Q, w : scalar on Q
in Q:
    lap(u) = asin(w) + asin(sin(u)/2)
    lap(w) = acosh(1 + u^2) + acosh(u) + w/(x - a)
on boundary(Q): u = 0; w = 0
