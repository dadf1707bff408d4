"""The simple shapes a CSG tree is made of, each with a function that vanishes on its boundary and is about the distance near it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import singledispatch

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from pdespec import geometry as shapes

from .failure import SolverError
from .mesh import Array, Values, number, point, polar_radius


@dataclass(frozen=True)
class Leaf:
    """A simple shape: its signed level (negative inside), the map of nearby points onto its boundary when that is curved, the shapes
    it stands within, and whether it bounds a hole."""

    level: Callable[[Array], Array]
    onto: Callable[[Array], Array] | None
    within: tuple[shapes.Shape, ...]
    hole: bool = False


@singledispatch
def leaves(shape: shapes.Shape, values: Values, around: tuple[Array, Array] | None = None) -> list[Leaf]:
    """The simple shapes of a tree. `around` is the box of the shape that a lattice is cut from."""
    raise SolverError(f"no mesh of a {type(shape).__name__.lower()}")


def within(shape: shapes.Shape, found: Sequence[Leaf], turn: bool = False) -> list[Leaf]:
    return [replace(leaf, within=(shape, *leaf.within), hole=leaf.hole != turn) for leaf in found]


@leaves.register
def _(shape: shapes.Disk, values: Values, around=None) -> list[Leaf]:
    return [round_leaf(shape, number(shape.radius, values), point(shape.center, values))]


@leaves.register
def _(shape: shapes.Ball, values: Values, around=None) -> list[Leaf]:
    return [round_leaf(shape, number(shape.radius, values), point(shape.center, values))]


def round_leaf(shape: shapes.Shape, radius: float, center: Array) -> Leaf:
    middle = center[:, None]
    return Leaf(
        lambda x: np.linalg.norm(x - middle, axis=0) - radius,
        lambda x: middle + radius * (x - middle) / np.linalg.norm(x - middle, axis=0),
        (shape,),
    )


@leaves.register
def _(shape: shapes.Star, values: Values, around=None) -> list[Leaf]:
    radius, middle = polar_radius(shape, values), point(shape.center, values)[:, None]

    def split(x: Array) -> tuple[Array, Array]:
        ray = x - middle
        return np.linalg.norm(ray, axis=0), radius(np.arctan2(ray[1], ray[0]))

    return [Leaf(lambda x: np.subtract(*split(x)), lambda x: middle + (x - middle) * split(x)[1] / split(x)[0], (shape,))]


@leaves.register(shapes.Interval)
@leaves.register(shapes.Rectangle)
@leaves.register(shapes.Box)
def _(shape, values: Values, around=None) -> list[Leaf]:
    lower, upper = point(shape.lower, values)[:, None], point(shape.upper, values)[:, None]

    def level(x: Array) -> Array:
        past = np.maximum(lower - x, x - upper)
        return np.linalg.norm(np.maximum(past, 0), axis=0) + np.minimum(past.max(axis=0), 0)

    return [Leaf(level, None, (shape,))]


@leaves.register
def _(shape: shapes.Polygon, values: Values, around=None) -> list[Leaf]:
    corners = np.array([point(p, values) for p in shape.points])

    def level(x: Array) -> Array:
        start, end = corners[:, :, None], np.roll(corners, -1, axis=0)[:, :, None]
        along = np.clip(((x - start) * (end - start)).sum(axis=1) / ((end - start) ** 2).sum(axis=1), 0, 1)
        return np.linalg.norm(x - start - along[:, None] * (end - start), axis=1).min(axis=0)

    return [Leaf(level, None, (shape,))]


@leaves.register
def _(shape: shapes.Lattice, values: Values, around=None) -> list[Leaf]:
    return [leaf for copy in copies(shape, values, around) for leaf in within(shape, within(shape.shape, leaves(copy, values, around)))]


@leaves.register(shapes.Union)
@leaves.register(shapes.Intersection)
def _(shape, values: Values, around=None) -> list[Leaf]:
    return within(shape, [*leaves(shape.a, values, around), *leaves(shape.b, values, around)])


@leaves.register
def _(shape: shapes.Difference, values: Values, around=None) -> list[Leaf]:
    whole = leaves(shape.a, values, around)
    return [*within(shape, whole), *within(shape, leaves(shape.b, values, box_of(shape.a, values)), turn=True)]


@leaves.register
def _(shape: shapes.Exterior, values: Values, around=None) -> list[Leaf]:
    return [*within(shape, leaves(shape.farfield, values)), *within(shape, leaves(shape.body, values), turn=True)]


def nearest_leaf(tree: Sequence[Leaf], points: Array) -> NDArray[np.int64]:
    """The leaf on whose boundary each point lies, or nearly."""
    return np.argmin([np.abs(leaf.level(points)) for leaf in tree], axis=0)


def copies(shape: shapes.Lattice, values: Values, around: tuple[Array, Array] | None) -> list[shapes.Shape]:
    """The shapes of a lattice, centred on equally spaced points over the surrounding box, its edges included."""
    if around is None:
        raise SolverError("a lattice is cut from a shape; write rectangle(..) - lattice(..)")
    lower, upper = around
    columns = [
        np.linspace(lower[k], upper[k], count) if count > 1 else [(lower[k] + upper[k]) / 2] for k, count in enumerate((shape.nx, shape.ny))
    ]
    return [moved(shape.shape, (sp.Float(x), sp.Float(y))) for x in columns[0] for y in columns[1]]


def moved(shape: shapes.Shape, by: tuple) -> shapes.Shape:
    """A shape shifted."""
    if hasattr(shape, "center"):
        return replace(shape, center=tuple(c + d for c, d in zip(shape.center, by, strict=True)))
    if isinstance(shape, shapes.Polygon):
        return replace(shape, points=tuple(tuple(c + d for c, d in zip(p, by, strict=True)) for p in shape.points))
    if hasattr(shape, "lower"):
        middle = [(a + b) / 2 for a, b in zip(shape.lower, shape.upper, strict=True)]
        by = tuple(d - m for d, m in zip(by, middle, strict=True))
        return replace(
            shape,
            lower=tuple(c + d for c, d in zip(shape.lower, by, strict=True)),
            upper=tuple(c + d for c, d in zip(shape.upper, by, strict=True)),
        )
    raise SolverError(f"no lattice of a {type(shape).__name__.lower()}")


def box_of(shape: shapes.Shape, values: Values) -> tuple[Array, Array]:
    """The box of a shape."""
    if hasattr(shape, "lower"):
        return point(shape.lower, values), point(shape.upper, values)
    if isinstance(shape, (shapes.Disk, shapes.Ball)):
        center, radius = point(shape.center, values), number(shape.radius, values)
        return center - radius, center + radius
    if isinstance(shape, shapes.Polygon):
        corners = np.array([point(p, values) for p in shape.points])
        return corners.min(axis=0), corners.max(axis=0)
    if isinstance(shape, shapes.Star):
        theta = np.linspace(0, 2 * np.pi, 1441)
        ring = point(shape.center, values)[:, None] + polar_radius(shape, values)(theta) * np.array([np.cos(theta), np.sin(theta)])
        return ring.min(axis=1), ring.max(axis=1)
    parts = [box_of(part, values) for part in box_parts(shape)]
    return np.min([a for a, _ in parts], axis=0), np.max([b for _, b in parts], axis=0)


def box_parts(shape: shapes.Shape) -> tuple[shapes.Shape, ...]:
    """Shapes whose boxes together hold the shape."""
    if isinstance(shape, shapes.Union):
        return shape.a, shape.b
    if isinstance(shape, (shapes.Difference, shapes.Intersection)):
        return (shape.a,)
    if isinstance(shape, shapes.Exterior):
        return (shape.farfield,)
    raise SolverError(f"no box of a {type(shape).__name__.lower()}")
