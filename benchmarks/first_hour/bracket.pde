problem bracket
# an L-shaped bracket with a bolt hole, heated at its tip: temperature and thermal stress
space    x, y
domain   hole = disk(radius = 0.15, center = [0.3, 1.6])
domain   part = polygon([0, 0], [2, 0], [2, 0.6], [0.6, 0.6], [0.6, 2], [0, 2]) - hole
const    E = 1, nu = 0.3, alpha = 0.01, k = 1
param    dT ~ uniform(0.5, 2)
boundary bolt = boundary(part, hole), tip = side(part, x = 2), free = rest(part)
unknown  T : scalar on part, u : vector on part
lam := E*nu/((1 + nu)*(1 - 2*nu))
mu := E/(2*(1 + nu))
e := sym(grad(u))
sigma := lam*tr(e)*I + 2*mu*e - (3*lam + 2*mu)*alpha*T*I
in part:
    heat: div(k*grad(T)) = 0
    balance: div(sigma) = 0
on bolt: T = 0; u = 0
on tip: T = dT; sigma*n = 0
on free: dn(T) = 0; sigma*n = 0
output tipmove := integral(u, tip)
