# The p-Laplacian, regularised by eps where the gradient vanishes; the exponent is drawn per sample.
problem p_laplacian
space    x, y
domain   Omega = disk(radius = 1)
param    m ~ uniform(1.5, 4)
const    eps = 0.01
input    f : scalar on Omega ~ gaussians(count = 2, width = 0.5)
unknown  u : scalar on Omega
slope := eps^2 + dot(grad(u), grad(u))
in Omega:           -div(slope^((m - 2)/2)*grad(u)) = f
on boundary(Omega): u = 0
