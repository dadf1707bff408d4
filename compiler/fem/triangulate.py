"""CSG trees -> meshes by the netgen mesher (optional, LGPL): finer where the boundary is curved, its curved sides on the true boundary.

netgen is given the same primitives with its own boolean operations; the facets it returns are then assigned to the simple shape they lie
on, and vertices and side nodes moved onto it, so that the accuracy of the boundary does not depend on the mesher's curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce, singledispatch

import numpy as np
import skfem
from numpy.typing import NDArray

from pdespec import geometry as shapes

from .curved import curve
from .failure import SampleError, SolverError
from .levels import Leaf, box_of, copies, leaves, nearest_leaf
from .mesh import Values, number, point, polar_radius

Numbers = NDArray[np.int64]
ARC = 8  # resolution / ARC cells per radius of curvature: 25 on a circle at the default of 32, 9 at least


def triangulate(shape: shapes.Shape, values: Values, resolution: int, degree: int) -> skfem.Mesh:
    """A mesh of a CSG tree.

    Raises: SolverError when netgen is not installed, SampleError when the shape is empty for these values.
    """
    try:
        from netgen.occ import OCCGeometry  # pyright: ignore[reportMissingImports]
    except ImportError as missing:
        message = f"a {type(shape).__name__.lower()} is meshed by netgen: pip install 'pdespec[mesh]', or give solve(.., mesh=..) a mesh"
        raise SolverError(message) from missing
    lower, upper = box_of(shape, values)
    size = float((upper - lower).max()) / resolution
    try:
        geometry = OCCGeometry(solid(shape, values, None), dim=shape.dim)
        made = geometry.GenerateMesh(maxh=size, curvaturesafety=max(1.5, resolution / ARC), grading=0.3)
    except RuntimeError as failure:
        raise SampleError(f"netgen cannot mesh the domain, which may be empty for these parameters: {failure}") from failure
    elements = made.Elements2D() if shape.dim == 2 else made.Elements3D()
    if len(elements) == 0:
        raise SampleError("the domain is empty for these parameters")
    cells = np.ascontiguousarray(elements.NumPy()["nodes"][:, : shape.dim + 1].T.astype(np.int64) - 1)
    points = np.ascontiguousarray(made.Coordinates()[:, : shape.dim].T)
    used, cells = np.unique(cells, return_inverse=True)
    kind = skfem.MeshTri if shape.dim == 2 else skfem.MeshTet
    mesh = kind(np.ascontiguousarray(points[:, used]), cells.reshape(shape.dim + 1, -1))
    tree = leaves(shape, values)
    return on_true_boundary(mesh, tree, degree)


def on_true_boundary(mesh: skfem.Mesh, tree: Sequence[Leaf], degree: int) -> skfem.Mesh:
    """Boundary vertices and side nodes moved onto the shapes they belong to; a vertex where two shapes meet stays."""
    facets = mesh.boundary_facets()
    owner = nearest_leaf(tree, mesh.p[:, mesh.facets[:, facets]].mean(axis=1))
    points = mesh.p.copy()
    low, high = lowest_and_highest(mesh, facets, owner)
    for k, leaf in enumerate(tree):
        if leaf.onto is not None:
            alone = np.flatnonzero((low == k) & (high == k))
            points[:, alone] = leaf.onto(points[:, alone])
    moved = type(mesh)(points, mesh.t)
    pieces = [(facets[owner == k], leaf.onto) for k, leaf in enumerate(tree) if leaf.onto is not None]
    return curve(moved, degree, pieces)


def lowest_and_highest(mesh: skfem.Mesh, facets: Numbers, owner: Numbers) -> tuple[Numbers, Numbers]:
    """For every vertex the lowest and highest number among the shapes of its boundary facets; -1 and a large number inside."""
    low = np.full(mesh.p.shape[1], np.iinfo(np.int64).max)
    high = np.full(mesh.p.shape[1], -1)
    for row in mesh.facets[:, facets]:
        np.minimum.at(low, row, owner)
        np.maximum.at(high, row, owner)
    return low, high


@singledispatch
def solid(shape: shapes.Shape, values: Values, around):
    """The shape as netgen builds it: a face in the plane, a solid in space."""
    raise SolverError(f"no mesh of a {type(shape).__name__.lower()}; give solve(.., mesh=..) a mesh")


@solid.register
def _(shape: shapes.Rectangle, values: Values, around):
    from netgen.occ import MoveTo  # pyright: ignore[reportMissingImports]

    lower, upper = point(shape.lower, values), point(shape.upper, values)
    return MoveTo(*lower).Rectangle(*(upper - lower)).Face()


@solid.register
def _(shape: shapes.Box, values: Values, around):
    from netgen.occ import Box, Pnt  # pyright: ignore[reportMissingImports]

    return Box(Pnt(*point(shape.lower, values)), Pnt(*point(shape.upper, values)))


@solid.register
def _(shape: shapes.Disk, values: Values, around):
    from netgen.occ import Circle  # pyright: ignore[reportMissingImports]

    return Circle(tuple(point(shape.center, values)), number(shape.radius, values)).Face()


@solid.register
def _(shape: shapes.Ball, values: Values, around):
    from netgen.occ import Pnt, Sphere  # pyright: ignore[reportMissingImports]

    return Sphere(Pnt(*point(shape.center, values)), number(shape.radius, values))


@solid.register
def _(shape: shapes.Polygon, values: Values, around):
    from netgen.occ import MoveTo  # pyright: ignore[reportMissingImports]

    first, *others = [point(p, values) for p in shape.points]
    path = MoveTo(*first)
    for corner in others:
        path = path.LineTo(*corner)
    return path.Close().Face()


@solid.register
def _(shape: shapes.Star, values: Values, around):
    from netgen.occ import Face, Pnt, SplineInterpolation, Wire  # pyright: ignore[reportMissingImports]

    theta = np.linspace(0, 2 * np.pi, 257)[:-1]
    ring = point(shape.center, values)[:, None] + polar_radius(shape, values)(theta) * np.array([np.cos(theta), np.sin(theta)])
    return Face(Wire([SplineInterpolation([Pnt(x, y, 0) for x, y in ring.T], periodic=True)]))


@solid.register
def _(shape: shapes.Lattice, values: Values, around):
    return reduce(lambda a, b: a + b, (solid(copy, values, around) for copy in copies(shape, values, around)))


@solid.register
def _(shape: shapes.Union, values: Values, around):
    return solid(shape.a, values, around) + solid(shape.b, values, around)


@solid.register
def _(shape: shapes.Intersection, values: Values, around):
    return solid(shape.a, values, around) * solid(shape.b, values, around)


@solid.register
def _(shape: shapes.Difference, values: Values, around):
    return solid(shape.a, values, around) - solid(shape.b, values, box_of(shape.a, values))


@solid.register
def _(shape: shapes.Exterior, values: Values, around):
    return solid(shape.farfield, values, around) - solid(shape.body, values, around)
