problem drum
space    x, y
param    a ~ uniform(0.6, 1)
domain   skin = ellipse(radii = [1, a])
unknown  u : scalar on skin
minimize integral(dot(grad(u), grad(u)), skin)
on boundary(skin): u = 0
require integral(u^2, skin) = 1
output eigenvalue := integral(dot(grad(u), grad(u)), skin)/integral(u^2, skin)
