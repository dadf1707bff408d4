problem waves
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L, psi : complex scalar on L, w : complex on L > 0
in L:
    real:   dxx(u) = 1i*u
    graded: dxx(psi) = max(psi, 1)
on boundary(L): u = 0; psi = 2i
require psi > 0 in L
output e := integral(abs2(psi), L)
