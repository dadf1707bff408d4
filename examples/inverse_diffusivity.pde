# An inverse problem: diffusivity and decay are unknown numbers, found from measured concentrations.
problem inverse_diffusivity
space     x, y
time      t in [0, 1]
domain    Omega = rectangle([0, 0], [1, 1])
trainable kappa = 0.1, rate = 1
input     c0 : scalar on Omega ~ gaussians(count = 3, width = 0.6)
unknown   c : scalar on Omega
in Omega:           dt(c) = kappa*lap(c) - rate*c
on boundary(Omega): dot(grad(c), n) = 0
at t = 0:           c = c0
data c on Omega from "concentrations.h5"
require kappa > 0 in Omega
