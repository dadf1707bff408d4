problem darcy
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
input    a : scalar on Omega from "permeability.h5"
unknown  p : scalar on Omega
in Omega: div(a*grad(p)) = 1
on boundary(Omega): p = 0
