problem wall
space    x, y
domain   wall = rectangle([0, 0], [1, 2])
domain   brick = rectangle([0, 0], [1, 1]), steel = rectangle([0, 1], [1, 2])
boundary inside = side(wall, y = 0), outside = side(wall, y = 2), around = rest(wall)
unknown  T : scalar on wall
in brick:   -div(1.38*grad(T)) = 0
in steel:   -div(400*grad(T)) = 0
on inside:  T = 293.15
on outside: 400*dot(grad(T), n) = 200
on around:  dot(grad(T), n) = 0
