"""Which points lie in a shape, in plain floating-point numbers: enough to see whether subdomains
cover a domain.

One rule a shape, like everywhere; a shape without a rule is not looked into. Boundaries count for
neither side.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Mapping
from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec.geometry import (
    Ball,
    Box,
    Difference,
    Disk,
    Domain,
    Ellipse,
    Ellipsoid,
    Exterior,
    Extruded,
    Intersection,
    Interval,
    Moved,
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
from pdespec.symbols import Scalar

Values = Mapping[Any, Any]
Inside = Callable[[tuple[float, ...]], bool]
Box_ = tuple[tuple[float, ...], tuple[float, ...]]
PRIMES = (2, 3, 5)


def typical(*domains: Domain) -> dict[Any, sp.Expr]:
    """A value for every param of the shapes: the declared one, or the middle of its law."""
    found: dict[Any, sp.Expr] = {}
    for symbol in set().union(*(shape_symbols(domain.shape) for domain in domains)):
        if isinstance(symbol, Scalar):
            declared = symbol.declaration
            found[symbol] = declared.value if declared.law is None else _middle(declared.law)
            found[symbol] = sp.S.One if found[symbol] is None else found[symbol]
    return found


def _middle(law: NumberLaw) -> sp.Expr:
    low, high = law.support
    return (low + high) / 2 if low.is_finite and high.is_finite else law.arguments["mean"]


def points(domain: Domain, count: int, values: Values) -> Iterator[tuple[float, ...]] | None:
    """Points of the domain by Halton's sequence in its box; None for a shape without rules."""
    try:
        inside, (lower, upper) = bind(domain.shape, values), bounds(domain.shape, values)
    except NotImplementedError:
        return None
    return (p for p in halton(lower, upper, count) if inside(p))


def halton(
    lower: tuple[float, ...], upper: tuple[float, ...], count: int
) -> Iterator[tuple[float, ...]]:
    """Points that fill a box evenly."""
    for k in range(1, count + 1):
        yield tuple(
            a + (b - a) * _radical(k, prime)
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
def bind(shape: Shape, values: Values) -> Inside:
    """Whether a point lies in the open shape. Raises: NotImplementedError for a shape without a
    rule."""
    raise NotImplementedError(type(shape).__name__)


@singledispatch
def bounds(shape: Shape, values: Values) -> Box_:
    """Lower and upper corner of a box around the shape. Raises: NotImplementedError for a shape
    without a rule."""
    raise NotImplementedError(type(shape).__name__)


@bind.register(Interval)
@bind.register(Rectangle)
@bind.register(Box)
def _(shape: Interval | Rectangle | Box, values: Values) -> Inside:
    lower, upper = bounds(shape, values)
    return lambda p: all(a < x < b for x, a, b in zip(p, lower, upper, strict=True))


@bounds.register(Interval)
@bounds.register(Rectangle)
@bounds.register(Box)
def _(shape: Interval | Rectangle | Box, values: Values) -> Box_:
    return tuple(_number(each, values) for each in shape.lower), tuple(
        _number(each, values) for each in shape.upper
    )


@bind.register(Disk)
@bind.register(Ball)
def _(shape: Disk | Ball, values: Values) -> Inside:
    center, radius = [_number(each, values) for each in shape.center], _number(shape.radius, values)
    return lambda p: math.dist(p, center) < radius


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
    function = sp.lambdify(shape.angle, sp.sympify(shape.radius).subs(values), "math")
    return lambda angle: float(function(angle))


@bind.register
def _(shape: Star, values: Values) -> Inside:
    center, radius = [_number(each, values) for each in shape.center], _radius(shape, values)
    return lambda p: math.dist(p, center) < radius(math.atan2(p[1] - center[1], p[0] - center[0]))


@bounds.register
def _(shape: Star, values: Values) -> Box_:
    center, radius = [_number(each, values) for each in shape.center], _radius(shape, values)
    largest = max(radius(math.tau * k / 720) for k in range(720))
    return tuple(x - largest for x in center), tuple(x + largest for x in center)


@bind.register(Ellipse)
@bind.register(Ellipsoid)
def _(shape: Ellipse | Ellipsoid, values: Values) -> Inside:
    center, radii = (
        [_number(each, values) for each in shape.center],
        [_number(each, values) for each in shape.radii],
    )
    angle = _number(getattr(shape, "angle", 0), values)

    def inside(p: tuple[float, ...]) -> bool:
        along = [x - c for x, c in zip(p, center, strict=True)]
        if angle:
            along = [
                math.cos(angle) * along[0] + math.sin(angle) * along[1],
                math.cos(angle) * along[1] - math.sin(angle) * along[0],
            ]
        return math.hypot(*(x / r for x, r in zip(along, radii, strict=True))) < 1

    return inside


@bounds.register(Ellipse)
@bounds.register(Ellipsoid)
def _(shape: Ellipse | Ellipsoid, values: Values) -> Box_:
    center, radii = (
        [_number(each, values) for each in shape.center],
        [_number(each, values) for each in shape.radii],
    )
    reach = radii if not getattr(shape, "angle", 0) else [max(radii)] * len(radii)
    return tuple(c - r for c, r in zip(center, reach, strict=True)), tuple(
        c + r for c, r in zip(center, reach, strict=True)
    )


@bind.register
def _(shape: Extruded, values: Values) -> Inside:
    flat, height = bind(shape.shape, values), _number(shape.height, values)
    return lambda p: 0 < p[2] < height and flat(p[:2])


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
