# A population that grows to what the ground can feed, and spreads as a front.
problem fisher_kpp
space    x
time     t in [0, 2]
domain   land = interval(0, 1)
param    D ~ uniform(0.005, 0.02), r ~ uniform(2, 5), a ~ uniform(0.2, 0.8)
unknown  u : scalar on land
in land: dt(u) = D*dxx(u) + r*u*(1 - u)
at t = 0: u = a*exp(-20*(x - 0.3)^2)
on boundary(land): dn(u) = 0
