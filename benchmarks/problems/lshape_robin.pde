# Something carried through an L-shaped room, which loses it through a wall.
problem lshape_robin
space    x, y
domain   room = rectangle([0, 0], [2, 2]) - rectangle([1, 1], [2, 2])
boundary inlet = side(room, x = 0), wall = side(room, y = 0), others = rest(room)
param    c ~ uniform(0.5, 3), h ~ uniform(0.5, 5)
input    f : scalar on room ~ grf(sigma = 1, length = 0.7)
unknown  u : scalar on room
in room:   -lap(u) + c*dx(u) = f
on inlet:  u = 1
on wall:   dn(u) + h*u = 0
on others: dn(u) = 0
