# Heat that an exothermic reaction sets free (Bratu), on a disk with one bump.
problem bratu
space    x, y
param    c ~ uniform(-0.2, 0.2), s ~ uniform(0.2, 1.5)
domain   vessel = star(radius = 1 + c*cos(3*theta))
unknown  u : scalar on vessel
in vessel:           -lap(u) = s*exp(u)
on boundary(vessel): u = 0
