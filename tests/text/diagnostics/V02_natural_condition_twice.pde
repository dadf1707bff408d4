problem elastic
space    x, y
domain   body = rectangle([0, 0], [1, 1])
boundary foot = side(body, y = 0), free = rest(body)
unknown  u : scalar on body
minimize integral(dot(grad(u), grad(u))/2 - u, body)
on foot: u = 0
on free: dot(grad(u), n) = 0
