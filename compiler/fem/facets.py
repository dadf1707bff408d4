"""Boundaries of the language -> facets of a mesh."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import skfem
from numpy.typing import NDArray

from pdespec.geometry import Boundary, Domain

from .bodies import Values, geometry_of, owners
from .failure import SolverError

Numbers = NDArray[np.int64]


def facets_of(boundary: Boundary, mesh: skfem.Mesh, values: Values, labels: Mapping[str, Numbers] | None = None) -> Numbers:
    """The facets of a boundary, in increasing order. `labels` are named facets of a mesh file, which win.

    Raises: SolverError for a boundary without facets.
    """
    if labels and boundary.name in labels:
        return np.sort(labels[boundary.name])
    found = select(boundary, mesh, values)
    if found.size == 0:
        raise SolverError(f"the boundary {boundary.name} has no facet on the mesh of {boundary.domain.name}")
    return found


def select(boundary: Boundary, mesh: skfem.Mesh, values: Values) -> Numbers:
    """Facets whose middles lie on pieces that the boundary consists of, or nearly."""
    every = outside(boundary, mesh, axis=boundary.kind == "side")
    if boundary.kind == "all":
        return every
    middles = mesh.p[:, mesh.facets[:, every]].mean(axis=1)
    geometry = geometry_of(boundary.domain, values)
    pieces = geometry.body.pieces()
    owner = owners(pieces, middles)
    chosen = np.array([geometry.selects(boundary, piece) for piece in pieces])
    return every[chosen[owner]]


def outside(boundary: Boundary | Domain, mesh: skfem.Mesh, axis: bool = False) -> Numbers:
    """Boundary facets that are not glued to an opposite side; the axis of a body of revolution is none, unless asked for."""
    every = mesh.boundary_facets()
    for name in boundary.domain.periodic:
        place = [x.name for x in boundary.coordinates].index(name)
        ends = mesh.p[place].min(), mesh.p[place].max()
        along = mesh.p[place][mesh.facets[:, every]]
        glued = np.any([np.abs(along - end).max(axis=0) <= 1e-9 * (ends[1] - ends[0]) for end in ends], axis=0)
        every = every[~glued]
    if boundary.coordinates[0].system and not axis:
        every = every[np.abs(mesh.p[0][mesh.facets[:, every]]).max(axis=0) > 1e-9 * np.ptp(mesh.p[0])]
    return every
