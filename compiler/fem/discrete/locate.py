"""Points -> cells and reference coordinates, straight and curved cells alike.

Among the cells with the nearest centroids, the one in whose straight version a point lies deepest
is chosen; for curved meshes the true maps of the best few are inverted by Newton's method. A point
outside all cells, between a curved boundary and its mesh say, is given to the cell that it misses
least; there the polynomial is continued.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, reduce

import numpy as np
import skfem
from scipy.spatial import cKDTree

from compiler.arrays import Array, IntArray

TRIES = 6  # cells whose true maps are inverted for one point: a curved cell's neighbours


@dataclass(frozen=True)
class Located:
    """Shapes: cells "n", reference "d n", depth "n" (distance to the cell's sides in reference
    coordinates, negative outside)."""

    cells: IntArray
    reference: Array
    depth: Array


def overwrite(found: Located, where: IntArray, other: Located) -> None:
    """Take over the points of `other` that lie deeper there."""
    better = other.depth > found.depth[where]
    for old, new in (
        (found.cells, other.cells),
        (found.depth, other.depth),
        (found.reference.T, other.reference.T),
    ):
        old[where[better]] = new[better]


@dataclass(frozen=True)
class Locator:
    """Point location in one mesh, or among some of its cells; search structures are made on first
    use."""

    mesh: skfem.Mesh
    cells: IntArray | None = None

    @cached_property
    def tree(self) -> cKDTree:
        """A search tree of the middles of the cells."""
        return cKDTree(self.mesh.p[:, self.mesh.t[:, self.chosen]].mean(axis=1).T)

    @cached_property
    def chosen(self) -> IntArray:
        """The numbers of the cells that are searched: all, where none are named. Shapes: "e"."""
        return np.arange(self.mesh.nelements) if self.cells is None else self.cells

    @cached_property
    def straight(self) -> tuple[Array, Array]:
        """Origin "e d" and inverse matrix "e d d" of each cell's affine part, from the vertices
        at 0 and on the axes."""
        corners = self.mesh.elem.refdom.p  # "d vertices"
        on_axis = [
            int(np.flatnonzero((corners == unit[:, None]).all(axis=0))[0])
            for unit in np.eye(self.mesh.dim())
        ]
        origin = self.mesh.p[:, self.mesh.t[0]]
        # "d e d"
        edges = np.stack([self.mesh.p[:, self.mesh.t[k]] - origin for k in on_axis], axis=-1)
        return origin.T, np.linalg.inv(edges.transpose(1, 0, 2))

    @property
    def simplicial(self) -> bool:
        """Whether the cells are simplices: intervals, triangles, tetrahedra."""
        return self.mesh.t.shape[0] == self.mesh.dim() + 1

    def __call__(self, points: Array) -> Located:
        """Shapes: points "d n"."""
        near = min(8 if self.mesh.dim() < 3 else 24, self.chosen.size)
        found = self.among(points, near)
        missed = np.flatnonzero(found.depth < -1e-9)
        if missed.size == 0 or near == self.chosen.size:
            return found
        again = self.among(points[:, missed], min(12 * near, self.chosen.size))
        overwrite(found, missed, again)
        return found

    def among(self, points: Array, near: int) -> Located:
        """The best of the `near` nearest cells."""
        _, candidates = self.tree.query(points.T, k=near)
        candidates = self.chosen[candidates.reshape(points.shape[1], near)]  # n k
        origin, inverse = self.straight
        # n k d: reference coordinates of n points in k straight cells
        guesses = np.einsum(
            "nkij,nkj->nki", inverse[candidates], points.T[:, None] - origin[candidates]
        )
        depths = self.depth(guesses)
        rows, deepest = np.arange(points.shape[1]), depths.argmax(axis=1)
        best = self.exact(points, candidates[rows, deepest], guesses[rows, deepest])
        if self.mesh.affine and self.simplicial:
            return best
        for rank in range(1, min(TRIES, near)):
            doubtful = np.flatnonzero(best.depth < -1e-9)
            if doubtful.size == 0:
                break
            chosen = np.argsort(-depths[doubtful], axis=1, kind="stable")[:, rank]
            overwrite(
                best,
                doubtful,
                self.exact(
                    points[:, doubtful], candidates[doubtful, chosen], guesses[doubtful, chosen]
                ),
            )
        return best

    def exact(self, points: Array, cells: IntArray, guess: Array) -> Located:
        """Reference coordinates by the true map, from those of the straight cell.  Shapes: guess
        "n d"."""
        place = np.ascontiguousarray(guess.T)
        if not (self.mesh.affine and self.simplicial):
            mapping = self.mesh.mapping()
            open_ = np.arange(cells.size)
            for _ in range(12):
                here = place[:, open_, None]
                defect = points[:, open_, None] - mapping.F(here, tind=cells[open_])
                # a Newton step of each point, q = 1
                step = np.einsum("ijnq,jnq->in", mapping.invDF(here, tind=cells[open_]), defect)
                # a far cell needs no accuracy, only a sign
                place[:, open_] = np.clip(place[:, open_] + step, -3, 4)
                open_ = open_[np.abs(step).max(axis=0) > 1e-12]
                if open_.size == 0:
                    break
        return Located(cells.copy(), place, self.depth(place.T))

    def depth(self, place: Array) -> Array:
        """Shapes: place "... d" -> "..."."""
        # an axis at a time: NumPy reduces an axis of two or three numbers ten times as slowly
        axes = [place[..., k] for k in range(place.shape[-1])]
        far = 1 - sum(axes) if self.simplicial else reduce(np.minimum, [1 - each for each in axes])
        return np.minimum(reduce(np.minimum, axes), far)
