"""Derivatives on a grid, one axis at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import torch
from torch import Tensor

from compiler.derivatives.interface import Field, Key, MultiIndex, Request, answer, parts
from compiler.derivatives.layout import GriddedPoints
from compiler.derivatives.precision import RoundOff
from operators.field import Capabilities
from operators.field import capabilities as capabilities_of
from pdespec.errors import Diagnostic, ProblemError


class Axial(Protocol):
    """A backend that differentiates along one axis of a grid."""

    def along(self, values: Tensor, axis: int, derivative: int, grid: GriddedPoints) -> Tensor:
        """`d^derivative` along `axis`; values "b c *shape" -> the same."""
        ...

    def refuse_axis(self, axis: int, derivative: int, grid: GriddedPoints) -> Diagnostic | None:
        """Why the axis cannot carry the derivative, or None."""
        ...


# (values (b, c, *shape), axis, order of derivative, grid) -> the same shape
Rule = Callable[[Tensor, int, int, GriddedPoints], Tensor]


def on_grid(
    field: Field,
    points: Tensor,
    grid: GriddedPoints,
    request: Request,
    rule: Rule,
    roundoff: RoundOff,
    prepare: Callable[[Tensor], Tensor] | None = None,
) -> dict[Key, Tensor]:
    """Every requested derivative of the field's values on its grid, by `rule` along each axis in
    turn.

    `prepare` maps the values (b, c, *shape) that are differentiated (a filter); the value itself is
    returned as it is. Shapes: points "b n D" in C order; answers "b n". Raises: ProblemError P02
    where the field does not say whether it repeats, and does not; P05 as `roundoff` finds.
    """
    values = field(points)  # b n c
    probe_period(field, points, values, request, grid)
    # b c *shape
    table = values.transpose(1, 2).reshape(len(values), values.shape[-1], *grid.shape)
    zero: MultiIndex = (0,) * len(grid.shape)
    known: dict[MultiIndex, Tensor] = {zero: prepare(table) if prepare else table}

    def derivative(index: MultiIndex) -> Tensor:
        if index not in known:
            axis = max(axis for axis, count in enumerate(index) if count)
            before = index[:axis] + (0,) * (len(index) - axis)
            known[index] = rule(derivative(before), axis, index[axis], grid)
        return known[index]

    found: dict[tuple[int, MultiIndex], Tensor] = {}
    for component, indices in parts(request).items():
        for index in indices:
            found[component, index] = (  # b n, from b *shape
                derivative(index)[:, component].flatten(1) if any(index) else values[..., component]
            )
    roundoff.check(found, values, points)
    return answer(found, request)


def refuse_axes(
    backend: Axial, request: Request, grid: GriddedPoints, capabilities: Capabilities
) -> Diagnostic | None:
    """The first complaint of `backend.refuse_axis` over every axis and order of derivative a
    request needs.

    Before it, P02 on an axis that repeats for the problem and not for the field, as the field
    itself declares.
    """
    for axis in wrapped(request, grid):
        if capabilities.periodic and not capabilities.periodic[axis]:
            return unlike_domain(axis, grid, "which declares so")
    needed = {
        (axis, count)
        for indices in parts(request).values()
        for index in indices
        for axis, count in enumerate(index)
        if count
    }
    return next(
        (
            refused
            for axis, count in sorted(needed)
            if (refused := backend.refuse_axis(axis, count, grid)) is not None
        ),
        None,
    )


def wrapped(request: Request, grid: GriddedPoints) -> list[int]:
    """The axes along which a derivative is needed and the data are taken to repeat."""
    indices = [index for needed in parts(request).values() for index in needed]
    return [
        axis
        for axis, length in enumerate(grid.period)
        if length is not None and any(index[axis] for index in indices)
    ]


def probe_period(
    field: Field, points: Tensor, values: Tensor, request: Request, grid: GriddedPoints
) -> None:
    """P02 for a field that does not declare what repeats: its values at three points must be those
    one period further.

    A field that mixes its queries can only be believed, and so can a table of values, which answers
    for all points or none. Shapes: points "b n D", values "b n c".
    """
    able, axes = capabilities_of(field), wrapped(request, grid)
    if able.periodic or not able.pointwise or not axes:
        return
    chosen = torch.tensor([0, points.shape[1] // 2, points.shape[1] - 1], device=points.device)
    steps = points.new_tensor(
        [[(grid.period[k] or 0.0) * (k == axis) for k in range(points.shape[2])] for axis in axes]
    )
    with torch.no_grad():
        here = values[:, chosen].repeat(1, len(axes), 1)  # b (axes 3) c
        # b (axes 3) D: the three chosen points, moved by the period of each axis in turn
        there = field((points[:, None, chosen] + steps[:, None]).flatten(1, 2))
    if there.shape != here.shape:
        return
    # half the digits: a period is added to coordinates of finite precision, and a smaller jump
    # moves no derivative visibly
    slack = torch.finfo(points.dtype).eps ** 0.5 * float(values.detach().abs().max())
    jumps = (there - here).abs().amax((0, 2)).unflatten(0, (len(axes), 3)).amax(1)  # axes
    for axis, jump in zip(axes, jumps.tolist(), strict=True):
        if jump > slack:
            raise ProblemError(
                unlike_domain(axis, grid, f"whose values one period apart differ by {jump:.3g}")
            )


def unlike_domain(axis: int, grid: GriddedPoints, evidence: str) -> Diagnostic:
    """P02: the problem joins two sides that the field does not."""
    x = grid.names[axis]
    return Diagnostic(
        "P02",
        f"{x} repeats after {grid.period[axis]:g} in the problem, but not in the field, {evidence}",
        hint=(
            f"make the field repeat along {x} (compiler.build does, or periodic=...), or use"
            " taylor, autograd or least_squares"
        ),
        cause="wrapping around would join values that have nothing to do with each other",
    )


def refuse_period(name: str, axis: int, grid: GriddedPoints) -> Diagnostic | None:
    """P02 when the stated period is not that of the grid, so that wrapping would join the wrong
    points."""
    n, h, period, x = grid.shape[axis], grid.spacing[axis], grid.period[axis], grid.names[axis]
    # a thousandth of a cell: float32 coordinates are that exact up to 1e4 cells
    if period is None or abs(n * h - period) <= 1e-3 * h:
        return None
    start = grid.origin[axis]
    if abs((n - 1) * h - period) <= 1e-3 * h:
        return Diagnostic(
            "P02",
            f"{name}: the grid holds {x} = {start:g} and {x} = {start + period:g}, which are the"
            " same point",
            hint=f"leave out {x} = {start + period:g}",
        )
    return Diagnostic(
        "P02",
        f"{name}: {n} points {h:.4g} apart along {x} repeat after {n * h:.6g}, but the period is"
        f" {period:g}",
        hint=f"take {x} = {start:g} + i*{period:g}/{n}, i = 0 .. {n - 1}, or drop the period",
    )
