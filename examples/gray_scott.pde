# Two reacting and diffusing species that form spots and stripes; feed and kill rates are drawn per sample.
# Source: Pearson (1993), Complex patterns in a simple system.
problem gray_scott
space    x, y
time     t in [0, 1000]
domain   B = rectangle([0, 0], [1, 1])
periodic x, y
const    Du = 2e-5, Dv = 1e-5
param    feed ~ uniform(0.02, 0.06), kill ~ uniform(0.05, 0.065)
input    v0 : scalar on B ~ grf(sigma = 0.1, length = 0.1)
unknown  u : scalar on B, v : scalar on B
in B:
    substrate: dt(u) = Du*lap(u) - u*v^2 + feed*(1 - u)
    activator: dt(v) = Dv*lap(v) + u*v^2 - (feed + kill)*v
at t = 0: u = 1 - v0^2; v = v0^2
