problem poisson
space    x, y
domain   Omega = disk(radius = 1, height = 3)
domain   B = rectangle([1, 1], [0, 0])
unknown  u : scalar on Omega
k(w, s) := 1 + s*w
in Omega: -div(k(u)*grad(u, x)) = 1
on side(Omega): u = 0
