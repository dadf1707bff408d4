"""Strong form -> divergence form: residual = source + sum_j d_j flux_j, with at most first
derivatives of the unknowns in both.

Multiplied by a test function w and integrated by parts, the residual becomes

    int source w - flux . grad w  dx  +  int (flux . n) w  ds .

What the user wrote decides the flux, and with it the natural condition: `div(k*grad(u))` gives
`k*dot(grad(u), n)`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import sympy as sp

from compiler.fem.errors import NoWeakForm
from pdespec.jets import expand_derivatives
from pdespec.symbols import InputField, UnknownField

Coordinates = tuple[sp.Symbol, ...]


@dataclass(frozen=True)
class DivergenceForm:
    """`source + sum_j d_j flux[j]` of one scalar equation."""

    source: sp.Expr
    flux: tuple[sp.Expr, ...]

    def __add__(self, other: DivergenceForm) -> DivergenceForm:
        return DivergenceForm(
            self.source + other.source,
            tuple(a + b for a, b in zip(self.flux, other.flux, strict=True)),
        )

    def scaled(self, factor: sp.Expr) -> DivergenceForm:
        """The form times a constant."""
        return DivergenceForm(factor * self.source, tuple(factor * a for a in self.flux))


def order(expression: sp.Expr, coordinates: Coordinates) -> int:
    """Highest number of space derivatives on one unknown, all derivatives expanded."""
    return max(
        (
            spatial_order(node, coordinates)
            for node in unknown_derivatives(expand_derivatives(expression))
        ),
        default=0,
    )


def spatial_order(node: sp.Derivative, coordinates: Coordinates) -> int:
    """The order of a derivative in space; derivatives in time do not count."""
    return sum(int(count) for variable, count in counts_of(node) if variable in coordinates)


def counts_of(node: sp.Derivative) -> list[tuple[sp.Symbol, int]]:
    """(variable, number of derivatives by it) in the order written."""
    return [(entry.args[0], int(entry.args[1])) for entry in node.args[1:]]


def unknown_derivatives(expression: sp.Expr) -> list[sp.Derivative]:
    """Derivatives of unknowns in a fixed order."""
    nodes = [
        node for node in expression.atoms(sp.Derivative) if isinstance(node.expr, UnknownField)
    ]
    return sorted(nodes, key=sp.default_sort_key)


def varies(expression: sp.Expr, coordinates: Coordinates) -> bool:
    """Whether an expression depends on position."""
    return bool(expression.free_symbols & set(coordinates)) or expression.has(
        UnknownField, InputField
    )


def divergence_form(
    residual: sp.Expr,
    coordinates: Coordinates,
    moved: Callable[[sp.Expr], bool] = lambda inner: False,
) -> DivergenceForm:
    """Split a scalar residual.

    `moved(inner)` decides for a first-order term `d_j inner` whether it goes into the flux too: yes
    for a pressure gradient, whose natural condition is the traction, and for the divergence of a
    flux that is itself an unknown. Raises: NoWeakForm where second derivatives do not occur
    in divergence form.
    """
    form = _Splitter(coordinates, moved).split(residual)
    return DivergenceForm(sp.expand_mul(form.source), form.flux)


@dataclass(frozen=True)
class _Splitter:
    """A residual by terms: sums term by term, derivatives and products by a rule each."""

    coordinates: Coordinates
    moved: Callable[[sp.Expr], bool]

    @property
    def no_flux(self) -> tuple[sp.Expr, ...]:
        return (sp.S.Zero,) * len(self.coordinates)

    def order(self, term: sp.Expr) -> int:
        return order(term, self.coordinates)

    def source(self, term: sp.Expr) -> DivergenceForm:
        """A term that stays as it is."""
        return DivergenceForm(expand_derivatives(term), self.no_flux)

    def under(self, inner: sp.Expr, axis: int) -> DivergenceForm:
        """`d_axis inner`."""
        return DivergenceForm(
            sp.S.Zero,
            tuple(inner if j == axis else sp.S.Zero for j in range(len(self.coordinates))),
        )

    def split(self, term: sp.Expr) -> DivergenceForm:
        if isinstance(term, sp.Add):
            return self.sum_of(term.args)
        if isinstance(term, sp.Derivative):
            return self.derivative(term)
        if isinstance(term, sp.Mul):
            return self.product(term)
        if self.order(term) <= 1:
            return self.source(term)
        raise nonlinear(term)

    def sum_of(self, terms: Iterable[sp.Expr]) -> DivergenceForm:
        return total((self.split(part) for part in terms), DivergenceForm(sp.S.Zero, self.no_flux))

    def derivative(self, term: sp.Derivative) -> DivergenceForm:
        variables = [v for v in term.variables if v in self.coordinates]
        rank = self.order(term)
        if rank <= 1 and not self.movable(term):
            return self.source(term)
        if not variables:  # dt of an expression with second derivatives
            return self.split(expand_derivatives(term))
        if isinstance(term.expr, UnknownField) and rank == 2 and len(set(variables)) == 2:
            return self.mixed(term, *sorted(set(variables), key=self.coordinates.index))
        outer = variables[-1]
        inner = expand_derivatives(inside(term, outer))
        if self.order(inner) > 1:
            raise NoWeakForm(
                f"{term} holds derivatives of order {rank} that are not powers of the Laplacian of"
                " one unknown"
            )
        return self.under(inner, self.coordinates.index(outer))

    def mixed(self, term: sp.Derivative, first: sp.Symbol, second: sp.Symbol) -> DivergenceForm:
        """d_1 d_2 u as half of d_1 (d_2 u) + d_2 (d_1 u)."""
        index = self.coordinates.index
        return (
            self.under(inside(term, first), index(first))
            + self.under(inside(term, second), index(second))
        ).scaled(sp.Rational(1, 2))

    def product(self, term: sp.Mul) -> DivergenceForm:
        constant = sp.Mul(*[f for f in term.args if not varies(f, self.coordinates)])
        rest = [f for f in term.args if varies(f, self.coordinates)]
        if constant is not sp.S.One:
            return self.split(sp.Mul(*rest)).scaled(constant)
        sums = [f for f in rest if isinstance(f, sp.Add) and self.order(f) > 1]
        if sums:
            others = sp.Mul(*[f for f in rest if f is not sums[0]])
            return self.sum_of([others * part for part in sums[0].args])
        leading = [f for f in rest if self.order(f) > 1] or [
            f for f in rest if isinstance(f, sp.Derivative) and self.movable(f)
        ][:1]
        if not leading:
            return self.source(term)
        if len(leading) > 1 or not isinstance(leading[0], sp.Derivative):
            raise nonlinear(term)
        return self.by_product_rule(
            leading[0], sp.Mul(*[f for f in rest if f is not leading[0]]), term
        )

    def by_product_rule(
        self, leading: sp.Derivative, factor: sp.Expr, term: sp.Mul
    ) -> DivergenceForm:
        """a d_j b = d_j (a b) - b d_j a."""
        if self.order(factor) > 0:
            raise NoWeakForm(
                f"the factor of the second derivative in {term} holds derivatives of an unknown;"
                " write the term as a divergence, div(k*grad(u))"
            )
        inner = self.split(leading)
        left = (
            -expand_derivatives(sp.Derivative(factor, x)) * b
            for x, b in zip(self.coordinates, inner.flux, strict=True)
        )
        return DivergenceForm(
            sum(left, factor * inner.source), tuple(factor * b for b in inner.flux)
        )

    def movable(self, term: sp.Derivative) -> bool:
        variables = [v for v in term.variables if v in self.coordinates]
        return bool(variables) and self.moved(inside(term, variables[-1]))


def inside(term: sp.Derivative, variable: sp.Symbol) -> sp.Expr:
    """`term` with one derivative by `variable` taken off."""
    counts = [(v, n - (v == variable)) for v, n in counts_of(term)]
    return (
        sp.Derivative(term.expr, *[(v, n) for v, n in counts if n])
        if any(n for _, n in counts)
        else term.expr
    )


def total(parts: Iterable[DivergenceForm], zero: DivergenceForm) -> DivergenceForm:
    """The sum of forms, `zero` where there is none."""
    result = zero
    for part in parts:
        result = result + part
    return result


def nonlinear(term: sp.Expr) -> NoWeakForm:
    """The refusal of a term that is not linear in the highest derivatives."""
    return NoWeakForm(
        f"{term} is not linear in the second derivatives, so it cannot be integrated by parts; a"
        " fully nonlinear equation needs a strong-form method"
    )
