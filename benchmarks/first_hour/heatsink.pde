problem heatsink
space    x, y [m]
const    k = 200 [W/(m*K)], Tair = 300 [K]
param    h ~ uniform(20, 200) [W/(m^2*K)]
param    q ~ uniform(5e3, 2e4) [W/m^2]
domain   base = rectangle([0, 0], [0.05, 0.008])
domain   sink = base + rectangle([0, 0.008], [0.004, 0.04]) + rectangle([0.0153, 0.008], [0.0193, 0.04]) + rectangle([0.0307, 0.008], [0.0347, 0.04]) + rectangle([0.046, 0.008], [0.05, 0.04])
boundary chip = side(sink, y = 0), air = rest(sink)
unknown  T : scalar on sink [K]
in sink: -div(k*grad(T)) = 0
on chip: k*dn(T) = q
on air:  k*dn(T) = -h*(T - Tair)
output hottest := integral(T, chip)/integral(1, chip)
