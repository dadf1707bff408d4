# A thin circular plate, clamped at its rim and loaded evenly. Fourth order: two conditions on the rim.
# Source: Timoshenko and Woinowsky-Krieger, Theory of Plates and Shells, section 16.
problem biharmonic_plate
space    x, y
domain   plate = disk(radius = 1)
boundary rim = boundary(plate)
const    D = 0.1
param    q ~ uniform(0.5, 2)
unknown  w : scalar on plate
in plate: D*lap(lap(w)) = q
on rim:
    held:    w = 0
    clamped: dot(grad(w), n) = 0
reference w = q/(64*D)*(1 - x^2 - y^2)^2
