"""CSG trees -> meshes by the netgen mesher (optional, LGPL): finer where the boundary is curved,
its curved sides on the true boundary.

netgen is given the same primitives with its own boolean operations; the facets it returns are then
assigned to the piece of the boundary they lie on, and vertices and side nodes moved onto it, so
that the accuracy of the boundary does not depend on the mesher's curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import skfem

from compiler.arrays import IntArray
from compiler.fem.errors import SampleError, SolverError
from compiler.fem.meshing import curved
from compiler.fem.meshing.bodies import (
    Array,
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

# resolution / ARC cells per radius of curvature: 25 on a circle at the default of 32, 9 at least
ARC = 8


def triangulate(
    shape: Shape, values: Values, resolution: int, degree: int, periodic: Sequence[int] = ()
) -> skfem.Mesh:
    """A mesh of a CSG tree, with the same facets on both sides along the axes `periodic`.

    Raises: SolverError when netgen is not installed or opposite sides differ, SampleError when the
    shape is empty for these values.
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
        made = solid(body)
        for axis in periodic:
            glue(made, axis, lower, upper)
        geometry = OCCGeometry(made, dim=shape.dim)
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


def glue(made: Any, axis: int, lower: Array, upper: Array) -> None:
    """Tell netgen that what lies on both ends of an axis are copies of each other.

    Raises: SolverError where they are not.
    """
    from netgen.occ import (  # pyright: ignore[reportMissingImports]
        IdentificationType,
        Vec,
        gp_Trsf,
    )

    extent = upper - lower
    slack = 1e-7 * float(extent.max())
    parts = made.edges if len(lower) == 2 else made.faces
    middles = [np.array([*each.center])[: len(lower)] for each in parts]
    low, high = (
        [k for k, middle in enumerate(middles) if _flat_on(parts[k], axis, end, slack)]
        for end in (lower[axis], upper[axis])
    )
    move = np.zeros(3)
    move[axis] = extent[axis]
    for k in low:
        there = [
            j for j in high if np.abs(middles[k] + move[: len(lower)] - middles[j]).max() <= slack
        ]
        if len(there) != 1 or len(low) != len(high):
            raise SolverError(
                f"what is taken away cuts the two sides at {lower[axis]:.4g} and"
                f" {upper[axis]:.4g}, which are one by `periodic`, in different places"
            )
        parts[k].Identify(
            parts[there[0]],
            f"axis {axis}",
            IdentificationType.PERIODIC,
            gp_Trsf.Translation(Vec(*move)),
        )


def _flat_on(part: Any, axis: int, end: float, slack: float) -> bool:
    """Whether an edge or a face lies in the plane where a coordinate is `end`."""
    box = part.bounding_box
    return all(abs(corner[axis] - end) <= 1e-6 + slack for corner in box)


def on_true_boundary(mesh: skfem.Mesh, parts: Sequence[Piece], degree: int) -> skfem.Mesh:
    """Boundary vertices and side nodes moved onto the pieces they belong to; a vertex where two
    pieces meet stays."""
    return curve(*moved_vertices(mesh, parts, degree))


def moved_vertices(
    mesh: skfem.Mesh, parts: Sequence[Piece], degree: int
) -> tuple[skfem.Mesh, int, list[curved.Piece]]:
    """The mesh with its boundary vertices moved onto the pieces they belong to, the degree, and
    what is left to curve: facets of the boundary with the maps onto their pieces."""
    facets = mesh.boundary_facets()
    owner = owners(parts, mesh.p[:, mesh.facets[:, facets]].mean(axis=1))
    ways = [onto(piece) for piece in parts]
    points = mesh.p.copy()
    low, high = lowest_and_highest(mesh, facets, owner)
    for k, way in enumerate(ways):
        alone = np.flatnonzero((low == k) & (high == k))
        if way is not None and alone.size:
            points[:, alone] = way(points[:, alone])
    pieces = [(facets[owner == k], way) for k, way in enumerate(ways) if way is not None]
    return type(mesh)(points, mesh.t), degree, pieces


def lowest_and_highest(
    mesh: skfem.Mesh, facets: IntArray, owner: IntArray
) -> tuple[IntArray, IntArray]:
    """For every vertex the lowest and highest number among the pieces of its boundary facets; -1
    and a large number inside."""
    low = np.full(mesh.p.shape[1], np.iinfo(np.int64).max)
    high = np.full(mesh.p.shape[1], -1)
    for row in mesh.facets[:, facets]:
        np.minimum.at(low, row, owner)
        np.maximum.at(high, row, owner)
    return low, high
