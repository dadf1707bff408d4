"""Shapes -> meshes: images of structured patterns where the shape is one, a triangulation of the
CSG tree where it is not.

`resolution` counts cells along the longest side of the shape's box. The cells at a curved boundary
are curved, see `curved.py`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from functools import singledispatch

import numpy as np
import skfem
import sympy as sp
import torch

from compiler.arrays import Array, IntArray
from compiler.fem.errors import SampleError, SolverError
from compiler.fem.meshing import patterns
from compiler.fem.meshing.bodies import Values, body_of, box_of
from compiler.fem.meshing.curved import curve
from compiler.fem.meshing.given import cells_of
from compiler.fem.meshing.triangulate import triangulate
from compiler.geometry.shapes.body import Body
from compiler.geometry.shapes.piece import whole
from compiler.lowering.frame import around
from compiler.lowering.numpy_function import numpy_function
from compiler.lowering.rewrite import Unscalable, carried
from pdespec import geometry as shapes
from pdespec.shapes.ellipse import Ellipse, Ellipsoid


def mesh_domain(
    domain: shapes.Domain, values: Values, resolution: int, degree: int = 1, cell: str = "simplex"
) -> skfem.Mesh:
    """A mesh of a domain for one sample.

    values: numbers of the parameters the shape depends on. degree: of the element, hence of the
    curved cells. cell: "simplex" or "brick". Made in coordinates in which the shape is about 1
    large and near the origin: meshers have tolerances. Raises: SolverError where the shape cannot
    be meshed, naming what is missing.
    """
    if resolution < 1:
        raise SolverError(
            f"resolution counts cells along the longest side, so it is at least 1, not {resolution}"
        )
    frame = around(*box_of(body_of(domain.shape, values)))
    try:
        inner = domain.shape if frame.trivial else carried(domain, frame).shape  # type: ignore[union-attr]
    except Unscalable:
        frame, inner = around([0.0] * domain.dim, [1.0] * domain.dim), domain.shape
    if domain.periodic and isinstance(inner, shapes.Difference):
        no_bricks(inner, cell)
        axes = [k for k, x in enumerate(domain.coordinates) if x.name in domain.periodic]
        mesh = triangulate(inner, values, resolution, degree, axes)
    else:
        mesh = mesh_shape(inner, values, resolution, degree, cell)
    if frame.trivial:
        return mesh
    return image(
        mesh, float(frame.length) * np.eye(domain.dim), np.array([float(x) for x in frame.origin])
    )


def number(expression: sp.Expr, values: Values) -> float:
    """The value of an expression of parameters.

    Raises: SolverError naming a parameter without a value.
    """
    result = sp.sympify(expression).subs(values)
    if result.free_symbols:
        raise SolverError(
            f"the shape needs a value of {', '.join(sorted(s.name for s in result.free_symbols))}"
        )
    return float(result)


def point(expressions: tuple[sp.Expr, ...], values: Values) -> Array:
    """The numbers of a point. Shapes: -> (d,)."""
    return np.array([number(e, values) for e in expressions])


@singledispatch
def mesh_shape(
    shape: shapes.Shape, values: Values, resolution: int, degree: int, cell: str
) -> skfem.Mesh:
    """A mesh of simplices of a shape at a `resolution`, curved where that is asked for by elements
    of a `degree` above one. Raises: SolverError."""
    if shape.dim == 1:
        return patterns.segments(ends(body_of(shape, values)), resolution)
    no_bricks(shape, cell)
    return triangulate(shape, values, resolution, degree)


def ends(body: Body) -> list[tuple[float, float]]:
    """The intervals that a combination of intervals consists of, from left to right. Raises:
    SampleError where it is empty."""
    points = sorted(
        float(whole(piece).chart(_MIDDLE)[0]) for piece in body.pieces() if float(piece.measure) > 0
    )
    if not points:
        raise SampleError("the domain is empty for these parameters")
    return list(zip(points[::2], points[1::2], strict=True))


_MIDDLE = torch.full((1, 1, 1), 0.5, dtype=torch.float64)


@mesh_shape.register(shapes.Interval)
@mesh_shape.register(shapes.Rectangle)
@mesh_shape.register(shapes.Box)
def _(shape, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    lower, upper = point(shape.lower, values), point(shape.upper, values)
    extent = upper - lower
    divisions = [max(1, math.ceil(resolution * length / extent.max() - 1e-9)) for length in extent]
    return patterns.bricks(lower, upper, divisions, cell)


@mesh_shape.register
def _(shape: shapes.Disk, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    no_bricks(shape, cell)
    radius = number(shape.radius, values)
    return blown_up(
        patterns.rings(max(1, math.ceil(resolution / 2))),
        point(shape.center, values),
        lambda theta: radius + 0 * theta,
        degree,
    )


@mesh_shape.register
def _(shape: shapes.Star, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    no_bricks(shape, cell)
    return blown_up(
        patterns.rings(max(1, math.ceil(resolution / 2))),
        point(shape.center, values),
        polar_radius(shape, values),
        degree,
    )


@mesh_shape.register
def _(shape: shapes.Ball, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    no_bricks(shape, cell)
    radius, center = number(shape.radius, values), point(shape.center, values)[:, None]
    unit = patterns.octants(max(1, math.ceil(resolution / 2)))
    mesh = skfem.MeshTet(center + radius * unit.p, unit.t)

    def onto(points: Array) -> Array:
        ray = points - center
        return center + radius * ray / np.linalg.norm(ray, axis=0)

    return curve(mesh, degree, [(mesh.boundary_facets(), onto)])


@mesh_shape.register(shapes.Moved)
@mesh_shape.register(shapes.Rotated)
@mesh_shape.register(shapes.Scaled)
def _(shape, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    body = body_of(shape, values)
    mesh = mesh_shape(shape.shape, values, resolution, degree, cell)
    return image(mesh, body.scale[0].numpy() * body.turn[0].numpy(), body.shift[0].numpy())


@mesh_shape.register
def _(shape: Ellipse, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    c, s = np.cos(number(shape.angle, values)), np.sin(number(shape.angle, values))
    unit = mesh_shape(shapes.Disk(sp.S.One), values, resolution, degree, cell)
    return image(
        unit, np.array([[c, -s], [s, c]]) * point(shape.radii, values), point(shape.center, values)
    )


@mesh_shape.register
def _(shape: Ellipsoid, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    unit = mesh_shape(shapes.Ball(sp.S.One), values, resolution, degree, cell)
    return image(unit, np.diag(point(shape.radii, values)), point(shape.center, values))


@mesh_shape.register
def _(shape: shapes.Mesh, values: Values, resolution: int, degree: int, cell: str) -> skfem.Mesh:
    no_bricks(shape, cell)
    return cells_of(shape, resolution)


def image(mesh: skfem.Mesh, matrix: Array, shift: Array) -> skfem.Mesh:
    """The mesh under x -> matrix x + shift; curved cells stay so."""
    return type(mesh)(np.ascontiguousarray(matrix @ mesh.doflocs + shift[:, None]), mesh.t)


def polar_radius(shape: shapes.Star, values: Values) -> Callable[[Array], Array]:
    """The star's radius as a function of the polar angle."""
    radius = sp.sympify(shape.radius)
    symbols = sorted(radius.free_symbols - {shape.angle}, key=lambda s: s.name)
    missing = [s.name for s in symbols if s not in values]
    if missing:
        raise SolverError(f"the shape needs a value of {', '.join(missing)}")
    given = [float(values[s]) for s in symbols]
    function = numpy_function([shape.angle, *symbols], radius)
    return lambda theta: function(theta, *given) + 0 * theta


def blown_up(
    disk: skfem.MeshTri, center: Array, radius: Callable[[Array], Array], degree: int
) -> skfem.Mesh:
    """The image of the unit disk under x -> center + radius(theta) x, its boundary cells curved
    onto r = radius(theta)."""
    mesh = skfem.MeshTri(
        center[:, None] + radius(np.arctan2(disk.p[1], disk.p[0])) * disk.p, disk.t
    )
    if np.min(radius(np.linspace(0, 2 * np.pi, 721))) <= 0:
        raise SampleError("the radius of the star is not positive everywhere for these parameters")

    def onto(points: Array) -> Array:
        ray = points - center[:, None]
        return center[:, None] + radius(np.arctan2(ray[1], ray[0])) * ray / np.linalg.norm(
            ray, axis=0
        )

    return curve(mesh, degree, [(mesh.boundary_facets(), onto)])


def no_bricks(shape: shapes.Shape, cell: str) -> None:
    """Raises: SolverError where bricks are asked for in a shape that has none."""
    if cell != "simplex":
        raise SolverError(
            f"a {type(shape).__name__.lower()} is not made of bricks; use cell='simplex'"
        )


SHAKEN = 0.25  # of the shortest edge at a vertex, by which it moves at most
THINNEST = 0.3  # of a cell's measure, which is left of it at least


def shaken(mesh: skfem.Mesh, chance: np.random.Generator, kept: Sequence[Array]) -> skfem.Mesh:
    """The same mesh of simplices with its inner vertices moved at random. Those on the boundary and
    on the facets `kept` stay, so that facets keep their numbers, places and curves.
    """
    pairs = np.array(list(itertools.combinations(range(len(mesh.t)), 2)))
    ends = mesh.t[pairs]  # p 2 k
    corners = mesh.doflocs[:, : mesh.nvertices]
    lengths = np.linalg.norm(corners[:, ends[:, 0]] - corners[:, ends[:, 1]], axis=0)
    shortest = np.full(mesh.nvertices, np.inf)
    for side in (0, 1):
        np.minimum.at(shortest, ends[:, side], lengths)
    move = chance.uniform(-1, 1, corners.shape) / np.sqrt(mesh.dim()) * SHAKEN * shortest
    move[:, mesh.boundary_nodes()] = 0
    for facets in kept:
        move[:, mesh.facets[:, facets]] = 0
    whole = _measures(corners, mesh.t)
    while np.min(_measures(corners + move, mesh.t) / whole) < THINNEST:
        move /= 2
    places = mesh.elem.doflocs
    weights = np.column_stack((1 - places.sum(axis=1), places))  # of the vertices, at each node
    nodes = mesh.doflocs.copy()
    for row, share in zip(mesh.dofs.element_dofs, weights, strict=True):
        nodes[:, row] = mesh.doflocs[:, row] + np.einsum("v,dvk->dk", share, move[:, mesh.t])
    return type(mesh)(np.ascontiguousarray(nodes), mesh.t)


def _measures(points: Array, cells: IntArray) -> Array:
    """Signed, but for a factor. Shapes: "d n", "d+1 k" -> "k"."""
    edges = points[:, cells[1:]] - points[:, cells[:1]]  # d d k
    return np.linalg.det(np.moveaxis(edges, -1, 0))
