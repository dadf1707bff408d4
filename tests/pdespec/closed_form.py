"""The independent oracle of these tests: closed-form fields put into expressions by SymPy's own
substitution and differentiation."""

from __future__ import annotations

import itertools

import sympy as sp

POINTS = [
    (sp.Rational(3, 10), sp.Rational(7, 11), sp.Rational(2, 7), sp.Rational(5, 13)),
    (-sp.Rational(1, 3), sp.Rational(1, 7), 1, 2),
]


def closed(expression, fields):
    """The expression with fields (scalars, vectors or tensors) replaced by closed forms, all
    derivatives expanded by SymPy."""
    pairs = []
    for field, value in fields.items():
        if isinstance(field, sp.MatrixBase):
            pairs += zip(field, sp.Matrix(value), strict=True)
        else:
            pairs.append((field, sp.sympify(value)))
    expression = (
        sp.Matrix(expression) if isinstance(expression, sp.MatrixBase) else sp.sympify(expression)
    )
    return expression.subs(pairs, simultaneous=True).doit()


def same(left, right, variables, digits=12):
    """Whether two closed forms agree at generic points, to `digits` decimal places."""
    difference = sp.Matrix([left]) - sp.Matrix([right])
    symbols = sorted(difference.free_symbols - set(variables), key=str)
    numbers = dict(
        zip(symbols, itertools.cycle([sp.Rational(7, 5), sp.Rational(9, 4), sp.Rational(3, 8)]))
    )
    for point in POINTS:
        values = difference.subs(dict(zip(variables, point, strict=False))).subs(numbers)
        if any(abs(sp.N(value, 30)) > sp.Float(10) ** -digits for value in values):
            return False
    return True
