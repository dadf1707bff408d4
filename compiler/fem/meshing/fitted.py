"""Meshes that fit an interface: no cell reaches across it.

Where a coefficient jumps inside of cells, the error in L2 falls with the first power of h whatever
the element. Here vertices near the level set are moved onto it, and every edge that still crosses
it is cut at its root, with all cells around that edge: the mesh stays conforming. Interfaces with
straight parts are then fitted exactly; the sides of cells along curved ones are curved onto them,
as those at a curved boundary are. Where that would fold a cell its sides stay straight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import skfem

from compiler.arrays import Array, IntArray
from compiler.fem.meshing.curved import CURVED, Piece, curve
from compiler.fem.meshing.elements import cell_of

Level = Callable[[Array], Array]  # points (d, n) -> (n,)

SNAP = 0.3  # of an edge: a vertex nearer to the interface than that is moved onto it
STEPS = 60  # bisections of an edge: to rounding
NEAR = 1e-6  # of the size of a cell: a vertex that is no farther from the interface lies on it
THINNEST = 0.2  # of the measure of a cell with straight sides, that is left of it at every point


def fitted(mesh: skfem.Mesh, levels: Sequence[Level]) -> skfem.Mesh:
    """The mesh with the zeros of every level on facets of its cells. Bricks stay as they are; so
    do curved cells."""
    if type(mesh) not in (skfem.MeshLine1, skfem.MeshTri1, skfem.MeshTet1):
        return mesh
    for level in levels:
        mesh = cut(snapped(mesh, level), level)
    return mesh


def curved(
    mesh: skfem.Mesh, degree: int, levels: Sequence[Level], boundary: Sequence[Piece]
) -> skfem.Mesh:
    """A fitted mesh with the sides of its cells on curved interfaces and boundaries, for elements
    of a degree. boundary: its facets with the maps onto what is curved of it."""
    if (cell_of(mesh), degree) not in CURVED or type(mesh) not in (skfem.MeshTri1, skfem.MeshTet1):
        return mesh
    inner = [(on(mesh, level), onto_zero(level)) for level in levels]
    inner = [(np.setdiff1d(facets, mesh.boundary_facets()), way) for facets, way in inner]
    while True:
        made = curve(mesh, degree, [*inner, *boundary])
        folded = thin(mesh, made)
        if not folded.size or not any(len(facets) for facets, _ in inner):
            return made
        around = np.unique(mesh.t2f[:, folded])
        kept = [(np.setdiff1d(facets, around), way) for facets, way in inner]
        if all(len(a) == len(b) for (a, _), (b, _) in zip(kept, inner, strict=True)):
            return made
        inner = kept


def on(mesh: skfem.Mesh, level: Level) -> IntArray:
    """The facets whose vertices all lie on an interface."""
    values, size = level(mesh.p), mesh.param()
    edges = edges_of(mesh)
    lengths = np.linalg.norm(mesh.p[:, edges[0]] - mesh.p[:, edges[1]], axis=0)
    slope = float(np.max(np.abs(values[edges[0]] - values[edges[1]]) / lengths, initial=0.0))
    there = np.abs(values) <= NEAR * slope * size
    return np.flatnonzero(there[mesh.facets].all(axis=0))


def onto_zero(level: Level) -> Callable[[Array], Array]:
    """The map of points near an interface onto it, along the slope of its level, by Newton's method
    with central differences."""

    def moved(points: Array) -> Array:
        step = 1e-6 * float(np.ptp(points, axis=1).max(initial=0.0) or 1.0)
        for _ in range(8):
            slope = np.stack(
                [
                    (level(points + shift[:, None]) - level(points - shift[:, None])) / (2 * step)
                    for shift in step * np.eye(len(points))
                ]
            )
            square = (slope**2).sum(axis=0)
            points = (
                points
                - np.divide(level(points), square, out=np.zeros_like(square), where=square > 0)
                * slope
            )
        return points

    return moved


def thin(straight: skfem.Mesh, mesh: skfem.Mesh) -> IntArray:
    """Cells that their curved sides leave too little of somewhere."""
    if mesh is straight:
        return np.zeros(0, dtype=np.int64)
    corners = mesh.elem.refdom.p
    middles = (corners[:, :, None] + corners[:, None, :]).reshape(len(corners), -1) / 2
    whole = straight.mapping().detDF(middles)
    share = mesh.mapping().detDF(middles) / whole
    return np.flatnonzero(share.min(axis=1) < THINNEST)


def snapped(mesh: skfem.Mesh, level: Level) -> skfem.Mesh:
    """Vertices inside of the domain moved onto the interface along the shortest crossing edge,
    where no cell turns over."""
    edges = edges_of(mesh)
    crossing, roots = crossings(mesh.p, edges, level)
    fixed = np.zeros(mesh.p.shape[1], dtype=bool)
    fixed[mesh.boundary_nodes()] = True
    best: dict[int, tuple[float, Array]] = {}
    for (a, b), root in zip(crossing.T, roots.T, strict=True):
        length = np.linalg.norm(mesh.p[:, a] - mesh.p[:, b])
        for vertex in (a, b):
            share = np.linalg.norm(root - mesh.p[:, vertex]) / length
            if not fixed[vertex] and share < SNAP and share < best.get(vertex, (np.inf, root))[0]:
                best[vertex] = share, root
    points = mesh.p.copy()
    around = [[] for _ in range(points.shape[1])]
    for cell, vertices in enumerate(mesh.t.T):
        for vertex in vertices:
            around[vertex].append(cell)
    for vertex, (_, root) in sorted(best.items(), key=lambda item: item[1][0]):
        before, old = volumes(points, mesh.t[:, around[vertex]]), points[:, vertex].copy()
        points[:, vertex] = root
        after = volumes(points, mesh.t[:, around[vertex]])
        if np.any(after * np.sign(before) < 0.2 * np.abs(before)):
            points[:, vertex] = old
    return type(mesh)(points, mesh.t)


def cut(mesh: skfem.Mesh, level: Level) -> skfem.Mesh:
    """Every edge that crosses the interface split at its root, with the cells around it."""
    crossing, roots = crossings(mesh.p, edges_of(mesh), level)
    if crossing.shape[1] == 0:
        return mesh
    points = [*mesh.p.T]
    cells: dict[int, tuple[int, ...]] = dict(enumerate(map(tuple, mesh.t.T.tolist())))
    around: dict[int, set[int]] = {}
    for number, vertices in cells.items():
        for vertex in vertices:
            around.setdefault(vertex, set()).add(number)
    fresh = len(cells)
    for (a, b), root in zip(crossing.T.tolist(), roots.T, strict=True):
        middle = len(points)
        points.append(root)
        for number in sorted(around[a] & around[b]):
            vertices = cells.pop(number)
            for vertex in vertices:
                around[vertex].discard(number)
            for old in (a, b):
                half = tuple(middle if vertex == old else vertex for vertex in vertices)
                cells[fresh] = half
                for vertex in half:
                    around.setdefault(vertex, set()).add(fresh)
                fresh += 1
    return type(mesh)(
        np.array(points).T.copy(), np.array([cells[k] for k in sorted(cells)]).T.copy()
    )


def edges_of(mesh: skfem.Mesh) -> IntArray:
    """Every edge once. Shapes: "2 m"."""
    corners = range(mesh.t.shape[0])
    pairs = np.hstack([np.sort(mesh.t[[i, j]], axis=0) for i in corners for j in corners if i < j])
    return np.unique(pairs, axis=1)


def crossings(points: Array, edges: IntArray, level: Level) -> tuple[IntArray, Array]:
    """Edges whose ends lie on different sides, neither on the interface, and the roots on them.
    Shapes: "2 m", "d m"."""
    values = level(points)
    lengths = np.linalg.norm(points[:, edges[0]] - points[:, edges[1]], axis=0)
    rise = np.abs(values[edges[0]] - values[edges[1]])
    slope = float(np.max(rise / lengths, initial=0.0))
    side = np.where(np.abs(values) <= 1e-10 * slope * lengths.max(initial=0.0), 0, np.sign(values))
    crossing = edges[:, side[edges[0]] * side[edges[1]] < 0]
    low, high = points[:, crossing[0]], points[:, crossing[1]]
    sign = side[crossing[0]]
    for _ in range(STEPS):
        middle = (low + high) / 2
        ahead = sign * level(middle) > 0
        low, high = np.where(ahead, middle, low), np.where(ahead, high, middle)
    return crossing, (low + high) / 2


def volumes(points: Array, cells: IntArray) -> Array:
    """Signed lengths, areas or volumes, up to a factor."""
    edges = points[:, cells[1:]] - points[:, cells[:1]]
    return np.linalg.det(edges.transpose(2, 0, 1))
