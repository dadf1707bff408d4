problem cooling
space    x [m]
time     t in [0, 60] [s]
domain   rod = interval(0, 1)
const    alpha = 1e-4 [m^2/s], loss = 0.1 [1/m]
unknown  T : scalar on rod [K]
in rod: dt(T) = alpha*dxx(T) - loss*T
on boundary(rod): T = x
at t = 0: T = exp(T)
