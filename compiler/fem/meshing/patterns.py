"""Structured meshes of the unit shapes, any number of divisions: the mapped meshes are their
images."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import skfem

from compiler.fem.errors import SolverError


def bricks(
    lower: Sequence[float], upper: Sequence[float], divisions: Sequence[int], cell: str = "simplex"
) -> skfem.Mesh:
    """An interval, rectangle or box in equal parts; `cell` is "simplex" or "brick"."""
    axes = [np.linspace(a, b, n + 1) for a, b, n in zip(lower, upper, divisions, strict=True)]
    if cell not in ("simplex", "brick"):
        raise SolverError(f"cell is 'simplex' or 'brick', not {cell!r}")
    if len(axes) == 1:
        return skfem.MeshLine(axes[0])
    if len(axes) == 2:
        return (
            skfem.MeshQuad.init_tensor(*axes)
            if cell == "brick"
            else halved(skfem.MeshQuad.init_tensor(*axes))
        )
    return skfem.MeshHex.init_tensor(*axes) if cell == "brick" else skfem.MeshTet.init_tensor(*axes)


def segments(intervals: Sequence[tuple[float, float]], resolution: int) -> skfem.Mesh:
    """Intervals from left to right, `resolution` cells on the whole extent, at least one in
    each."""
    longest = intervals[-1][1] - intervals[0][0]
    axes = [
        np.linspace(a, b, max(1, math.ceil(resolution * (b - a) / longest - 1e-9)) + 1)
        for a, b in intervals
    ]
    first = np.cumsum([0, *(len(axis) for axis in axes[:-1])])
    cells = np.concatenate(
        [start + np.arange(len(axis) - 1) for start, axis in zip(first, axes, strict=True)]
    )
    return skfem.MeshLine(np.concatenate(axes)[None], np.array([cells, cells + 1]))


def halved(quads: skfem.MeshQuad) -> skfem.MeshTri:
    """Each rectangle cut along the diagonal that points away from the centre.

    Then no triangle has two sides on the boundary, and every triangle a vertex inside: what
    Taylor-Hood needs at the corners, and a mesh that is its own mirror image.
    """
    middle = (quads.p.max(axis=1) + quads.p.min(axis=1)) / 2
    offset = quads.p[:, quads.t].mean(axis=1) - middle[:, None]
    rising = (offset[0] * offset[1]) >= 0
    # lower left corner, the same in every rectangle
    first = int(np.argmin(quads.p[:, quads.t[:, 0]].sum(axis=0)))
    a, b, c, d = (quads.t[(first + k) % 4] for k in range(4))
    one = np.where(rising, [a, b, c], [a, b, d])
    two = np.where(rising, [a, c, d], [b, c, d])
    return skfem.MeshTri(quads.p, np.hstack((one, two)))


def rings(count: int) -> skfem.MeshTri:
    """The unit disk as `count` rings of triangles around its centre, 6 k vertices on ring k: 6
    count^2 triangles of nearly one size."""
    points = [np.zeros((2, 1))]
    for k in range(1, count + 1):
        angle = 2 * np.pi * np.arange(6 * k) / (6 * k)
        points.append(k / count * np.array([np.cos(angle), np.sin(angle)]))
    triangles: list[tuple[int, int, int]] = []
    for k in range(1, count + 1):
        inner, outer = start_of(k - 1), start_of(k)
        for sector in range(6):
            for j in range(k):
                a, b = outer + sector * k + j, outer + (sector * k + j + 1) % (6 * k)
                c = inner + (sector * (k - 1) + j) % max(6 * (k - 1), 1)
                triangles.append((a, b, c))
                if j < k - 1:
                    triangles.append((b, c, inner + (sector * (k - 1) + j + 1) % (6 * (k - 1))))
    return skfem.MeshTri(np.hstack(points), np.ascontiguousarray(np.array(triangles).T))


def start_of(ring: int) -> int:
    """Number of the first vertex of a ring."""
    return 0 if ring == 0 else 1 + 3 * ring * (ring - 1)


def octants(count: int) -> skfem.MeshTet:
    """The unit ball as the image of the octahedron |x| + |y| + |z| <= 1, its eight corners cut into
    count^3 tetrahedra each.

    The corner is the ordered simplex {0 <= s1 <= s2 <= s3 <= count}, cut as Kuhn cuts cubes, under
    x = (s1, s2 - s1, s3 - s2). The image is x -> x |x|_1 / |x|_2.
    """
    paths = np.array([[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]])
    steps = np.zeros((6, 4, 3), dtype=int)
    for row, path in enumerate(paths):
        for k, axis in enumerate(path):
            steps[row, k + 1 :, axis] += 1
    cubes = np.stack(np.meshgrid(*[np.arange(count)] * 3, indexing="ij"), axis=-1).reshape(
        -1, 1, 1, 3
    )
    tets = (cubes + steps).reshape(-1, 4, 3)
    tets = tets[np.all(np.diff(tets, axis=2) >= 0, axis=(1, 2))]
    # integer barycentric-like coordinates, sum <= count
    corner = np.concatenate((tets[..., :1], np.diff(tets, axis=2)), axis=2)
    signs = np.array([[i, j, k] for i in (1, -1) for j in (1, -1) for k in (1, -1)])
    every = (corner[None] * signs[:, None, None]).reshape(-1, 3)
    unique, number = np.unique(every, axis=0, return_inverse=True)
    points = np.ascontiguousarray(unique.T) / count
    length = np.maximum(np.linalg.norm(points, axis=0), 1e-300)
    return skfem.MeshTet(
        points * np.abs(points).sum(axis=0) / length, np.ascontiguousarray(number.reshape(-1, 4).T)
    )
