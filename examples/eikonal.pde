# Travel time to the rim of a random star at unit speed, with a little viscosity that selects the physical solution.
problem eikonal
space    x, y
param    c ~ uniform(-0.2, 0.2)
domain   Omega = star(radius = 1 + c*cos(3*theta))
const    eps = 0.05
unknown  T : scalar on Omega
in Omega:           dot(grad(T), grad(T)) - eps*lap(T) = 1
on boundary(Omega): T = 0
