# Two species that are made by sources, wander, and annihilate.
problem two_species
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
param    k ~ uniform(5, 50)
input    f : scalar on Q ~ gaussians(count = 2, width = 0.3)
unknown  a : scalar on Q, b : scalar on Q
in Q:
    -lap(a) + k*a*b = 10*abs(f)
    -lap(b) + k*a*b = 5*x
on boundary(Q): a = 0; b = 0
