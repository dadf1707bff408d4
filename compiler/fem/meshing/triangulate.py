"""CSG trees -> meshes by the netgen mesher (optional, LGPL): finer where the boundary is curved,
its curved sides on the true boundary.

netgen is given the same primitives with its own boolean operations; the facets it returns are then
assigned to the piece of the boundary they lie on, and vertices and side nodes moved onto it, so
that the accuracy of the boundary does not depend on the mesher's curves.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import skfem
from numpy.typing import NDArray

from compiler.fem.errors import SampleError, SolverError
from compiler.fem.meshing.bodies import (
    Values,
    body_of,
    box_of,
    onto,
    owners,
)
from compiler.fem.meshing.curved import curve
from compiler.fem.meshing.solids import solid
from compiler.geometry.shapes import Piece
from pdespec.geometry import Shape

Numbers = NDArray[np.int64]
# resolution / ARC cells per radius of curvature: 25 on a circle at the default of 32, 9 at least
ARC = 8


def triangulate(shape: Shape, values: Values, resolution: int, degree: int) -> skfem.Mesh:
    """A mesh of a CSG tree.

    Raises: SolverError when netgen is not installed, SampleError when the shape is empty for these
    values.
    """
    try:
        from netgen.occ import OCCGeometry  # pyright: ignore[reportMissingImports]
    except ImportError as missing:
        message = (
            f"a {type(shape).__name__.lower()} is meshed by netgen: pip install 'pdespec[mesh]', or"
            " give solve(.., mesh=..) a mesh"
        )
        raise SolverError(message) from missing
    body = body_of(shape, values)
    lower, upper = box_of(body)
    size = float((upper - lower).max()) / resolution
    try:
        geometry = OCCGeometry(solid(body), dim=shape.dim)
        made = geometry.GenerateMesh(
            maxh=size, curvaturesafety=max(1.5, resolution / ARC), grading=0.3
        )
    except RuntimeError as failure:
        raise SampleError(
            f"netgen cannot mesh the domain, which may be empty for these parameters: {failure}"
        ) from failure
    elements = made.Elements2D() if shape.dim == 2 else made.Elements3D()
    if len(elements) == 0:
        raise SampleError("the domain is empty for these parameters")
    cells = np.ascontiguousarray(
        elements.NumPy()["nodes"][:, : shape.dim + 1].T.astype(np.int64) - 1
    )
    points = np.ascontiguousarray(made.Coordinates()[:, : shape.dim].T)
    used, cells = np.unique(cells, return_inverse=True)
    kind = skfem.MeshTri if shape.dim == 2 else skfem.MeshTet
    mesh = kind(np.ascontiguousarray(points[:, used]), cells.reshape(shape.dim + 1, -1))
    return on_true_boundary(mesh, body.pieces(), degree)


def on_true_boundary(mesh: skfem.Mesh, parts: Sequence[Piece], degree: int) -> skfem.Mesh:
    """Boundary vertices and side nodes moved onto the pieces they belong to; a vertex where two
    pieces meet stays."""
    facets = mesh.boundary_facets()
    owner = owners(parts, mesh.p[:, mesh.facets[:, facets]].mean(axis=1))
    ways = [onto(piece) for piece in parts]
    points = mesh.p.copy()
    low, high = lowest_and_highest(mesh, facets, owner)
    for k, way in enumerate(ways):
        alone = np.flatnonzero((low == k) & (high == k))
        if way is not None and alone.size:
            points[:, alone] = way(points[:, alone])
    moved = type(mesh)(points, mesh.t)
    pieces = [(facets[owner == k], way) for k, way in enumerate(ways) if way is not None]
    return curve(moved, degree, pieces)


def lowest_and_highest(
    mesh: skfem.Mesh, facets: Numbers, owner: Numbers
) -> tuple[Numbers, Numbers]:
    """For every vertex the lowest and highest number among the pieces of its boundary facets; -1
    and a large number inside."""
    low = np.full(mesh.p.shape[1], np.iinfo(np.int64).max)
    high = np.full(mesh.p.shape[1], -1)
    for row in mesh.facets[:, facets]:
        np.minimum.at(low, row, owner)
        np.maximum.at(high, row, owner)
    return low, high
