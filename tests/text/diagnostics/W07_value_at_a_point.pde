problem heat
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
input    g : scalar on boundary(L) ~ fourier(modes = 1)
unknown  u : scalar on L
in L:
    heat: dt(u) = dxx(u) - u(0) + u(x = 1, t)
    flux: dot(grad(u), n) = g
on boundary(L): u = 0
at t = 0: u = sin(pi*x)
