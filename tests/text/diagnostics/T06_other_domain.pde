problem p
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
domain   body = Q - disk(radius = 0.2, center = [0.5, 0.5])
unknown  u : scalar on body
in body: -lap(u) = 1
on boundary(Q): u = 0
on inner(body): u = 0
