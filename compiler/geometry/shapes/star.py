"""Star-shaped regions r < R(theta), the radius any smooth periodic expression."""

from __future__ import annotations

import math
from dataclasses import dataclass

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.body import Ambient, Selection, bind, extent
from compiler.geometry.shapes.curve import TABLE, Arc, arcs, signed_distance
from compiler.geometry.shapes.numbers import Function, Numbers
from compiler.geometry.shapes.piece import FullBoundary, along
from compiler.geometry.shapes.remembered import remembered
from pdespec.geometry import Star

# (r / R)^2 from which on the boundary-defining function goes on with a fixed T, so that it has no
# pole outside
BEYOND = 1.25
LEAST = 0.01  # (r / R)^2 below which exp(1 - 1/s) is zero to rounding


@dataclass(frozen=True)
class StarBody:
    """|x - middle| < radius(theta). Shapes: radius takes "b n" to one tensor "b n"; middle "b
    d"."""

    radius: Function
    boundary: Arc
    middle: Tensor
    shape: Star

    def distance(self, x: Tensor) -> Tensor:
        """Exact, by Newton's method on the closest point."""
        return signed_distance((self.boundary,), x)

    def inside(self, x: Tensor) -> Tensor:
        square, radius = self._polar(x)
        return square < radius.square()

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """`a/2 (1 - r^2 / T^2)` with `T = a + exp(1 - 1/s) (R - a)`, s = (r / R)^2: (R^2 - r^2) /
        2R on a disk.

        T is R on the boundary. What depends on the direction dies out at the centre faster than any
        power of r: the function is smooth. It is positive inside as R <= a / 0.55; its normal slope
        is that of a/R (2a/R - 1).
        """
        return self.approximate_distance(x) if any(map(selected, self.pieces())) else None

    def pieces(self) -> tuple[FullBoundary]:
        return (self.boundary.piece(self.approximate_distance, self.shape, self.distance),)

    def bounds(self) -> tuple[Tensor, Tensor]:
        return self.boundary.bounds()

    def reach(self, directions: Tensor) -> Tensor:
        return self.boundary.reach(directions)

    def feature_size(self) -> Tensor:
        return extent(self)

    def center(self) -> Tensor:
        return self.middle

    def measure(self) -> Tensor:
        """1/2 integral of R^2."""
        return self.boundary.integral(self._table().square()) / 2

    def draw(self, cube: Tensor) -> Tensor:
        """The angle has density R^2, the radius is R sqrt(u): uniform in area."""
        theta = 2 * math.pi * along(self._table().square(), cube[..., 0])
        r = self.radius(theta)[0] * cube[..., 1].sqrt()
        return self.middle[:, None] + torch.stack([r * theta.cos(), r * theta.sin()], -1)

    @remembered
    def _table(self) -> Tensor:
        return self.radius(self.boundary.nodes(TABLE + 1))[0]

    @remembered
    def _mean(self) -> Tensor:
        """The radius a in the middle. Shapes: "b"."""
        table = self._table()
        return torch.maximum(table[:, :-1].mean(-1), 0.55 * table.amax(-1))

    def _polar(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """r^2 and R(theta), with the angle 0 and no derivative of it at the centre."""
        offset = x - self.middle[:, None]
        square = offset.square().sum(-1)
        centre = square == 0
        theta = torch.atan2(offset[..., 1], torch.where(centre, 1, offset[..., 0]))
        return square, self.radius(theta)[0]

    def approximate_distance(self, x: Tensor) -> Tensor:
        middle = self._mean()[:, None]
        square, radius = self._polar(x)
        share = (square / radius.square()).clamp_max(BEYOND)
        blended = middle + (1 - 1 / share.clamp_min(LEAST)).exp() * (radius - middle)
        return middle / 2 * (1 - square / blended.square())


@bind.register
def _(shape: Star, numbers: Numbers, around: Ambient) -> StarBody:
    way = (
        shape.center[0] + shape.radius * sp.cos(shape.angle),
        shape.center[1] + shape.radius * sp.sin(shape.angle),
    )
    (boundary,) = arcs([way], shape.angle, (0.0, 2 * math.pi), [1], True, numbers)
    return StarBody(
        numbers.function([shape.radius], shape.angle), boundary, numbers.point(shape.center), shape
    )
