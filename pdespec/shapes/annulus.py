"""The annulus: the region between two circles with one centre."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import sympy as sp

from pdespec.coordinates import Coordinate
from pdespec.geometry import Disk, Domain, Point, Shape
from pdespec.shapes.described import Composed, Length, Place, described, domain, instantiate


@described
@dataclass(frozen=True)
class Annulus(Composed):
    """The disk of radius `outer` without that of radius `inner` about the same centre."""

    dim: ClassVar[int] = 2

    inner: Annotated[sp.Expr, Length("inner radius")]
    outer: Annotated[sp.Expr, Length("outer radius")]
    center: Annotated[Point, Place()] = (sp.S.Zero, sp.S.Zero)

    def composed(self) -> Shape:
        return Disk(self.outer, self.center) - Disk(self.inner, self.center)


def annulus(
    x: Coordinate,
    y: Coordinate,
    inner: Any,
    outer: Any,
    center: Sequence[Any] = (0, 0),
    name: str = "Omega",
) -> Domain:
    """The points between the circles of two radii about a centre: `annulus(x, y, 1, 2)`."""
    return domain(name, instantiate(Annulus, inner, outer, center), (x, y))
