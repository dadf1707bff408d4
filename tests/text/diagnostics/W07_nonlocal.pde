problem nonlocal
space    x, y
domain   D = rectangle([0, 0], [1, 1])
unknown  u : scalar on D
in D: lap(u) + integral(u, D) = 1
on boundary(D): u = 0
