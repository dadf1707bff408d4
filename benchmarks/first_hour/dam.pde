problem dam
# seepage below a dam with a cut-off wall
space    x, y [m]
domain   wall = rectangle([-0.3, -6], [0.3, 0])
domain   soil = rectangle([-30, -15], [30, 0]) - wall
param    H ~ uniform(5, 12) [m], K ~ loguniform(1e-6, 1e-4) [m/s]
boundary lake = side(soil, y = 0, x < -8), river = side(soil, y = 0, x > 8), tight = rest(soil)
unknown  h : scalar on soil [m]
in soil: div(K*grad(h)) = 0
on lake: h = H
on river: h = 0
on tight: dn(h) = 0
output seepage := integral(-K*dn(h), lake)
output uplift := integral(h, boundary(soil, y > -0.01, abs(x) < 8))
