problem products
space    x, y
domain   Omega = disk(radius = 1)
unknown  v : vector on Omega
in Omega: lap(v) + v*v + v*grad(v) + v/v + v^2 = 0
on boundary(Omega): v = 0
