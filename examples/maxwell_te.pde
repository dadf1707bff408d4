# Light in a box with mirror walls: electric field in the plane, magnetic field along its normal. curl of the scalar H is the
# vector (dy(H), -dx(H)), curl of the vector E the scalar dx(E.y) - dy(E.x).
problem maxwell_te
space    x, y
time     t in [0, 2]
domain   cavity = rectangle([0, 0], [1, 1])
boundary mirror = boundary(cavity)
const    eps = 1, mu = 1
param    H0 ~ uniform(0.5, 1.5)
unknown  E : vector on cavity, H : scalar on cavity
omega := pi*sqrt(5/(eps*mu))                        # the mode with one half wave along x, two along y
shape := cos(pi*x)*cos(2*pi*y)
in cavity:
    ampere:  eps*dt(E) = curl(H)
    faraday: mu*dt(H) = -curl(E)
on mirror: cross(n, E) = 0
at t = 0:  E = 0; H = H0*shape
reference H = H0*shape*cos(omega*t)
reference E = H0*sin(omega*t)/(eps*omega)*[-2*pi*cos(pi*x)*sin(2*pi*y), pi*sin(pi*x)*cos(2*pi*y)]
