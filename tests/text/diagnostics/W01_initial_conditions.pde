problem wave
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L, w : scalar on L
in L:
    string: dtt(u) = dxx(u)
    heat:   dt(w) = dxx(w)
on boundary(L): u = 0; w = 0
at t = 0: u = sin(pi*x); w = 0; dt(w) = 0
