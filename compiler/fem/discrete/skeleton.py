"""Quadrature on the facets between cells, and on those of the outside, for energies of second
derivatives (see `forms/curvature.py`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import skfem

from compiler.arrays import Array, IntArray
from compiler.fem.discrete.hessians import hessian
from compiler.fem.errors import SolverError
from compiler.fem.meshing.elements import in_cells

INSIDE = 1e-9  # of the way to the middle of a cell, where its side of a jump is asked for


@dataclass(frozen=True)
class Facets:
    """Facets with the cells on both sides, the vertices in matching order: those inside of a mesh,
    and the pairs of its periodic sides.

    Shapes: facets and cells "2 f", corners "2 v f".
    """

    mesh: skfem.Mesh
    facets: IntArray
    cells: IntArray
    corners: IntArray
    order: int

    @cached_property
    def places(self) -> tuple[Array, Array]:
        """The quadrature points in the reference coordinates of either cell, "d f q" each."""
        return tuple(  # type: ignore[return-value]
            in_cells(self.mesh, cells, corners, self.order)
            for cells, corners in zip(self.cells, self.corners, strict=True)
        )

    @cached_property
    def normals(self) -> Array:
        """Out of the first cell. Shapes: "d f q"."""
        mesh = self.mesh
        return np.asarray(
            mesh.mapping().normals(self.places[0], self.cells[0], self.facets[0], mesh.t2f)
        )

    @cached_property
    def weights(self) -> Array:
        """Shapes: "f q"."""
        at, weights = skfem.quadrature.get_quadrature(self.mesh.brefdom, self.order)
        return np.abs(self.mesh.mapping().detDG(at, find=self.facets[0])) * weights

    def points(self, side: int) -> Array:
        """Where coefficients are asked, on one side. Shapes: "d f q"."""
        reference = self.mesh.elem.refdom.p
        middle = reference.mean(axis=1)[:, None, None]
        place = self.places[side]
        return np.asarray(
            self.mesh.mapping().F(place + INSIDE * (middle - place), tind=self.cells[side])
        )

    def jets(self, element: skfem.Element, side: int, count: int) -> Array:
        """Values, gradients and second derivatives of the basis functions of both cells, seen from
        a side, and last the jumps of their normal derivatives. Shapes: -> "slots 2a f q"."""
        mapping, columns = self.mesh.mapping(), []
        for other, sign in ((0, 1.0), (1, -1.0)):
            place, cells = self.places[other], self.cells[other]
            for k in range(count):
                phi = element.gbasis(mapping, place, k, tind=cells)[0]
                slopes = np.broadcast_to(phi.grad, (len(place), *self.weights.shape))
                kink = sign * np.einsum("deq,deq->eq", slopes, self.normals)
                bent = hessian(element, mapping, place, k, cells)
                here = np.concatenate(
                    [np.broadcast_to(np.asarray(phi), self.weights.shape)[None], slopes, bent]
                )
                columns.append(np.concatenate([here * (other == side), kink[None]]))
        return np.stack(columns, axis=1)


def between(mesh: skfem.Mesh, periodic: Sequence[int], order: int) -> Facets:
    """All facets between cells; `periodic`: axes along which the mesh repeats.

    Raises: SolverError where the facets of periodic sides do not match.
    """
    inner = np.flatnonzero(mesh.f2t[1] >= 0)
    facets, corners = [np.stack([inner, inner])], [np.stack([mesh.facets[:, inner]] * 2)]
    cells = [mesh.f2t[:, inner]]
    for axis in periodic:
        low, high = (
            np.flatnonzero(
                np.all(np.abs(mesh.p[axis, mesh.facets] - end) < 1e-9 * np.ptp(mesh.p), axis=0)
            )
            for end in (mesh.p[axis].min(), mesh.p[axis].max())
        )
        pair = matching(mesh, low, high, axis)
        facets.append(np.stack([low, pair[0]]))
        corners.append(np.stack([mesh.facets[:, low], pair[1]]))
        cells.append(np.stack([mesh.f2t[0, low], mesh.f2t[0, pair[0]]]))
    return Facets(
        mesh,
        np.concatenate(facets, axis=1),
        np.concatenate(cells, axis=1),
        np.concatenate(corners, axis=2),
        order,
    )


def matching(
    mesh: skfem.Mesh, low: IntArray, high: IntArray, axis: int
) -> tuple[IntArray, IntArray]:
    """For every facet of a side the one opposite, and its vertices in the same order. Shapes: low
    "f" -> "f", "v f"."""
    across = np.delete(np.arange(mesh.dim()), axis)
    unit = 1e-7 * np.ptp(mesh.p)
    key = {
        tuple(np.round(mesh.p[across, v] / unit).astype(np.int64)): v
        for v in np.unique(mesh.facets[:, high])
    }
    try:
        corners = np.array(
            [
                [key[tuple(np.round(mesh.p[across, v] / unit).astype(np.int64))] for v in row]
                for row in mesh.facets[:, low]
            ]
        )
        owner = {
            tuple(sorted(vertices)): f
            for f, vertices in zip(high, mesh.facets[:, high].T, strict=True)
        }
        return np.array([owner[tuple(sorted(each))] for each in corners.T]), corners
    except KeyError as missing:
        raise SolverError(
            "the vertices of the periodic sides do not match, which an energy of second derivatives"
            " needs"
        ) from missing


def penalty(mesh: skfem.Mesh, degree: int, cells: IntArray, weights: Array, sizes: Array) -> Array:
    """`2 (d + 1) c |F| / |K|` of each facet and one of its cells, see `forms/curvature.py`. sizes:
    of all cells.  Shapes: weights "f q", sizes "e" -> "f 1"."""
    dim, below = mesh.dim(), degree - 2
    if mesh.t.shape[0] == dim + 1:
        constant = (below + 1) * (below + dim) / dim
    else:
        constant = (degree + 1) ** 2
    count = mesh.t2f.shape[0]
    return (2 * count * constant * weights.sum(axis=1) / sizes[cells])[:, None]
