"""Copies of a shape on a regular grid, as holes in a body."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.geometry.shapes.blend import conjunctions
from compiler.geometry.shapes.body import Ambient, Body, Selection, bind
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FullBoundary, Piece
from compiler.geometry.shapes.sphere import Sphere
from pdespec.errors import fail
from pdespec.geometry import Lattice

MANY = 64  # copies, beyond which not all of them are looked at from every point
CELLS = 64  # in which each piece of each copy is searched for the ends of cuts


@dataclass(frozen=True)
class LatticeBody:
    """nx by ny disjoint copies of a body whose own centre is moved to the nodes of an equally
    spaced grid from `lower` to `upper`.

    A single copy along an axis sits in the middle. Shapes: lower, upper "b d".
    """

    body: Body
    counts: tuple[int, ...]
    lower: Tensor
    upper: Tensor
    shape: Lattice

    def distance(self, x: Tensor) -> Tensor:
        """Exact for disks; for other shapes the least of the nearest copy and its neighbours."""
        return torch.stack([self.body.distance(at) for at in self._around(x)]).amin(0)

    def nearest(self, x: Tensor) -> Tensor:
        """The implicit function of the nearest copy, for cuts: as smooth as that around the
        boundary, with kinks half way between copies, and without a look at all of them."""
        return torch.stack([self.body.approximate_distance(at) for at in self._around(x)]).amax(0)

    def _around(self, x: Tensor) -> list[Tensor]:
        """Points as the nearest copies see them."""
        nearest = ((x - self._first()[:, None]) / self._spacing()[:, None]).detach().round()
        last = x.new_tensor(self.counts) - 1
        around = (
            [(0,) * len(self.counts)]
            if isinstance(self.body, Sphere)
            else itertools.product((-1, 0, 1), repeat=len(self.counts))
        )
        indices = [
            torch.minimum((nearest + x.new_tensor(step)).clamp_min(0), last) for step in around
        ]
        return [x - index * self._spacing()[:, None] - self._shift()[:, None] for index in indices]

    def inside(self, x: Tensor) -> Tensor:
        return self.distance(x) < 0

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """All copies at once, or none: they bear one name."""
        return self.approximate_distance(x) if any(map(selected, self.pieces())) else None

    def approximate_distance(self, x: Tensor) -> Tensor:
        """As disjoint copies are never close to two zeros at once, their R-conjunction is
        smooth. Of many disks each is seen by its own surroundings alone: its function levels off
        before half way to the next, with five continuous derivatives."""
        if isinstance(self.body, Sphere) and math.prod(self.counts) > MANY:
            (local,) = self._around(x)
            return -levelled(-self.body.approximate_distance(local), self._reach()[:, None])
        origins = self.origins()
        batch, count, dimension = x.shape
        local = (x[:, None] - origins[:, :, None]).reshape(batch, -1, dimension)
        return -conjunctions(
            (-self.body.approximate_distance(local)).reshape(batch, -1, count).unbind(1)
        )

    def _reach(self) -> Tensor:
        """What minus the implicit function of a disk is half way to the next copy. Shapes: "b"."""
        gaps = [self._spacing()[:, k] for k, count in enumerate(self.counts) if count > 1]
        half, radius = torch.stack(gaps).amin(0) / 2, self.body.radius
        return (half.square() - radius.square()) / (2 * radius)

    def pieces(self) -> tuple[FullBoundary, ...]:
        return tuple(self._repeated(piece) for piece in self.body.pieces())

    def bounds(self) -> tuple[Tensor, Tensor]:
        lower, upper = self.body.bounds()
        origins = self.origins()
        return lower + origins.amin(1), upper + origins.amax(1)

    def reach(self, directions: Tensor) -> Tensor:
        return self.body.reach(directions) + (directions @ self.origins().mT).amax(-1)

    def feature_size(self) -> Tensor:
        return self.body.feature_size()

    def center(self) -> Tensor:
        return (self.lower + self.upper) / 2

    def measure(self) -> Tensor:
        return self.body.measure() * self.origins().shape[1]

    def draw(self, cube: Tensor) -> None:
        return None

    def _spacing(self) -> Tensor:
        gaps = self.lower.new_tensor([max(1, count - 1) for count in self.counts])
        return (self.upper - self.lower) / gaps

    def _first(self) -> Tensor:
        """Centre of the first copy."""
        single = self.lower.new_tensor([float(count == 1) for count in self.counts])
        return self.lower + single * (self.upper - self.lower) / 2

    def _shift(self) -> Tensor:
        return self._first() - self.body.center()

    def origins(self) -> Tensor:
        """By how much each copy is moved. Shapes: "b m d"."""
        steps = torch.tensor(
            list(itertools.product(*map(range, self.counts))),
            dtype=self.lower.dtype,
            device=self.lower.device,
        )
        return self._shift()[:, None] + steps * self._spacing()[:, None]

    def _repeated(self, piece: Piece) -> FullBoundary:
        origins = self.origins()
        number = origins.shape[1]

        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            place = u[..., 0] * number
            copy = place.detach().floor().clamp(0, number - 1)
            points, normals = piece.chart(torch.cat([(place - copy)[..., None], u[..., 1:]], -1))
            return points + origins.gather(
                1, copy.long()[..., None].expand(-1, -1, origins.shape[-1])
            ), normals

        owners = (*piece.owners, self.shape)
        return FullBoundary(
            piece.dim,
            piece.measure * number,
            chart,
            self.approximate_distance,
            owners,
            cells=CELLS * number,
            parts=number,
            cutter=self.nearest,
        )


def levelled(value: Tensor, top: Tensor) -> Tensor:
    """A function with slope 1 at 0 that rises to `top / 6` where the value is `top`, and no
    further: `top / 6 (1 - (1 - value / top)^6)`. Shapes: value "b n", top "b 1"."""
    return top / 6 * (1 - (1 - (value / top).clamp(-1, 1)) ** 6)


@bind.register
def _(shape: Lattice, numbers: Numbers, around: Ambient) -> LatticeBody:
    if around.enclosing is None:
        raise fail(
            "T06",
            "a lattice needs a shape that it is laid over",
            "write rectangle([0, 0], [1, 1]) - lattice(disk(radius = 0.1), 5, 5)",
        )
    return LatticeBody(
        bind(shape.shape, numbers, around), (shape.nx, shape.ny), *around.enclosing, shape
    )
