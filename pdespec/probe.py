"""Checks of expressions by evaluating them at generic points.

An expression that is not zero identically vanishes on a set of measure zero only, which points of
irrational coordinates miss. Expanding a strain energy to see whether it is zero takes minutes;
evaluating it with thirty digits takes milliseconds.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from math import isqrt
from typing import Any

import mpmath
import sympy as sp

DIGITS = 30
# half of the digits: far above rounding, far below what a term that differs leaves
TOLERANCE = 1e-15

# a mode is the same on both sides
SIDES = dict.fromkeys(("Jump", "Average", "Plus", "Minus"), lambda side: side)
# mpmath has no j_n
SPHERICAL = {
    "jn": lambda order, x: (
        mpmath.sqrt(mpmath.pi / (2 * x)) * mpmath.besselj(order + mpmath.mpf(1) / 2, x)
    )
}
# of the language's functions, those that Python's math has not
FURTHER = ("erfinv", "polygamma", "besselj", "bessely", "besseli", "besselk")
PLAIN = [
    {
        name: lambda *numbers, function=function: float(function(*numbers))
        for name, function in ({n: getattr(mpmath, n) for n in FURTHER} | SPHERICAL).items()
    },
    "math",
]
"""Modules with which `sympy.lambdify` makes functions of plain numbers."""

Point = dict[sp.Basic, sp.Expr]


def points(count: int, *expressions: sp.Expr) -> list[Point]:
    """Values between 0 and 2 for every symbol: fractional parts of square roots of primes, the same
    in every run.

    Each value has a prime of its own: multiples of one root have differences that repeat from
    symbol to symbol.
    """
    symbols = sorted(
        set().union(*(expression.free_symbols for expression in expressions)),
        key=sp.default_sort_key,
    )
    return [
        {symbol: _generic(1 + k * len(symbols) + i) for i, symbol in enumerate(symbols)}
        for k in range(count)
    ]


@lru_cache(maxsize=4096)
def _generic(number: int) -> sp.Expr:
    prime = sp.prime(number)
    return sp.N(2 * (sp.sqrt(prime) - isqrt(prime)), DIGITS)


def value(expression: sp.Expr, point: Point) -> sp.Expr:
    """The number an expression takes at a point that gives all its symbols; one where it has
    none, which counts as not zero."""
    result = sp.N(expression.xreplace(point), DIGITS)
    return result if result.is_number and result.is_finite else sp.S.One


def slopes(
    expression: sp.Expr, where: list[Point], directions: list[list[Point]]
) -> Iterator[list[Any]]:
    """The derivative of an expression along each direction, mpmath's numbers, a row for each point;
    one where it has no value, as in `value`.

    Central differences with a step of 1e-25 and 80 digits leave 30 digits right, and need the
    values of the expression only, whose common parts are computed once.
    """
    symbols = sorted(expression.free_symbols, key=sp.default_sort_key)
    evaluate = sp.lambdify(symbols, expression, [SIDES, SPHERICAL, "mpmath"], cse=True)
    step = mpmath.mpf(10) ** -25
    with mpmath.workdps(80):
        for point, each in zip(where, directions, strict=True):
            start = {symbol: mpmath.mpmathify(point[symbol]) for symbol in symbols}
            yield [
                _slope(
                    evaluate,
                    start,
                    {s: mpmath.mpmathify(v) * step for s, v in direction.items()},
                    step,
                )
                for direction in each
            ]


def _slope(evaluate: Any, start: dict[Any, Any], move: dict[Any, Any], step: Any) -> Any:
    try:
        ahead, behind = (
            evaluate(*(x + sign * move.get(symbol, 0) for symbol, x in start.items()))
            for sign in (1, -1)
        )
    except (ZeroDivisionError, ValueError, OverflowError):
        return mpmath.mpf(1)
    slope = (ahead - behind) / (2 * step)
    return slope if mpmath.isfinite(slope) else mpmath.mpf(1)


def vanishes(expression: sp.Expr) -> bool:
    """Whether an expression is zero identically."""
    if expression.is_zero is not None:
        return bool(expression.is_zero)
    return all(abs(value(expression, point)) < TOLERANCE for point in points(3, expression))


def implied_lower_bound(a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
    """The shift by which `a` is bounded from below when `b` is not negative: a = slope*b + shift
    identically, slope > 0, shift >= 0.

    None when `a` is no such function of `b`, so that the sign of `b` says nothing about it.
    """
    if a.free_symbols != b.free_symbols:
        return None
    (a1, b1), (a2, b2), (a3, b3) = ((value(a, point), value(b, point)) for point in points(3, a, b))
    if abs(b1 - b2) < TOLERANCE:
        return None
    slope = (a1 - a2) / (b1 - b2)
    shift = a1 - slope * b1
    affine = abs(a3 - slope * b3 - shift) < TOLERANCE
    if not affine or sp.re(slope) <= 0 or sp.re(shift) < -TOLERANCE:
        return None
    return sp.S.Zero if abs(shift) < TOLERANCE else sp.re(shift)


class Elimination:
    """A homogeneous linear system that grows row by row, in reduced echelon form: which unknowns
    remain free?"""

    def __init__(self, columns: int) -> None:
        self.columns = columns
        self.pivots: dict[int, list[Any]] = {}

    def add(self, row: Sequence[Any]) -> None:
        """One more equation `sum_k row[k] * unknown[k] = 0`, in numbers of SymPy or mpmath."""
        with mpmath.workdps(DIGITS):
            new = [mpmath.mpmathify(entry) for entry in row]
            for pivot, known in self.pivots.items():
                new = _without(new, pivot, known)
            pivot = next((k for k, entry in enumerate(new) if not _is_zero(entry)), None)
            if pivot is None:
                return
            new = [entry / new[pivot] for entry in new]
            for column, known in self.pivots.items():
                self.pivots[column] = _without(known, pivot, new)
            self.pivots[pivot] = new

    @property
    def free(self) -> list[int]:
        """The unknowns that no equation determines by those before them."""
        return [column for column in range(self.columns) if column not in self.pivots]

    @property
    def loose(self) -> list[int]:
        """The unknowns of which it does not follow that they are zero."""
        return [
            column
            for column in range(self.columns)
            if column not in self.pivots
            or any(not _is_zero(x) for k, x in enumerate(self.pivots[column]) if k != column)
        ]


def _without(row: list[Any], column: int, known: list[Any]) -> list[Any]:
    """A row without its part along another one, which is one in the column."""
    share = row[column]
    if _is_zero(share):
        return row
    return [entry - share * each for entry, each in zip(row, known, strict=True)]


def _is_zero(number: Any) -> bool:
    return abs(number) < TOLERANCE
