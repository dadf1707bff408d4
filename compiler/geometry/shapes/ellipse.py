"""Ellipse and ellipsoid."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.blend import norm
from compiler.geometry.shapes.body import Ambient, Body, Selection, bind
from compiler.geometry.shapes.curve import TABLE, arcs
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FullBoundary, along, gauss
from compiler.geometry.shapes.placed import placed
from compiler.geometry.shapes.sphere import direction
from pdespec.geometry import THETA, Placement
from pdespec.shapes.ellipse import Ellipse, Ellipsoid

# of Newton's method, which closes in from one side: by a third a step at first, quadratically at
# last
STEPS = 48
AROUND = 128  # nodes of the trapezoidal rule around the third axis, and of the table of angles
CHART = 1e-4  # relative error of areas taken in the chart, whose density is piecewise linear


@dataclass(frozen=True)
class Ellipses:
    """The sum over axes of ((x - middle) / radius)^2 is less than 1. Shapes: radii, middle "b
    d"."""

    radii: Tensor
    middle: Tensor
    boundary: tuple[FullBoundary, ...]
    shape: Ellipse | Ellipsoid

    def distance(self, x: Tensor) -> Tensor:
        """Exact: `(t N + M / N) / 2`, M = sum y^2 / (t + a^2) - 1 and N^2 = sum y^2 / (t + a^2)^2,
        where t is the largest root of sum (a y / (t + a^2))^2 = 1 and both terms are the same.

        Their mean is stationary in t, as t M is the dual function of the squared distance, so that
        one Newton step that carries the first derivative of a root found without gradient makes it
        right up to third derivatives (Wigner's 2n + 1 rule). Source of the root: D. Eberly,
        Distance from a point to an ellipse, an ellipsoid, or a hyperellipsoid, 2013.
        """
        y, a = x - self.middle[:, None], self.radii[:, None]
        square = a.square()
        with torch.no_grad():
            least = torch.finfo(x.dtype).eps * a  # on a plane of symmetry the root may be a pole
            off = torch.where(y >= 0, y.clamp_min(least), y.clamp_max(-least)) - y
            t = (a * (y + off).abs() - square).amax(-1)
            for _ in range(STEPS):
                share = (a * (y + off) / (t[..., None] + square)).square()
                t = t + (
                    (share.sum(-1) - 1) / (2 * (share / (t[..., None] + square)).sum(-1))
                ).clamp_min(0)
        y = y + off
        if torch.is_grad_enabled():
            share = (a * y / (t[..., None] + square)).square()
            slope = -2 * (share / (t[..., None] + square)).sum(-1).detach()
            t = t - (share.sum(-1) - 1) / slope
        ratio = y / (t[..., None] + square)
        size = norm(ratio)
        return (t * size + ((y * ratio).sum(-1) - 1) / size) / 2

    def inside(self, x: Tensor) -> Tensor:
        return ((x - self.middle[:, None]) / self.radii[:, None]).square().sum(-1) < 1

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """`F / sqrt(|grad F|^2 + 4 F / b^2)`, F = 1 - sum (x / a)^2, b the least half axis: of
        slope 1, (R^2 - r^2) / 2R on a disk; outside with derivatives up to the fourth that fit."""
        return self.approximate_distance(x) if any(map(selected, self.pieces())) else None

    def approximate_distance(self, x: Tensor) -> Tensor:
        y, square = x - self.middle[:, None], self.radii[:, None].square()
        level = 1 - (y.square() / square).sum(-1)
        slope = 4 * (y.square() / square.square()).sum(-1)
        rise, outside = 4 * level / square.amin(-1), level < 0
        # beyond the boundary slope + rise may be negative: it goes on smoothly, to slope / 2
        share = torch.where(outside, rise, 0.0) / torch.where(outside, slope, 1.0)
        beyond = slope * (1 + share / (1 + (2 * share) ** 4) ** 0.25)
        return level * torch.where(outside, beyond, slope + rise).rsqrt()

    def pieces(self) -> tuple[FullBoundary, ...]:
        return tuple(
            replace(piece, carrier=self.approximate_distance, height=self.distance)
            for piece in self.boundary
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        return self.middle - self.radii, self.middle + self.radii

    def reach(self, directions: Tensor) -> Tensor:
        return (directions * self.middle[:, None]).sum(-1) + (
            directions * self.radii[:, None]
        ).norm(dim=-1)

    def feature_size(self) -> Tensor:
        return 2 * self.radii.square().amin(-1) / self.radii.amax(-1)

    def center(self) -> Tensor:
        return self.middle

    def measure(self) -> Tensor:
        return self.radii.prod(-1) * (math.pi if self.shape.dim == 2 else 4 / 3 * math.pi)

    def draw(self, cube: Tensor) -> Tensor:
        dimension = self.shape.dim
        r = cube[..., -1] ** (1 / dimension)
        return self.middle[:, None] + self.radii[:, None] * r[..., None] * direction(
            cube[..., : dimension - 1]
        )


def _surface(radii: Tensor, middle: Tensor, shape: Ellipsoid) -> FullBoundary:
    """The surface (a w cos p, b w sin p, c h), w^2 = 1 - h^2, whose area has the density `sqrt(w^2
    (b c cos p)^2 + w^2 (a c sin p)^2 + (a b h)^2)` in h and p: smooth in both, so that Gauss and
    trapezoidal rule give its area.
    """
    a, b, c = radii.unbind(-1)

    def density(h: Tensor, angle: Tensor) -> Tensor:
        width = 1 - h.square()
        side = [each[:, None, None] for each in (b * c, a * c, a * b)]
        return (
            width * ((side[0] * angle.cos()).square() + (side[1] * angle.sin()).square())
            + (side[2] * h).square()
        ).sqrt()

    turns = 2 * math.pi * torch.arange(AROUND + 1, dtype=radii.dtype, device=radii.device) / AROUND
    nodes, weights = gauss(AROUND, radii)
    area = 4 * math.pi * (density((2 * nodes - 1)[:, None], turns[:-1]).mean(-1) * weights).sum(-1)
    heights = torch.linspace(-1, 1, TABLE + 1, dtype=radii.dtype, device=radii.device)
    by_height = density(heights[:, None], turns[:-1]).mean(-1)

    def placed_at(h: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
        width = (1 - h.square()).clamp_min(0).sqrt()
        unit = torch.stack([width * angle.cos(), width * angle.sin(), h], -1)
        normal = unit / radii[:, None]
        return middle[:, None] + radii[:, None] * unit, normal / normal.norm(dim=-1, keepdim=True)

    def chart(u: Tensor) -> tuple[Tensor, Tensor]:
        h = 1 - 2 * along(by_height, u[..., 1])
        table = density(h[..., None], turns)
        angle = 2 * math.pi * along(table.flatten(0, 1), u[..., :1].flatten(0, 1)).view(h.shape)
        return placed_at(h, angle)

    def spread(u: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        angle, h = 2 * math.pi * u[..., 0], 1 - 2 * u[..., 1]
        per_unit = 4 * math.pi * density(h[..., None], angle[..., None])[..., 0]
        return *placed_at(h, angle), per_unit

    return FullBoundary(
        3, area, chart, lambda x: x[..., 0], (shape,), chart_error=CHART, spread=spread
    )


@bind.register
def _(shape: Ellipsoid, numbers: Numbers, around: Ambient) -> Ellipses:
    radii, middle = numbers.point(shape.radii), numbers.point(shape.center)
    return Ellipses(radii, middle, (_surface(radii, middle, shape),), shape)


@bind.register
def _(shape: Ellipse, numbers: Numbers, around: Ambient) -> Body:
    if shape.angle != 0:
        c, s = sp.cos(shape.angle), sp.sin(shape.angle)
        straight = bind(Ellipse(shape.radii), numbers, around)
        return placed(straight, Placement(((c, -s), (s, c)), shape.center), shape, numbers)
    way = tuple(
        middle + radius * turn(THETA)
        for middle, radius, turn in zip(shape.center, shape.radii, (sp.cos, sp.sin), strict=True)
    )
    (boundary,) = arcs([way], THETA, (0.0, 2 * math.pi), [1], True, numbers)
    piece = boundary.piece(lambda x: x[..., 0], shape, lambda x: x[..., 0])
    return Ellipses(numbers.point(shape.radii), numbers.point(shape.center), (piece,), shape)
