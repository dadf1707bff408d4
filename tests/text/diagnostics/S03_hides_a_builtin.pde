problem drift
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
const    div = 2
const    data = 3
unknown  n : scalar on L
param    x ~ uniform(0, 1)
input    dxx : scalar on L ~ grf(length = 0.1)
in L: dt(n) = lap(n)
on boundary(L): n = 0
at t = 0: n = 0
