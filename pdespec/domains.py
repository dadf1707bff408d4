"""The domains of a problem, from their sizes: `star(x, y, radius=..)` makes the `Domain`, `make_star(..)` its bare shape."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pdespec.errors import fail
from pdespec.geometry import (
    THETA,
    Airfoil,
    Ball,
    Box,
    Disk,
    Domain,
    Exterior,
    Interval,
    Lattice,
    Point,
    Polygon,
    Rectangle,
    Shape,
    Star,
)
from pdespec.symbols import Coordinate, check_name, exact, is_scalar


def interval(x: Coordinate, start: Any = 0, end: Any = 1, name: str = "Omega") -> Domain:
    """start < x < end."""
    return _domain(name, make_interval(start, end), (x,))


def rectangle(x: Coordinate, y: Coordinate, lower: Sequence[Any] = (0, 0), upper: Sequence[Any] = (1, 1), name: str = "Omega") -> Domain:
    """The rectangle between two opposite corners."""
    return _domain(name, make_box(lower, upper, 2), (x, y))


def box(
    x: Coordinate, y: Coordinate, z: Coordinate, lower: Sequence[Any] = (0, 0, 0), upper: Sequence[Any] = (1, 1, 1), name: str = "Omega"
) -> Domain:
    """The box between two opposite corners."""
    return _domain(name, make_box(lower, upper, 3), (x, y, z))


def disk(x: Coordinate, y: Coordinate, radius: Any = 1, center: Sequence[Any] = (0, 0), name: str = "Omega") -> Domain:
    """The disk of a radius about a centre."""
    return _domain(name, make_disk(radius, center), (x, y))


def ball(x: Coordinate, y: Coordinate, z: Coordinate, radius: Any = 1, center: Sequence[Any] = (0, 0, 0), name: str = "Omega") -> Domain:
    """The ball of a radius about a centre."""
    return _domain(name, make_ball(radius, center), (x, y, z))


def polygon(x: Coordinate, y: Coordinate, points: Sequence[Sequence[Any]], name: str = "Omega") -> Domain:
    """The polygon with the given corners, in order."""
    return _domain(name, make_polygon(points), (x, y))


def star(
    x: Coordinate, y: Coordinate, radius: Callable[[sp.Symbol], Any] | Any, center: Sequence[Any] = (0, 0), name: str = "Omega"
) -> Domain:
    """The star-shaped region r < radius(theta): `star(x, y, radius=lambda theta: 1 + c*sp.cos(4*theta))`."""
    return _domain(name, make_star(radius(THETA) if callable(radius) else radius, center), (x, y))


def airfoil(x: Coordinate, y: Coordinate, digits: Sequence[int] = (0, 0, 12), displacement: Any = (), name: str = "Omega") -> Domain:
    """A four-digit NACA section, `airfoil(x, y, (0, 0, 12), displacement=d)`, usually inside `exterior`."""
    return _domain(name, make_airfoil(digits, displacement), (x, y))


def lattice(shape: Domain | Shape, nx: int, ny: int) -> Domain | Shape:
    """nx by ny copies of a shape, for use in a difference: `rectangle(X, Y) - lattice(disk(X, Y, radius=r), 5, 5)`."""
    inside = shape.shape if isinstance(shape, Domain) else shape
    for count in (nx, ny):
        if not isinstance(count, (int, sp.Integer)) or isinstance(count, bool) or not 1 <= count <= 1000:
            raise fail("S02", f"lattice: {count} is no number of copies", "write lattice(shape, 5, 5)")
    if inside.dim != 2:
        raise fail("T06", f"lattice copies a plane shape, this one is {inside.dim}D", "use a disk, rectangle, polygon or star")
    result = Lattice(inside, int(nx), int(ny))
    return replace(shape, shape=result) if isinstance(shape, Domain) else result


def exterior(body: Domain | Shape, farfield: Domain | Shape) -> Domain | Shape:
    """Outside `body`, inside `farfield`."""
    inside, outside = (each.shape if isinstance(each, Domain) else each for each in (body, farfield))
    if inside.dim != outside.dim:
        raise fail("T06", f"the body is {inside.dim}D and the far field {outside.dim}D", "both lie in the space of the problem")
    result = Exterior(inside, outside)
    return replace(body, shape=result) if isinstance(body, Domain) else result


def make_interval(start: Any, end: Any) -> Interval:
    start, end = _scalars("interval", start, end)
    _not_empty("interval", (start,), (end,))
    return Interval(start, end)


def make_box(lower: Sequence[Any], upper: Sequence[Any], dim: int) -> Rectangle | Box:
    kind: Any = {2: Rectangle, 3: Box}[dim]
    name = kind.__name__.lower()
    lower, upper = _point(name, lower, dim), _point(name, upper, dim)
    _not_empty(name, lower, upper)
    return kind(lower, upper)


def make_disk(radius: Any, center: Sequence[Any] = (0, 0)) -> Disk:
    return Disk(_radius("disk", radius), _point("disk", center, 2))


def make_ball(radius: Any, center: Sequence[Any] = (0, 0, 0)) -> Ball:
    return Ball(_radius("ball", radius), _point("ball", center, 3))


def make_polygon(points: Sequence[Sequence[Any]]) -> Polygon:
    if len(points) < 3:
        raise fail("S02", f"a polygon has at least three corners, {len(points)} given", "write polygon([[0, 0], [1, 0], [0, 1]])")
    return Polygon(tuple(_point("polygon", point, 2) for point in points))


def make_star(radius: Any, center: Sequence[Any] = (0, 0)) -> Star:
    return Star(_radius("star", radius), THETA, _point("star", center, 2))


def make_airfoil(digits: Sequence[int], displacement: Any = ()) -> Airfoil:
    numbers = tuple(exact(each) for each in digits)
    if len(numbers) != 3 or not all(each.is_Integer and each >= 0 for each in numbers) or not 0 < numbers[2] <= 40:
        hint = "write naca(0, 0, 12): camber %, its place in tenths, thickness %"
        raise fail("S02", f"naca{tuple(digits)} is no four-digit section", hint)
    displaced = _scalars("airfoil", *(exact(displacement) if len(displacement) else ()))
    if len(displaced) not in (0, 7):
        raise fail("S02", f"airfoil takes 7 displacements, {len(displaced)} given", "declare param d ~ uniform(-0.05, 0.05, size = 7)")
    return Airfoil(tuple(int(each) for each in numbers), displaced)  # type: ignore[arg-type]


def _domain(name: str, shape: Shape, coordinates: tuple[Coordinate, ...]) -> Domain:
    check_name(name, "a domain")
    kind = type(shape).__name__.lower()
    for coordinate in coordinates:
        if not isinstance(coordinate, Coordinate):
            raise fail("T05", f"{kind} needs coordinates, {coordinate!r} given", f'write x, y = space("x y") and {kind}(x, y, ...)')
    if tuple(coordinate.name for coordinate in coordinates) != coordinates[0].frame:
        frame = ", ".join(coordinates[0].frame)
        message = f"{kind} lies in {len(coordinates)}D, the space of the problem has the coordinates {frame}"
        raise fail("T06", message, "give all of them, in order")
    return Domain(name, shape, coordinates)


def _scalars(shape: str, *values: Any) -> Point:
    result = tuple(exact(value) for value in values)
    for value in result:
        if not is_scalar(value):
            raise fail("T05", f"{shape}: {value} is not a number", "shapes are made of numbers and params")
        if value.atoms(Coordinate, AppliedUndef):
            raise fail("T05", f"{shape}: {value} is not a number", "shapes are made of numbers and params, not of coordinates or fields")
    return result


def _point(shape: str, values: Any, dim: int) -> Point:
    values = tuple(values)
    if len(values) != dim:
        raise fail("T06", f"{shape}: a point of {len(values)} coordinates in {dim}D", f"give {dim} numbers")
    return _scalars(shape, *values)


def _radius(shape: str, radius: Any) -> sp.Expr:
    (radius,) = _scalars(shape, radius)
    if radius.is_nonpositive:
        raise fail("S02", f"{shape}: the radius {radius} is not positive", "give a positive radius")
    return radius


def _not_empty(shape: str, lower: Point, upper: Point) -> None:
    for low, high in zip(lower, upper, strict=True):
        if (high - low).is_nonpositive:
            raise fail("S02", f"{shape}: the upper end {high} is not above the lower {low}", "give the lower corner first")
