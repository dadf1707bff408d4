problem elastic
space    x, y
domain   body = rectangle([0, 0], [1, 1])
unknown  u : vector on body
F   := I + grad(u)
J   := det(F)
psi := tr(F'*F)/J + log(J)^2
minimize integral(psi, body)
on boundary(body): u = 0
