# Poisson's equation in a ball with a radiation condition on its surface: the field of an even charge.
problem poisson_ball
space    x, y, z
domain   B = ball(radius = 1)
boundary surface = boundary(B)
param    charge ~ uniform(0.5, 2)
const    h = 2
unknown  u : scalar on B
in B:       -lap(u) = charge
on surface: dot(grad(u), n) + h*u = 0
reference u = charge/6*(1 - x^2 - y^2 - z^2) + charge/(3*h)
