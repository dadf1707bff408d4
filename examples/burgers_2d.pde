# The viscous Burgers system in the plane, with the travelling front that the Cole-Hopf transform gives.
# Source: Fletcher (1983), Generating exact solutions of the two-dimensional Burgers equations.
problem burgers_2d
space    x, y
time     t in [0, 1]
domain   Omega = rectangle([0, 0], [1, 1])
param    nu ~ uniform(0.02, 0.1)
unknown  v : vector on Omega
front := 1/(4*(1 + exp((4*y - 4*x - t)/(32*nu))))
exact := [3/4 - front, 3/4 + front]
in Omega:           dt(v) + advect(v, v) = nu*lap(v)
on boundary(Omega): v = exact
at t = 0:           v = exact
reference v = exact
