# Viscous Burgers equation on a periodic interval; the operator maps the initial state to the whole space-time solution.
# Source: Li et al., physics-informed neural operators (2021); the field's law is that of the published data set.
problem burgers
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
periodic x                                                       # exact, never a penalty
const    nu = 0.01
input    u0 : scalar on L ~ grf(sigma = 625, tau = 5, alpha = 4)   # covariance sigma^2 (-lap + tau^2)^(-alpha)
unknown  u : scalar on L
in L:     dt(u) + u*dx(u) = nu*dxx(u)
at t = 0: u = u0
