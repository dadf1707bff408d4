"""Prisms over plane shapes, and cylinders."""

from __future__ import annotations

from dataclasses import dataclass, replace

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.blend import both, conjunctions, norm
from compiler.geometry.shapes.body import Ambient, Body, Selection, bind
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import Clipped, FullBoundary, Piece, carrier_of
from compiler.geometry.shapes.placed import Placed, placed
from compiler.geometry.shapes.stretches import Carrier
from pdespec.geometry import Cylinder, Disk, Extruded, Plane, placement

LATERAL = 1e-5  # relative error of areas on a side whose base curve has a table of arc length


@dataclass(frozen=True)
class Prism:
    """(x, y) in `base`, 0 < z < height. Shapes: height "b"."""

    base: Body
    height: Tensor
    shape: Extruded

    def distance(self, x: Tensor) -> Tensor:
        """Exact where that of the base is."""
        across, above = (
            self.base.distance(x[..., :2]),
            (x[..., 2] - self.height[:, None] / 2).abs() - self.height[:, None] / 2,
        )
        beyond = torch.stack([across, above], -1)
        return norm(beyond.clamp_min(0)) + beyond.amax(-1).clamp_max(0)

    def inside(self, x: Tensor) -> Tensor:
        return self.base.inside(x[..., :2]) & (x[..., 2] > 0) & (x[..., 2] < self.height[:, None])

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """The factor of the base and that of the ends, joined smoothly at edges."""
        factors = [
            self.base.boundary_function(lambda piece: selected(self._side(piece)), x[..., :2])
        ]
        bottom, top = (selected(self._end(top)) for top in (False, True))
        if bottom or top:
            factors.append(
                self._span(x)
                if bottom and top
                else x[..., 2]
                if bottom
                else self.height[:, None] - x[..., 2]
            )
        found = [each for each in factors if each is not None]
        return conjunctions(found, self.feature_size()[:, None] / 8) if found else None

    def approximate_distance(self, x: Tensor) -> Tensor:
        return both(self.base.approximate_distance(x[..., :2]), self._span(x))

    def pieces(self) -> tuple[Piece, ...]:
        return (
            *(self._side(piece) for piece in self.base.pieces()),
            self._end(False),
            self._end(True),
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        lower, upper = self.base.bounds()
        return torch.cat([lower, 0 * self.height[:, None]], -1), torch.cat(
            [upper, self.height[:, None]], -1
        )

    def reach(self, directions: Tensor) -> Tensor:
        return self.base.reach(directions[..., :2]) + (
            directions[..., 2] * self.height[:, None]
        ).clamp_min(0)

    def feature_size(self) -> Tensor:
        return torch.minimum(self.base.feature_size(), self.height)

    def center(self) -> Tensor:
        return torch.cat([self.base.center(), self.height[:, None] / 2], -1)

    def measure(self) -> Tensor:
        return self.base.measure() * self.height

    def draw(self, cube: Tensor) -> Tensor | None:
        flat = self.base.draw(cube[..., :2])
        return (
            None
            if flat is None
            else torch.cat([flat, cube[..., 2:] * self.height[:, None, None]], -1)
        )

    def _span(self, x: Tensor) -> Tensor:
        """z (h - z) / h."""
        height = self.height[:, None]
        return x[..., 2] * (height - x[..., 2]) / height

    def _side(self, piece: Piece) -> Piece:
        """What stands on a piece of the boundary of the base."""
        owners = (*piece.owners, self.shape)
        if isinstance(piece, Clipped):
            carriers = tuple(
                Carrier(lambda x, f=each.function: f(x[..., :2]), each.flat)
                for each in piece.carriers
            )
            return Clipped(
                self._wall(piece.base), carriers, lambda x, n: piece.keep(x[..., :2], n[..., :2]),
                lambda x: piece.uncovered(x[..., :2]), owners, piece.hole,
                piece.measure * self.height,
            )  # fmt: skip
        return replace(self._wall(piece), owners=owners)

    def _wall(self, piece: FullBoundary) -> FullBoundary:
        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            points, normals = piece.chart(u[..., :1])
            above = u[..., 1:] * self.height[:, None, None]
            return torch.cat([points, above], -1), torch.cat([normals, torch.zeros_like(above)], -1)

        def trim(x: Tensor) -> Tensor:
            return (
                self._span(x) if piece.trim is None else both(piece.trim(x[..., :2]), self._span(x))
            )

        plane = (
            None
            if piece.plane is None
            else Plane((*piece.plane.normal, sp.S.Zero), piece.plane.offset)
        )
        return FullBoundary(
            3, piece.measure * self.height, chart, lambda x: piece.carrier(x[..., :2]),
            piece.owners, plane, trim, piece.hole,
            flat=piece.flat, parts=piece.parts,
            chart_error=0.0 if piece.natural is None else LATERAL,
        )  # fmt: skip

    def _end(self, top: bool) -> Clipped:
        """The bottom or the top: of a rectangle around it what lies over the base."""
        lower, upper = (each.detach() for each in self.base.bounds())
        # wider: a line may then begin on no boundary of the base
        lower, size = lower - 0.1 * (upper - lower), 1.2 * (upper - lower)
        height = self.height if top else torch.zeros_like(self.height)
        sign = 1 if top else -1

        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            level = height[:, None, None].expand(*u.shape[:2], 1)
            normals = torch.cat([torch.zeros_like(u[..., :2]), torch.full_like(level, sign)], -1)
            return torch.cat([lower[:, None] + u * size[:, None], level], -1), normals

        def carrier(x: Tensor) -> Tensor:
            return sign * (height[:, None] - x[..., 2])

        plane = Plane((sp.S.Zero, sp.S.Zero, sp.S.One), self.shape.height if top else sp.S.Zero)
        rectangle = FullBoundary(3, size.prod(-1), chart, carrier, (self.shape,), plane, flat=True)
        carriers = (carrier_of(piece) for piece in self.base.pieces())
        return Clipped(
            rectangle,
            tuple(
                Carrier(lambda x, f=each.function: f(x[..., :2]), each.flat) for each in carriers
            ),
            lambda x, n: self.base.inside(x[..., :2]),
            lambda x: self.base.approximate_distance(x[..., :2]),
            (self.shape,),
            False,
            self.base.measure(),
        )


@bind.register
def _(shape: Extruded, numbers: Numbers, around: Ambient) -> Prism:
    return Prism(bind(shape.shape, numbers, Ambient((False, False))), numbers(shape.height), shape)


@bind.register
def _(shape: Cylinder, numbers: Numbers, around: Ambient) -> Placed:
    upright = Extruded(Disk(shape.radius), shape.height)
    return placed(bind(upright, numbers, around), placement(shape), shape, numbers)
