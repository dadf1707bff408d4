"""Collocation points that are the nodes of a quadrature on the finite-element mesh of a region.

The mesh is the one the reference solver would take, with curved cells, and as fine as the count of
points allows; its rule is exact for polynomials of degree `ORDER` on flat cells, so that the error
of a smooth integral falls as the spacing to the power 4. Nodes of a boundary are moved onto it.
Nodes are the same at every call: a network may fit them and be wrong between them, which fresh
points forbid.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import skfem
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.data.samples import DrawnSamples
from compiler.fem.discrete.coefficients import Coefficients
from compiler.fem.meshing.bodies import geometry_of, on_pieces
from compiler.fem.meshing.elements import cell_of, facet_basis, lagrange
from compiler.fem.meshing.facets import aligned, facets_of
from compiler.fem.meshing.mesh import mesh_domain
from compiler.geometry.shapes.meshfile import contents
from pdespec.errors import fail
from pdespec.geometry import Boundary, Region, shape_symbols

ORDER = 2  # of the rule: three nodes a triangle, four a tetrahedron, two a side
DEGREE = 2  # of the curved cells
TRIAL = 4  # resolution of the mesh that tells how many nodes finer ones will have
KEPT = 128  # meshes remembered: a geometry that is the same in all samples is meshed once


def nodes(drawn: DrawnSamples, region: Region, count: int) -> tuple[Tensor, Tensor | None, Tensor]:
    """Points, outward normals where the region is a boundary, and weights of mean one, for every
    sample.

    Where `count` is several times the nodes they are repeated; what is then missing is one node
    with weight zero. Shapes: "b n d", "b n d", "b n". They do not move with a shape that requires
    grad. Raises: ProblemError B01 where the coarsest mesh has more nodes; SolverError where the
    shape cannot be meshed.
    """
    own = shape_symbols(region.domain.shape)
    found = []
    for k in range(drawn.size):
        known = Coefficients(drawn.problem, drawn.map(lambda tensor, k=k: tensor[[k]], 1))
        values = tuple(
            sorted(
                ((s, v) for s, v in known.shape_values.items() if s in own),
                key=lambda pair: pair[0].name,
            )
        )
        found.append(_fitting(region, contents(region.domain.shape), values, count))
    points, normals, weights = (np.stack(parts) for parts in zip(*found, strict=True))
    tensors = [
        torch.as_tensor(part, dtype=drawn.dtype, device=drawn.device)
        for part in (points, normals, weights)
    ]
    return tensors[0], tensors[1] if isinstance(region, Boundary) else None, tensors[2]


@lru_cache(maxsize=KEPT)
def _fitting(region: Region, files: tuple, values: tuple, count: int) -> tuple[Array, Array, Array]:
    """The finest rule of at most `count` nodes that the growth of their number points to, filled
    up to `count`."""
    dim = max(1, region.domain.dim - isinstance(region, Boundary))
    resolution = TRIAL
    points, normals, weights = _rule(region, values, resolution)
    resolution = max(1, int(resolution * (count / len(points)) ** (1 / dim)))
    while True:
        points, normals, weights = _rule(region, values, resolution)
        if len(points) <= count:
            break
        if resolution == 1:
            raise fail(
                "B01",
                f"the coarsest mesh of {region.name} has {len(points)} nodes, {count} points are"
                " asked for",
                f"ask for {len(points)} or more, or take sampling='sobol'",
            )
        resolution = max(
            1, min(resolution - 1, int(resolution * (count / len(points)) ** (1 / dim)))
        )
    copies = count // len(points)  # the two ends of an interval, and each again for other times
    points, normals, weights = (
        np.tile(points, (copies, 1)),
        np.tile(normals, (copies, 1)),
        np.tile(weights, copies),
    )
    missing = [(0, count - len(points))]
    weights = weights * (count / weights.sum())
    return (
        np.pad(points, [*missing, (0, 0)], "edge"),
        np.pad(normals, [*missing, (0, 0)], "edge"),
        np.pad(weights, missing),
    )


def _rule(region: Region, values: tuple, resolution: int) -> tuple[Array, Array, Array]:
    """Shapes: points "n d", normals "n d" (zero inside a domain), weights "n"."""
    mesh = aligned(
        mesh_domain(region.domain, dict(values), resolution, DEGREE), [region], dict(values), DEGREE
    )
    element = lagrange(cell_of(mesh), 1)
    if isinstance(region, Boundary):
        facets = facets_of(region, mesh, dict(values))
        basis = facet_basis(mesh, element, facets, ORDER)
        normals = np.asarray(basis.normals)
    else:
        basis = skfem.CellBasis(mesh, element, intorder=ORDER)
        normals = np.zeros_like(np.asarray(basis.global_coordinates()))
    points, normals = (
        np.asarray(part).reshape(region.domain.dim, -1).T
        for part in (basis.global_coordinates(), normals)
    )
    if isinstance(region, Boundary):
        pieces = geometry_of(region.domain, dict(values)).pieces(region)
        points, normals = (each.T for each in on_pieces(pieces, points.T, normals.T))
    return points, normals, basis.dx.reshape(-1)
