problem thin_plate
space    x, y
param    r ~ normal(0.5, 0.2), c ~ uniform(-0.8, 0.8)
domain   plate = disk(radius = r), flower = star(radius = 1 + c*cos(3*theta) + c/2)
unknown  u : scalar on plate, w : scalar on flower
in plate:            -lap(u) = 1
in flower:           -lap(w) = 1
on boundary(plate):  u = 0
on boundary(flower): w = 0
