"""Boundaries of the language -> facets of a mesh."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np
import skfem
import torch
from numpy.typing import NDArray

from compiler.arrays import IntArray
from compiler.fem.errors import SolverError
from compiler.fem.meshing.bodies import (
    Array,
    Values,
    geometry_of,
    onto,
    owners,
)
from compiler.fem.meshing.curved import curve
from compiler.geometry.shapes import Piece
from compiler.geometry.shapes.piece import whole
from compiler.geometry.shapes.portion import Portion
from pdespec.geometry import Boundary, Domain, meshes


def facets_of(
    boundary: Boundary,
    mesh: skfem.Mesh,
    values: Values,
    labels: Mapping[str, IntArray] | None = None,
    whole: Domain | None = None,
    parts: Mapping[Domain, NDArray[np.bool_]] | None = None,
) -> IntArray:
    """The facets of a boundary, in increasing order. `labels` are named facets of a mesh file,
    which win. `whole`: what the mesh fills, where the boundary is that of a part of it. `parts`:
    the cells of the domains that unknowns live on, where there are several.

    Raises: SolverError for a boundary without facets.
    """
    if labels and boundary.name in labels:
        return np.sort(labels[boundary.name])
    found = (
        select(boundary, mesh, values, whole)
        if not parts
        else of_part(boundary, mesh, values, parts)
    )
    if found.size == 0:
        raise SolverError(
            f"the boundary {boundary.name} has no facet on the mesh of {boundary.domain.name}"
        )
    return found


def of_part(
    boundary: Boundary,
    mesh: skfem.Mesh,
    values: Values,
    parts: Mapping[Domain, NDArray[np.bool_]],
) -> IntArray:
    """The facets of a boundary of one of several domains: what two of them share is where cells of
    both meet."""
    every = boundary_facets(boundary.domain, mesh, parts, axis=boundary.kind == "side")
    if boundary.kind == "interface":
        return np.intersect1d(every, boundary_facets(boundary.others[0].domain, mesh, parts))
    if boundary.kind == "rest" and not boundary.where:
        taken = [of_part(other, mesh, values, parts) for other in boundary.others]
        return np.setdiff1d(every, np.concatenate([np.zeros(0, dtype=np.int64), *taken]))
    return chosen(boundary, mesh, values, every)


def boundary_facets(
    domain: Domain, mesh: skfem.Mesh, parts: Mapping[Domain, NDArray[np.bool_]], axis: bool = False
) -> IntArray:
    """The facets around the cells of one of several domains; the axis of a body of revolution is
    none, unless asked for."""
    cells = parts.get(domain)
    if cells is None:
        return outside(domain, mesh, axis)
    sides = np.where(mesh.f2t >= 0, cells[mesh.f2t], False)
    every = np.flatnonzero(sides.sum(axis=0) == 1)
    return every if axis else off_axis(domain, mesh, every)


def select(
    boundary: Boundary, mesh: skfem.Mesh, values: Values, whole: Domain | None = None
) -> IntArray:
    """Facets whose middles lie on pieces that the boundary consists of, or nearly."""
    every = outside(boundary, mesh, axis=boundary.kind == "side")
    if whole is not None and boundary.domain != whole:
        middles = mesh.p[:, mesh.t[:, mesh.f2t[0, every]]].mean(axis=1)
        every = every[within(boundary.domain, values, middles)]
    return chosen(boundary, mesh, values, every)


def chosen(boundary: Boundary, mesh: skfem.Mesh, values: Values, every: IntArray) -> IntArray:
    """Those of some facets whose middles lie on pieces that the boundary consists of, or nearly."""
    if boundary.kind == "all" and not boundary.where:
        return every
    middles = mesh.p[:, mesh.facets[:, every]].mean(axis=1)
    geometry = geometry_of(boundary.domain, values)
    pieces = geometry.body.pieces()
    owner = owners(pieces, middles)
    taken = np.zeros(every.size, dtype=bool)
    for k in np.unique(owner):
        there = owner == k
        portion = geometry.portion(boundary, pieces[k])
        if portion is not None:
            at = torch.as_tensor(np.ascontiguousarray(middles[:, there].T))[None]
            taken[there] = True if portion.inside is None else _within(pieces[k], portion, at)
    return every[taken]


def within(domain: Domain, values: Values, points: Array, margin: float = 0.0) -> Array:
    """Which points lie in a domain, or no farther outside than the margin. Shapes: "d n" -> "n"."""
    at = torch.as_tensor(np.ascontiguousarray(points.T))[None]
    return (geometry_of(domain, values).body.distance(at)[0] <= margin).numpy()


def _within(piece: Piece, portion: Portion, at: torch.Tensor) -> NDArray[np.bool_]:
    """Which points of a piece lie in a portion of it; of a mesh file, in the facets of the file
    that belong to it."""
    if portion.inside is None or whole(piece).select is None:
        return (
            (portion.inside(at)[0] > 0).numpy()
            if portion.inside is not None
            else np.ones(at.shape[1], dtype=bool)
        )
    inside = portion.inside
    other = Portion(portion.carriers, lambda x: -inside(x))
    return (portion.of(piece).carrier(at)[0].abs() <= other.of(piece).carrier(at)[0].abs()).numpy()


def aligned(
    mesh: skfem.Mesh, regions: Iterable[Boundary | Domain], values: Values, degree: int
) -> skfem.Mesh:
    """The mesh with vertices at the ends of parts of sides: in the plane, the nearest vertex on the
    same piece is moved there; where the piece has none to move, its facet there is cut in two.

    In space, and of mesh files, facets belong to a part by their middles.
    """
    partial = [
        region for region in regions if isinstance(region, Boundary) and takes_a_part(region)
    ]
    if mesh.dim() != 2 or not partial or meshes(partial[0].domain.shape):
        return mesh
    geometry = geometry_of(partial[0].domain, values)
    pieces, facets = geometry.body.pieces(), mesh.boundary_facets()
    owner = owners(pieces, mesh.p[:, mesh.facets[:, facets]].mean(axis=1))
    points = mesh.p.copy()
    for k, piece in enumerate(pieces):
        vertices, counts = np.unique(mesh.facets[:, facets[owner == k]], return_counts=True)
        free, fixed = vertices[counts == 2], mesh.p[:, vertices[counts != 2]]
        for portion in (geometry.portion(region, piece) for region in partial):
            for end in (
                ends_of(portion.of(piece))
                if portion is not None and portion.inside is not None
                else ()
            ):
                if np.any(np.linalg.norm(fixed - end[:, None], axis=0) < 1e-9 * np.ptp(mesh.p)):
                    continue
                if not free.size:
                    return aligned(cut(mesh, facets[owner == k], end), partial, values, degree)
                nearest = free[np.argmin(np.linalg.norm(points[:, free] - end[:, None], axis=0))]
                points[:, nearest] = end
                free, fixed = free[free != nearest], np.column_stack((fixed, end))
    ways = [onto(piece) for piece in pieces]
    flat = (
        skfem.MeshQuad(points, mesh.t)
        if isinstance(mesh, skfem.MeshQuad)
        else skfem.MeshTri(points, mesh.t)
    )
    return curve(
        flat, degree, [(facets[owner == k], way) for k, way in enumerate(ways) if way is not None]
    )


def cut(mesh: skfem.Mesh, facets: IntArray, end: Array) -> skfem.MeshTri:
    """A mesh of triangles with a vertex more, at a point of one of the boundary facets: the
    triangle there is divided into two.

    Raises: SolverError for quadrilaterals, which cannot be divided so.
    """
    if not isinstance(mesh, skfem.MeshTri):
        raise SolverError(
            f"a part of the boundary ends at {tuple(np.round(end, 6).tolist())}, where the mesh has"
            " no vertex to move; take more cells, or simplices"
        )
    start, stop = mesh.p[:, mesh.facets[:, facets]].transpose(1, 0, 2)
    along = np.clip(
        ((end[:, None] - start) * (stop - start)).sum(0) / ((stop - start) ** 2).sum(0), 0, 1
    )
    away = np.linalg.norm(start + along * (stop - start) - end[:, None], axis=0)
    facet = facets[np.argmin(away)]
    cell, (a, b), new = mesh.f2t[0, facet], mesh.facets[:, facet], mesh.p.shape[1]
    corners = mesh.t[:, cell]
    halves = [np.where(corners == old, new, corners) for old in (a, b)]
    cells = np.column_stack((np.delete(mesh.t, cell, axis=1), *halves))
    return skfem.MeshTri(np.column_stack((mesh.p, end)), cells)


def ends_of(piece: Piece) -> Array:
    """The ends of the stretches of a plane piece in one sample. Shapes: "k 2"."""
    start, end = piece.kept
    held = (end > start)[0]
    ends = torch.cat([whole(piece).at(each[:, held])[0][0] for each in (start, end)])
    return ends.detach().numpy()


def takes_a_part(boundary: Boundary) -> bool:
    """Whether a boundary may take a part of a side."""
    return bool(boundary.where) or any(map(takes_a_part, boundary.others))


def outside(boundary: Boundary | Domain, mesh: skfem.Mesh, axis: bool = False) -> IntArray:
    """Boundary facets that are not periodic; the axis of a body of revolution
    is none, unless asked for."""
    every = mesh.boundary_facets()
    for name in boundary.domain.periodic:
        place = [x.name for x in boundary.coordinates].index(name)
        ends = mesh.p[place].min(), mesh.p[place].max()
        along = mesh.p[place][mesh.facets[:, every]]
        periodic = np.any(
            [np.abs(along - end).max(axis=0) <= 1e-9 * (ends[1] - ends[0]) for end in ends], axis=0
        )
        every = every[~periodic]
    return every if axis else off_axis(boundary, mesh, every)


def off_axis(region: Boundary | Domain, mesh: skfem.Mesh, facets: IntArray) -> IntArray:
    """Facets without those on the axis of a body of revolution, or in the centre of a ball."""
    if not region.coordinates[0].system:
        return facets
    away = np.abs(mesh.p[0][mesh.facets[:, facets]]).max(axis=0) > 1e-9 * np.ptp(mesh.p[0])
    return facets[away]
