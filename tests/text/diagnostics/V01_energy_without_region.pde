problem elastic
space    x, y
domain   body = rectangle([0, 0], [1, 1])
const    f = 1
unknown  u : scalar on body
minimize integral(dot(grad(u), grad(u))/2)
minimize dot(grad(u), grad(u))/2
minimize integral(grad(u), body)
minimize integral(f, body)
on boundary(body): u = 0
