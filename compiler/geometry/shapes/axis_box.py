"""Interval, rectangle and box: sides along the axes, some of them periodic."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.blend import both, conjunctions, norm
from compiler.geometry.shapes.body import Ambient, Selection, bind, extent
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import FullBoundary
from pdespec.geometry import Box, Interval, Plane, Rectangle, Shape


@dataclass(frozen=True)
class AxisBox:
    """lower < x < upper. Along a periodic axis there is no boundary: distances ignore it and
    every point is inside.

    Shapes: lower, upper "b d".
    """

    lower: Tensor
    upper: Tensor
    shape: Interval | Rectangle | Box
    periodic: tuple[bool, ...]

    def distance(self, x: Tensor) -> Tensor:
        """Exact; minus infinity where every axis is periodic, as nothing is the boundary then."""
        walled = [i for i, wraps in enumerate(self.periodic) if not wraps]
        if not walled:
            return torch.full_like(x[..., 0], -math.inf)
        half, middle = (
            (self.upper - self.lower)[:, None, walled] / 2,
            self.center()[:, None, walled],
        )
        beyond = (x[..., walled] - middle).abs() - half
        return norm(beyond.clamp_min(0)) + beyond.amax(-1).clamp_max(0)

    def inside(self, x: Tensor) -> Tensor:
        return self.distance(x) < 0

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Distance from one side, (x - a)(b - x) / (b - a) for two opposite ones, joined
        smoothly at edges."""
        pieces = iter(self.pieces())
        chosen = [
            None if wraps else [selected(next(pieces)), selected(next(pieces))]
            for wraps in self.periodic
        ]
        factors = []
        for axis, ends in enumerate(chosen):
            if ends is None:
                continue
            if all(ends):
                factors.append(self._between(axis, x))
            elif any(ends):
                factors.append(
                    x[..., axis] - self.lower[:, None, axis]
                    if ends[0]
                    else self.upper[:, None, axis] - x[..., axis]
                )
        return conjunctions(factors, self.feature_size()[:, None] / 8) if factors else None

    def approximate_distance(self, x: Tensor) -> Tensor:
        spans = [self._between(axis, x) for axis, wraps in enumerate(self.periodic) if not wraps]
        return reduce(both, spans) if spans else torch.ones_like(x[..., 0])

    def pieces(self) -> tuple[FullBoundary, ...]:
        return tuple(
            self._side(axis, end)
            for axis, wraps in enumerate(self.periodic)
            if not wraps
            for end in (0, 1)
        )

    def bounds(self) -> tuple[Tensor, Tensor]:
        return self.lower, self.upper

    def reach(self, directions: Tensor) -> Tensor:
        return torch.maximum(
            directions * self.lower[:, None], directions * self.upper[:, None]
        ).sum(-1)

    def feature_size(self) -> Tensor:
        return extent(self)

    def center(self) -> Tensor:
        return (self.lower + self.upper) / 2

    def measure(self) -> Tensor:
        return (self.upper - self.lower).prod(-1)

    def draw(self, cube: Tensor) -> Tensor:
        return self.lower[:, None] + cube * (self.upper - self.lower)[:, None]

    def _ends(self, axis: int) -> tuple[sp.Expr, sp.Expr]:
        return self.shape.lower[axis], self.shape.upper[axis]

    def _side(self, axis: int, end: int) -> FullBoundary:
        sign = 2 * end - 1
        others = [i for i in range(self.shape.dim) if i != axis]
        place = (self.lower, self.upper)[end][:, axis]

        def chart(u: Tensor) -> tuple[Tensor, Tensor]:
            columns = [place[:, None].expand(u.shape[:2])] * self.shape.dim
            for i, parameter in zip(others, u.unbind(-1), strict=False):
                columns[i] = (
                    self.lower[:, None, i] + parameter * (self.upper - self.lower)[:, None, i]
                )
            normal = u.new_zeros(self.shape.dim)
            normal[axis] = sign
            return torch.stack(columns, -1), normal.expand(*u.shape[:2], -1)

        measure = torch.ones_like(place)
        for i in others:
            measure = measure * (self.upper - self.lower)[:, i]
        carrier = lambda x: sign * (place[:, None] - x[..., axis])  # noqa: E731
        plane = Plane(
            tuple(sp.S(int(i == axis)) for i in range(self.shape.dim)), self._ends(axis)[end]
        )
        trim, cells = self._face(others), 256 if others else 1
        return FullBoundary(
            self.shape.dim,
            measure,
            chart,
            carrier,
            (self.shape,),
            plane,
            trim,
            cells=cells,
            flat=True,
            panels=1,
        )

    def _face(self, others: list[int]) -> Callable[[Tensor], Tensor] | None:
        """Positive above a side, negative beyond its edges; None for the two points that bound
        an interval."""
        if not others:
            return None

        return lambda x: reduce(both, [self._between(axis, x) for axis in others])

    def _between(self, axis: int, x: Tensor) -> Tensor:
        """(x - a)(b - x) / (b - a) along an axis."""
        low, high = self.lower[:, None, axis], self.upper[:, None, axis]
        return (x[..., axis] - low) * (high - x[..., axis]) / (high - low)


@bind.register(Interval)
@bind.register(Rectangle)
@bind.register(Box)
def _(shape: Shape, numbers: Numbers, around: Ambient) -> AxisBox:
    return AxisBox(numbers.point(shape.lower), numbers.point(shape.upper), shape, around.periodic)  # type: ignore[attr-defined]
