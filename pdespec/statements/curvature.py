"""Curvature of plane boundaries: the tangential derivative of the normal.

With the outward normal n, the tangent t = (-n_2, n_1) and the arc length s along t,

    dn/ds = kappa t,   dt/ds = -kappa n,

kappa > 0 where the body is convex: 1/R on a disk, -1/R around a round hole.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec.geometry import (
    Boundary,
    Disk,
    Moved,
    Polygon,
    Rectangle,
    Rotated,
    Scaled,
    Shape,
    Star,
)
from pdespec.shapes.ellipse import Ellipse
from pdespec.statements.boundary_parts import bounds_a_hole, parts


def curvature(region: Boundary) -> sp.Expr | None:
    """kappa on a boundary in the plane, as a function of position; None where it is not known in
    closed form, or differs from one of its parts to the other."""
    found: set[Any] = set()
    for part in parts(region):
        value = sp.S.Zero if part.coordinate is not None else bend(part.shape, region.coordinates)
        hole = bounds_a_hole(part, region.domain)
        found.add(-value if value is not None and hole else value)
    return found.pop() if len(found) == 1 else None


@singledispatch
def bend(shape: Shape, place: tuple[sp.Symbol, ...]) -> sp.Expr | None:
    """The curvature of the boundary of a shape at a point of it."""
    return None


@bend.register(Rectangle)
@bend.register(Polygon)
def _(shape: Shape, place: tuple[sp.Symbol, ...]) -> sp.Expr:
    return sp.S.Zero


@bend.register
def _(shape: Disk, place: tuple[sp.Symbol, ...]) -> sp.Expr:
    return 1 / shape.radius


@bend.register
def _(shape: Ellipse, place: tuple[sp.Symbol, ...]) -> sp.Expr:
    """a b / (a^4 Y^2 / b^2 ..)^(3/2), written by X and Y along the axes."""
    c, s = sp.cos(shape.angle), sp.sin(shape.angle)
    x, y = (a - middle for a, middle in zip(place, shape.center, strict=True))
    along, across = c * x + s * y, c * y - s * x
    a, b = shape.radii
    return a * b / (a**2 * across**2 / b**2 + b**2 * along**2 / a**2) ** sp.Rational(3, 2)


@bend.register
def _(shape: Star, place: tuple[sp.Symbol, ...]) -> sp.Expr:
    """(r^2 + 2 r'^2 - r r'') / (r^2 + r'^2)^(3/2) at the polar angle."""
    r = sp.sympify(shape.radius)
    first, second = sp.diff(r, shape.angle), sp.diff(r, shape.angle, 2)
    bent = (r**2 + 2 * first**2 - r * second) / (r**2 + first**2) ** sp.Rational(3, 2)
    x, y = (a - middle for a, middle in zip(place, shape.center, strict=True))
    return bent.subs(shape.angle, sp.atan2(y, x))


@bend.register(Moved)
@bend.register(Rotated)
@bend.register(Scaled)
def _(shape: Any, place: tuple[sp.Symbol, ...]) -> sp.Expr | None:
    """Of round shapes, which look the same everywhere."""
    inner = bend(shape.shape, place)
    if inner is None or inner.free_symbols & set(place):
        return None
    return inner / shape.factor if isinstance(shape, Scaled) else inner


def is_smooth(region: Boundary) -> bool:
    """Whether the whole boundary of the domain of a region is one smooth curve."""
    shape = region.domain.shape
    while isinstance(shape, (Moved, Rotated, Scaled)):
        shape = shape.shape
    return isinstance(shape, (Disk, Ellipse, Star))
