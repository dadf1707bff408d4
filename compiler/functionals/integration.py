"""Integrals over a region of every sample, by one fixed rule: nodes and weights, differentiable in
the params of the shape.

Boundaries are integrated along the parametrisation of their pieces, and domains that are a smooth
map of the unit cube (interval, rectangle, box, disk, ball, ellipse, ellipsoid, star, cylinder, and
what is drawn out of these or laid elsewhere) through that map: by Gauss's rule in cells, and by
equal weights around an angle. For smooth integrands that is right to 1e-6 or better. Other domains
take the nodes of a finite-element mesh, whose error falls as the spacing to the power 4. A density
that jumps costs one order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from compiler.fem.errors import SolverError
from compiler.geometry.domain import Geometry
from compiler.geometry.shapes.parametrise import parametrise, turns
from compiler.geometry.shapes.piece import (
    ACROSS,
    NODES,
    Clipped,
    Piece,
    gauss,
    whole,
)
from pdespec.errors import ProblemError, fail
from pdespec.geometry import Boundary, Region

GAUSS = 4  # nodes of a cell along an axis: exact to degree 7
CELLS = {1: 32, 2: 12, 3: 5}  # cells along an axis of the unit cube, by dimension
TURNS = {2: 128, 3: 64}  # nodes around an angle
SURFACE = 24  # cells along both parameters of a whole surface
ALONG = 128  # nodes along a curve at least
PANEL = 16  # of them on each panel of a curve that is analytic in no parameter, such as a section
MESHED = (4096, 32768, 262144)  # nodes of a mesh at most, the least that its shape allows


@dataclass(frozen=True)
class Rule:
    """`sum_i weights_i f(points_i)` is the integral of f. Shapes: points "b n d", normals "b n d"
    on boundaries, weights "b n".

    Where `edge` is given, the nodes do not follow the shape: the derivative of an integral in the
    params of the shape is that of its value for fixed nodes and, by Reynolds' theorem, the integral
    over the boundary of the density times the speed of the boundary.
    """

    points: Tensor
    normals: Tensor | None
    weights: Tensor
    edge: Rule | None = None

    def integral(self, density: Callable[[Tensor, Tensor | None], Tensor]) -> Tensor:
        """Of a function of points and normals "b n d" to "b n" values. Shapes: -> "b"."""
        found = (self.weights * density(self.points, self.normals)).sum(-1)
        if self.edge is None:
            return found
        at, outward, weights = (
            each.detach() for each in (self.edge.points, self.edge.normals, self.edge.weights)
        )  # type: ignore[union-attr]
        swept = weights * density(at, outward).detach() * (self.edge.points * outward).sum(-1)
        return found + swept.sum(-1) - swept.sum(-1).detach()

    def to(self, dtype: torch.dtype) -> Rule:
        """The rule in another dtype."""
        normals = None if self.normals is None else self.normals.to(dtype)
        return Rule(
            self.points.to(dtype),
            normals,
            self.weights.to(dtype),
            None if self.edge is None else self.edge.to(dtype),
        )


def rule(region: Region, batch) -> Rule:
    """The rule of a region in every sample of a batch, in the batch's precision.

    Raises: ProblemError W02, W03 where nothing is left of a boundary, or a domain can neither be
    mapped nor meshed.
    """
    geometry: Geometry = batch.geometry[region.domain.name]
    exact = geometry.map(lambda value: value.double())
    found = (
        _boundary(exact.pieces(region))
        if isinstance(region, Boundary)
        else _domain(region, exact, batch)
    )
    return found.to(geometry.dtype)


def _domain(region: Region, geometry: Geometry, batch) -> Rule:
    body = geometry.body
    around = TURNS.get(region.dim, 0) if turns(body) else 0
    cube, weights = _cube(region.dim, CELLS[region.dim], around)
    mapped = parametrise(body, cube.to(geometry.device).expand(geometry.size, -1, -1))
    if mapped is not None:
        points, density = mapped
        return Rule(points, None, density * weights.to(geometry.device))
    points, weights = _meshed(region, batch)
    moves = torch.is_grad_enabled() and any(
        value.requires_grad for value in geometry.params.values()
    )
    edge = _boundary(body.pieces()) if moves else None
    return Rule(
        points.to(torch.float64),
        None,
        body.measure().detach()[:, None] * weights.to(torch.float64) / weights.shape[-1],
        edge,
    )


def _meshed(region: Region, batch) -> tuple[Tensor, Tensor]:
    from compiler.data.quadrature import nodes  # needs the finite-element library

    for most in MESHED:
        try:
            points, _, weights = nodes(batch.draws, region, most)
            return points, weights
        except SolverError as error:
            raise fail(
                "W03",
                f"no integral over `{region.name}`: {error}",
                "give it a shape that can be meshed",
            ) from error
        except ProblemError:  # B01: the coarsest mesh has more nodes
            if most == MESHED[-1]:
                raise
    raise AssertionError("no mesh was tried")


def _boundary(pieces: Sequence[Piece]) -> Rule:
    parts = [_piece(each) for each in pieces]
    points, normals, weights = (torch.cat(each, 1) for each in zip(*parts, strict=True))
    return Rule(points, normals, weights)


def _piece(piece: Piece) -> tuple[Tensor, Tensor, Tensor]:
    """Shapes: points and normals "b n d", weights "b n"."""
    base = whole(piece)
    if piece.dim == 1:
        points, normals = base.chart(base.measure.new_full((len(base.measure), 1, 1), 0.5))
        return points, normals.expand_as(points), piece.measure[:, None]
    if piece.dim == 2:
        least = ALONG if base.natural is not None else max(ALONG, PANEL * base.panels)
        t, share = _along(*piece.kept, least)
        points, normals = base.at(t)
        return points, normals.expand_as(points), base.speed(t) * share
    if isinstance(piece, Clipped):
        at, share = _on(piece)
    else:
        cube, weights = _cube(2, SURFACE)
        at = cube.to(base.measure.device).expand(len(base.measure), -1, -1)
        share = weights.to(base.measure.device).expand(len(base.measure), -1)
        if base.spread is not None:
            points, normals, density = base.spread(at)
            return points, normals, density * share
    points, normals = base.chart(at)
    return points, normals.expand_as(points), base.measure[:, None] * share


def _along(start: Tensor, end: Tensor, least: int) -> tuple[Tensor, Tensor]:
    """Gauss's rule in cells of every kept stretch of a curve, of at least so many nodes in all.
    Shapes: "b k" both -> parameters and shares "b n"."""
    nodes, weights = _cube(1, -(-least // (GAUSS * start.shape[-1])))
    width = (end - start)[..., None]
    at = start[..., None] + width * nodes[:, 0].to(start)
    return at.flatten(1), (width * weights.to(start)).flatten(1)


def _on(piece: Clipped) -> tuple[Tensor, Tensor]:
    """Gauss's rule on the kept stretches of lines between the breaks of a cut surface: as for its
    measure, a line may end like a root at a break, which the substitution (3 s - s^3) / 2 makes
    smooth. Shapes: parameters "b n 2", shares "b n".
    """
    breaks = piece.breaks
    nodes, weights = gauss(ACROSS[0], breaks)
    s = 2 * nodes - 1
    nodes, weights = ((3 * s - s**3) / 2 + 1) / 2, weights * 1.5 * (1 - s.square())
    width = (breaks[:, 1:] - breaks[:, :-1])[..., None]
    second, across = (breaks[:, :-1, None] + width * nodes).flatten(1), (width * weights).flatten(1)
    found = piece.lines(second)
    start, length = found.start, found.end - found.start
    own, shares = gauss(NODES, breaks)
    first = start[..., None] + length[..., None] * own
    at = torch.stack([first, second[:, :, None, None].expand_as(first)], -1)
    share = shares * length[..., None] * across[:, :, None, None]
    return at.flatten(1, 3), share.flatten(1)


@lru_cache(maxsize=16)
def _cube(dimension: int, cells: int, around: int = 0) -> tuple[Tensor, Tensor]:
    """Gauss's rule in equal cells of the unit cube; with `around`, equal weights at so many nodes
    along the first axis, exact to rounding for what is analytic and repeats there. Shapes: "n d",
    "n"."""
    nodes, weights = (torch.from_numpy(each) for each in np.polynomial.legendre.leggauss(GAUSS))
    axis = ((torch.arange(cells, dtype=torch.float64)[:, None] + (nodes + 1) / 2) / cells).flatten()
    share = (weights / (2 * cells)).repeat(cells)
    axes, shares = [axis] * dimension, [share] * dimension
    if around:
        axes[0] = (torch.arange(around, dtype=torch.float64) + 0.5) / around
        shares[0] = torch.full_like(axes[0], 1 / around)
    grids = torch.meshgrid(*axes, indexing="ij")
    products = torch.meshgrid(*shares, indexing="ij")
    return torch.stack(grids, -1).reshape(-1, dimension), torch.stack(products, -1).prod(
        -1
    ).reshape(-1)
