# A heated pillar in a channel: slow flow past it, and the heat that it gives to the flow. Radius and centre are drawn per sample.
# pillar_design.py asks which of them takes the least pressure at a required heat.
# Source: lengths over the height of the channel, velocities over that in its middle; Peclet number 20.
problem pillar_channel
space    x, y
param    r ~ uniform(0.1, 0.25), a ~ uniform(0.8, 1.2), b ~ uniform(0.4, 0.6)
domain   pillar  = disk(radius = r, center = [a, b])
domain   channel = rectangle([0, 0], [2.5, 1]) - pillar
boundary inlet = side(channel, x = 0), outlet = side(channel, x = 2.5), heated = boundary(channel, pillar), walls = rest(channel)
const    kappa = 0.05
unknown  v : vector on channel, p : scalar on channel, T : scalar on channel
in channel:
    momentum: div(grad(v) - p*I) = 0
    mass:     div(v) = 0
    heat:     div(kappa*grad(T)) - dot(v, grad(T)) = 0
on inlet:  v = [4*y*(1 - y), 0]; T = 0
on walls:  v = 0; dn(T) = 0
on heated: v = 0; T = 1
on outlet: (grad(v) - p*I)*n = 0; dn(T) = 0                      # n: unit outward normal
output drop  := integral(p, inlet)                               # mean pressure, that at the outlet being zero
output power := integral(T*v.x, outlet)                          # heat that the flow carries away
