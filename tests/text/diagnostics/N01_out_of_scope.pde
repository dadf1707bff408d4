problem wishes
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L, w : scalar on L
in L:
    memory: dt(u) = dxx(u) - u(x, t - 0.1)
    forced: dt(w) = dxx(w) + noise(t) + convolve(u, w) + fractional(u, 0.5)
    source: dt(u) = dxx(u) + dirac(x - 0.5)
    above:  u >= 0
on boundary(L): u = 0; w = eigenvalue
at t = 0: u = 0; w = surface_grad(u)
