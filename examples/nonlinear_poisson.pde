# Nonlinear Poisson equation on star-shaped domains: geometry, source and boundary values are inputs of the operator.
# Source: Qin et al., Meta-PDE (2022); Lin et al., mollified graph neural operators (2025), section 4.2.
problem nonlinear_poisson
space    x, y
param    c1 ~ uniform(-0.2, 0.2), c2 ~ uniform(-0.2, 0.2)
domain   Omega = star(radius = 1 + c1*cos(4*theta) + c2*cos(8*theta))
boundary Gamma = boundary(Omega)
input    f : scalar on Omega ~ gaussians(count = 2, width = 1, spread = 1)   # sum of beta_i exp(-|x - mu_i|^2)
input    g : scalar on Gamma ~ fourier(modes = 2, amplitude = 0.25)
unknown  u : scalar on Omega
k(w) := 1 + w^2/10
in Omega: div(k(u)*grad(u)) = f
on Gamma: u = g
