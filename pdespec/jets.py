"""Expansion of derivatives: expressions over jet variables, and their total derivatives.

A `Jet` is one derivative of one field, treated as an independent symbol: `u_xy` is `Jet(u(x, y),
(1, 1))`. Mixed partials written in two orders are the same jet, so everything built on jets is
canonical, and the chain rule

    D_x e = e_x + sum_jets (de/d jet) * shift_x(jet)

costs time linear in the number of terms (SymPy's own `doit` on nested derivatives of fields does
not).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef

from pdespec.beyond import DELAY
from pdespec.calculus import Integral, TwoSided
from pdespec.coordinates import Coordinate, Normal, Time, as_exact
from pdespec.errors import fail
from pdespec.jumps import SPECIAL, chain, slope
from pdespec.nodes import nodes_of, rebuilt
from pdespec.notation import short
from pdespec.symbols import InputField, UnknownField

MultiIndex = tuple[int, ...]


class Jet(sp.Symbol):
    """The derivative of the applied component `field` by the multi-index `index` over the
    field's own arguments."""

    __slots__ = ("field", "index")
    field: Any
    index: MultiIndex

    def __new__(cls, field: AppliedUndef, index: MultiIndex) -> Jet:
        suffix = "".join(
            str(argument) * order for argument, order in zip(field.args, index, strict=True)
        )
        positive = field.is_positive and not any(index)
        name = f"{field.func.__name__}_{suffix}" if suffix else field.func.__name__
        self = sp.Symbol.__xnew__(cls, name, **({"positive": True} if positive else {"real": True}))
        self.field, self.index = field, index
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.field, self.index)

    def __getnewargs_ex__(self) -> tuple:
        return (self.field, self.index), {}

    def shifted(self, variable: sp.Symbol) -> sp.Expr:
        """The derivative of this jet by one more variable; zero when the field does not depend
        on it."""
        if variable not in self.field.args:
            return sp.S.Zero
        at = self.field.args.index(variable)
        return Jet(self.field, (*self.index[:at], self.index[at] + 1, *self.index[at + 1 :]))

    def over(self, variables: Iterable[sp.Symbol]) -> MultiIndex:
        """The multi-index over the given variables, zero where the field does not depend on one."""
        orders = dict(zip(self.field.args, self.index, strict=True))
        return tuple(orders.get(variable, 0) for variable in variables)

    def derivative(self) -> sp.Expr:
        """The SymPy expression this jet stands for."""
        orders = [
            (argument, order)
            for argument, order in zip(self.field.args, self.index, strict=True)
            if order
        ]
        return sp.Derivative(self.field, *orders) if orders else self.field


def jet_form(expression: Any) -> Any:
    """The expression with all derivatives expanded and every field derivative replaced by its
    `Jet`. Matrices entrywise.

    Raises: `ProblemError` W07 for a value at a point such as u(0, y), S01 for an undefined function
    that is not a field of a problem, T02 for a derivative of the unit normal.
    """
    expander = _Expander()
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableMatrix(expression).applyfunc(expander.visit)
    return expander.visit(sp.sympify(expression, strict=True))


def sympy_form(expression: Any) -> Any:
    """The inverse of `jet_form`: jets become SymPy derivatives of fields, variables in canonical
    order."""
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableMatrix(expression).applyfunc(sympy_form)
    jets = nodes_of(expression, Jet)
    return expression.xreplace({jet: jet.derivative() for jet in jets}) if jets else expression


def expand_derivatives(expression: Any) -> Any:
    """The expression with all derivatives expanded, mixed partials in canonical order."""
    return sympy_form(jet_form(expression))


def value_at(expression: Any, place: Mapping[sp.Symbol, Any]) -> Any:
    """The value of an expression at a point, `place` the coordinates (and the time, if it is given)
    with their numbers, for an output: `value_at(dx(u), {x: 1, y: 0})`. Matrices entrywise.

    Raises: `ProblemError` as `jet_form`, W07 for the unit normal and for values on two sides of an
    interface, which no point alone has.
    """
    expression = expand_derivatives(expression)
    if loose := sorted(expression.atoms(Normal, TwoSided), key=sp.default_sort_key):
        raise fail(
            "W07",
            f"`{short(loose[0])[1:-1]}` has no value at a point alone",
            "write the direction or the side out: at(dx(u), [1, 0])",
        )

    numbers = {variable: as_exact(number) for variable, number in place.items()}

    def at(e: Any) -> Any:
        if isinstance(e, AppliedUndef):
            return e.func(*(numbers.get(argument, argument) for argument in e.args))
        if isinstance(e, sp.Derivative):
            return sp.Subs(e, tuple(numbers), tuple(numbers.values()))
        if e in numbers:
            return numbers[e]
        return e.func(*map(at, e.args)) if e.args and not isinstance(e, Integral) else e

    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableMatrix(expression).applyfunc(at)
    return at(expression)


def jets_of(
    expression: Any, base: type | tuple[type, ...] = (UnknownField, InputField)
) -> tuple[Jet, ...]:
    """The jets of an expression in jet form whose fields are of the given kind, sorted."""
    found = {jet for jet in nodes_of(expression, Jet) if isinstance(jet.field, base)}
    return tuple(
        sorted(
            found,
            key=lambda jet: (
                jet.field.func.__name__,
                sum(jet.index),
                tuple(-order for order in jet.index),
            ),
        )
    )


def total_derivative(expression: Any, *variables: sp.Symbol) -> Any:
    """D_v .. D_w of an expression in jet form, itself in jet form."""
    expander = _Expander()
    for variable in variables:
        expression = expander.total(expression, variable)
    return expression


class _Expander:
    """One walk over an expression; subexpressions that occur again are not visited again."""

    def __init__(self) -> None:
        self.visited: dict[sp.Basic, sp.Expr] = {}
        self.totals: dict[tuple[sp.Basic, sp.Symbol], sp.Expr] = {}

    def visit(self, e: Any) -> Any:
        if e.is_Atom:
            return e
        if e not in self.visited:
            self.visited[e] = self._visit(e)
        return self.visited[e]

    def _visit(self, e: Any) -> Any:
        if isinstance(e, AppliedUndef):
            return self._field(e)
        if isinstance(e, sp.Derivative):
            result = self.visit(e.expr)
            for variable in e.variables:
                along = isinstance(variable, (Coordinate, Time))
                result = (
                    self.total(result, variable) if along else slope(result, self.visit(variable))
                )
            return result
        if isinstance(e, ExprWithLimits):
            hint = (
                "carry it out first: expression.doit(); integral(psi, Omega) is the integral over a"
                " region"
            )
            raise fail("T05", f"{e} binds a symbol", hint, "residuals are evaluated point by point")
        if isinstance(e, sp.Subs):
            hint = "use on(side(Omega, x=0), ..), at(t, 0, ..) or periodic"
            raise fail(
                "W07",
                f"{e} is a value at a point",
                hint,
                "equations hold everywhere in their region",
            )
        if isinstance(e, Integral):  # a number: nothing inside it varies from point to point
            return e
        return rebuilt(e, [self.visit(argument) for argument in e.args])

    def _field(self, e: Any) -> Jet:
        declaration = getattr(e.func, "declaration", None)
        if declaration is None:
            hint = (
                f'declare it: {e.func.__name__} = unknown("{e.func.__name__}", Omega), or'
                " input_function(..)"
            )
            raise fail(
                "S01", f"{e} is an undefined function that is neither an unknown nor an input", hint
            )
        if any(not isinstance(argument, (Coordinate, Time)) for argument in e.args):
            name = e.func.__name__
            if any(
                isinstance(symbol, Time)
                for argument in e.args
                if not argument.is_Symbol
                for symbol in argument.free_symbols
            ):
                raise fail(
                    "N01", f"{e} asks for {DELAY[0]}, which the language does not have", DELAY[1]
                )
            hint = (
                f"write conditions with on(side(..), ..) or at(t, .., ..), and {name} alone for its"
                " value at the point of the equation"
            )
            raise fail(
                "W07",
                f"{e} is a value at a point",
                hint,
                "equations hold everywhere in their region",
            )
        return Jet(e, (0,) * len(e.args))

    def total(self, e: Any, variable: sp.Symbol) -> Any:
        if e.is_Atom:
            return self._total_atom(e, variable)
        key = (e, variable)
        if key not in self.totals:
            self.totals[key] = self._total(e, variable)
        return self.totals[key]

    def _total_atom(self, e: Any, variable: sp.Symbol) -> Any:
        if isinstance(e, Jet):
            return e.shifted(variable)
        if isinstance(e, Normal) and isinstance(variable, Coordinate):
            hint = (
                "take the derivatives first: dot(grad(grad(u))*n, n) is the second derivative"
                " along n"
            )
            raise fail(
                "T02",
                f"derivative of the unit normal {e}",
                hint,
                "the normal is known on the boundary only",
            )
        return sp.S.One if e == variable else sp.S.Zero

    def _total(self, e: Any, variable: sp.Symbol) -> Any:
        if isinstance(e, sp.Add):
            return sp.Add(*(self.total(term, variable) for term in e.args))
        if isinstance(e, sp.Mul):
            slopes = [self.total(factor, variable) for factor in e.args]
            return sp.Add(
                *(
                    sp.Mul(*e.args[:i], slope, *e.args[i + 1 :])
                    for i, slope in enumerate(slopes)
                    if slope != 0
                )
            )
        if isinstance(e, sp.Pow) and e.exp.is_number:
            return e.exp * e.base ** (e.exp - 1) * self.total(e.base, variable)
        if isinstance(e, Integral):
            return sp.S.Zero
        if isinstance(e, TwoSided):
            return e.func(self.total(e.args[0], variable))
        if e.has(*SPECIAL):
            return chain(e, lambda part: self.total(part, variable))
        symbols = sorted(e.free_symbols, key=sp.default_sort_key)
        slopes = {symbol: self.total(symbol, variable) for symbol in symbols}
        return sp.Add(*(e.diff(symbol) * slope for symbol, slope in slopes.items() if slope != 0))
