problem dish
# Fisher's equation of a colony growing in a round dish
space    x, y
time     t in [0, 6]
domain   dish = disk(radius = 1)
param    r ~ uniform(0.5, 1.5), D ~ uniform(0.01, 0.03)
input    c0 : scalar on dish ~ gaussians(count = 3, width = 0.3)
unknown  c : scalar on dish
in dish: dt(c) = D*lap(c) + r*c*(1 - c)
on boundary(dish): dn(c) = 0
at t = 0: c = 0.2*c0^2
output mass := integral(c, dish)
