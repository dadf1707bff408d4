problem p
space x, y
domain Omega = disk(radius = 1) - disk(radius = 1/2)
boundary outer = boundary(Omega)
unknown u : scalar on Omega
in Omega: lap(u) = 1
on outer: u = 0
