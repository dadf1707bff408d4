# Sound in a room whose walls let a part of it out, as one complex field.
problem helmholtz_impedance
space    x, y
domain   room = rectangle([0, 0], [1, 1])
param    k ~ uniform(4, 8)
input    f : scalar on room ~ gaussians(count = 2, width = 0.2)
unknown  u : complex scalar on room
in room:           lap(u) + k^2*u = 10*f
on boundary(room): dn(u) = 1i*k*u
