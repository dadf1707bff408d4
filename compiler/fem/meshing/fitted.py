"""Meshes that fit an interface: no cell reaches across it.

Where a coefficient jumps inside of cells, the error in L2 falls with the first power of h whatever
the element. Here vertices near the level set are moved onto it, and every edge that still crosses
it is cut at its root, with all cells around that edge: the mesh stays conforming. Interfaces with
straight parts are then fitted exactly and lose no order; curved ones by chords, which leaves an
error of order h^2.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import skfem
from numpy.typing import NDArray

Array = NDArray[np.float64]
Level = Callable[[Array], Array]  # points (d, n) -> (n,)

SNAP = 0.3  # of an edge: a vertex nearer to the interface than that is moved onto it
STEPS = 60  # bisections of an edge: to rounding


def fitted(mesh: skfem.Mesh, levels: Sequence[Level]) -> skfem.Mesh:
    """The mesh with the zeros of every level on facets of its cells. Bricks stay as they are; so
    do curved cells."""
    if type(mesh) not in (skfem.MeshLine1, skfem.MeshTri1, skfem.MeshTet1):
        return mesh
    for level in levels:
        mesh = cut(snapped(mesh, level), level)
    return mesh


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


def edges_of(mesh: skfem.Mesh) -> NDArray[np.int64]:
    """Every edge once. Shapes: "2 m"."""
    corners = range(mesh.t.shape[0])
    pairs = np.hstack([np.sort(mesh.t[[i, j]], axis=0) for i in corners for j in corners if i < j])
    return np.unique(pairs, axis=1)


def crossings(
    points: Array, edges: NDArray[np.int64], level: Level
) -> tuple[NDArray[np.int64], Array]:
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


def volumes(points: Array, cells: NDArray[np.int64]) -> Array:
    """Signed lengths, areas or volumes, up to a factor."""
    edges = points[:, cells[1:]] - points[:, cells[:1]]
    return np.linalg.det(edges.transpose(2, 0, 1))
