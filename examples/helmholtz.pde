# Standing waves in a room with soft walls, driven by a source; the wave number is drawn per sample.
problem helmholtz
space    x, y
domain   room = rectangle([0, 0], [1, 1])
param    k ~ uniform(4, 6)
input    f : scalar on room ~ gaussians(count = 3, width = 0.4)
unknown  u : scalar on room
in room:           lap(u) + k^2*u = f
on boundary(room): u = 0
