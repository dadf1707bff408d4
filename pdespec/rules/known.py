"""V07, V03: coefficients and data that are not real numbers where they are needed, or grow beyond
bound."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec.calculus import short
from pdespec.coordinates import Coordinate, Time
from pdespec.errors import Diagnostic
from pdespec.geometry import Boundary, Domain, shape_symbols
from pdespec.jumps import STEPS
from pdespec.probe import PLAIN
from pdespec.rules.admissible import reach
from pdespec.rules.registry import Analysis, Row, rule
from pdespec.rules.values import branches
from pdespec.statements.membership import points
from pdespec.symbols import Scalar

SHOWN = 32  # points of the region at which an argument is evaluated, for every choice of the params
# of the params: the middle of their laws, the lower ends, the upper ends, both in turns
CHOICES = 4
ROUNDING = 1e-9  # by which a value may lie outside
LARGEST, SMALLEST = sp.Float("1.7e308"), sp.Float("2.3e-308")  # of the numbers of float64

Values = Mapping[Any, float]

OUTSIDE: dict[Any, tuple[str, Callable[[float], bool]]] = {
    sp.log: ("a logarithm", lambda s: s < 0),
    sp.asin: ("asin", lambda s: abs(s) > 1),
    sp.acos: ("acos", lambda s: abs(s) > 1),
    sp.asec: ("asec", lambda s: abs(s) < 1),
    sp.acsc: ("acsc", lambda s: abs(s) < 1),
    sp.acosh: ("acosh", lambda s: s < 1),
    sp.atanh: ("atanh", lambda s: abs(s) > 1),
    sp.acoth: ("acoth", lambda s: abs(s) < 1),
    sp.asech: ("asech", lambda s: not 0 <= s <= 1),
}


@dataclass(frozen=True)
class Use:
    """A function of position alone, with what its branch makes positive."""

    name: str
    argument: sp.Expr
    outside: Callable[[float], bool]
    chosen: tuple[sp.Expr, ...]

    @property
    def scalars(self) -> set[Scalar]:
        """The numbers of the problem that the function or its branch depends on."""
        return self.argument.atoms(Scalar).union(*(each.atoms(Scalar) for each in self.chosen))


@rule("V07")
def known_functions_are_real(analysis: Analysis) -> Iterator[Diagnostic]:
    """Roots, logarithms and the like of coordinates and params have real values in the region
    where they occur."""
    for row in (*analysis.stated, *analysis.conditions, *analysis.densities):
        found = _constant(row) or next(
            (each for use in _uses(row.form) if (each := _outside(row, use))), None
        )
        if found is not None:
            yield found


@rule("V03")
def known_divisors_keep_their_sign(analysis: Analysis) -> Iterator[Diagnostic]:
    """No equation divides by a function of position that changes sign inside of its domain: it has
    a zero there, and the mean square of the residual does not exist."""
    for row in (*analysis.stated, *analysis.densities):
        if not isinstance(row.region, Domain):
            continue
        for branch, chosen in branches(row.form, []):
            divisors = {
                each.base
                for each in branch.atoms(sp.Pow)
                if each.exp.is_negative and _of_position(each.base)
            }
            divisors -= {x for x in row.region.coordinates if x.system}  # the axis: T06
            bounds = tuple(bound for bound, _ in chosen)
            if not all(map(_of_position, bounds)):
                continue
            for divisor in sorted(divisors, key=sp.default_sort_key):
                tried = list(_tried(row.region, Use("", divisor, lambda s: False, bounds)))
                ends = _changes_sign(tried)
                if ends is None:
                    continue
                shown = " and ".join(
                    ", ".join(f"{s} = {values[s]:.4g}" for s in values if s in divisor.free_symbols)
                    for values in ends
                )
                yield row.report(
                    "V03",
                    f"a division by {short(divisor)}, which vanishes in `{row.region.name}`,"
                    f" between {shown}",
                    "keep it from zero: cut a hole, round it off as in x/(x^2 + 0.01), or write"
                    " sinc(x) for sin(x)/x",
                    "the residual grows without bound there",
                    "warning",
                )
                return


def _of_position(expression: Any) -> bool:
    """Whether an expression is one of position and params alone, without steps."""
    return (
        not expression.has(*STEPS, sp.Piecewise)
        and all(isinstance(each, (Coordinate, Time, Scalar)) for each in expression.free_symbols)
        and bool(expression.atoms(Coordinate))
    )


def _changes_sign(tried: list[tuple[Values, float]]) -> tuple[Values, Values] | None:
    """Two points of opposite signs, at the same time and for the same params."""
    seen: dict[Any, dict[bool, Values]] = {}
    for values, value in tried:
        others = tuple(number for s, number in values.items() if not isinstance(s, Coordinate))
        if value:
            signs = seen.setdefault(others, {})
            signs.setdefault(value > 0, values)
            if len(signs) == 2:
                return signs[False], signs[True]
    return None


def _constant(row: Row) -> Diagnostic | None:
    """A number of the statement that no float64 holds; complex ones are V03."""
    hint = "measure the quantities in other units"
    for node in _numbers(row.form):
        value = node.evalf(15)
        # what a function makes of numbers may vanish: exp(-1000)
        small = node.is_Rational and 0 < abs(value) <= SMALLEST
        if value in (sp.oo, -sp.oo) or value.is_Float and (small or abs(value) >= LARGEST):
            return row.report(
                "V07",
                f"{short(node)} is {sp.Float(value, 3)}, beyond the numbers of a computer",
                hint,
            )
    return None


def _numbers(form: Any) -> Iterator[sp.Expr]:
    """The largest parts that are numbers."""
    if form.is_number:
        yield form
    else:
        for each in form.args:
            if isinstance(each, sp.Basic):
                yield from _numbers(each)


def _uses(form: Any) -> Iterator[Use]:
    for branch, chosen in branches(form, []):
        bounds = tuple(bound for bound, _ in chosen)
        for node in sorted(branch.atoms(sp.Pow, *OUTSIDE), key=sp.default_sort_key):
            argument = node.args[0]
            name, outside = OUTSIDE.get(node.func, ("a root", lambda s: s < 0))
            if argument.is_number or (
                isinstance(node, sp.Pow) and (node.exp.is_integer or argument.is_nonnegative)
            ):
                continue
            if all(
                isinstance(each, (Coordinate, Time, Scalar))
                for e in (argument, *bounds)
                for each in e.free_symbols
            ):
                yield Use(name, argument, outside, bounds)


def _outside(row: Row, use: Use) -> Diagnostic | None:
    """In a domain one point outside is enough. Of a boundary only the domain next to it is looked
    at, all of which must be outside."""
    domain = row.region.domain if isinstance(row.region, Boundary) else row.region
    tried = list(_tried(domain, use)) if isinstance(domain, Domain) else []
    wrong = [(values, value) for values, value in tried if use.outside(value)]
    if not wrong or (
        row.condition is not None and row.condition.kind == "boundary" and len(wrong) < len(tried)
    ):
        return None
    values, value = wrong[0]
    at = ", ".join(
        f"{symbol} = {number:.4g}"
        for symbol, number in values.items()
        if symbol in use.argument.free_symbols
    )
    message = (
        f"{use.name} of {short(use.argument)}, which is {value:.4g}"
        + (f" at {at}" if at else "")
        + f", in `{domain.name}`"
    )
    hint = (
        "keep the argument where the function is defined: choose another domain or law, or write a"
        " choice with `if`"
    )
    return row.report(
        "V07", message, hint, "it is not a real number there, and every loss would be NaN"
    )


def _tried(domain: Domain, use: Use) -> Iterator[tuple[Values, float]]:
    """Points and params with the value of the argument there. Nothing where a number or the
    shape is not known."""
    scalars = sorted(
        use.scalars | {each for each in shape_symbols(domain.shape) if isinstance(each, Scalar)},
        key=lambda each: each.name,
    )
    ranges = [reach(symbol) for symbol in scalars]
    if any(each is None or not all(map(math.isfinite, each)) for each in ranges):
        return
    times = sorted(
        {
            each
            for e in (use.argument, *use.chosen)
            for each in e.free_symbols
            if isinstance(each, Time)
        },
        key=str,
    )
    symbols = [*domain.coordinates, *times, *scalars]
    try:
        evaluate, allowed = (
            sp.lambdify(symbols, each, PLAIN) for each in (use.argument, use.chosen)
        )
        for choice in range(CHOICES if any(low < high for low, high in ranges) else 1):  # type: ignore[misc]
            numbers = [_chosen(each, choice, k) for k, each in enumerate(ranges)]
            inside = points(
                domain, 4 * SHOWN, dict(zip(scalars, map(sp.Float, numbers), strict=True))
            )
            for k, point in enumerate(itertools.islice(inside or (), SHOWN)):
                moment = [
                    float(t.start + (t.end - t.start) * sp.Rational(k, SHOWN - 1)) for t in times
                ]
                values = (*point, *moment, *numbers)
                with_slack = _value(evaluate, values)
                if with_slack is not None and all(bound > ROUNDING for bound in allowed(*values)):
                    yield dict(zip(symbols, values, strict=True)), with_slack
    except (ValueError, ZeroDivisionError, OverflowError, TypeError, NameError, KeyError):
        return  # something in it that plain numbers do not tell


def _value(evaluate: Callable[..., Any], values: tuple[float, ...]) -> float | None:
    """The value of an argument, moved to the nearest whole number where rounding may have moved
    it off; None where it has none."""
    try:
        found = float(evaluate(*values))
    except (ValueError, ZeroDivisionError, OverflowError):
        return None
    return round(found) if abs(found - round(found)) < ROUNDING else found


def _chosen(ends: Any, choice: int, place: int) -> float:
    low, high = ends
    return ((low + high) / 2, low, high, (low, high)[place % 2])[choice]
