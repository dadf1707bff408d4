"""The pieces a boundary is made of, symbolically: enough to prove that conditions cover a
boundary and do not overlap."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache, singledispatch

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
    cut_from,
    meshes,
    placement,
)

OTHER = ""  # what is in no group that is spoken of


@dataclass(frozen=True)
class Part:
    """One piece: the straight part of the boundary of `shape` where `coordinate` equals `value`, or
    all of it that is no such part; of that, where expressions of position have the given `signs`
    (true: positive). Of a mesh file, a `group`, or what is in none of those that are spoken of.
    """

    shape: Shape
    coordinate: str | None = None
    value: sp.Expr | None = None
    signs: tuple[tuple[sp.Expr, bool], ...] = ()
    group: str | None = None

    def __str__(self) -> str:
        held = ", ".join(_inequality(*each) for each in self.signs)
        return f"{self._whole()} where {held}" if held else self._whole()

    def _whole(self) -> str:
        if self.coordinate is not None:
            return f"{self.coordinate} = {self.value}"
        if self.group == OTHER:
            return "the other facets of the mesh file"
        if self.group is not None:
            return f'the group "{self.group}"'
        if isinstance(self.shape, Polygon):
            return "the slanted edges of the polygon"
        if isinstance(self.shape, (Cylinder, Extruded)):
            return f"the side of the {_described(self.shape)}"
        return f"the boundary of the {_described(self.shape)}"


def _inequality(level: sp.Expr, up: bool) -> str:
    """`x > 3/10` for the level x - 3/10."""
    constant = sum((term for term in sp.Add.make_args(level) if term.is_number), sp.S.Zero)
    return f"{sp.sstr(level - constant)} {'>' if up else '<'} {sp.sstr(-constant)}"


def _described(shape: Shape) -> str:
    """The kind of a shape, and of what it is made by moving, turning or drawing out."""
    kind = type(shape).__name__.lower()
    inner = getattr(shape, "shape", None)
    return kind if inner is None or isinstance(shape, Lattice) else f"{kind} {_described(inner)}"


def domain_parts(domain: Domain, among: Iterable[Boundary] = ()) -> tuple[Part, ...]:
    """All pieces of the boundary of a domain; periodic sides are none, and an axis or centre lies
    inside the body. Pieces of which some of the boundaries `among` take a part are divided along
    the inequalities of these.
    """
    return tuple(piece for piece in _pieces(domain, among) if not on_axis(piece, domain))


def on_axis(piece: Part, domain: Domain) -> bool:
    """Whether a piece is the axis of a body of revolution or the centre of a ball."""
    first = domain.coordinates[0]
    return bool(first.system) and piece.coordinate == first.name and piece.value == 0


def _pieces(domain: Domain, among: Iterable[Boundary]) -> tuple[Part, ...]:
    among = tuple(among)
    groups = tuple(dict.fromkeys(name for region in among for name in _groups(region)))
    levels = tuple(dict.fromkeys(level for region in among for level, _ in _levels(region)))
    return _divided(domain, groups, levels)


@lru_cache(maxsize=256)
def _divided(
    domain: Domain, groups: tuple[str, ...], levels: tuple[sp.Expr, ...]
) -> tuple[Part, ...]:
    """Asked of the same boundaries by many rules."""
    pieces = _parts(domain.shape, tuple(coordinate.name for coordinate in domain.coordinates))
    if meshes(domain.shape):  # groups count as disjoint: what the file holds is not known here
        pieces = (
            tuple(replace(piece, group=name) for piece in pieces for name in (*groups, OTHER))
            if groups
            else pieces
        )
    whole = [piece for piece in pieces if not _glued(piece, domain)]
    return tuple(cell for piece in whole for cell in _cells(piece, levels, domain))


def _glued(piece: Part, domain: Domain) -> bool:
    """Whether a piece is one of two opposite sides that are one."""
    box = cut_from(domain.shape)
    if piece.coordinate not in domain.periodic or box is None:
        return False
    axis = [each.name for each in domain.coordinates].index(piece.coordinate)
    return any(sp.expand(piece.value - end[axis]) == 0 for end in (box.lower, box.upper))


def parts(region: Region, among: Iterable[Boundary] | None = None) -> tuple[Part, ...]:
    """The pieces of a declared boundary (of a domain: of all of its boundary), in the order of
    `domain_parts`; pieces of two boundaries compare where both are divided along the same
    boundaries `among`, of themselves along their own inequalities.
    """
    if isinstance(region, Domain):
        return domain_parts(region, among or ())
    if region.kind in ("level", "interface"):  # inside of a domain: no piece of its boundary
        return ()
    divided = (region,) if among is None else among
    named = region.kind == "side"  # a condition on the axis may be stated, by name
    everything = _pieces(region.domain, divided) if named else domain_parts(region.domain, divided)
    chosen = _chosen(region, everything)
    return tuple(piece for piece in everything if piece in chosen)


def _levels(region: Boundary) -> Iterator[tuple[sp.Expr, bool]]:
    """The expressions whose signs the inequalities of a boundary, and of those it leaves out,
    are about; whether they are positive."""
    for each in region.where:
        yield _level(each.gts - each.lts, region.domain)
    for other in region.others:
        yield from _levels(other)


def _groups(region: Boundary) -> Iterator[str]:
    """The groups of a mesh file that a boundary, and those it leaves out, are made of."""
    if region.group is not None:
        yield region.group
    for other in region.others:
        yield from _groups(other)


@lru_cache(maxsize=256)
def _level(expression: sp.Expr, domain: Domain) -> tuple[sp.Expr, bool]:
    """An expression with its sign and scale taken out, so that `x < 1` and `2*x > 2` are about
    one level."""
    level = sp.expand(expression)
    for coordinate in domain.coordinates:
        factor = level.coeff(coordinate, 1)
        if factor.is_number and factor != 0:
            return sp.expand(level / factor), bool(factor > 0)
    turned = level.could_extract_minus_sign()
    return (-level if turned else level), not turned


def _cells(piece: Part, levels: tuple[sp.Expr, ...], domain: Domain) -> list[Part]:
    """The parts into which levels divide a piece; those that are provably empty are left out."""
    cells = [piece]
    for level in levels:
        cells = [
            replace(cell, signs=(*cell.signs, (level, up)))
            for cell in cells
            for up in (True, False)
        ]
        cells = [cell for cell in cells if not _empty(cell, domain)]
    return cells


def _empty(cell: Part, domain: Domain) -> bool:
    return any(gap.is_nonpositive for gap in _gaps(cell, domain))


def _gaps(cell: Part, domain: Domain) -> Iterator[sp.Expr]:
    """For levels that differ by a number along one function of position: how far its upper
    bounds lie above its lower ones."""
    bounds: dict[sp.Expr, tuple[list[sp.Expr], list[sp.Expr]]] = {}
    for level, up in cell.signs:
        varying = sum(
            (
                term
                for term in sp.Add.make_args(level)
                if term.free_symbols & set(domain.coordinates)
            ),
            sp.S.Zero,
        )
        bounds.setdefault(varying, ([], []))[0 if up else 1].append(varying - level)
    for i, coordinate in enumerate(domain.coordinates):
        if coordinate not in bounds:
            continue
        lowest, highest = bounds[coordinate]
        if cell.coordinate == coordinate.name:
            yield from (sp.expand(cell.value - low) for low in lowest)
            yield from (sp.expand(high - cell.value) for high in highest)
        elif isinstance(cell.shape, (Interval, Rectangle, Box)):
            yield from (sp.expand(cell.shape.upper[i] - low) for low in lowest)
            yield from (sp.expand(high - cell.shape.lower[i]) for high in highest)
    for lowest, highest in bounds.values():
        yield from (sp.expand(high - low) for low in lowest for high in highest)


def certain(cell: Part, domain: Domain) -> bool:
    """Whether a part of a piece is provably there, as far as its inequalities bound the same
    functions of position. What inequalities or groups leave of a mesh file is read from the file.
    """
    if meshes(domain.shape):
        return not cell.signs and cell.group != OTHER
    return all(gap.is_positive for gap in _gaps(cell, domain))


def _chosen(boundary: Boundary, everything: tuple[Part, ...]) -> set[Part]:
    wanted = {_level(each.gts - each.lts, boundary.domain) for each in boundary.where}
    return {cell for cell in _base(boundary, everything) if wanted <= set(cell.signs)}


def _base(boundary: Boundary, everything: tuple[Part, ...]) -> set[Part]:
    """What a boundary consists of before its inequalities."""
    shape = boundary.domain.shape
    names = tuple(coordinate.name for coordinate in boundary.coordinates)
    if boundary.kind == "side":
        return {
            piece
            for piece in everything
            if piece.coordinate == boundary.coordinate and _same(piece.value, boundary.value)
        }
    if boundary.kind == "rest":
        return set(everything).difference(
            *(_chosen(other, everything) for other in boundary.others)
        )
    if boundary.kind == "group":
        return {piece for piece in everything if piece.group == boundary.group}
    holes = set(_holes(shape, names))
    if boundary.kind == "inner":
        return {piece for piece in everything if replace(piece, signs=()) in holes}
    if boundary.kind == "outer":
        return {piece for piece in everything if replace(piece, signs=()) not in holes}
    if boundary.kind == "of" and boundary.part is not None:
        own = set(_parts(boundary.part, names))
        return {piece for piece in everything if replace(piece, signs=()) in own}
    return set(everything)


def _same(a: sp.Expr | None, b: sp.Expr | None) -> bool:
    return a is not None and b is not None and coincide(a, b)


def _parts(shape: Shape, names: tuple[str, ...]) -> tuple[Part, ...]:
    return _named(_faces(shape), names)


def _holes(shape: Shape, names: tuple[str, ...]) -> tuple[Part, ...]:
    """The pieces that bound holes: of what was subtracted, and of the body in an exterior."""
    return _named([face for face in _faces(shape) if face.hole], names)


def bounds_a_hole(part: Part, domain: Domain) -> bool:
    """Whether a piece bounds a hole of a domain."""
    names = tuple(coordinate.name for coordinate in domain.coordinates)
    return replace(part, signs=(), group=None) in _holes(domain.shape, names)


def _named(faces: Iterable[Face], names: tuple[str, ...]) -> tuple[Part, ...]:
    found = []
    for face in faces:
        place = face.plane.axis if face.plane is not None else None
        found.append(
            Part(face.shape) if place is None else Part(face.shape, names[place[0]], place[1])
        )
    return tuple(dict.fromkeys(found))


@dataclass(frozen=True)
class Face:
    """A piece of a boundary: the shape it belongs to, the plane it lies in if it is straight,
    and whether it bounds a hole."""

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
        Face(
            shape,
            face.plane and Plane((*face.plane.normal, sp.S.Zero), face.plane.offset),
            face.hole,
        )
        for face in _faces(shape.shape)
    )
    return (
        *walls,
        *(
            Face(shape, Plane((sp.S.Zero, sp.S.Zero, sp.S.One), value))
            for value in (sp.S.Zero, shape.height)
        ),
    )


@_faces.register(Moved)
@_faces.register(Rotated)
@_faces.register(Scaled)
@_faces.register(Cylinder)
def _(shape: Moved | Rotated | Scaled | Cylinder) -> Faces:
    place = placement(shape)
    inner = (
        Extruded(Disk(shape.radius), shape.height) if isinstance(shape, Cylinder) else shape.shape
    )
    return tuple(
        Face(shape, face.plane and place.plane(face.plane), face.hole) for face in _faces(inner)
    )


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
