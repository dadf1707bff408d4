problem plume
# a chimney in the wind
space    x, z [m]
time     t in [0, 600] [s]
domain   air = rectangle([0, 0], [1000, 200])
param    U ~ uniform(2, 5) [m/s], K ~ uniform(5, 10) [m^2/s]
param    S ~ uniform(0.5, 2) [g/(m^2*s)]
boundary inflow = side(air, x = 0), out = side(air, x = 1000), ground = side(air, z = 0), top = side(air, z = 200)
const    size = 15 [m]
unknown  c : scalar on air [g/m^2]
in air: dt(c) + U*dx(c) = K*lap(c) + S*exp(-((x - 100)^2 + (z - 60)^2)/size^2)
on inflow: c = 0
on out: dn(c) = 0
on ground: dn(c) = 0
on top: dn(c) = 0
at t = 0: c = 0
output street := c(600, 2)
