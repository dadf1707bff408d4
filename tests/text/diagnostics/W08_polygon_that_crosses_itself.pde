problem bow
space    x, y
param    c ~ uniform(0.5, 2)
domain   tie = polygon([[0, 0], [1, 1], [1, 0], [0, 1]]), kite = polygon([[0, 0], [c, 1], [1, 0], [1, 2]])
unknown  u : scalar on tie, w : scalar on kite
in tie:            -lap(u) = 1
in kite:           -lap(w) = 1
on boundary(tie):  u = 0
on boundary(kite): w = 0
