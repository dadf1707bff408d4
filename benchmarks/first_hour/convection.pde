problem convection
# natural convection in a square box, Boussinesq, Pr = 0.71
space    x, y
domain   cell = rectangle([0, 0], [1, 1])
const    Pr = 0.71
param    Ra ~ loguniform(1e3, 1e4)
boundary hot = side(cell, x = 0), cold = side(cell, x = 1), other = rest(cell)
unknown  v : vector on cell, p : scalar on cell, T : scalar on cell
in cell:
    momentum: advect(v, v) = -grad(p) + Pr*lap(v) + [0, Ra*Pr*T]
    mass:     div(v) = 0
    heat:     advect(v, T) = lap(T)
on boundary(cell): v = 0
on hot: T = 1
on cold: T = 0
on other: dn(T) = 0
require integral(p, cell) = 0
output Nusselt := integral(-dx(T), hot)
