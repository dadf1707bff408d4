# A soft block, twisted and stretched; the strong form and the traction-free sides follow from the energy.
# Source: Simo and Pister (1984) for the volumetric term.
problem neo_hookean_3d
space    x, y, z
domain   block = box([0, 0, 0], [1, 1, 1])
boundary bottom = side(block, z = 0), top = side(block, z = 1)
const    mu = 1, lambda = 4
param    angle ~ uniform(0, 0.8), stretch ~ uniform(0, 0.3)
unknown  u : vector on block
F   := I + grad(u)
J   := det(F)
psi := mu/2*(tr(F'*F) - 3) - mu*log(J) + lambda/2*log(J)^2
turned := [0.5 + cos(angle)*(x - 0.5) - sin(angle)*(y - 0.5), 0.5 + sin(angle)*(x - 0.5) + cos(angle)*(y - 0.5), 1 + stretch]
minimize integral(psi, block)
on bottom: u = 0
on top:    u = turned - [x, y, 1]
require J > 0 in block
output P := diff(psi, F)
