# A clamped beam under its own weight and a random load on top, in plane strain.
problem linear_elasticity
space    x, y
domain   beam = rectangle([0, 0], [4, 1])
boundary wall = side(beam, x = 0), top = side(beam, y = 1), free = rest(beam)
const    E = 1000, nu = 0.3, weight = 1
input    load : vector on top ~ grf(sigma = 1, length = 1)
unknown  u : vector on beam
lambda  := E*nu/((1 + nu)*(1 - 2*nu))
mu      := E/(2*(1 + nu))
epsilon := sym(grad(u))
sigma   := lambda*tr(epsilon)*I + 2*mu*epsilon
in beam: div(sigma) + [0, -weight] = 0
on wall: u = 0
on top:  sigma*n = load
on free: sigma*n = 0
output deflection := integral(u.y, top)
