problem capacitor
# two plates in a grounded box, a slab of dielectric between them
space    x, y
domain   plus = rectangle([-0.5, 0.2], [0.5, 0.3]), minus = rectangle([-0.5, -0.3], [0.5, -0.2])
domain   box1 = rectangle([-2, -2], [2, 2]) - plus - minus
param    er ~ uniform(1, 10), V ~ uniform(0.5, 1.5)
eps := if(abs(x) < 0.4 and abs(y) < 0.1, er, 1)
boundary top = boundary(box1, plus), bottom = boundary(box1, minus), ground = rest(box1)
unknown  phi : scalar on box1
in box1: div(eps*grad(phi)) = 0
on top: phi = V
on bottom: phi = -V
on ground: phi = 0
output energy := integral(eps*dot(grad(phi), grad(phi))/2, box1)
output C := integral(eps*dot(grad(phi), grad(phi)), box1)/(2*V)^2
