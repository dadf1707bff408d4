problem beam
# Winkler foundation
space    x [m]
domain   rail = interval(0, 10)
const    EI = 6e6 [N*m^2]
param    k ~ uniform(1e7, 4e7) [N/m^2]
param    P ~ uniform(5e4, 1e5) [N], a ~ uniform(3, 7) [m]
unknown  w : scalar on rail [m]
in rail: EI*dxxxx(w) + k*w = P*dirac(x - a, 0.2)
on boundary(rail): dxx(w) = 0; dxxx(w) = 0
output under := integral(w*dirac(x - a, 0.2), rail)
output moment := -EI*dxx(w)
