problem kinds
space    x, y
domain   Omega = disk(radius = 1), hole = disk(radius = uniform(0, 1))
boundary Gamma = boundary(Omega)
input    f : scalar on Omega ~ uniform(0, 1)
unknown  u : scalar on Gamma
k(w) := 1 + w^2
in Gamma: -lap(u) = f
on Omega: Omega = k
