"""Coordinates, time and normals as SymPy symbols, and exact numbers: the ground floor of the
language."""

from __future__ import annotations

import re
from collections.abc import Iterable
from numbers import Integral as WholeNumber
from numbers import Real
from typing import Any

import sympy as sp
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanFunction

from pdespec.curvilinear import DIMENSIONS, SYSTEMS
from pdespec.errors import fail, suggestion

RANKS = ("scalar", "vector", "tensor")
NAME = re.compile(r"[^\W\d]\w*")
NOT_FINITE = tuple(type(each) for each in (sp.nan, sp.zoo, sp.oo, -sp.oo))
BINDING = (ExprWithLimits, sp.Limit)
# what `as_exact` replaces or refuses
SUSPECT = (sp.Float, *NOT_FINITE, *BINDING, sp.DiracDelta, sp.ITE, sp.Mod, sp.Piecewise, sp.jn)


class Mod(sp.Mod):
    """a - b floor(a/b), evaluated for numbers alone.

    SymPy's own divides a and b by their common factor as dense polynomials, which for exp(10^8 x)
    have 10^8 terms: it runs out of memory.
    """

    @classmethod
    def eval(cls, p: Any, q: Any) -> Any:
        if q.is_zero:
            raise ZeroDivisionError("a remainder by zero")
        found = sp.Mod(p, q) if p.is_number and q.is_number else None
        return None if isinstance(found, sp.Mod) else found


def as_exact(value: Any) -> Any:
    """The SymPy form of a number, expression or array of them, with every float replaced by the
    rational it was written as.

    `0.1` means 1/10, not the nearest binary fraction: `Rational(repr(value))`. Text is refused:
    turning it into an expression would evaluate it, and texts belong to `pdespec.parse`.

    Raises: T05 for what is not an expression, V03 for what has no finite real value.
    """
    if isinstance(value, sp.MatrixBase):
        return sp.ImmutableMatrix(value).applyfunc(_exact_scalar)
    if isinstance(value, sp.Expr):
        return _exact_scalar(value)
    if hasattr(value, "tolist"):  # arrays and scalars of NumPy and its kin
        value = value.tolist()
    if isinstance(value, WholeNumber) and not isinstance(value, bool):
        return sp.Integer(int(value))
    if isinstance(value, Real) and not isinstance(value, bool):
        return _rational(float(value))
    if isinstance(value, complex):
        return _rational(value.real) + sp.I * _rational(value.imag)
    if isinstance(value, (list, tuple)) and value:
        return sp.ImmutableMatrix(
            [list(row) if isinstance(row, (list, tuple)) else [row] for row in value]
        ).applyfunc(_exact_scalar)
    hint = "build it from symbols and numbers, or write the problem as text for pdespec.parse"
    raise fail("T05", f"{value!r} is not an expression", hint)


def is_scalar(value: Any) -> bool:
    """Whether a value is a scalar expression. (An immutable matrix is an `Expr` to SymPy.)"""
    return isinstance(value, sp.Expr) and not isinstance(value, sp.MatrixBase)


def is_finite_number(value: Any) -> bool:
    """Whether a value is a finite real number."""
    return is_scalar(value) and bool(value.is_number and value.is_real and value.is_finite)


def _exact_scalar(expression: sp.Expr) -> Any:
    suspects = expression.atoms(*SUSPECT)
    if not suspects:
        return expression
    if bound := [each for each in suspects if isinstance(each, BINDING)]:
        hint = (
            "carry it out first: expression.doit(); integral(psi, Omega) is the integral over a"
            " region"
        )
        raise fail(
            "T05", f"{bound[0]} binds a symbol", hint, "statements are evaluated point by point"
        )
    if peaks := [each for each in suspects if isinstance(each, sp.DiracDelta)]:
        hint = (
            f"give it a width that the mesh or the points resolve: dirac({peaks[0].args[0]}, 0.05)"
        )
        raise fail(
            "N01",
            f"{peaks[0]} is a point source without width, which has no value",
            hint,
            "statements are evaluated point by point",
        )
    # SymPy's form of a choice inside of a condition
    if any(isinstance(each, sp.ITE) for each in suspects):
        return _exact_scalar(
            expression.replace(sp.ITE, lambda c, a, b: sp.Or(sp.And(c, a), sp.And(sp.Not(c), b)))
        )
    if any(isinstance(each, sp.jn) and _negative(each.args[1]) for each in suspects):
        return _exact_scalar(expression.replace(sp.jn, spherical_bessel))
    if any(type(each) is sp.Mod for each in suspects):
        return _exact_scalar(expression.replace(sp.Mod, Mod))
    if any(isinstance(each, NOT_FINITE) for each in suspects):
        raise fail(
            "V03",
            f"{expression} has no finite value",
            "look for a division by zero or a number that has overflowed",
        )
    expression = expression.xreplace(
        {each: _rational(float(each)) for each in suspects if each.is_Float}
    )
    if any(isinstance(each, sp.Piecewise) for each in suspects):
        return expression.replace(sp.Piecewise, _chosen)
    return expression


def _negative(number: sp.Expr) -> bool:
    return bool(number.is_number and number.is_extended_real and number.n() < 0)


def spherical_bessel(order: sp.Expr, argument: sp.Expr) -> sp.Expr:
    """j_n(-x) = (-1)^n j_n(x): SymPy 1.14 gives the number j_n(x) the other sign for x < 0."""
    if not _negative(argument):
        return sp.jn(order, argument)
    return sp.Integer(-1) ** order * sp.jn(order, -argument)


def _chosen(*pairs: Any) -> Any:
    """A choice whose conditions are in the form that SymPy gives them when they are built part by
    part, which is how their text is read: a condition that always holds, as in
    `Or(Or(a, b), Not(a))`, decides."""
    try:
        return sp.Piecewise(*((value, _settled(condition)) for value, condition in pairs))
    except RecursionError:  # SymPy 1.14 turns in circles on some choices
        return sp.Piecewise(*pairs, evaluate=False)


def _settled(condition: Any) -> Any:
    """A condition built anew from its parts, without `Implies` and `Equivalent`, until nothing
    changes."""
    logical = isinstance(condition, BooleanFunction)
    if not logical and not isinstance(condition, Relational):
        return condition
    parts = [_settled(each) for each in condition.args] if logical else condition.args
    if isinstance(condition, sp.Implies):
        return _settled(sp.Or(sp.Not(parts[0]), parts[1]))
    if isinstance(condition, sp.Equivalent):
        return _settled(sp.Or(sp.And(*parts), sp.And(*map(sp.Not, parts))))
    found = condition.func(*parts)
    return found if found == condition else _settled(found)


def _rational(value: float) -> sp.Expr:
    if value != value or value in (float("inf"), float("-inf")):
        raise fail("V03", f"{value} cannot appear in a problem", "numbers are finite")
    return sp.Rational(repr(value))


class Coordinate(sp.Symbol):
    """A space coordinate. `frame` names all space coordinates of its problem in order, so that
    `div` knows what to sum over.

    `system` is "" for Cartesian coordinates, "axisymmetric" or "spherical" (see `curvilinear.py`).
    """

    __slots__ = ("frame", "system", "unit")
    frame: tuple[str, ...]
    unit: str | None
    system: str

    def __new__(
        cls,
        name: str,
        frame: Iterable[str] | None = None,
        unit: str | None = None,
        system: str = "",
    ) -> Coordinate:
        self = sp.Symbol.__xnew__(cls, name, real=True)
        self.frame = tuple(frame) if frame is not None else (name,)
        self.unit, self.system = unit, system
        return self

    @property
    def coordinates(self) -> tuple[Coordinate, ...]:
        """All coordinates of the frame, in order."""
        return tuple(
            self if name == self.name else Coordinate(name, self.frame, self.unit, self.system)
            for name in self.frame
        )

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.frame, self.unit or "", self.system)

    def __getnewargs_ex__(self) -> tuple:
        return (self.name, self.frame, self.unit, self.system), {}


class Time(sp.Symbol):
    """The time coordinate on [start, end]; fields repeat after that when it is `periodic`."""

    __slots__ = ("start", "end", "periodic", "unit")
    start: sp.Expr
    end: sp.Expr
    unit: str | None

    periodic: bool

    def __new__(
        cls,
        name: str,
        start: Any = 0,
        end: Any = 1,
        unit: str | None = None,
        periodic: bool = False,
    ) -> Time:
        self = sp.Symbol.__xnew__(cls, name, real=True)
        self.start, self.end, self.unit, self.periodic = (
            as_exact(start),
            as_exact(end),
            unit,
            periodic,
        )
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.start, self.end, self.unit or "", self.periodic)

    def __getnewargs_ex__(self) -> tuple:
        return (self.name, self.start, self.end, self.unit, self.periodic), {}


class Normal(sp.Symbol):
    """One component of the outward unit normal, named `n.x`, `n.y`, .."""

    __slots__ = ("coordinate",)
    coordinate: Coordinate

    def __new__(cls, coordinate: Coordinate) -> Normal:
        self = sp.Symbol.__xnew__(cls, f"n.{coordinate.name}", real=True)
        self.coordinate = coordinate
        return self

    def _hashable_content(self) -> tuple:
        return (*super()._hashable_content(), self.coordinate)

    def __getnewargs_ex__(self) -> tuple:
        return (self.coordinate,), {}


def space(names: str, unit: str | None = None, system: str = "") -> tuple[Coordinate, ...]:
    """The space coordinates of a problem, `x, y = space("x y")`. Names are separated by spaces or
    commas.

    `r, z = space("r z", system="axisymmetric")` and `r, = space("r", system="spherical")` are those
    of bodies of revolution and balls.
    """
    frame = tuple(names.replace(",", " ").split())
    if not 1 <= len(frame) <= 3:
        raise fail(
            "S02",
            f"space takes one to three coordinates, {len(frame)} given",
            'write x, y = space("x y")',
        )
    if len(set(frame)) < len(frame):
        raise fail(
            "S05", f"a coordinate is named twice in {names!r}", "give every coordinate its own name"
        )
    for name in frame:
        check_name(name, "coordinate")
    check_system(system, len(frame))
    return tuple(Coordinate(name, frame, unit, system) for name in frame)


def check_system(system: str, dim: int) -> None:
    """Raises: S01 for an unknown system of coordinates, T06 where it has another number of them."""
    if system and system not in SYSTEMS:
        hint = suggestion(
            system,
            SYSTEMS,
            f"coordinates are separated by commas; systems are {', '.join(SYSTEMS)}",
        )
        raise fail("S01", f"unknown system of coordinates `{system}`", hint)
    if system and dim not in DIMENSIONS[system]:
        wanted = " or ".join(map(str, DIMENSIONS[system]))
        hint = "write space r, z axisymmetric, or space r spherical"
        raise fail(
            "T06",
            f"{system} coordinates are {wanted}, {dim} given",
            hint,
            "fields do not depend on the angles",
        )


def time(
    name: str = "t", start: Any = 0, end: Any = 1, unit: str | None = None, periodic: bool = False
) -> Time:
    """The time coordinate of a problem, `t = time("t", 0, 10)`; with `periodic` fields repeat
    after it, and nothing is initial."""
    check_name(name, "time")
    result = Time(name, start, end, unit, periodic)
    if (result.end - result.start).is_positive is not True:
        raise fail(
            "S02",
            f"time {name} runs from {result.start} to {result.end}",
            "the end comes after the start",
            label=name,
        )
    return result


def unit_normal(region: Any) -> sp.ImmutableMatrix:
    """The outward unit normal of a region, or of the space of given coordinates, as a vector:
    `dot(grad(u), unit_normal(Omega))`."""
    coordinates = getattr(region, "coordinates", region)
    return sp.ImmutableMatrix([Normal(coordinate) for coordinate in coordinates])


def check_name(name: str, what: str) -> None:
    """Raises S03 unless `name` is an identifier: a letter or underscore, then letters, digits
    and underscores."""
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise fail(
            "S03",
            f"{name!r} cannot name {what}",
            "a name is a letter followed by letters, digits or underscores",
        )


class Declaration:
    """What declared values share: an order among themselves, which SymPy needs to sort symbols
    of one name."""

    __slots__ = ()

    def __lt__(self, other: object) -> bool:
        return repr(self) < repr(other)

    def __gt__(self, other: object) -> bool:
        return repr(self) > repr(other)
