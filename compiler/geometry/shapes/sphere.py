"""Disk and ball."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.geometry.shapes.blend import norm
from compiler.geometry.shapes.body import Ambient, Selection, bind
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FullBoundary
from pdespec.geometry import Ball, Disk, Shape


@dataclass(frozen=True)
class Sphere:
    """|x - middle| < radius in two or three dimensions. Shapes: radius "b", middle "b d"."""

    radius: Tensor
    middle: Tensor
    shape: Disk | Ball

    def distance(self, x: Tensor) -> Tensor:
        """Exact."""
        return norm(x - self.middle[:, None]) - self.radius[:, None]

    def inside(self, x: Tensor) -> Tensor:
        return (x - self.middle[:, None]).square().sum(-1) < self.radius[:, None].square()

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """(R^2 - r^2) / 2R."""
        return self.approximate_distance(x) if any(map(selected, self.pieces())) else None

    def pieces(self) -> tuple[FullBoundary]:
        measure = (
            2 * math.pi * self.radius if self.shape.dim == 2 else 4 * math.pi * self.radius.square()
        )
        return (
            FullBoundary(
                self.shape.dim,
                measure,
                self._chart,
                self.approximate_distance,
                (self.shape,),
                height=self.distance,
            ),
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        return self.middle - self.radius[:, None], self.middle + self.radius[:, None]

    def reach(self, directions: Tensor) -> Tensor:
        return (directions * self.middle[:, None]).sum(-1) + self.radius[:, None] * norm(directions)

    def feature_size(self) -> Tensor:
        return 2 * self.radius

    def center(self) -> Tensor:
        return self.middle

    def measure(self) -> Tensor:
        return (
            math.pi * self.radius.square()
            if self.shape.dim == 2
            else 4 / 3 * math.pi * self.radius**3
        )

    def draw(self, cube: Tensor) -> Tensor:
        dimension = self.shape.dim
        r = self.radius[:, None] * cube[..., -1] ** (1 / dimension)
        return self.middle[:, None] + r[..., None] * direction(cube[..., : dimension - 1])

    def approximate_distance(self, x: Tensor) -> Tensor:
        radius = self.radius[:, None]
        return (radius.square() - (x - self.middle[:, None]).square().sum(-1)) / (2 * radius)

    def _chart(self, u: Tensor) -> tuple[Tensor, Tensor]:
        normals = direction(u)
        return self.middle[:, None] + self.radius[:, None, None] * normals, normals


def direction(u: Tensor) -> Tensor:
    """Unit vectors, uniform for uniform u. By Archimedes' theorem the height on a sphere is
    uniform. Shapes: "b n k" -> "b n k+1"."""
    angle = 2 * math.pi * u[..., 0]
    if u.shape[-1] == 1:
        return torch.stack([angle.cos(), angle.sin()], -1)
    height = 1 - 2 * u[..., 1]
    width = (1 - height.square()).clamp_min(0).sqrt()
    return torch.stack([width * angle.cos(), width * angle.sin(), height], -1)


@bind.register(Disk)
@bind.register(Ball)
def _(shape: Shape, numbers: Numbers, around: Ambient) -> Sphere:
    return Sphere(numbers(shape.radius), numbers.point(shape.center), shape)  # type: ignore[attr-defined]
