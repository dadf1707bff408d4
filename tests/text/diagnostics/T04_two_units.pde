problem chip
space    x, y [nm]
domain   Q = rectangle([0, 0], [50, 20])
const    k = 148 [W/(m*K)]
param    P ~ uniform(1e15, 2e15) [W/m^3]
unknown  T : scalar on Q [K]
in Q: -div(k*grad(T)) = P
on side(Q, y = 0): T = 300
on rest(Q): dn(T) = 0
