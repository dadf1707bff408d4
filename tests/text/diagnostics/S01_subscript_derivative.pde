problem heat
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L
in L:           u_t = u_xx
on boundary(L): u = 0
at t = 0:       u = sin(pi*x)
