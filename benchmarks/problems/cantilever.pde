# A slender beam of steel held at one end and pulled down at the other, in plane stress.
problem cantilever
space    x, y
domain   beam = rectangle([0, 0], [5, 1])
boundary wall = side(beam, x = 0), tip = side(beam, x = 5), free = rest(beam)
const    E = 1000
param    nu ~ uniform(0.2, 0.4), P ~ uniform(0.5, 1.5)
unknown  u : vector on beam
epsilon := sym(grad(u))
sigma   := E/(1 - nu^2)*((1 - nu)*epsilon + nu*tr(epsilon)*I)
in beam: div(sigma) = 0
on wall: u = 0
on tip:  sigma*n = [0, -P]
on free: sigma*n = 0
output sag := integral(u.y, tip)
