problem poisson
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
    - disk(radius = 0.2, center = [0.5, 0.5])
unknown  u : scalar on Omega
in Omega:
on boundary(Omega) u = 0
