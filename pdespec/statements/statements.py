"""What a problem states: equations, conditions, functionals, requirements, outputs and data as
frozen values.

`span` is the place in the source text, `written` the user's own notation; neither counts for
equality.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom

from pdespec import complexes
from pdespec.calculus import describe, rank
from pdespec.coordinates import Coordinate, Time, as_exact
from pdespec.errors import Span, fail
from pdespec.geometry import Boundary, Domain, Region
from pdespec.notation import short

Expression = Any  # a SymPy scalar or ImmutableMatrix


@dataclass(frozen=True)
class Equation:
    """lhs = rhs everywhere in `region`. Derivatives are not expanded. `written` is the
    user's own notation."""

    lhs: Expression
    rhs: Expression
    region: Domain
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Condition:
    """lhs = rhs on a boundary (`kind` "boundary"), on a domain at the time `at` ("initial"), or at
    one point `place` of it ("point"), at all times or at the time `at`.
    """

    lhs: Expression
    rhs: Expression
    region: Region
    kind: str
    at: sp.Expr | None = None
    place: tuple[sp.Expr, ...] = ()
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Functional:
    """`kind` "minimize" or "stationary": the sum of the integrals of `terms`, as a functional of
    the named unknowns."""

    kind: str
    terms: tuple[tuple[sp.Expr, Region], ...]
    unknowns: tuple[str, ...]
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Requirement:
    """lhs `op` rhs at every point of `region`, `op` one of > >= < <=."""

    lhs: sp.Expr
    op: str
    rhs: sp.Expr
    region: Region
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class IntegralRequirement:
    """The integral of `density` over `region` equals `value`."""

    density: sp.Expr
    region: Region
    value: sp.Expr
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Output:
    """A named quantity to report: a field, or an integral."""

    name: str
    value: Expression
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Data:
    """Measured values of `value` on `region`, read from the file `source`: its path, relative to
    `folder`, that of the text which names it, or the working directory. The folder does not count
    in equality."""

    value: Expression
    region: Region
    source: str
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)
    folder: str = field(default="", compare=False, repr=False)
    columns: tuple[tuple[str, str], ...] = ()  # names of the problem, and what the file calls them


@dataclass(frozen=True)
class Stated:
    """Equations as the user states them in Python, with their place: what `inside`, `on` and
    `at` return."""

    kind: str
    region: Any  # Domain or Boundary; None where the fields decide
    equations: tuple[Any, ...]
    at: sp.Expr | None = None
    place: tuple[Any, ...] = ()


def inside(region: Domain, *equations: Any) -> Stated:
    """Equations in a domain, for problems with several: `inside(Omega, sp.Eq(lap(u), f))`."""
    if not isinstance(region, Domain):
        raise fail(
            "T05",
            f"inside needs a domain, {region!r} given",
            "write on(boundary, ..) for conditions on a boundary",
        )
    return Stated("equation", region, equations)


def on(region: Boundary, *equations: Any) -> Stated:
    """Boundary conditions: `on(Gamma, sp.Eq(u, g))`."""
    if not isinstance(region, Boundary):
        hint = (
            "write on(boundary(Omega), ..), inside(Omega, ..) for equations in a domain, at((0, 0),"
            " ..) for conditions at a point"
        )
        raise fail("T05", f"on needs a boundary, {getattr(region, 'name', region)!r} given", hint)
    if not equations:
        raise fail(
            "T05", f"nothing is stated on `{region.name}`", f"write on({region.name}, sp.Eq(u, 0))"
        )
    return Stated("boundary", region, equations)


def at(
    place: Time | Coordinate | Sequence[Any], *stated: Any, region: Domain | None = None
) -> Stated:
    """Conditions at one time, `at(t, 0, sp.Eq(u, u0))`, or at a point, `at((0.5, 0.5), sp.Eq(p,
    0))`; in one dimension also `at(x, 0.5, sp.Eq(u, 0))`. A point with one number more than
    coordinates ends in its time. The region is that of the fields, unless given.
    """
    if isinstance(place, (tuple, list, sp.MatrixBase)):
        return Stated("point", region, stated, place=tuple(as_exact(each) for each in place))
    if not isinstance(place, (Time, Coordinate)) or (
        isinstance(place, Coordinate) and len(place.coordinates) > 1
    ):
        hint = (
            "write at(t, 0, sp.Eq(u, u0)), or at((0, 0), sp.Eq(p, 0)) for a point; what holds on a"
            " boundary is stated with on"
        )
        raise fail("T05", f"at needs the time or a point, {place!r} given", hint)
    if not stated:
        raise fail(
            "T05",
            f"at({place}, ..) lacks the value of {place}",
            f"write at({place}, 0, sp.Eq(u, 0))",
        )
    value, *equations = stated
    if isinstance(place, Coordinate):
        return Stated("point", region, tuple(equations), place=(as_exact(value),))
    return Stated("initial", region, tuple(equations), as_exact(value))


def sides(stated: Any) -> tuple[Any, Any]:
    """lhs and rhs of an equation given as `sp.Eq`, a pair, or an expression that is to vanish; 0
    promoted to the zero of the other.

    Raises: T05 when SymPy has folded the equation to true or false; T01 when the two sides differ
    in rank or size.
    """
    if isinstance(stated, (bool, BooleanAtom)):
        hint = (
            "write the pair (lhs, rhs) instead of sp.Eq(lhs, rhs), and check that both sides differ"
            " and hold a field"
        )
        cause = (
            "SymPy decides an sp.Eq between a matrix and a number, and between expressions it can"
            " compare, at once"
        )
        raise fail(
            "T05", f"the equation has been folded to {bool(stated)} before it arrived", hint, cause
        )
    if isinstance(stated, Relational):
        if not isinstance(stated, sp.Eq):
            raise fail(
                "T05", f"{stated} is a comparison, not an equation", "comparisons go in require="
            )
        lhs, rhs = stated.args
    elif isinstance(stated, (tuple, list)):
        if len(stated) != 2:
            raise fail(
                "T05",
                f"an equation is a pair (lhs, rhs), {len(stated)} entries given",
                "write sp.Eq(lhs, rhs) or (lhs, rhs)",
            )
        lhs, rhs = stated
    else:
        lhs, rhs = stated, 0
    lhs, rhs = promote(as_exact(lhs), as_exact(rhs))
    rank(lhs)
    return complexes.sides(lhs, rhs)


def promote(lhs: Any, rhs: Any) -> tuple[Any, Any]:
    """Both sides with one shape; only the number 0 promotes.

    Raises: T01 when they differ.
    """
    shapes = [getattr(each, "shape", ()) for each in (lhs, rhs)]
    if shapes[0] == shapes[1]:
        return lhs, rhs
    if lhs == 0:
        return sp.ImmutableMatrix.zeros(*rhs.shape), rhs
    if rhs == 0:
        return lhs, sp.ImmutableMatrix.zeros(*lhs.shape)
    hint = "both sides need one rank and size; only 0 promotes to a zero vector"
    raise fail(
        "T01", f"left is {describe(lhs)}, right {describe(rhs)}: {short(lhs)} = {short(rhs)}", hint
    )
