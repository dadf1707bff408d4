"""Plane meshes drawn as they are, curved cells curved: values shaded, sides of cells and the
boundary of the body as lines."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import skfem
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.tri import Triangulation

from compiler.arrays import Array, IntArray
from compiler.fem.errors import SolverError

TRIANGLES = 20_000  # a picture: each is then a few pixels
FINEST = 8  # parts of a side: more show no more of a quadratic function


@dataclass(frozen=True)
class PlotMesh:
    """The cells of a mesh cut into small triangles, and their sides, as numbers of common points.

    Shapes: points "n 2", triangles "m 3", sides "s k" and `boundary` "r k", those of them with
    nothing on the other side.
    """

    points: Array
    triangles: IntArray
    sides: IntArray
    boundary: IntArray
    cells: int

    def moved(self, shift: Array) -> PlotMesh:
        """Every point moved by its own vector. Shapes: shift "n 2"."""
        return replace(self, points=self.points + shift)

    def shade(self, axes: Axes, values: Array, **style) -> ScalarMappable:
        """Values at the points, linear on each triangle. Shapes: "n"."""
        style = {"shading": "gouraud", "rasterized": True, **style}
        return axes.tripcolor(Triangulation(*self.points.T, self.triangles), values, **style)

    def outline(self, axes: Axes, **style) -> None:
        """Draws the boundary; `style` is that of a LineCollection."""
        axes.add_collection(LineCollection(list(self.points[self.boundary]), **style))

    def lines(self, axes: Axes, **style) -> None:
        """The sides of all cells."""
        axes.add_collection(LineCollection(list(self.points[self.sides]), **style))


def plot_mesh(mesh: skfem.Mesh, triangles: int = TRIANGLES) -> PlotMesh:
    """A mesh cut into about so many triangles.

    Raises: SolverError for a mesh that is not plane.
    """
    if mesh.dim() != 2:
        raise SolverError(
            f"a mesh in {mesh.dim()}D cannot be drawn in the plane; save_vtk writes it"
        )
    corners = mesh.elem.refdom.p.T.astype(int)
    each = triangles / (mesh.nelements * (len(corners) - 2))
    nodes, pieces, edges = cut(
        corners, mesh.elem.refdom.facets, int(np.clip(round(each**0.5), 2, FINEST))
    )
    places = mesh.mapping().F(nodes)  # "2 e n"
    flat = places.reshape(2, -1).T
    # neighbours agree on their common side up to roundoff
    grid = np.round(flat / (1e-9 * np.ptp(flat))).astype(np.int64)
    _, first, numbers = np.unique(grid, axis=0, return_index=True, return_inverse=True)
    numbers = numbers.reshape(places.shape[1:])
    cells = mesh.f2t[0]
    local = np.argmax(mesh.t2f[:, cells] == np.arange(len(cells)), axis=0)
    sides = numbers[cells[:, None], edges[local]]
    return PlotMesh(
        flat[first],
        numbers[:, pieces].reshape(-1, 3),
        sides,
        sides[mesh.boundary_facets()],
        mesh.nelements,
    )


def cut(corners: IntArray, facets: list[list[int]], parts: int) -> tuple[Array, IntArray, IntArray]:
    """A reference cell with its sides in `parts`: nodes "2 n", triangles "m 3", and the nodes
    along every facet "f k"."""
    full = len(corners) == 4
    steps = [(i, j) for j in range(parts + 1) for i in range(parts + 1) if full or i + j <= parts]
    number = {step: k for k, step in enumerate(steps)}
    halves = [
        half
        for i, j in steps
        for half in (((i, j), (i + 1, j), (i, j + 1)), ((i + 1, j), (i + 1, j + 1), (i, j + 1)))
    ]
    pieces = [
        [number[step] for step in half] for half in halves if all(step in number for step in half)
    ]
    chains = [
        [(parts - k) * corners[a] + k * corners[b] for k in range(parts + 1)] for a, b in facets
    ]
    edges = [[number[tuple(step.tolist())] for step in chain] for chain in chains]
    return np.array(steps).T / parts, np.array(pieces), np.array(edges)
