# Incompressible flow in a square cavity driven by its lid, from rest. Lengths in cavity widths, speeds in lid speeds.
# Source: Ghia, Ghia and Shin (1982) for the steady state at other Reynolds numbers.
problem lid_cavity
space    x, y
time     t in [0, 10]
domain   Omega = rectangle([0, 0], [1, 1])
boundary lid = side(Omega, y = 1), walls = rest(Omega)
param    Re = 500
unknown  v : vector on Omega, p : scalar on Omega
sigma := -p*I + 2/Re*sym(grad(v))
in Omega:
    momentum:   dt(v) + advect(v, v) = div(sigma)
    continuity: div(v) = 0
on lid:   v = [1, 0]
on walls: v = 0
at t = 0: v = 0
require integral(p, Omega) = 0                                   # the pressure is known up to a constant: this fixes it
