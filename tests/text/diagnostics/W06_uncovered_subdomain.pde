problem wall
space    x, y
domain   wall = rectangle([0, 0], [1, 2])
domain   brick = rectangle([0, 0], [1, 1]), steel = rectangle([0, 1.2], [1, 2])
unknown  T : scalar on wall
in brick:          -div(1.38*grad(T)) = 0
in steel:          -div(400*grad(T)) = 0
on boundary(wall): T = x
