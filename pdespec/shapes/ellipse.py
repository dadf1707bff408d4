"""Ellipse and ellipsoid."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import sympy as sp

from pdespec.coordinates import Coordinate
from pdespec.geometry import Domain, Point
from pdespec.shapes.described import (
    Described,
    Lengths,
    Number,
    Place,
    described,
    domain,
    instantiate,
)

ORIGIN = (sp.S.Zero, sp.S.Zero, sp.S.Zero)


@described
@dataclass(frozen=True)
class Ellipse(Described):
    """Inside the ellipse of half axes `radii`, the first turned counterclockwise from the x axis
    by `angle`."""

    dim: ClassVar[int] = 2

    radii: Annotated[Point, Lengths("radius")]
    center: Annotated[Point, Place()] = ORIGIN[:2]
    angle: Annotated[sp.Expr, Number()] = sp.S.Zero

    def inside(self, x: tuple[Any, ...]) -> Any:
        a, b = (each - middle for each, middle in zip(x, self.center, strict=True))
        c, s = sp.cos(self.angle), sp.sin(self.angle)
        return _within((c * a + s * b, c * b - s * a), self.radii)

    def box(self) -> tuple[Point, Point]:
        c, s = sp.cos(self.angle), sp.sin(self.angle)
        a, b = self.radii
        reach = (sp.sqrt((a * c) ** 2 + (b * s) ** 2), sp.sqrt((a * s) ** 2 + (b * c) ** 2))
        return _about(self.center, reach)


@described
@dataclass(frozen=True)
class Ellipsoid(Described):
    """Inside the ellipsoid of half axes `radii` along the coordinates."""

    dim: ClassVar[int] = 3

    radii: Annotated[Point, Lengths("radius")]
    center: Annotated[Point, Place()] = ORIGIN

    def inside(self, x: tuple[Any, ...]) -> Any:
        return _within([a - b for a, b in zip(x, self.center, strict=True)], self.radii)

    def box(self) -> tuple[Point, Point]:
        return _about(self.center, self.radii)


def _within(along: Sequence[Any], radii: Point) -> Any:
    return sp.Lt(sp.Add(*((x / r) ** 2 for x, r in zip(along, radii, strict=True))), 1)


def _about(center: Point, reach: Point) -> tuple[Point, Point]:
    pairs = list(zip(center, reach, strict=True))
    return tuple(x - r for x, r in pairs), tuple(x + r for x, r in pairs)


def ellipse(
    x: Coordinate,
    y: Coordinate,
    radii: Sequence[Any],
    center: Sequence[Any] = (0, 0),
    angle: Any = 0,
    name: str = "Omega",
) -> Domain:
    """The ellipse of two half axes about a centre, the first turned from the x axis by an angle
    in radians: `ellipse(x, y, (2, 1), angle=sp.pi/6)`."""
    return domain(name, instantiate(Ellipse, radii, center, angle), (x, y))


def ellipsoid(
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
    radii: Sequence[Any],
    center: Sequence[Any] = (0, 0, 0),
    name: str = "Omega",
) -> Domain:
    """The ellipsoid of three half axes along the coordinates about a centre."""
    return domain(name, instantiate(Ellipsoid, radii, center), (x, y, z))
