# Heat in a composite whose fibres lie at any angle: along them it flows ten times better.
problem anisotropic
space    x, y
domain   plate = rectangle([0, 0], [1, 1])
param    angle ~ uniform(0, 1.5)
input    f : scalar on plate ~ grf(sigma = 1, length = 0.3)
unknown  u : scalar on plate
fibre := [cos(angle), sin(angle)]
flux  := grad(u) + 9*dot(fibre, grad(u))*fibre
in plate:           -div(flux) = 10*f
on boundary(plate): u = 0
