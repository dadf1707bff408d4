# Steady transonic flow about a deformed NACA 0012 section at Mach 0.8; the displacement of seven design nodes is drawn per sample.
# Source: Li et al., Geo-FNO (2022).
problem airfoil_euler
space    x, y
param    d ~ uniform(-0.05, 0.05, size = 7)
domain   Omega = exterior(airfoil(naca(0, 0, 12), displacement = d), farfield = disk(radius = 40))
boundary foil = inner(Omega), far = outer(Omega)
const    gamma = 1.4, M = 0.8
unknown  rho : scalar on Omega > 0, v : vector on Omega, p : scalar on Omega > 0
E := p/(gamma - 1) + rho/2*dot(v, v)
in Omega:
    mass:     div(rho*v) = 0
    momentum: div(rho*outer(v, v) + p*I) = 0
    energy:   div((E + p)*v) = 0
on foil: dot(v, n) = 0                                           # n: unit outward normal
on far:  rho = 1; v = [M*sqrt(gamma), 0]; p = 1
output force := integral(p*n, foil)
data   p on foil from "airfoils.h5"
