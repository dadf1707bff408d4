"""Boundaries of the language -> facets of a mesh."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import skfem
from numpy.typing import NDArray

from pdespec.geometry import Boundary, Domain

from .failure import SolverError
from .levels import leaves, nearest_leaf
from .mesh import Values, number

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
    every = outside(boundary, mesh)
    if boundary.kind == "all":
        return every
    if boundary.kind == "side":
        axis = [x.name for x in boundary.coordinates].index(boundary.coordinate)
        scale = float(np.ptp(mesh.p[axis]))
        there = np.abs(mesh.p[axis][mesh.facets[:, every]] - number(boundary.value, values)).max(axis=0) <= 1e-9 * scale
        return every[there]
    if boundary.kind == "rest":
        others = np.concatenate([select(other, mesh, values) for other in boundary.others])
        return np.setdiff1d(every, others)
    middles = mesh.p[:, mesh.facets[:, every]].mean(axis=1)
    tree = leaves(boundary.domain.shape, values)
    owner = nearest_leaf(tree, middles)
    if boundary.kind in ("inner", "outer"):
        hole = np.array([leaf.hole for leaf in tree])[owner]
        return every[hole if boundary.kind == "inner" else ~hole]
    if boundary.kind == "of":
        part = {id(leaf) for leaf in tree if boundary.part in leaf.within}
        return every[np.array([id(tree[k]) in part for k in owner], dtype=bool)]
    raise SolverError(f"no rule for a boundary of kind {boundary.kind!r}")


def outside(boundary: Boundary | Domain, mesh: skfem.Mesh) -> Numbers:
    """Boundary facets that are not glued to an opposite side."""
    every = mesh.boundary_facets()
    for name in boundary.domain.periodic:
        axis = [x.name for x in boundary.coordinates].index(name)
        ends = mesh.p[axis].min(), mesh.p[axis].max()
        along = mesh.p[axis][mesh.facets[:, every]]
        glued = np.any([np.abs(along - end).max(axis=0) <= 1e-9 * (ends[1] - ends[0]) for end in ends], axis=0)
        every = every[~glued]
    return every
