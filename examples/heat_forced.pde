# A plate heated by a source that moves and changes: the source is a function of space and time.
problem heat_forced
space    x, y [m]
time     t in [0, 10] [s]
domain   plate = rectangle([0, 0], [1, 1])
boundary cold = side(plate, y = 0), insulated = rest(plate)
const    alpha = 0.02 [m^2/s]
input    q : scalar on plate over t [K/s] ~ grf(length = 0.3)
unknown  T : scalar on plate [K]
in plate:     dt(T) = alpha*lap(T) + q
on cold:      T = 0
on insulated: dot(grad(T), n) = 0
at t = 0:     T = 0
output mean := integral(T, plate)
