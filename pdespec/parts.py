"""The pieces a boundary is made of, symbolically: enough to prove that conditions cover a boundary and do not overlap."""

from __future__ import annotations

from dataclasses import dataclass
from functools import singledispatch

import sympy as sp

from pdespec.geometry import Boundary, Box, Difference, Domain, Exterior, Intersection, Interval, Rectangle, Region, Shape, Union


@dataclass(frozen=True)
class Part:
    """One piece: the side of a box where `coordinate` equals `value`, or the whole boundary of a `shape` without sides."""

    shape: Shape
    coordinate: str | None = None
    value: sp.Expr | None = None

    def __str__(self) -> str:
        if self.coordinate is not None:
            return f"{self.coordinate} = {self.value}"
        return f"the boundary of the {type(self.shape).__name__.lower()}"


def domain_parts(domain: Domain) -> tuple[Part, ...]:
    """All pieces of the boundary of a domain; glued sides are none."""
    pieces = _parts(domain.shape, tuple(coordinate.name for coordinate in domain.coordinates))
    return tuple(piece for piece in pieces if piece.coordinate not in domain.periodic)


def parts(region: Region) -> tuple[Part, ...]:
    """The pieces of a declared boundary (of a domain: of all of its boundary), in the order of `domain_parts`."""
    everything = domain_parts(region.domain)
    if isinstance(region, Domain):
        return everything
    chosen = _chosen(region, everything)
    return tuple(piece for piece in everything if piece in chosen)


def _chosen(boundary: Boundary, everything: tuple[Part, ...]) -> set[Part]:
    shape = boundary.domain.shape
    names = tuple(coordinate.name for coordinate in boundary.coordinates)
    if boundary.kind == "side":
        return {piece for piece in everything if piece.coordinate == boundary.coordinate and _same(piece.value, boundary.value)}
    if boundary.kind == "rest":
        return set(everything).difference(*(parts(other) for other in boundary.others))
    if boundary.kind == "inner":
        return set(_holes(shape, names))
    if boundary.kind == "outer":
        return set(everything) - set(_holes(shape, names))
    if boundary.kind == "of" and boundary.part is not None:
        return set(_parts(boundary.part, names))
    return set(everything)


def _same(a: sp.Expr | None, b: sp.Expr | None) -> bool:
    return a is not None and b is not None and sp.expand(a - b) == 0


@singledispatch
def _parts(shape: Shape, names: tuple[str, ...]) -> tuple[Part, ...]:
    return (Part(shape),)


@_parts.register(Interval)
@_parts.register(Rectangle)
@_parts.register(Box)
def _(shape: Interval | Rectangle | Box, names: tuple[str, ...]) -> tuple[Part, ...]:
    ends = zip(names, zip(shape.lower, shape.upper, strict=True), strict=True)
    return tuple(Part(shape, name, value) for name, values in ends for value in values)


@_parts.register(Union)
@_parts.register(Difference)
@_parts.register(Intersection)
def _(shape: Union | Difference | Intersection, names: tuple[str, ...]) -> tuple[Part, ...]:
    return tuple(dict.fromkeys(_parts(shape.a, names) + _parts(shape.b, names)))


@_parts.register(Exterior)
def _(shape: Exterior, names: tuple[str, ...]) -> tuple[Part, ...]:
    return _parts(shape.body, names) + _parts(shape.farfield, names)


def _holes(shape: Shape, names: tuple[str, ...]) -> tuple[Part, ...]:
    """The pieces that bound holes: of what was subtracted, and of the body in an exterior."""
    if isinstance(shape, Exterior):
        return _parts(shape.body, names)
    if isinstance(shape, Difference):
        return _holes(shape.a, names) + _parts(shape.b, names)
    if isinstance(shape, (Union, Intersection)):
        return _holes(shape.a, names) + _holes(shape.b, names)
    return ()
