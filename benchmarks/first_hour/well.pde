problem well
# a confined aquifer of 1 km, pumped by one well
space    x, y [m]
domain   aquifer = rectangle([0, 0], [1000, 1000])
const    Tr = 0.01 [m^2/s]
param    Q ~ uniform(0.01, 0.05) [m^3/s]
param    xw ~ uniform(300, 700) [m], yw ~ uniform(300, 700) [m]
boundary west = side(aquifer, x = 0), east = side(aquifer, x = 1000), other = rest(aquifer)
unknown  h : scalar on aquifer [m]
in aquifer: -div(Tr*grad(h)) = -Q*dirac([x - xw, y - yw], 20)
on west: h = 50
on east: h = 45
on other: dn(h) = 0
output observed := h(500, 500)
