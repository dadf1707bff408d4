"""Polygons, convex or not."""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import torch
from torch import Tensor

from compiler.geometry.shapes.blend import both, conjunctions, norm
from compiler.geometry.shapes.body import Ambient, Selection, bind
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FullBoundary, zero
from pdespec.geometry import Polygon


@dataclass(frozen=True)
class PolygonBody:
    """The inside of a closed chain of edges that does not cross itself, in either sense of
    rotation. Shapes: points "b v 2"."""

    points: Tensor
    shape: Polygon

    def distance(self, x: Tensor) -> Tensor:
        """Exact: along the normal of the nearest edge, or to the nearest corner."""
        with torch.no_grad():
            offset, edges = x[:, :, None] - self.points[:, None], self._edges()[:, None]
            along = ((offset * edges).sum(-1) / edges.square().sum(-1)).clamp(0, 1)
            nearest = (
                (offset - along[..., None] * edges)
                .square()
                .sum(-1)
                .argmin(-1)[..., None]
                .expand(-1, -1, 2)
            )
        offset, edge = x - self.points.gather(1, nearest), self._edges().gather(1, nearest)
        along = (offset * edge).sum(-1) / edge.square().sum(-1)
        height = (offset * self._normals().gather(1, nearest)).sum(-1)
        corner = torch.where(self.inside(x), -1, 1) * norm(
            offset - along.clamp(0, 1)[..., None] * edge
        )
        return torch.where((along > 0) & (along < 1), height, corner)

    def inside(self, x: Tensor) -> Tensor:
        """By the parity of the edges that a ray to the right crosses."""
        first, second = self.points[:, None], self.points.roll(-1, 1)[:, None]
        above = (first[..., 1] > x[..., None, 1]) != (second[..., 1] > x[..., None, 1])
        rise = second[..., 1] - first[..., 1]
        share = (x[..., None, 1] - first[..., 1]) / torch.where(rise == 0, 1, rise)
        right = x[..., None, 0] < first[..., 0] + share * (second[..., 0] - first[..., 0])
        return (above & right).sum(-1) % 2 == 1

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Distances from the lines of the edges, joined smoothly at corners; from the edges
        alone where the polygon is not convex."""
        pieces = [piece for piece in self.pieces() if selected(piece)]
        if not pieces:
            return None
        if self._convex():
            return conjunctions(
                [piece.carrier(x) for piece in pieces], self.feature_size()[:, None] / 8
            )
        return conjunctions([zero(piece, x) for piece in pieces])

    def approximate_distance(self, x: Tensor) -> Tensor:
        if self._convex():
            return reduce(both, [piece.carrier(x) for piece in self.pieces()])
        return torch.where(self.inside(x), 1, -1) * conjunctions(
            [zero(piece, x) for piece in self.pieces()]
        )

    def pieces(self) -> tuple[FullBoundary, ...]:
        return tuple(self._edge(k) for k in range(self.points.shape[1]))

    def bounds(self) -> tuple[Tensor, Tensor]:
        return self.points.amin(1), self.points.amax(1)

    def reach(self, directions: Tensor) -> Tensor:
        return (directions @ self.points.mT).amax(-1)

    def feature_size(self) -> Tensor:
        return norm(self._edges()).amin(-1)

    def center(self) -> Tensor:
        """The centroid of the area."""
        following = self.points.roll(-1, 1)
        cross = self.points[..., 0] * following[..., 1] - self.points[..., 1] * following[..., 0]
        return ((self.points + following) * cross[..., None]).sum(1) / (
            3 * cross.sum(1, keepdim=True)
        )

    def measure(self) -> Tensor:
        return self._area().abs()

    def draw(self, cube: Tensor) -> None:
        return None

    def _edges(self) -> Tensor:
        return self.points.roll(-1, 1) - self.points

    def _area(self) -> Tensor:
        """Positive when the corners are in counterclockwise order (shoelace formula)."""
        following = self.points.roll(-1, 1)
        return (
            self.points[..., 0] * following[..., 1] - self.points[..., 1] * following[..., 0]
        ).sum(-1) / 2

    def _normals(self) -> Tensor:
        """Outward unit normals of the edges. Shapes: "b v 2"."""
        edge = self._edges() * self._area().sign()[:, None, None]
        return torch.stack([edge[..., 1], -edge[..., 0]], -1) / norm(edge)[..., None]

    def _convex(self) -> bool:
        edge = self._edges()
        following = edge.roll(-1, 1)
        turn = (
            edge[..., 0] * following[..., 1] - edge[..., 1] * following[..., 0]
        ) * self._area().sign()[:, None]
        return bool((turn >= 0).all())

    def _edge(self, k: int) -> FullBoundary:
        start, edge, normal = (
            self.points[:, None, k],
            self._edges()[:, None, k],
            self._normals()[:, None, k],
        )
        length = norm(edge)[:, 0]

        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            return start + u * edge, normal.expand(*u.shape[:2], 2)

        def carrier(x: Tensor) -> Tensor:
            return ((start - x) * normal).sum(-1)

        def trim(x: Tensor) -> Tensor:  # the disk whose diameter is the edge
            return (
                (length[:, None] / 2).square() - (x - start - edge / 2).square().sum(-1)
            ) / length[:, None]

        return FullBoundary(
            2, length, chart, carrier, (self.shape,), self.shape.edges[k], trim, flat=True, panels=1
        )


@bind.register
def _(shape: Polygon, numbers: Numbers, around: Ambient) -> PolygonBody:
    return PolygonBody(torch.stack([numbers.point(point) for point in shape.points], 1), shape)
