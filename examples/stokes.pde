# Slow flow past a cylinder in a channel; the radius is drawn per sample. The open end fixes the pressure, so no gauge is needed.
problem stokes
space    x, y
param    r ~ uniform(0.1, 0.3)
domain   pillar  = disk(radius = r, center = [1, 0.5])
domain   channel = rectangle([0, 0], [3, 1]) - pillar
boundary inlet = side(channel, x = 0), outlet = side(channel, x = 3), walls = rest(channel)
const    mu = 1
unknown  v : vector on channel, p : scalar on channel
sigma := 2*mu*sym(grad(v)) - p*I
in channel:
    momentum:   div(sigma) = 0
    continuity: div(v) = 0
on inlet:  v = [4*y*(1 - y), 0]
on walls:  v = 0
on outlet: sigma*n = 0
output drag := integral(sigma*n, boundary(channel, pillar))
