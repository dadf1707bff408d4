problem block
# a loaded steel console in space, with a hole
space    x, y, z [m]
domain   hole = cylinder(radius = 0.02, height = 0.1, base = [0.15, -0.05, 0.03], axis = [0, 1, 0])
domain   console = box([0, -0.04, 0], [0.3, 0.04, 0.06]) - hole
const    E = 2.1e11 [Pa], nu = 0.3
param    load ~ uniform(1e5, 1e6) [Pa]
boundary wall = side(console, x = 0), tip = side(console, x = 0.3), free = rest(console)
unknown  u : vector on console [m]
e := sym(grad(u))
sigma := E*nu/((1 + nu)*(1 - 2*nu))*tr(e)*I + E/(1 + nu)*e
in console: div(sigma) = 0
on wall: u = 0
on tip: sigma*n = [0, 0, -load]
on free: sigma*n = 0
output sag := u(0.3, 0, 0.03)
