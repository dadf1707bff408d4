"""Cells with curved sides, so that an element of degree k keeps its order k + 1 on a curved domain.

On a polygon through the boundary the error of the domain alone is O(h^2), whatever the element.
Here the cells that touch a curved boundary become isoparametric of the element's degree: their
boundary nodes lie on the true curve.

Source: M. Lenoir, Optimal isoparametric finite elements and error estimates for domains involving
curved boundaries, SIAM J. Numer. Anal. 23 (1986).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import skfem
from numpy.typing import NDArray
from skfem import CellBasis, MeshTri2
from skfem.mapping import MappingIsoparametric

from compiler.arrays import Array
from compiler.fem.errors import SolverError
from compiler.fem.meshing.elements import ElementLineP3, cell_of, lagrange

# facets, and the map of points (d, m) near their true boundary onto it
Piece = tuple[NDArray[np.integer], Callable[[Array], Array]]


class ThirdOrderMapping(MappingIsoparametric):
    """scikit-fem's map for cells with sides of third order; its own keeps one node a side."""

    def bndmap(self, i, X, find=None):
        return self._along(X, find, lambda basis: basis[0], i)

    def bndJ(self, i, j, X, find=None):
        return self._along(X, find, lambda basis: basis[1][j], i)

    def _along(self, X, find, part, i):
        nodes = np.vstack((self.mesh.facets, self.mesh.dofs.facet_dofs))
        nodes = nodes if find is None else nodes[:, find]
        return sum(
            self.mesh.doflocs[i, node][:, None] * part(self.bndelem.lbasis(X, k))
            for k, node in enumerate(nodes)
        )


@dataclass(repr=False)
class MeshTri3(MeshTri2):
    """A triangular mesh with cubic sides."""

    elem: type[skfem.Element] = skfem.ElementTriP3

    def _mapping(self):
        if not hasattr(self, "_cached_mapping"):
            self._cached_mapping = ThirdOrderMapping(self, self.elem(), ElementLineP3())
        return self._cached_mapping


CURVED = {
    ("triangle", 2): skfem.MeshTri2,
    ("triangle", 3): MeshTri3,
    ("tetrahedron", 2): skfem.MeshTet2,
}


def curve(mesh: skfem.Mesh, degree: int, pieces: Sequence[Piece]) -> skfem.Mesh:
    """The mesh with the facets of each piece laid on the true boundary."""
    pieces = [piece for piece in pieces if len(piece[0])]
    cell = cell_of(mesh)
    if degree == 1 or mesh.dim() == 1 or not pieces:
        return mesh
    if (cell, degree) not in CURVED:
        raise SolverError(f"no curved {cell} of degree {degree}; use degree {degree - 1}")
    plain = CellBasis(mesh, lagrange(cell, degree), intorder=1)
    nodes = plain.doflocs.copy()
    for facets, onto in pieces:
        moved = np.unique(facet_nodes(mesh, plain, facets))
        nodes[:, moved] = onto(nodes[:, moved])
    if degree == 3:
        nodes[:, plain.dofs.interior_dofs[0]] = centroids(plain, nodes)
    return CURVED[cell, degree](nodes, mesh.t)


def facet_nodes(
    mesh: skfem.Mesh, basis: CellBasis, facets: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Numbers of the nodes inside the facets and their edges (vertices are on the boundary
    already)."""
    parts = [basis.dofs.facet_dofs[:, facets].ravel()] if basis.elem.facet_dofs else []
    if mesh.dim() == 3:
        parts.append(basis.dofs.edge_dofs[:, np.unique(mesh.f2e[:, facets])].ravel())
    return np.concatenate(parts)


def centroids(basis: CellBasis, nodes: Array) -> Array:
    """Centre nodes of cubic triangles, moved with their curved side.

    A side displaced by d(s) = 4 s (1 - s) c, so by 8/9 c at its two nodes, is carried into the cell
    as 4 l_i l_j c: 4/9 c at the centroid, a quarter of the sum of the two. Then the map differs
    from the affine one by O(h^2) with one derivative order gained each, as Lenoir's estimate asks.
    """
    shift = nodes - basis.doflocs
    sides = shift[:, basis.dofs.element_dofs[3:9]].sum(axis=1) / 4
    return basis.doflocs[:, basis.dofs.interior_dofs[0]] + sides
