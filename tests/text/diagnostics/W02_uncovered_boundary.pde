problem poisson
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
boundary bottom = side(Omega, y = 0), top = side(Omega, y = 1)
unknown  u : scalar on Omega
in Omega:  -lap(u) = 1
on bottom: u = 0
on top:    u = 1
