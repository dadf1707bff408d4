problem room
# sound pressure in a room of 4 m x 3 m with an absorbing wall
space    x, y [m]
domain   room = rectangle([0, 0], [4, 3])
const    c = 343 [m/s]
param    f ~ uniform(60, 100) [Hz]
param    beta ~ uniform(0.2, 0.8)
boundary absorber = side(room, x = 4), walls = rest(room)
unknown  p : complex scalar on room
k := 2*pi*f/c
in room: lap(p) + k^2*p = -dirac([x - 0.8, y - 1], 0.15)
on absorber: dn(p) = -1i*k*beta*p
on walls: dn(p) = 0
output loudness := integral(abs2(p), room)
