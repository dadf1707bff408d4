"""Energies with kinks, `abs(u)`, `max(u, 0)`, `abs(dx(u))`, made smooth by a width that is taken to
nothing.

    |s|  ->  sqrt(s^2 + w^2),    max(a, b) = (a + b + |a - b|)/2,    min(a, b) = (a + b - |a - b|)/2

The minimum is followed from w = the largest |s| downwards, a factor of ten at a time; the energy is
wrong by w at most. Powers of an absolute value whose first derivative has no jump (`abs(dx(u))^3`,
`max(u, 0)^2`) are left alone: Newton's method with the derivative on either side of a jump of the
second derivative converges (semismooth). Source: M. Hintermueller, K. Ito, K. Kunisch, SIAM J.
Optim. 13 (2003), for semismooth Newton; path following in the width: M. Hintermueller, K. Kunisch,
SIAM J. Control Optim. 45 (2006).
"""

from __future__ import annotations

import sympy as sp

from compiler.fem.forms.conditions import unknown_jet_variables
from compiler.lowering.terms import JetVariable
from pdespec.jumps import slope

WIDTH = sp.Dummy("width", nonnegative=True)
FACTORS = tuple(10.0**-k for k in range(1, 9))  # of the largest |s|


def smoothed(density: sp.Expr) -> sp.Expr:
    """A density with its kinks rounded; itself where its first derivatives have no jump."""
    kinks = [
        node
        for node in density.atoms(sp.Abs, sp.Max, sp.Min, sp.sign)
        if unknown_jet_variables(node)
    ]
    if not kinks:
        return density
    plain = density.replace(sp.Max, lambda *a: chained(a, 1)).replace(
        sp.Min, lambda *a: chained(a, -1)
    )
    if not any(jumps(plain, node) for node in plain.atoms(sp.Abs) if unknown_jet_variables(node)):
        return density
    return plain.replace(
        sp.Abs, lambda s: sp.sqrt(s**2 + WIDTH**2) if unknown_jet_variables(s) else sp.Abs(s)
    )


def chained(arguments: tuple[sp.Expr, ...], sign: int) -> sp.Expr:
    """The largest (1) or smallest (-1) of some expressions by absolute values."""
    first, *others = arguments
    for other in others:
        first = (first + other + sign * sp.Abs(first - other)) / 2
    return first


def jumps(density: sp.Expr, node: sp.Abs) -> bool:
    """Whether a first derivative of a density jumps where the argument of an absolute value is
    zero."""
    inner = node.args[0]
    up, down = density.xreplace({node: inner}), density.xreplace({node: -inner})
    for jet in unknown_jet_variables(inner):
        by = sp.diff(inner, jet)
        if by == 0 or unknown_jet_variables(by):
            continue
        root = sp.solve(inner, jet)[0]
        gaps = [slope(up, s) - slope(down, s) for s in unknown_jet_variables(inner)]
        return any(sp.simplify(gap.subs(jet, root)) != 0 for gap in gaps)
    return True


def arguments_of(density: sp.Expr) -> list[sp.Expr]:
    """What occurs in the rounded absolute values: their sizes give the first width."""
    roots = [
        node.base - WIDTH**2
        for node in density.atoms(sp.Pow)
        if node.exp == sp.Rational(1, 2) and node.base.has(WIDTH)
    ]
    return [sp.sqrt(each) for each in roots if each.atoms(JetVariable)]
