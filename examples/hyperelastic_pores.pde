# A nearly incompressible sheet with 25 circular pores, compressed by 12 percent; the pores' size is drawn per sample.
# The strong form, the stress and the traction-free pores follow from the energy: see `pdespec explain`.
# Beyond s = 0.92 the sheet buckles: squares between pores turn, neighbours against each other. `nudge` is a stated imperfection: a small dead
# load, symmetric like the body, that makes one branch the one meant and the way to it downhill (2 % of u at s = 0.8, where nothing buckles).
# Source: Overvelde and Bertoldi (2014); constants of Qin et al., Meta-PDE (2022).
problem hyperelastic_pores
space    X, Y
param    s ~ uniform(0.2, 1.1)
domain   body = rectangle([0, 0], [1, 1]) - lattice(disk(radius = 0.099736*s), 5, 5)
boundary bottom = side(body, Y = 0), top = side(body, Y = 1)
const    mu = 0.31653, kappa = 15.721, imperfection = 0.02
unknown  u : vector on body
F   := I + grad(u)
J   := det(F)
psi := mu/2*(tr(F'*F)/J - 2) + kappa/2*(J - 1)^2
nudge := imperfection*[sin(4*pi*X)*cos(4*pi*Y), -cos(4*pi*X)*sin(4*pi*Y)]
minimize integral(psi - dot(nudge, u), body)
on bottom: u = [0, 0]
on top:    u = [0, -0.12]
require J > 0 in body
output P := diff(psi, F)
