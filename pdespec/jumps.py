"""Functions that jump, and derivatives that leave the jumps out.

SymPy's derivative of a step is `DiracDelta`, of a floor an unevaluated `Derivative`: neither has a
value at a point. `slope` is the derivative at all points but those where the expression jumps;
`surfaces` says where it does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import sympy as sp
from sympy.core.relational import Relational

from pdespec.probe import vanishes

FLAT = (sp.sign, sp.Heaviside, sp.floor, sp.ceiling)
"""Constant between their jumps."""

STEPS = (*FLAT, sp.frac, sp.Mod)

SPECIAL = (*STEPS, sp.sinc, sp.jn, sp.Piecewise)
"""Functions whose derivative is taken here and not by SymPy: of `sinc` and `jn` SymPy's is 0/0
at the origin."""


def slope(expression: Any, symbol: sp.Symbol) -> Any:
    """d expression/d symbol wherever the expression does not jump."""
    if not expression.has(*SPECIAL):
        return sp.diff(expression, symbol)
    known: dict[Any, Any] = {}

    def of(e: Any) -> Any:
        if e not in known:
            known[e] = chain(e, of) if e.has(*SPECIAL) else sp.diff(e, symbol)
        return known[e]

    return of(expression)


def chain(e: Any, slope_of: Callable[[Any], Any]) -> Any:
    """One step of the chain rule: the derivative of an expression from those of its arguments."""
    if e.is_Atom:
        return slope_of(e)
    if isinstance(e, sp.Add):
        return sp.Add(*(slope_of(term) for term in e.args))
    if isinstance(e, sp.Mul):
        slopes = [slope_of(factor) for factor in e.args]
        return sp.Add(
            *(
                sp.Mul(*e.args[:i], each, *e.args[i + 1 :])
                for i, each in enumerate(slopes)
                if each != 0
            )
        )
    if isinstance(e, sp.Pow):
        base, exponent = e.args
        inner, outer = slope_of(base), slope_of(exponent)
        found = exponent * base ** (exponent - 1) * inner
        return found if outer == 0 else found + e * sp.log(base) * outer
    if isinstance(e, sp.Piecewise):
        return sp.Piecewise(*((slope_of(value), condition) for value, condition in e.args))
    if isinstance(e, FLAT):
        return sp.S.Zero
    if isinstance(e, sp.frac):
        return slope_of(e.args[0])
    if isinstance(e, sp.Mod):
        a, b = e.args
        return slope_of(a) - sp.floor(a / b) * slope_of(b)
    if isinstance(e, sp.sinc):
        return -sp.jn(1, e.args[0]) * slope_of(e.args[0])
    if isinstance(e, sp.jn):
        n, argument = e.args
        below = n * sp.jn(n - 1, argument) if n != 0 else sp.S.Zero
        return (below - (n + 1) * sp.jn(n + 1, argument)) / (2 * n + 1) * slope_of(argument)
    slopes = [slope_of(argument) for argument in e.args]
    return sp.Add(*(e.fdiff(i) * each for i, each in enumerate(slopes, 1) if each != 0))


# --------------------------------------------------------------------------------------------------
# jumps


def surfaces(expression: Any) -> tuple[sp.Expr, ...]:
    """Expressions at whose zeros the given one may jump, sorted. Empty for `abs(x)`, `x*step(x)` or
    `if(x > 0, x, 0)`.

    A kink is distinguished from a jump by the two values on the surface, found where its equation
    is linear in one of its symbols; where it is not, the surface counts."""
    expression = sp.sympify(expression)
    found: dict[sp.Expr, None] = {}
    for node in sorted(expression.atoms(*STEPS, Relational), key=sp.default_sort_key):
        if isinstance(node, (sp.floor, sp.ceiling, sp.frac)):
            found[sp.sin(sp.pi * node.args[0])] = None
        elif isinstance(node, sp.Mod):
            found[sp.sin(sp.pi * node.args[0] / node.args[1])] = None
        elif isinstance(node, Relational):
            _enter(found, node.lhs - node.rhs, *_sides_of_relation(expression, node.lhs - node.rhs))
        else:
            high, low = (1, -1) if isinstance(node, sp.sign) else (1, 0)
            level = node.args[0]
            _enter(
                found,
                level,
                expression.xreplace({node: sp.Integer(high)}),
                expression.xreplace({node: sp.Integer(low)}),
            )
    return tuple(sorted(found, key=sp.default_sort_key))


def jumps(expression: Any) -> bool:
    """Whether an expression may jump somewhere."""
    return bool(surfaces(expression))


def _sides_of_relation(expression: sp.Expr, level: sp.Expr) -> tuple[sp.Expr, sp.Expr]:
    """The expression just above and just below the zero of what a condition compares, in all
    conditions that compare the same."""
    above, below = {}, {}
    for each in expression.atoms(Relational):
        factor = (each.lhs - each.rhs) / level
        if not (isinstance(factor, sp.Rational) and factor != 0):
            continue
        positive, equal = (">", ">=") if factor > 0 else ("<", "<="), ("==",)
        op = each.rel_op
        above[each] = sp.true if op in positive or op == "!=" else sp.false
        below[each] = sp.false if op in (*positive, *equal) else sp.true
    return expression.xreplace(above), expression.xreplace(below)


def _enter(found: dict[sp.Expr, None], level: sp.Expr, above: sp.Expr, below: sp.Expr) -> None:
    difference = above - below
    for symbol in sorted(level.free_symbols, key=sp.default_sort_key):
        steepness = sp.diff(level, symbol)
        if steepness != 0 and not steepness.has(symbol) and not level.has(*STEPS, sp.Piecewise):
            difference = difference.xreplace({symbol: symbol - level / steepness})
            break
    if not vanishes(difference.xreplace({sp.Abs(level): sp.S.Zero})):
        found[level] = None
