# Poisson's equation on an interval under every cubic load: the family of DeepXDE's demonstration of operators.
problem poisson_family
space   x
domain  rod = interval(0, 1)
param   a0 ~ uniform(-1, 1), a1 ~ uniform(-1, 1), a2 ~ uniform(-1, 1), a3 ~ uniform(-1, 1)
unknown u : scalar on rod
in rod:           -dxx(u) = a0 + a1*x + a2*x^2 + a3*x^3
on boundary(rod): u = 0
