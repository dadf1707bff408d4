# Flow through porous ground whose permeability is a log-normal random field.
problem darcy
space    x, y
domain   ground = rectangle([0, 0], [1, 1])
input    z : scalar on ground ~ grf(sigma = 1, length = 0.2)
unknown  p : scalar on ground
a := exp(z)
q := -a*grad(p)                                    # Darcy velocity
in ground:           div(q) = 1
on boundary(ground): p = 0
