problem seasons
space    x
time     t in [0, 1]
periodic t
domain   ground = interval(0, 10)
unknown  T : scalar on ground
in ground:              dt(T) = dxx(T)
on boundary(ground):    dx(T) = 0
at t = 0: T = 280
