"""Equations of third and higher order -> second order, with w = lap(u) as further unknowns (the
Ciarlet-Raviart form).

Source: P. G. Ciarlet, P.-A. Raviart, A mixed finite element method for the biharmonic equation
(1974).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.divergence import Coordinates, order, spatial_order, unknown_derivatives
from compiler.fem.forms.pairing import Row, name
from pdespec.jets import expand_derivatives
from pdespec.symbols import Unknown, UnknownField

Rewrite = Callable[[sp.Expr], sp.Expr]


def reduce_order(rows: Sequence[Row], coordinates: Coordinates) -> tuple[tuple[Row, ...], Rewrite]:
    """Rows of at most second order, and the same replacement for boundary conditions.

    Raises: NoWeakForm where the leading part is not a power of the Laplacian.
    """
    high = any(order(row.residual, coordinates) > 2 for row in rows)
    rows, rewrites = (
        [replace(row, residual=loosened(row.residual)) if high else row for row in rows],
        [loosened] * high,
    )
    for _ in range(4):
        high = [function for row in rows for function in too_high(row.residual, coordinates)]
        if not high:
            return tuple(rows), lambda expression: chain(expression, rewrites)
        function = high[0]
        laplacian = laplacian_of(function)
        rewrites.append(replacement(function, laplacian, coordinates))
        rows = [Row(row.label, rewrites[-1](row.residual), row.component) for row in rows]
        definition = laplacian - sum(sp.Derivative(function, (x, 2)) for x in coordinates)
        rows.append(Row(f"lap({name(function)})", definition, name(laplacian)))
        left = [row.label for row in rows if function in too_high(row.residual, coordinates)]
        if left:
            raise NoWeakForm(
                f"derivatives of {name(function)} of order above two in `{left[0]}` are not powers"
                " of its Laplacian"
            )
    raise NoWeakForm("derivatives of order above eight")


def loosened(expression: sp.Expr) -> sp.Expr:
    """Numbers taken out of derivatives, `d(10 u) = 10 d(u)`, so that what is differentiated is
    an unknown itself."""
    if not expression.has(sp.Derivative):
        return expression
    if isinstance(expression, sp.Derivative):
        factor, rest = loosened(expression.expr).as_coeff_Mul()
        return factor * sp.Derivative(rest, *expression.variable_count)
    return expression.func(*[loosened(each) for each in expression.args])


def too_high(expression: sp.Expr, coordinates: Coordinates) -> list[sp.Expr]:
    """Unknowns with more than two space derivatives."""
    if order(expression, coordinates) <= 2:
        return []
    nodes = [
        node
        for node in unknown_derivatives(expand_derivatives(expression))
        if spatial_order(node, coordinates) > 2
    ]
    return [node.expr for node in nodes]


def laplacian_of(function: sp.Expr) -> sp.Expr:
    """A new unknown for the Laplacian of one."""
    declared = function.func.declaration
    return Unknown(f"lap({name(function)})", "scalar", declared.region, declared.time).symbol


def replacement(function: sp.Expr, laplacian: sp.Expr, coordinates: Coordinates) -> Rewrite:
    """Two derivatives along the last coordinate become w minus the other ones, until none is
    left."""
    last = coordinates[-1]

    def once(node: sp.Derivative) -> sp.Expr:
        counts = dict(node.variable_count)
        counts[last] -= 2
        remaining = [(v, n) for v, n in counts.items() if n]
        inner = laplacian - sum(sp.Derivative(function, (x, 2)) for x in coordinates[:-1])
        return expand_derivatives(sp.Derivative(inner, *remaining)) if remaining else inner

    def rewrite(expression: sp.Expr) -> sp.Expr:
        while True:
            nodes = [
                n
                for n in expression.atoms(sp.Derivative)
                if n.expr == function and dict(n.variable_count).get(last, 0) >= 2
            ]
            if not nodes:
                return cancelled(expression)
            expression = expression.xreplace({node: once(node) for node in nodes})

    return rewrite


def cancelled(expression: sp.Expr) -> sp.Expr:
    """Sums gathered, inside derivatives too, so that the derivatives that make up the Laplacian
    drop out."""
    if isinstance(expression, sp.Derivative) and not isinstance(expression.expr, UnknownField):
        return sp.Derivative(cancelled(expression.expr), *expression.variable_count)
    if isinstance(expression, (sp.Add, sp.Mul)):
        return sp.expand_mul(
            expression.func(*[cancelled(part) for part in expression.args]), deep=False
        )
    return expression


def chain(expression: sp.Expr, rewrites: Sequence[Rewrite]) -> sp.Expr:
    """An expression after all rewrites, the first one first."""
    for rewrite in rewrites:
        expression = rewrite(expression)
    return expression
