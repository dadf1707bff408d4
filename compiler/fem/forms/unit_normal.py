"""Expressions with the components of a unit vector n: simplified with |n| = 1, and whether they
vanish.

SymPy takes seconds to see that n.x^4 + 2 n.x^2 n.y^2 + n.y^4 - 1 is zero on the unit circle; some
values tell at once.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping, Sequence

import sympy as sp
from sympy.core.relational import Relational

TRIES = 3  # places at which expressions are evaluated
NOUGHT = 1e-12  # with 30 digits
BRANCHED = (sp.Abs, sp.sign, sp.Max, sp.Min)


def unit(expression: sp.Expr, normal: Sequence[sp.Expr]) -> sp.Expr:
    """Simplified with |n| = 1; `normal` has the components of n, numbers where they are known."""
    unknown = [n for n in normal if n.is_Symbol]
    top, bottom = sp.fraction(sp.together(expression))
    if unknown and expression.has(*unknown):
        sphere = sum(n**2 for n in normal) - 1
        top, bottom = (sp.reduced(sp.expand(e), [sphere], *unknown)[1] for e in (top, bottom))
    return sp.cancel(top / bottom)


def zero(expressions: Iterable[sp.Expr], normal: Sequence[sp.Expr]) -> bool:
    """Whether expressions vanish for all values of their symbols and all unit vectors n, seen at
    some, in each branch of what has several."""
    each = [found for e in expressions if (found := sp.sympify(e)) != 0]
    if not each:
        return True
    for point in places(sp.Tuple(*each).free_symbols, normal):
        for e in each:
            for branch in branches(e, point):
                value = sp.N(branch.xreplace(point), 30)
                if not (value.is_number and abs(value) < NOUGHT):
                    return False
    return True


def branches(expression: sp.Expr, point: Mapping[sp.Expr, sp.Expr]) -> Iterator[sp.Expr]:
    """An expression, and as it is where one of its comparisons, such as x < -1/2 in a coefficient
    that jumps, turns out otherwise than at a place."""
    yield expression
    if not expression.has(sp.Piecewise, *BRANCHED):
        return
    plain = expression.replace(lambda e: isinstance(e, BRANCHED), lambda e: e.rewrite(sp.Piecewise))
    compared = plain.atoms(Relational)
    for one in sorted(compared, key=sp.default_sort_key):
        truth = {one: sp.Not(one.xreplace(point)), one.negated: one.xreplace(point)}
        turned = plain.xreplace(truth)
        if not turned.has(sp.nan):  # no branch is left
            yield turned


def rank(matrix: sp.Matrix, normal: Sequence[sp.Expr]) -> int:
    """At a generic place."""
    point = places(matrix.free_symbols, normal)[0]
    return sp.Matrix(matrix.xreplace(point)).evalf(30).rank(iszerofunc=lambda v: abs(v) < NOUGHT)


def places(symbols: Iterable[sp.Expr], normal: Sequence[sp.Expr]) -> list[dict[sp.Expr, sp.Expr]]:
    """Values of symbols, those of the normal of length one; the same in every run."""
    chance, found = random.Random(7), []
    unknown = [n for n in normal if n.is_Symbol]
    left = 1 - sum(n**2 for n in normal if not n.is_Symbol)
    for _ in range(TRIES):
        raw = [sp.Rational(chance.randint(11, 97), 31) for _ in unknown]
        size = sp.sqrt(sum(each**2 for each in raw) / left) if raw else sp.S.One
        point = {n: sp.N(each / size, 40) for n, each in zip(unknown, raw, strict=True)}
        others = sorted((s for s in symbols if s not in point), key=sp.default_sort_key)
        found.append(point | {s: sp.Rational(chance.randint(11, 97), 47) for s in others})
    return found
