# Kuramoto-Sivashinsky: the simplest equation with spatio-temporal chaos.
# Source: Kassam and Trefethen (2005).
problem kuramoto_sivashinsky
space    x
time     t in [0, 50]
domain   L = interval(0, 32*pi)
periodic x
input    u0 : scalar on L ~ grf(sigma = 1, length = 8)
unknown  u : scalar on L
in L:     dt(u) + u*dx(u) + dxx(u) + dxxxx(u) = 0
at t = 0: u = u0
