problem layer
space    x, y [m]
param    h ~ uniform(1e-7, 3e-7)
domain   film = rectangle([0, 0], [1e-3, h])
unknown  T : scalar on film [K]
in film:           -lap(T) = 1e6
on boundary(film): T = 0
