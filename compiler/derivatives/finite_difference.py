"""Finite differences: on a uniform grid from its own values, at scattered points from a stencil
of extra queries."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from typing import ClassVar, Literal

import torch
from torch import Tensor

from compiler.derivatives.axes import on_grid, refuse_axes, refuse_period
from compiler.derivatives.interface import (
    DERIVATIVES,
    Field,
    Key,
    MultiIndex,
    Request,
    admit,
    answer,
    parts,
)
from compiler.derivatives.layout import Axes, GriddedPoints, Layout
from compiler.derivatives.precision import TOLERANCE, RoundOff, best_step
from compiler.derivatives.stencils import central, half_width, one_sided
from operators.field import Capabilities
from pdespec.errors import Diagnostic

Offset = tuple[int, ...]
WIDENINGS = 4  # of a default step; what still drowns then is refused


@DERIVATIVES.register("finite_difference")
@dataclass(frozen=True)
class FiniteDifference:
    """Differences of an even `order` of accuracy, for derivatives of any order and mixed ones.

    On a grid: central formulas inside, formulas of the same order from the first (last) points near
    an end, wrapped around only where the layout states a period. At scattered points: the central
    formula on 2D + 1 or more queries a point, `step` apart; they reach a step or two beyond the
    points, so the field must be defined there.

    `mode` forces one of the two; "auto" takes the grid where there is one and the field allows
    nothing else or needs nothing more. `step` is a length, one for all axes or one an axis; by
    default it balances truncation and round-off (`precision.best_step`) for one wave across the
    points, and is widened where the values turn out to change by less than that.

    Source: weights by Fornberg (1988); ends as in LeVeque (2007), Finite Difference Methods,
    section 1.4.
    """

    name: ClassVar[str] = "finite_difference"

    order: int = 2
    mode: Literal["auto", "grid", "stencil"] = "auto"
    step: float | tuple[float, ...] | None = None
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.order < 2 or self.order % 2:
            raise ValueError(f"finite_difference has even orders 2, 4, ...; got order={self.order}")
        if self.mode not in ("auto", "grid", "stencil"):
            raise ValueError(
                f"finite_difference has modes auto, grid and stencil; got mode={self.mode!r}"
            )

    def accuracy(self, index: MultiIndex) -> float:
        """Power of the spacing in the error."""
        return self.order

    def points_per_query(self, request: Request) -> int:
        return 1 if self.mode == "grid" else len(self.offsets(request))

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout
    ) -> Diagnostic | None:
        if isinstance(layout, GriddedPoints) and self.mode != "stencil":
            if (refused := refuse_axes(self, request, layout, capabilities)) is not None:
                return refused
        elif self.mode == "grid":
            return Diagnostic(
                "P01",
                f"finite_difference needs a grid, got {layout}",
                hint="use taylor or least_squares, or finite_difference with mode='stencil'",
            )
        elif not capabilities.pointwise:
            return Diagnostic(
                "P01",
                f"finite_difference needs a grid, got {layout}",
                hint="evaluate on the field's own grid, or use least_squares",
                cause=(
                    "the field cannot be queried beside the points: its values are known on a grid"
                    " only"
                ),
            )
        elif self.step is None:
            return None  # the step is what round-off allows
        roundoff = self.roundoff(request, layout)
        return roundoff.refuse(roundoff.expected(request))

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        layout = admit(self, field, points, request, layout)
        if isinstance(layout, GriddedPoints) and self.mode != "stencil":
            return on_grid(
                field, points, layout, request, self.along, self.roundoff(request, layout)
            )
        return self._by_stencil(field, points, request, layout)

    def roundoff(self, request: Request, layout: Layout) -> RoundOff:
        """By the spacing of the grid, or by the steps of the stencil."""
        on_grid = isinstance(layout, GriddedPoints) and self.mode != "stencil"
        spacing = layout.spacing if on_grid else self.steps(request, layout)
        way_out = (
            "leave step out"
            if self.step is not None and not on_grid
            else "use taylor, which takes no differences"
        )
        return RoundOff(
            self.name, tuple(h or 1.0 for h in spacing), layout, self.tolerance, way_out
        )

    def along(self, values: Tensor, axis: int, derivative: int, grid: GriddedPoints) -> Tensor:
        """`d^derivative` along one axis.

        Shapes: values "b c *shape" -> the same.
        """
        dim, n, reach = axis + 2, grid.shape[axis], half_width(derivative, self.order)
        weights = central(derivative, self.order)
        if grid.period[axis] is not None:
            total = reduce(
                add, (weight * values.roll(-offset, dim) for offset, weight in weights.items())
            )
        else:
            middle = reduce(
                add,
                (
                    weight * values.narrow(dim, reach + offset, n - 2 * reach)
                    for offset, weight in weights.items()
                ),
            )
            total = torch.cat(
                [
                    self._end(values, dim, derivative, reach, 1),
                    middle,
                    self._end(values, dim, derivative, reach, -1),
                ],
                dim,
            )
        return total / grid.spacing[axis] ** derivative

    def refuse_axis(self, axis: int, derivative: int, grid: GriddedPoints) -> Diagnostic | None:
        """P01 or P02 when one axis cannot carry the derivative."""
        n, name = grid.shape[axis], grid.names[axis]
        if grid.period[axis] is not None:
            least = 2 * half_width(derivative, self.order) + 1
            if (wrong := refuse_period(self.name, axis, grid)) is not None:
                return wrong
        else:
            least = max(2 * half_width(derivative, self.order) + 1, derivative + self.order)
        if n >= least:
            return None
        return Diagnostic(
            "P01",
            f"finite_difference of order {self.order} needs at least {least} points along {name}"
            f" for d{name * derivative}, got {n}",
            hint="refine the grid, or use taylor",
        )

    def offsets(self, request: Request) -> tuple[Offset, ...]:
        """The points of the stencil, in steps, sorted."""
        indices = {index for needed in parts(request).values() for index in needed}
        return tuple(sorted({offset for index in indices for offset in self._stencil(index)}))

    def _end(self, values: Tensor, dim: int, derivative: int, rows: int, direction: int) -> Tensor:
        """The derivative at the first (direction 1) or last (-1) `rows` points, without the
        power of the spacing."""
        used = derivative + self.order
        table = [one_sided(derivative, self.order, row) for row in range(rows)]
        if direction < 0:  # the mirror image: f(-x) changes the sign of odd derivatives
            table = [
                tuple((-1) ** derivative * weight for weight in reversed(row))
                for row in reversed(table)
            ]
        start = 0 if direction > 0 else values.shape[dim] - used
        weights = values.new_tensor(table).reshape(rows, used)
        # .. used .. -> .. rows .. along `dim`
        return (values.narrow(dim, start, used).movedim(dim, -1) @ weights.mT).movedim(-1, dim)

    def _stencil(self, index: MultiIndex) -> dict[Offset, float]:
        """Weights by offset of the product of the central formulas along each axis."""
        along = [central(count, self.order) if count else {0: 1.0} for count in index]
        result: dict[Offset, float] = {}
        for combination in itertools.product(*(axis.items() for axis in along)):
            weight = 1.0
            for _, factor in combination:
                weight *= factor
            result[tuple(offset for offset, _ in combination)] = weight
        return result

    def steps(self, request: Request, layout: Layout) -> tuple[float, ...]:
        """The step of the stencil along each axis; by default the best one for the highest
        derivative that the axis has a part in."""
        if isinstance(self.step, tuple):
            return self.step
        if self.step is not None:
            return (self.step,) * len(layout.extent)
        indices = [index for needed in parts(request).values() for index in needed]
        top = [
            max((sum(index) for index in indices if index[axis]), default=1)
            for axis in range(len(layout.extent))
        ]
        return tuple(
            best_step(extent, k, self.order, layout.dtype)
            for extent, k in zip(layout.extent, top, strict=True)
        )

    def _by_stencil(
        self, field: Field, points: Tensor, request: Request, layout: Layout
    ) -> dict[Key, Tensor]:
        """By the steps given, or by the default ones, widened where the values found show that
        they drown in round-off."""
        roundoff = self.roundoff(request, layout)
        found, values = self._differences(field, points, request, roundoff.spacing)
        for _ in range(WIDENINGS if self.step is None else 0):
            growth = roundoff.coarser(roundoff.measured(found, values, points))
            if max(growth) == 1:
                break
            widened = tuple(
                h * 2.0 ** math.ceil(math.log2(by))
                for h, by in zip(roundoff.spacing, growth, strict=True)
            )
            roundoff = replace(roundoff, spacing=widened)
            found, values = self._differences(field, points, request, roundoff.spacing)
        roundoff.check(found, values, points)
        return answer(found, request)

    def _differences(
        self, field: Field, points: Tensor, request: Request, steps: tuple[float, ...]
    ) -> tuple[dict[tuple[int, MultiIndex], Tensor], Tensor]:
        """Every derivative "b n", and the values "b nk c" it was made of."""
        offsets = self.offsets(request)
        position = {offset: k for k, offset in enumerate(offsets)}
        batch, n, dim = points.shape
        # k D, with k offsets
        shift = points.new_tensor(offsets).reshape(len(offsets), dim) * points.new_tensor(steps)
        queries = (points[:, :, None, :] + shift).reshape(batch, n * len(offsets), dim)  # b nk D
        values = field(queries)
        table = values.reshape(batch, n, len(offsets), -1)  # b n k c
        found: dict[tuple[int, MultiIndex], Tensor] = {}
        for component, indices in parts(request).items():
            for index in indices:
                stencil = self._stencil(index).items()
                total = reduce(
                    add,
                    (
                        weight * table[:, :, position[offset], component]
                        for offset, weight in stencil
                    ),
                )
                for count, step in zip(index, steps, strict=True):
                    total = total / step**count
                found[component, index] = total
        return found, values
