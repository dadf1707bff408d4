problem p
space x, y
domain D = rectangle([0, 0], [1, 1])
trainable k : vector on D, q = -1 : scalar on D > 0, s : scalar on D ~ fourier(modes = 2), m ~ uniform(0, 1)
unknown u : scalar on D
in D: -lap(u) = q + s*m
on boundary(D): u = 0
