problem tank
space    x, y
const    depth = 2
domain   D = disk(radius = 1)
unknown  u : scalar on D
in D:           lap(u) = sqrt(x - 5) + asin(depth)
on boundary(D): u = log(x - depth)
