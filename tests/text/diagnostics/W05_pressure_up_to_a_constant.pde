problem cavity
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
boundary lid = side(Omega, y = 1), walls = rest(Omega)
unknown  v : vector on Omega, p : scalar on Omega
in Omega:
    momentum:   lap(v) = grad(p)
    continuity: div(v) = 0
on lid:   v = [1, 0]
on walls: v = 0
