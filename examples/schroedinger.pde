# A quantum particle in a harmonic trap, i psi_t = -psi_xx/2 + x^2/2 psi, as real and imaginary part psi = a + i b:
# the coherent state, whose centre swings like a classical particle.
problem schroedinger
space    x
time     t in [0, 3]
domain   line = interval(-8, 8)
param    q ~ uniform(0.5, 1.5)
unknown  a : scalar on line, b : scalar on line
V := x^2/2
in line:
    dt(a) = -dxx(b)/2 + V*b
    dt(b) =  dxx(a)/2 - V*a
envelope := pi^(-1/4)*exp(-(x - q*cos(t))^2/2)
phase    := t/2 + x*q*sin(t) - q^2/4*sin(2*t)
on boundary(line): a = envelope*cos(phase); b = -envelope*sin(phase)
at t = 0:          a = pi^(-1/4)*exp(-(x - q)^2/2); b = 0
output norm := integral(a^2 + b^2, line)
reference a = envelope*cos(phase)
reference b = -envelope*sin(phase)
