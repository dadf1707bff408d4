# A chain of pendulums let go from a drawn shape.
problem sine_gordon
space    x
time     t in [0, 2]
domain   chain = interval(0, 1)
param    a ~ uniform(0.5, 2), w ~ uniform(1, 3)
unknown  u : scalar on chain
in chain: dtt(u) = dxx(u) - w^2*sin(u)
on boundary(chain): u = 0
at t = 0: u = a*sin(pi*x); dt(u) = 0
