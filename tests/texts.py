"""Problems in text that tests of several rooms read."""

GROUND = """
problem ground
space    x
domain   L = interval(0, 1)
unknown  psi : scalar on L
minimize integral(dx(psi)^2, L)
on boundary(L): psi = 0
require integral(psi^2, L) = 1
"""
"""The lowest state in a box, sin(pi x) or its negative: an energy under a normalisation."""

ROD = """
problem rod
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dxx(u) = a
on boundary(L): u = 0
"""
"""u = a x (x - 1) / 2: the smallest problem with something to draw."""

LINE = """problem line
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: -dxx(u) = a
on boundary(L): u = 0
"""
"""The same with the sign of a membrane: u = a x (1 - x) / 2."""

STAR = """problem star
space    x, y
param    c ~ uniform(-0.2, 0.2)
domain   Omega = star(radius = 1 + c*cos(4*theta))
unknown  u : scalar on Omega
in Omega: lap(u) = 1
on boundary(Omega): u = 0
"""

TURN = "u.x*(y - 1/2) - u.y*(x - 1/2)"


def floating_plate(moment: str = TURN) -> str:
    """A plate that no side holds: its two shifts and, by the mean of `moment`, its rotation are
    fixed by requirements."""
    return f"""
problem floating
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
unknown  u : vector on Q
in Q: div(sym(grad(u))) = [x - 1/2, 0]
on boundary(Q): sym(grad(u))*n = 0
require integral(u.x, Q) = 0
require integral(u.y, Q) = 0
require integral({moment}, Q) = 0
"""
