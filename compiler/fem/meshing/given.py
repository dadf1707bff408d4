"""Meshes of domains that are read from files: the file's own cells, refined uniformly; a closed
surface is filled by netgen."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import skfem

from compiler.fem.errors import SolverError
from compiler.geometry.shapes.meshfile import MeshData, read
from pdespec.geometry import Mesh

MOST_CELLS = 400_000  # that a refinement may make


def cells_of(shape: Mesh, resolution: int) -> skfem.Mesh:
    """The mesh of the file, refined until half of its edges are at most 1/resolution of the extent
    long, or too many cells would result.

    What is refined are straight cells: a curved boundary stays the polygon or polyhedron of the
    file. Raises: SolverError where a surface cannot be filled with cells.
    """
    data = read(shape)
    if data.cells is None:
        return filled(data, resolution, shape.path)
    mesh = (skfem.MeshTri if data.dim == 2 else skfem.MeshTet)(
        data.points.T.copy(), data.cells.T.copy()
    )
    while (
        _edge(mesh) > data.extent / resolution * (1 + 1e-9)
        and mesh.t.shape[1] * 2**data.dim <= MOST_CELLS
    ):
        mesh = mesh.refined()
    return mesh


def _edge(mesh: skfem.Mesh) -> float:
    """The median length of the edges."""
    corners = range(mesh.t.shape[0])
    pairs = np.hstack([np.sort(mesh.t[[i, j]], axis=0) for i in corners for j in corners if i < j])
    a, b = np.unique(pairs, axis=1)
    return float(np.median(np.linalg.norm(mesh.p[:, a] - mesh.p[:, b], axis=0)))


def filled(data: MeshData, resolution: int, name: str) -> skfem.Mesh:
    """Tetrahedra in a closed surface, by netgen. Raises: SolverError without netgen, or where it
    does not succeed."""
    try:
        from netgen.meshing import MeshingParameters  # pyright: ignore[reportMissingImports]
        from netgen.stl import STLGeometry  # pyright: ignore[reportMissingImports]
    except ImportError as missing:
        raise SolverError(
            f"the surface {name} is filled with cells by netgen: pip install 'pdespec[mesh]'"
        ) from missing
    # netgen compares lengths with fixed numbers
    unit, origin = data.extent, data.points.min(axis=0)
    local = (data.points - origin) / unit
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "surface.stl"
        path.write_text(ascii_stl(local[data.facets]))
        try:
            made = STLGeometry(str(path)).GenerateMesh(
                MeshingParameters(maxh=1 / resolution, grading=0.3)
            )
        except Exception as failure:  # netgen raises its own kinds, and bare ones
            raise SolverError(
                f"netgen cannot fill the surface {name} with tetrahedra: {failure}; give a mesh"
                " with tetrahedra"
            ) from failure
    elements = made.Elements3D()
    if len(elements) == 0:
        raise SolverError(
            f"netgen finds no volume inside of the surface {name}; give a mesh with tetrahedra"
        )
    cells = np.ascontiguousarray(elements.NumPy()["nodes"][:, :4].T.astype(np.int64) - 1)
    used, cells = np.unique(cells, return_inverse=True)
    points = origin[:, None] + unit * made.Coordinates().T[:, used]
    return skfem.MeshTet(np.ascontiguousarray(points), cells.reshape(4, -1))


def ascii_stl(triangles: np.ndarray) -> str:
    """A surface as an STL, in double precision. Shapes: "f 3 3"."""
    lines = ["solid surface"]
    for triangle in triangles.tolist():
        corners = [f"vertex {x!r} {y!r} {z!r}" for x, y, z in triangle]
        lines += ["facet normal 0 0 0", "outer loop", *corners, "endloop", "endfacet"]
    return "\n".join([*lines, "endsolid surface", ""])
