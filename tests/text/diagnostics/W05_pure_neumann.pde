problem neumann
space    x, y
domain   Omega = disk(radius = 1)
input    f : scalar on Omega ~ gaussians(count = 2)
unknown  u : scalar on Omega
in Omega: -lap(u) = f
on boundary(Omega): dot(grad(u), n) = 0
