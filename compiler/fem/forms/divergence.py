"""Strong form -> divergence form: residual = source + sum_j d_j flux_j, with at most first derivatives of the unknowns in both.

Multiplied by a test function w and integrated by parts, the residual becomes

    int source w - flux . grad w  dx  +  int (flux . n) w  ds .

What the user wrote decides the flux, and with it the natural condition: `div(k*grad(u))` gives `k*dot(grad(u), n)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy as sp

from compiler.fem.errors import NoWeakForm
from pdespec.jets import carry_out
from pdespec.symbols import InputField, UnknownField

Coordinates = tuple[sp.Symbol, ...]


@dataclass(frozen=True)
class DivergenceForm:
    """`source + sum_j d_j flux[j]` of one scalar equation."""

    source: sp.Expr
    flux: tuple[sp.Expr, ...]

    def __add__(self, other: DivergenceForm) -> DivergenceForm:
        return DivergenceForm(self.source + other.source, tuple(a + b for a, b in zip(self.flux, other.flux, strict=True)))

    def scaled(self, factor: sp.Expr) -> DivergenceForm:
        return DivergenceForm(factor * self.source, tuple(factor * a for a in self.flux))


def order(expression: sp.Expr, coordinates: Coordinates) -> int:
    """Highest number of space derivatives on one unknown, all derivatives carried out."""
    return max((spatial_order(node, coordinates) for node in unknown_derivatives(carry_out(expression))), default=0)


def spatial_order(node: sp.Derivative, coordinates: Coordinates) -> int:
    return sum(int(count) for variable, count in counts_of(node) if variable in coordinates)


def counts_of(node: sp.Derivative) -> list[tuple[sp.Symbol, int]]:
    """(variable, number of derivatives by it) in the order written."""
    return [(entry.args[0], int(entry.args[1])) for entry in node.args[1:]]


def unknown_derivatives(expression: sp.Expr) -> list[sp.Derivative]:
    """Derivatives of unknowns in a fixed order."""
    nodes = [node for node in expression.atoms(sp.Derivative) if isinstance(node.expr, UnknownField)]
    return sorted(nodes, key=sp.default_sort_key)


def varies(expression: sp.Expr, coordinates: Coordinates) -> bool:
    """Whether an expression depends on position."""
    return bool(expression.free_symbols & set(coordinates)) or expression.has(UnknownField, InputField)


def divergence_form(residual: sp.Expr, coordinates: Coordinates, moved: Callable[[sp.Expr], bool] = lambda inner: False) -> DivergenceForm:
    """Split a scalar residual.

    `moved(inner)` decides for a first-order term `d_j inner` whether it goes into the flux too: yes for a pressure gradient, whose
    natural condition is the traction, and for the divergence of a flux that is itself an unknown.
    Raises: NoWeakForm where second derivatives do not stand in divergence form.
    """
    zero = DivergenceForm(sp.S.Zero, (sp.S.Zero,) * len(coordinates))

    def under(inner: sp.Expr, axis: int) -> DivergenceForm:
        return DivergenceForm(sp.S.Zero, tuple(inner if j == axis else sp.S.Zero for j in range(len(coordinates))))

    def split(term: sp.Expr) -> DivergenceForm:
        if isinstance(term, sp.Add):
            return total((split(part) for part in term.args), zero)
        if isinstance(term, sp.Derivative):
            return derivative(term)
        if isinstance(term, sp.Mul):
            return product(term)
        if order(term, coordinates) <= 1:
            return DivergenceForm(carry_out(term), zero.flux)
        raise nonlinear(term)

    def derivative(term: sp.Derivative) -> DivergenceForm:
        variables = [v for v in term.variables if v in coordinates]
        rank = order(term, coordinates)
        if rank <= 1 and not (variables and moved(inside(term, variables[-1]))):
            return DivergenceForm(carry_out(term), zero.flux)
        if not variables:  # dt of an expression with second derivatives
            return split(carry_out(term))
        if isinstance(term.expr, UnknownField) and rank == 2 and len(set(variables)) == 2:
            first, second = sorted(set(variables), key=coordinates.index)
            return (under(inside(term, first), coordinates.index(first)) + under(inside(term, second), coordinates.index(second))).scaled(
                sp.Rational(1, 2)
            )
        outer = variables[-1]
        inner = carry_out(inside(term, outer))
        if order(inner, coordinates) > 1:
            raise NoWeakForm(
                f"{term} holds derivatives of order {order(term, coordinates)} that are not powers of the Laplacian of one unknown"
            )
        return under(inner, coordinates.index(outer))

    def product(term: sp.Mul) -> DivergenceForm:
        constant = sp.Mul(*[f for f in term.args if not varies(f, coordinates)])
        rest = [f for f in term.args if varies(f, coordinates)]
        if constant is not sp.S.One:
            return split(sp.Mul(*rest)).scaled(constant)
        sums = [f for f in rest if isinstance(f, sp.Add) and order(f, coordinates) > 1]
        if sums:
            others = sp.Mul(*[f for f in rest if f is not sums[0]])
            return total((split(others * part) for part in sums[0].args), zero)
        leading = [f for f in rest if order(f, coordinates) > 1]
        if not leading and not any(isinstance(f, sp.Derivative) and movable(f) for f in rest):
            return DivergenceForm(carry_out(term), zero.flux)
        leading = leading or [f for f in rest if isinstance(f, sp.Derivative) and movable(f)][:1]
        factor = sp.Mul(*[f for f in rest if f is not leading[0]])
        if len(leading) > 1 or not isinstance(leading[0], sp.Derivative):
            raise nonlinear(term)
        if order(factor, coordinates) > 0:
            raise NoWeakForm(
                f"the factor of the second derivative in {term} holds derivatives of an unknown; write the term as a divergence, "
                "div(k*grad(u))"
            )
        inner = split(leading[0])  # a d_j b = d_j (a b) - b d_j a
        product_rule = sum(
            (-carry_out(sp.Derivative(factor, x)) * b for x, b in zip(coordinates, inner.flux, strict=True)), factor * inner.source
        )
        return DivergenceForm(product_rule, tuple(factor * b for b in inner.flux))

    def movable(term: sp.Derivative) -> bool:
        variables = [v for v in term.variables if v in coordinates]
        return bool(variables) and moved(inside(term, variables[-1]))

    form = split(residual)
    return DivergenceForm(sp.expand_mul(form.source), form.flux)


def inside(term: sp.Derivative, variable: sp.Symbol) -> sp.Expr:
    """`term` with one derivative by `variable` taken off."""
    counts = [(v, n - (v == variable)) for v, n in counts_of(term)]
    return sp.Derivative(term.expr, *[(v, n) for v, n in counts if n]) if any(n for _, n in counts) else term.expr


def total(parts: Iterable[DivergenceForm], zero: DivergenceForm) -> DivergenceForm:
    result = zero
    for part in parts:
        result = result + part
    return result


def nonlinear(term: sp.Expr) -> NoWeakForm:
    return NoWeakForm(
        f"{term} is not linear in the second derivatives, so it cannot be integrated by parts; a fully nonlinear equation needs a "
        "strong-form method"
    )
