"""The pieces a boundary is made of, symbolically: enough to prove that conditions cover a boundary and do not overlap."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import singledispatch

import sympy as sp

from pdespec.geometry import (
    Boundary,
    Box,
    Cylinder,
    Difference,
    Disk,
    Domain,
    Exterior,
    Extruded,
    Intersection,
    Interval,
    Lattice,
    Moved,
    Plane,
    Polygon,
    Rectangle,
    Region,
    Rotated,
    Scaled,
    Shape,
    Union,
    coincide,
    placement,
)


@dataclass(frozen=True)
class Part:
    """One piece: the straight part of the boundary of `shape` where `coordinate` equals `value`, or all of it that is no such part."""

    shape: Shape
    coordinate: str | None = None
    value: sp.Expr | None = None

    def __str__(self) -> str:
        if self.coordinate is not None:
            return f"{self.coordinate} = {self.value}"
        if isinstance(self.shape, Polygon):
            return "the slanted edges of the polygon"
        if isinstance(self.shape, (Cylinder, Extruded)):
            return f"the side of the {_described(self.shape)}"
        return f"the boundary of the {_described(self.shape)}"


def _described(shape: Shape) -> str:
    """The kind of a shape, and of what it is made by moving, turning or drawing out."""
    kind = type(shape).__name__.lower()
    inner = getattr(shape, "shape", None)
    return kind if inner is None or isinstance(shape, Lattice) else f"{kind} {_described(inner)}"


def domain_parts(domain: Domain) -> tuple[Part, ...]:
    """All pieces of the boundary of a domain; glued sides are none, and an axis or centre lies inside the body."""
    return tuple(piece for piece in _pieces(domain) if not on_axis(piece, domain))


def on_axis(piece: Part, domain: Domain) -> bool:
    """Whether a piece is the axis of a body of revolution or the centre of a ball."""
    first = domain.coordinates[0]
    return bool(first.system) and piece.coordinate == first.name and piece.value == 0


def _pieces(domain: Domain) -> tuple[Part, ...]:
    pieces = _parts(domain.shape, tuple(coordinate.name for coordinate in domain.coordinates))
    return tuple(piece for piece in pieces if piece.coordinate not in domain.periodic)


def parts(region: Region) -> tuple[Part, ...]:
    """The pieces of a declared boundary (of a domain: of all of its boundary), in the order of `domain_parts`."""
    named = isinstance(region, Boundary) and region.kind == "side"  # a condition on the axis may be stated, by name
    everything = _pieces(region.domain) if named else domain_parts(region.domain)
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
    return a is not None and b is not None and coincide(a, b)


def _parts(shape: Shape, names: tuple[str, ...]) -> tuple[Part, ...]:
    return _named(_faces(shape), names)


def _holes(shape: Shape, names: tuple[str, ...]) -> tuple[Part, ...]:
    """The pieces that bound holes: of what was subtracted, and of the body in an exterior."""
    return _named([face for face in _faces(shape) if face.hole], names)


def _named(faces: Iterable[Face], names: tuple[str, ...]) -> tuple[Part, ...]:
    found = []
    for face in faces:
        place = face.plane.axis if face.plane is not None else None
        found.append(Part(face.shape) if place is None else Part(face.shape, names[place[0]], place[1]))
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Face:
    """A piece of a boundary: the shape it belongs to, the plane it lies in if it is straight, and whether it bounds a hole."""

    shape: Shape
    plane: Plane | None = None
    hole: bool = False


Faces = tuple[Face, ...]


@singledispatch
def _faces(shape: Shape) -> Faces:
    return (Face(shape),)


@_faces.register(Interval)
@_faces.register(Rectangle)
@_faces.register(Box)
def _(shape: Interval | Rectangle | Box) -> Faces:
    axes = [tuple(sp.S(int(i == k)) for k in range(shape.dim)) for i in range(shape.dim)]
    ends = zip(axes, zip(shape.lower, shape.upper, strict=True), strict=True)
    return tuple(Face(shape, Plane(axis, value)) for axis, values in ends for value in values)


@_faces.register
def _(shape: Polygon) -> Faces:
    return tuple(Face(shape, edge) for edge in shape.edges)


@_faces.register
def _(shape: Extruded) -> Faces:
    walls = (
        Face(shape, face.plane and Plane((*face.plane.normal, sp.S.Zero), face.plane.offset), face.hole) for face in _faces(shape.shape)
    )
    return (*walls, *(Face(shape, Plane((sp.S.Zero, sp.S.Zero, sp.S.One), value)) for value in (sp.S.Zero, shape.height)))


@_faces.register(Moved)
@_faces.register(Rotated)
@_faces.register(Scaled)
@_faces.register(Cylinder)
def _(shape: Moved | Rotated | Scaled | Cylinder) -> Faces:
    place = placement(shape)
    inner = Extruded(Disk(shape.radius), shape.height) if isinstance(shape, Cylinder) else shape.shape
    return tuple(Face(shape, face.plane and place.plane(face.plane), face.hole) for face in _faces(inner))


@_faces.register
def _(shape: Lattice) -> Faces:
    return tuple(Face(shape, None, face.hole) for face in _faces(shape.shape))


@_faces.register(Union)
@_faces.register(Intersection)
def _(shape: Union | Intersection) -> Faces:
    return _faces(shape.a) + _faces(shape.b)


@_faces.register
def _(shape: Difference) -> Faces:
    return _faces(shape.a) + _turned(_faces(shape.b))


@_faces.register
def _(shape: Exterior) -> Faces:
    return _turned(_faces(shape.body)) + _faces(shape.farfield)


def _turned(faces: Faces) -> Faces:
    """The faces of what is taken away."""
    return tuple(replace(face, hole=not face.hole) for face in faces)
