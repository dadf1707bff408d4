problem front
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L
k := if(x < 1/4 + t/4, 2, 1)
in L:           dt(k*u) = div(k*grad(u))
on boundary(L): u = 0
at t = 0:       u = sin(pi*x)
