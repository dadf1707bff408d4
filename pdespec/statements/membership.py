"""Membership of points in shapes: as a SymPy condition, one rule a shape, and in floating point.

A shape without a rule is not looked into. Boundaries count for neither side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec.geometry import (
    Ball,
    Box,
    Difference,
    Disk,
    Domain,
    Exterior,
    Extruded,
    Intersection,
    Interval,
    Moved,
    Point,
    Polygon,
    Rectangle,
    Rotated,
    Scaled,
    Shape,
    Star,
    Union,
    placement,
    shape_symbols,
)
from pdespec.laws import NumberLaw
from pdespec.probe import PLAIN
from pdespec.shapes.described import Described
from pdespec.symbols import Scalar

Values = Mapping[Any, Any]
Place = tuple[Any, ...]  # the coordinates of a point
Inside = Callable[[tuple[float, ...]], bool]
Box_ = tuple[tuple[float, ...], tuple[float, ...]]
PRIMES = (2, 3, 5)
ASIDE = 1 / math.pi  # a shift that leaves no point at a round part of a box, where subdomains meet


def typical(*domains: Domain) -> dict[Any, sp.Expr]:
    """A value for every param of the shapes: the declared one, or the middle of its law."""
    return values_of(set().union(*(shape_symbols(domain.shape) for domain in domains)))


def values_of(symbols: Iterable[Any]) -> dict[Any, sp.Expr]:
    """The declared value of every param and constant, or the middle of its law."""
    found: dict[Any, sp.Expr] = {}
    for symbol in symbols:
        if isinstance(symbol, Scalar):
            declared = symbol.declaration
            found[symbol] = declared.value if declared.law is None else _middle(declared.law)
            found[symbol] = sp.S.One if found[symbol] is None else found[symbol]
    return found


def _middle(law: NumberLaw) -> sp.Expr:
    low, high = law.support
    return (low + high) / 2 if low.is_finite and high.is_finite else law.arguments["mean"]


def points(
    domain: Domain, count: int, values: Values, shift: float = 0.0
) -> Iterator[tuple[float, ...]] | None:
    """Points of the domain by Halton's sequence in its box; None for a shape without rules."""
    try:
        inside, (lower, upper) = bind(domain.shape, values), bounds(domain.shape, values)
    except NotImplementedError:
        return None
    return (p for p in halton(lower, upper, count, shift) if inside(p))


def halton(
    lower: tuple[float, ...], upper: tuple[float, ...], count: int, shift: float = 0.0
) -> Iterator[tuple[float, ...]]:
    """Points that fill a box evenly, moved by a share of it."""
    for k in range(1, count + 1):
        yield tuple(
            a + (b - a) * ((_radical(k, prime) + shift) % 1)
            for a, b, prime in zip(lower, upper, PRIMES, strict=False)
        )


def _radical(k: int, base: int) -> float:
    """The digits of k in a base, mirrored at the point (van der Corput)."""
    total, share = 0.0, 1.0
    while k:
        share /= base
        k, digit = divmod(k, base)
        total += digit * share
    return total


def _number(expression: Any, values: Values) -> float:
    return float(sp.sympify(expression).subs(values))


@singledispatch
def inside(shape: Shape, coordinates: Place) -> Any:
    """The SymPy condition that a point lies in an open shape. Raises: NotImplementedError for a
    shape without one."""
    raise NotImplementedError(type(shape).__name__)


@inside.register(Interval)
@inside.register(Rectangle)
@inside.register(Box)
def _(shape: Interval | Rectangle | Box, coordinates: Place) -> Any:
    ends = zip(coordinates, shape.lower, shape.upper, strict=True)
    return sp.And(*(sp.And(sp.Gt(x, low), sp.Lt(x, high)) for x, low, high in ends))


@inside.register(Disk)
@inside.register(Ball)
def _(shape: Disk | Ball, coordinates: Place) -> Any:
    return sp.Lt(
        sp.Add(*((x - c) ** 2 for x, c in zip(coordinates, shape.center, strict=True))),
        shape.radius**2,
    )


@inside.register
def _(shape: Described, coordinates: Place) -> Any:
    return shape.inside(coordinates)


@inside.register
def _(shape: Extruded, coordinates: Place) -> Any:
    return sp.And(
        inside(shape.shape, coordinates[:2]),
        sp.Gt(coordinates[2], 0),
        sp.Lt(coordinates[2], shape.height),
    )


@inside.register(Moved)
@inside.register(Rotated)
@inside.register(Scaled)
def _(shape: Moved | Rotated | Scaled, coordinates: Place) -> Any:
    place = placement(shape)
    moved = [(x - by) / place.scale for x, by in zip(coordinates, place.shift, strict=True)]
    there = [
        sp.Add(*(place.turn[i][k] * moved[i] for i in range(len(moved)))) for k in range(len(moved))
    ]
    return inside(shape.shape, coordinates).xreplace(dict(zip(coordinates, there, strict=True)))


@inside.register
def _(shape: Star, coordinates: Place) -> Any:
    x, y = (a - c for a, c in zip(coordinates, shape.center, strict=True))
    return sp.Lt(x**2 + y**2, shape.radius.subs(shape.angle, sp.atan2(y, x)) ** 2)


@inside.register
def _(shape: Polygon, coordinates: Place) -> Any:
    edges = list(zip(shape.points, (*shape.points[1:], shape.points[0]), strict=True))
    turns = [_turn(a, b, c) for (a, b), (_, c) in zip(edges, edges[1:] + edges[:1], strict=True)]
    if not (all(turn.is_positive for turn in turns) or all(turn.is_negative for turn in turns)):
        raise NotImplementedError("a polygon that is not convex")
    sign = 1 if turns[0].is_positive else -1
    return sp.And(*(sp.Gt(sign * _turn(a, b, coordinates), 0) for a, b in edges))


def _turn(a: Point, b: Point, c: Any) -> sp.Expr:
    """Twice the signed area of a triangle."""
    return sp.sympify((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


@inside.register
def _(shape: Union, coordinates: Place) -> Any:
    return sp.Or(inside(shape.a, coordinates), inside(shape.b, coordinates))


@inside.register
def _(shape: Intersection, coordinates: Place) -> Any:
    return sp.And(inside(shape.a, coordinates), inside(shape.b, coordinates))


@inside.register
def _(shape: Difference, coordinates: Place) -> Any:
    return sp.And(inside(shape.a, coordinates), sp.Not(inside(shape.b, coordinates)))


@inside.register
def _(shape: Exterior, coordinates: Place) -> Any:
    return sp.And(inside(shape.farfield, coordinates), sp.Not(inside(shape.body, coordinates)))


@singledispatch
def bind(shape: Shape, values: Values) -> Inside:
    """Whether a point lies in the open shape, in plain numbers. Raises: NotImplementedError for a
    shape without a rule."""
    names = [sp.Dummy(real=True) for _ in range(shape.dim)]
    condition = sp.lambdify(names, inside(shape, tuple(names)).subs(values), PLAIN)
    return lambda p: bool(condition(*p))


@singledispatch
def bounds(shape: Shape, values: Values) -> Box_:
    """Lower and upper corner of a box around the shape. Raises: NotImplementedError for a shape
    without a rule."""
    raise NotImplementedError(type(shape).__name__)


@bounds.register(Interval)
@bounds.register(Rectangle)
@bounds.register(Box)
def _(shape: Interval | Rectangle | Box, values: Values) -> Box_:
    return tuple(_number(each, values) for each in shape.lower), tuple(
        _number(each, values) for each in shape.upper
    )


@bounds.register(Disk)
@bounds.register(Ball)
def _(shape: Disk | Ball, values: Values) -> Box_:
    center, radius = [_number(each, values) for each in shape.center], _number(shape.radius, values)
    return tuple(x - radius for x in center), tuple(x + radius for x in center)


@bind.register
def _(shape: Polygon, values: Values) -> Inside:
    corners = [tuple(_number(each, values) for each in point) for point in shape.points]
    edges = list(zip(corners, corners[1:] + corners[:1], strict=True))

    def inside(p: tuple[float, ...]) -> bool:
        """Crossings of a ray to the right are odd."""
        return (
            sum(
                (a[1] > p[1]) != (b[1] > p[1])
                and p[0] < a[0] + (p[1] - a[1]) * (b[0] - a[0]) / (b[1] - a[1])
                for a, b in edges
            )
            % 2
            == 1
        )

    return inside


@bounds.register
def _(shape: Polygon, values: Values) -> Box_:
    columns = list(
        zip(
            *(tuple(_number(each, values) for each in point) for point in shape.points), strict=True
        )
    )
    return tuple(map(min, columns)), tuple(map(max, columns))


def _radius(shape: Star, values: Values) -> Callable[[float], float]:
    function = sp.lambdify(shape.angle, sp.sympify(shape.radius).subs(values), PLAIN)
    return lambda angle: float(function(angle))


@bounds.register
def _(shape: Star, values: Values) -> Box_:
    center, radius = [_number(each, values) for each in shape.center], _radius(shape, values)
    largest = max(radius(math.tau * k / 720) for k in range(720))
    return tuple(x - largest for x in center), tuple(x + largest for x in center)


@bind.register
def _(shape: Extruded, values: Values) -> Inside:
    flat, height = bind(shape.shape, values), _number(shape.height, values)
    return lambda p: 0 < p[2] < height and flat(p[:2])


@bounds.register
def _(shape: Described, values: Values) -> Box_:
    lower, upper = shape.box()
    return tuple(_number(each, values) for each in lower), tuple(
        _number(each, values) for each in upper
    )


@bounds.register
def _(shape: Extruded, values: Values) -> Box_:
    lower, upper = bounds(shape.shape, values)
    return (*lower, 0.0), (*upper, _number(shape.height, values))


@bind.register(Moved)
@bind.register(Rotated)
@bind.register(Scaled)
def _(shape: Moved | Rotated | Scaled, values: Values) -> Inside:
    within, place = bind(shape.shape, values), placement(shape)
    shift, scale = [_number(each, values) for each in place.shift], _number(place.scale, values)
    turn = [[_number(each, values) for each in row] for row in place.turn]

    def inside(p: tuple[float, ...]) -> bool:
        moved = [(x - by) / scale for x, by in zip(p, shift, strict=True)]
        return within(
            tuple(sum(turn[i][k] * moved[i] for i in range(len(moved))) for k in range(len(moved)))
        )

    return inside


@bounds.register(Moved)
@bounds.register(Rotated)
@bounds.register(Scaled)
def _(shape: Moved | Rotated | Scaled, values: Values) -> Box_:
    place = placement(shape)
    corners = itertools.product(*zip(*bounds(shape.shape, values), strict=True))
    images = [
        tuple(_number(each, values) for each in place.point(tuple(map(sp.Float, corner))))
        for corner in corners
    ]
    columns = list(zip(*images, strict=True))
    return tuple(map(min, columns)), tuple(map(max, columns))


@bind.register
def _(shape: Union, values: Values) -> Inside:
    a, b = bind(shape.a, values), bind(shape.b, values)
    return lambda p: a(p) or b(p)


@bind.register
def _(shape: Intersection, values: Values) -> Inside:
    a, b = bind(shape.a, values), bind(shape.b, values)
    return lambda p: a(p) and b(p)


@bind.register
def _(shape: Difference, values: Values) -> Inside:
    a, b = bind(shape.a, values), bind(shape.b, values)
    return lambda p: a(p) and not b(p)


@bind.register
def _(shape: Exterior, values: Values) -> Inside:
    body, farfield = bind(shape.body, values), bind(shape.farfield, values)
    return lambda p: farfield(p) and not body(p)


@bounds.register
def _(shape: Union, values: Values) -> Box_:
    (low_a, high_a), (low_b, high_b) = bounds(shape.a, values), bounds(shape.b, values)
    return tuple(map(min, low_a, low_b)), tuple(map(max, high_a, high_b))


@bounds.register
def _(shape: Intersection, values: Values) -> Box_:
    (low_a, high_a), (low_b, high_b) = bounds(shape.a, values), bounds(shape.b, values)
    return tuple(map(max, low_a, low_b)), tuple(map(min, high_a, high_b))


@bounds.register
def _(shape: Difference, values: Values) -> Box_:
    return bounds(shape.a, values)


@bounds.register
def _(shape: Exterior, values: Values) -> Box_:
    return bounds(shape.farfield, values)
