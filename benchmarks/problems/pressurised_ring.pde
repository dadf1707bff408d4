# A thick pipe under pressure from inside, a quarter of it by symmetry (Lame's problem, with a hole of any size).
problem pressurised_ring
space    x, y
param    a ~ uniform(0.4, 0.7), p ~ uniform(0.5, 1.5)
domain   pipe = disk(radius = 1) - disk(radius = a) & rectangle([0, 0], [1, 1])
boundary bore = boundary(pipe, disk(radius = a)), left = side(pipe, x = 0), below = side(pipe, y = 0), rim = rest(pipe)
const    lambda = 1.5, mu = 1
unknown  u : vector on pipe
sigma := lambda*div(u)*I + 2*mu*sym(grad(u))
in pipe:  div(sigma) = 0
on bore:  sigma*n = -p*n
on rim:   sigma*n = 0
on left:  u.x = 0; (sigma*n).y = 0
on below: u.y = 0; (sigma*n).x = 0
