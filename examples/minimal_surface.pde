# A soap film over a disk, spanned by a random wire: the area is minimal.
problem minimal_surface
space    x, y
domain   D = disk(radius = 1)
boundary wire = boundary(D)
input    g : scalar on wire ~ fourier(modes = 3, amplitude = 0.3)
unknown  h : scalar on D
area := integral(sqrt(1 + dot(grad(h), grad(h))), D)
minimize area
on wire: h = g
output A := area
