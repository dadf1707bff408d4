# Korteweg-de Vries: long waves on shallow water, in the scaling in which a soliton of speed c has the height c/2.
problem kdv
space    x
time     t in [0, 1]
domain   L = interval(0, 10)
periodic x
input    u0 : scalar on L ~ grf(sigma = 1, length = 1.5)
unknown  u : scalar on L
in L:     dt(u) + 6*u*dx(u) + dxxx(u) = 0
at t = 0: u = u0
output mass   := integral(u, L)
output energy := integral(dx(u)^2/2 - u^3, L)      # both are conserved
