"""The domains of a problem, from their sizes: `star(x, y, radius=..)` makes the `Domain`,
`make_star(..)` its bare shape."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sympy as sp

from pdespec.coordinates import Coordinate, as_exact, is_scalar
from pdespec.errors import fail
from pdespec.geometry import (
    THETA,
    Airfoil,
    Ball,
    Box,
    Cylinder,
    Disk,
    Domain,
    Exterior,
    Extruded,
    Interval,
    Lattice,
    Mesh,
    Moved,
    Point,
    Polygon,
    Rectangle,
    Rotated,
    Scaled,
    Shape,
    Star,
    no_mesh,
)
from pdespec.shapes.described import domain, point, positive, scalars


def interval(x: Coordinate, start: Any = 0, end: Any = 1, name: str = "Omega") -> Domain:
    """start < x < end."""
    return domain(name, make_interval(start, end), (x,))


def rectangle(
    x: Coordinate,
    y: Coordinate,
    lower: Sequence[Any] = (0, 0),
    upper: Sequence[Any] = (1, 1),
    name: str = "Omega",
) -> Domain:
    """The rectangle between two opposite corners."""
    return domain(name, make_box(lower, upper, 2), (x, y))


def box(
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
    lower: Sequence[Any] = (0, 0, 0),
    upper: Sequence[Any] = (1, 1, 1),
    name: str = "Omega",
) -> Domain:
    """The box between two opposite corners."""
    return domain(name, make_box(lower, upper, 3), (x, y, z))


def disk(
    x: Coordinate,
    y: Coordinate,
    radius: Any = 1,
    center: Sequence[Any] = (0, 0),
    name: str = "Omega",
) -> Domain:
    """The disk of a radius about a centre."""
    return domain(name, make_disk(radius, center), (x, y))


def ball(
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
    radius: Any = 1,
    center: Sequence[Any] = (0, 0, 0),
    name: str = "Omega",
) -> Domain:
    """The ball of a radius about a centre."""
    return domain(name, make_ball(radius, center), (x, y, z))


def polygon(
    x: Coordinate, y: Coordinate, points: Sequence[Sequence[Any]], name: str = "Omega"
) -> Domain:
    """The polygon with the given corners, in order."""
    return domain(name, make_polygon(points), (x, y))


def star(
    x: Coordinate,
    y: Coordinate,
    radius: Callable[[sp.Symbol], Any] | Any,
    center: Sequence[Any] = (0, 0),
    name: str = "Omega",
) -> Domain:
    """The star-shaped region r < radius(theta): `star(x, y, radius=lambda theta: 1 +
    c*sp.cos(4*theta))`."""
    return domain(name, make_star(radius(THETA) if callable(radius) else radius, center), (x, y))


def airfoil(
    x: Coordinate,
    y: Coordinate,
    digits: Sequence[int] = (0, 0, 12),
    displacement: Any = (),
    name: str = "Omega",
) -> Domain:
    """A four-digit NACA section, `airfoil(x, y, (0, 0, 12), displacement=d)`, usually inside
    `exterior`."""
    return domain(name, make_airfoil(digits, displacement), (x, y))


def cylinder(
    x: Coordinate,
    y: Coordinate,
    z: Coordinate,
    radius: Any,
    height: Any,
    base: Sequence[Any] = (0, 0, 0),
    axis: Sequence[Any] = (0, 0, 1),
    name: str = "Omega",
) -> Domain:
    """The cylinder that stands on the disk about `base` across `axis`, of any length, and is
    `height` long."""
    return domain(name, make_cylinder(radius, height, base, axis), (x, y, z))


def extruded(
    x: Coordinate, y: Coordinate, z: Coordinate, shape: Shape, height: Any, name: str = "Omega"
) -> Domain:
    """A plane shape drawn out from z = 0 to z = height: `extruded(x, y, z, make_polygon([(0, 0),
    (1, 0), (0, 1)]), 2)`."""
    return domain(name, make_extruded(shape, height), (x, y, z))


def mesh(
    *coordinates: Coordinate,
    path: str | os.PathLike[str],
    scale: Any = 1,
    folder: str = "",
    name: str = "Omega",
) -> Domain:
    """The cells of a mesh file, or what the surface in an STL encloses: `mesh(x, y,
    path="part.msh")`; `scale` multiplies all lengths.

    A path that is not absolute is relative to `folder`, of itself the working directory.
    """
    if not coordinates:
        raise fail(
            "T05",
            "mesh needs coordinates",
            'write x, y = space("x y") and mesh(x, y, path="part.msh")',
        )
    return domain(name, make_mesh(path, len(coordinates), scale, folder), coordinates)


def moved(shape: Domain | Shape, vector: Sequence[Any]) -> Any:
    """A domain or shape with every point moved by a vector."""
    inside = _bare("moved", shape)
    vector = point("moved", vector, inside.dim)
    if isinstance(inside, Mesh) and all(each.is_number for each in vector):
        return _as_given(shape, _laid(inside, sp.S.One, vector))
    return _as_given(shape, Moved(inside, vector))


def rotated(
    shape: Domain | Shape,
    angle: Any,
    center: Sequence[Any] | None = None,
    axis: Sequence[Any] | None = None,
) -> Any:
    """A domain or shape turned by an angle (in radians) about a point, of itself the origin; in
    space about a line through that."""
    inside = _bare("rotated", shape)
    if inside.dim == 1:
        raise fail(
            "T06", "rotated: an interval cannot be turned", "turn a shape in the plane or in space"
        )
    (angle,) = scalars("rotated", angle)
    about = point("rotated", (0,) * inside.dim if center is None else center, inside.dim)
    if inside.dim == 2 and axis is not None:
        raise fail("T06", "rotated: a plane shape turns about a point", "leave the axis out")
    along = () if inside.dim == 2 else _direction("rotated", (0, 0, 1) if axis is None else axis)
    return _as_given(shape, Rotated(inside, angle, about, along))


def scaled(shape: Domain | Shape, factor: Any, center: Sequence[Any] | None = None) -> Any:
    """A domain or shape with all distances from a point, of itself the origin, multiplied by a
    positive factor."""
    inside = _bare("scaled", shape)
    factor = positive("scaled", "factor", factor)
    about = point("scaled", (0,) * inside.dim if center is None else center, inside.dim)
    if isinstance(inside, Mesh) and all(each.is_number for each in (factor, *about)):
        return _as_given(shape, _laid(inside, factor, tuple((1 - factor) * each for each in about)))
    return _as_given(shape, Scaled(inside, factor, about))


def _laid(mesh: Mesh, factor: sp.Expr, vector: Point) -> Mesh:
    """A mesh file under x -> factor x + vector: its points are laid there once, in double
    precision."""
    shift = tuple(
        factor * old + by
        for old, by in zip(mesh.shift or (sp.S.Zero,) * mesh.space, vector, strict=True)
    )
    return replace(mesh, scale=mesh.scale * factor, shift=shift if any(shift) else ())


def lattice(shape: Domain | Shape, nx: int, ny: int) -> Domain | Shape:
    """nx by ny copies of a shape, for use in a difference: `rectangle(X, Y) - lattice(disk(X, Y,
    radius=r), 5, 5)`."""
    inside = shape.shape if isinstance(shape, Domain) else shape
    for count in (nx, ny):
        if (
            not isinstance(count, (int, sp.Integer))
            or isinstance(count, bool)
            or not 1 <= count <= 1000
        ):
            raise fail(
                "S02", f"lattice: {count} is not a number of copies", "write lattice(shape, 5, 5)"
            )
    no_mesh(inside, "copied over a lattice")
    if inside.dim != 2:
        raise fail(
            "T06",
            f"lattice copies a plane shape, this one is {inside.dim}D",
            "use a disk, rectangle, polygon or star",
        )
    result = Lattice(inside, int(nx), int(ny))
    return replace(shape, shape=result) if isinstance(shape, Domain) else result


def exterior(body: Domain | Shape, farfield: Domain | Shape) -> Domain | Shape:
    """Outside `body`, inside `farfield`."""
    inside, outside = (
        each.shape if isinstance(each, Domain) else each for each in (body, farfield)
    )
    if inside.dim != outside.dim:
        raise fail(
            "T06",
            f"the body is {inside.dim}D and the far field {outside.dim}D",
            "both lie in the space of the problem",
        )
    for each in (inside, outside):
        no_mesh(each, "a part of an exterior")
    result = Exterior(inside, outside)
    return replace(body, shape=result) if isinstance(body, Domain) else result


def make_interval(start: Any, end: Any) -> Interval:
    """The interval start < x < end. Raises: ProblemError where it is empty or its ends are no
    numbers."""
    start, end = scalars("interval", start, end)
    _not_empty("interval", (start,), (end,))
    return Interval(start, end)


def make_box(lower: Sequence[Any], upper: Sequence[Any], dim: int) -> Rectangle | Box:
    """The box between two opposite corners in two or three dimensions. Raises: ProblemError
    where it is empty."""
    kind: Any = {2: Rectangle, 3: Box}[dim]
    name = kind.__name__.lower()
    lower, upper = point(name, lower, dim), point(name, upper, dim)
    _not_empty(name, lower, upper)
    return kind(lower, upper)


def make_disk(radius: Any, center: Sequence[Any] = (0, 0)) -> Disk:
    """The disk of a radius about a center. Raises: ProblemError for a radius that is not
    positive."""
    return Disk(positive("disk", "radius", radius), point("disk", center, 2))


def make_ball(radius: Any, center: Sequence[Any] = (0, 0, 0)) -> Ball:
    """The ball of a radius about a center. Raises: ProblemError for a radius that is not
    positive."""
    return Ball(positive("ball", "radius", radius), point("ball", center, 3))


def make_polygon(points: Sequence[Sequence[Any]]) -> Polygon:
    """The polygon of corners in order. Raises: ProblemError for less than three."""
    if len(points) < 3:
        raise fail(
            "S02",
            f"a polygon has at least three corners, {len(points)} given",
            "write polygon([[0, 0], [1, 0], [0, 1]])",
        )
    return Polygon(tuple(point("polygon", each, 2) for each in points))


def make_star(radius: Any, center: Sequence[Any] = (0, 0)) -> Star:
    """The star whose radius is an expression of `theta`. Raises: ProblemError for a radius that
    is not positive."""
    return Star(positive("star", "radius", radius), THETA, point("star", center, 2))


def make_cylinder(
    radius: Any, height: Any, base: Sequence[Any] = (0, 0, 0), axis: Sequence[Any] = (0, 0, 1)
) -> Cylinder:
    """The cylinder on the disk about `base`, `height` long along `axis`. Raises: ProblemError
    for lengths that are not positive, or an axis of length zero."""
    height = positive("cylinder", "height", height)
    return Cylinder(
        positive("cylinder", "radius", radius),
        height,
        point("cylinder", base, 3),
        _direction("cylinder", axis),
    )


def make_extruded(shape: Domain | Shape, height: Any) -> Extruded:
    """A plane shape drawn out from z = 0 to `height`. Raises: ProblemError for another shape."""
    inside = _bare("extruded", shape)
    if inside.dim != 2:
        raise fail(
            "T06",
            f"extruded draws out a plane shape, this one is {inside.dim}D",
            "use a disk, rectangle, polygon or star",
        )
    no_mesh(inside, "extruded")
    return Extruded(inside, positive("extruded", "height", height))


def make_mesh(path: str | os.PathLike[str], dim: int, scale: Any = 1, folder: str = "") -> Mesh:
    """The body that a mesh file fills; its lengths are multiplied by `scale`. Raises:
    ProblemError for a path or a scale that cannot be."""
    path = os.fspath(path)
    if not path.strip() or '"' in path or not path.isprintable():
        raise fail("T05", f"mesh: {path!r} is not the name of a file", 'write mesh("part.msh")')
    if dim not in (2, 3):
        raise fail(
            "T06",
            f"a mesh file fills a part of the plane or of space, not of {dim}D",
            "on a line write interval(0, 1)",
        )
    scale = positive("mesh", "scale", scale)
    if not scale.is_number:
        raise fail(
            "T05",
            f"mesh: the scale {scale} is not a number",
            "write scaled(mesh(..), s) for a scale that is a param",
        )
    return Mesh(path, dim, scale, (), folder)


def make_airfoil(digits: Sequence[int], displacement: Any = ()) -> Airfoil:
    """A four-digit section of NACA, chord from (0, 0) to (1, 0), maybe displaced along its
    normals. Raises: ProblemError for digits of no section."""
    numbers = tuple(as_exact(each) for each in digits)
    if (
        len(numbers) != 3
        or not all(each.is_Integer and each >= 0 for each in numbers)
        or not 0 < numbers[2] <= 40
    ):
        hint = "write naca(0, 0, 12): camber %, its place in tenths, thickness %"
        raise fail("S02", f"naca{tuple(digits)} is not a four-digit section", hint)
    given = (
        as_exact(displacement) if isinstance(displacement, sp.Basic) or len(displacement) else ()
    )
    displaced = scalars("airfoil", *((given,) if is_scalar(given) else given))
    if len(displaced) not in (0, 7):
        raise fail(
            "S02",
            f"airfoil takes 7 displacements, {len(displaced)} given",
            "declare param d ~ uniform(-0.05, 0.05, size = 7)",
        )
    return Airfoil(tuple(int(each) for each in numbers), displaced)  # type: ignore[arg-type]


def _direction(shape: str, values: Any) -> Point:
    axis = point(shape, values, 3)
    if not any(axis):
        raise fail(
            "S02", f"{shape}: the axis is zero", "give its direction, of any length: [0, 0, 1]"
        )
    return axis


def _bare(function: str, shape: Any) -> Shape:
    inside = shape.shape if isinstance(shape, Domain) else shape
    if not isinstance(inside, Shape):
        raise fail(
            "T05",
            f"{function} needs a shape, {inside!r} given",
            f"write {function}(disk(radius = 1), ..)",
        )
    return inside


def _as_given(given: Domain | Shape, shape: Shape) -> Domain | Shape:
    """A shape as a domain where one was given."""
    return replace(given, shape=shape) if isinstance(given, Domain) else shape


def _not_empty(shape: str, lower: Point, upper: Point) -> None:
    for low, high in zip(lower, upper, strict=True):
        if (high - low).is_nonpositive:
            raise fail(
                "S02",
                f"{shape}: the upper end {high} is not above the lower {low}",
                "give the lower corner first",
            )
