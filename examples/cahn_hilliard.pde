# Phase separation that conserves mass: the chemical potential is the variation of the energy, and a second unknown,
# so that no derivative of fourth order is needed.
problem cahn_hilliard
space    x, y
time     t in [0, 1]
domain   B = rectangle([0, 0], [1, 1])
periodic x, y
const    eps = 0.05, M = 0.01
input    c0 : scalar on B ~ grf(sigma = 0.3, length = 0.15)
unknown  c : scalar on B, w : scalar on B
E := integral(eps^2/2*dot(grad(c), grad(c)) + (c^2 - 1)^2/4, B)
in B:
    mass:      dt(c) = M*lap(w)
    potential: w = variation(E, c)
at t = 0: c = c0
output mass := integral(c, B)
