"""Shapes moved, turned and scaled as a whole."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from compiler.geometry.shapes.body import Ambient, Body, Selection, bind
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import (
    Chart,
    Clipped,
    FullBoundary,
    Function,
    Piece,
)
from compiler.geometry.shapes.stretches import Carrier, Keep
from pdespec.geometry import Moved, Placement, Rotated, Scaled, Shape, placement


@dataclass(frozen=True)
class Placed:
    """The image of a body under x -> scale * turn x + shift. Shapes: turn "b d d", orthogonal,
    shift "b d", scale "b"."""

    body: Body
    turn: Tensor
    shift: Tensor
    scale: Tensor
    place: Placement
    shape: Shape

    def distance(self, x: Tensor) -> Tensor:
        return self._sized(self.body.distance)(x)

    def inside(self, x: Tensor) -> Tensor:
        return self.body.inside(self.back(x))

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        values = self.body.boundary_function(
            lambda piece: selected(self._piece(piece)), self.back(x)
        )
        return None if values is None else self.scale[:, None] * values

    def approximate_distance(self, x: Tensor) -> Tensor:
        return self._sized(self.body.approximate_distance)(x)

    def pieces(self) -> tuple[Piece, ...]:
        return tuple(self._piece(piece) for piece in self.body.pieces())

    def bounds(self) -> tuple[Tensor, Tensor]:
        axes = torch.eye(self.shape.dim, dtype=self.shift.dtype, device=self.shift.device).expand(
            len(self.shift), -1, -1
        )
        return -self.reach(-axes), self.reach(axes)

    def reach(self, directions: Tensor) -> Tensor:
        own = self.body.reach(directions @ self.turn)
        return self.scale[:, None] * own + (directions * self.shift[:, None]).sum(-1)

    def feature_size(self) -> Tensor:
        return self.scale * self.body.feature_size()

    def center(self) -> Tensor:
        return self.image(self.body.center()[:, None])[:, 0]

    def measure(self) -> Tensor:
        return self.scale**self.shape.dim * self.body.measure()

    def draw(self, cube: Tensor) -> Tensor | None:
        points = self.body.draw(cube)
        return None if points is None else self.image(points)

    def image(self, x: Tensor) -> Tensor:
        """Where points of the body lie. Shapes: "b n d" -> "b n d"."""
        return self.scale[:, None, None] * (x @ self.turn.mT) + self.shift[:, None]

    def back(self, x: Tensor) -> Tensor:
        """The points of the body that lie there: the inverse of `image`."""
        return (x - self.shift[:, None]) @ self.turn / self.scale[:, None, None]

    def _sized(self, function: Function) -> Function:
        """A function of points that is a length, carried along."""
        return lambda x: self.scale[:, None] * function(self.back(x))

    def _chart(self, chart: Chart) -> Chart:
        def image(u: Tensor) -> tuple[Tensor, Tensor]:
            points, normals = chart(u)
            return self.image(points), normals @ self.turn.mT

        return image

    def _kept(self, keep: Keep) -> Keep:
        return lambda x, n: keep(self.back(x), n @ self.turn)

    def _piece(self, piece: Piece) -> Piece:
        owners = (*piece.owners, self.shape)
        if isinstance(piece, Clipped):
            carriers = tuple(
                Carrier(self._sized(each.function), each.flat) for each in piece.carriers
            )
            known = None if piece.known is None else self._grown(piece.known)
            return Clipped(
                self._whole(piece.base),
                carriers,
                self._kept(piece.keep),
                self._sized(piece.uncovered),
                owners,
                piece.hole,
                known,
            )
        return replace(self._whole(piece), owners=owners)

    def _whole(self, piece: FullBoundary) -> FullBoundary:
        natural = piece.natural
        if natural is not None:
            speed = natural.speed
            natural = replace(
                natural,
                chart=self._chart(natural.chart),
                speed=lambda t: self.scale[:, None] * speed(t),
            )
        return replace(
            piece,
            measure=self._grown(piece.measure),
            chart=self._chart(piece.chart),
            carrier=self._sized(piece.carrier),
            plane=None if piece.plane is None else self.place.plane(piece.plane),
            trim=None if piece.trim is None else self._sized(piece.trim),
            natural=natural,
            height=None if piece.height is None else self._sized(piece.height),
            cutter=piece.cutter and self._sized(piece.cutter),
            spread=piece.spread and self._spread(piece.spread),
            select=piece.select and self._selecting(piece.select),
        )

    def _spread(
        self, spread: Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
    ) -> Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]:
        def image(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            points, normals, density = spread(u)
            grown = self.scale[:, None].square()
            return self.image(points), normals @ self.turn.mT, density * grown

        return image

    def _selecting(self, select: Callable[[Function], Piece]) -> Callable[[Function], Piece]:
        return lambda function: self._piece(select(lambda x: function(self.image(x))))

    def _grown(self, measure: Tensor) -> Tensor:
        return self.scale ** (self.shape.dim - 1) * measure


def placed(body: Body, place: Placement, shape: Shape, numbers: Numbers) -> Placed:
    """A body laid where a placement says, as the body of `shape`."""
    turn = torch.stack([numbers.point(row) for row in place.turn], 1)
    return Placed(body, turn, numbers.point(place.shift), numbers(place.scale), place, shape)


@bind.register(Moved)
@bind.register(Rotated)
@bind.register(Scaled)
def _(shape: Shape, numbers: Numbers, around: Ambient) -> Placed:
    return placed(bind(shape.shape, numbers, around), placement(shape), shape, numbers)  # type: ignore[attr-defined, arg-type]
