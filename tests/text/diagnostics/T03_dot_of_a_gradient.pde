problem convection
space    x, y
time     t in [0, 1]
domain   Omega = rectangle([0, 0], [1, 1])
periodic x, y
unknown  v : vector on Omega
in Omega: dt(v) + dot(v, grad(v)) = lap(v)
at t = 0: v = [sin(2*pi*y), 0]
