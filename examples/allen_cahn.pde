# Phase separation: the gradient flow of the Ginzburg-Landau energy, derived from it.
problem allen_cahn
space    x, y
time     t in [0, 10]
domain   B = rectangle([0, 0], [2*pi, 2*pi])
periodic x, y
const    eps = 0.1
input    u0 : scalar on B ~ grf(length = 0.5)
unknown  u : scalar on B
E := integral(eps^2/2*dot(grad(u), grad(u)) + (u^2 - 1)^2/4, B)
in B:     dt(u) = -variation(E, u)
at t = 0: u = u0
