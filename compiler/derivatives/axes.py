"""Derivatives on a grid, one axis at a time."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from torch import Tensor

from compiler.derivatives.interface import Field, Index, Key, Request, answer, parts
from compiler.derivatives.layout import Grid
from pdespec.errors import Diagnostic


class Axial(Protocol):
    """A backend that differentiates along one axis of a grid."""

    def along(self, values: Tensor, axis: int, derivative: int, grid: Grid) -> Tensor:
        """`d^derivative` along `axis`; values "b c *shape" -> the same."""
        ...

    def refuse_axis(self, axis: int, derivative: int, grid: Grid) -> Diagnostic | None:
        """Why the axis cannot carry the derivative, or None."""
        ...


Rule = Callable[[Tensor, int, int, Grid], Tensor]  # (values (b, c, *shape), axis, order of derivative, grid) -> the same shape


def on_grid(
    field: Field, points: Tensor, grid: Grid, request: Request, rule: Rule, prepare: Callable[[Tensor], Tensor] | None = None
) -> dict[Key, Tensor]:
    """Every requested derivative of the field's values on its grid, by `rule` along each axis in turn.

    `prepare` maps the values (b, c, *shape) that are differentiated (a filter); the value itself is returned as it is.
    Shapes: points "b n D" in C order; answers "b n".
    """
    values = field(points)  # b n c
    table = values.transpose(1, 2).reshape(len(values), values.shape[-1], *grid.shape)
    zero: Index = (0,) * len(grid.shape)
    known: dict[Index, Tensor] = {zero: prepare(table) if prepare else table}

    def derivative(index: Index) -> Tensor:
        if index not in known:
            axis = max(axis for axis, count in enumerate(index) if count)
            before = index[:axis] + (0,) * (len(index) - axis)
            known[index] = rule(derivative(before), axis, index[axis], grid)
        return known[index]

    found: dict[tuple[int, Index], Tensor] = {}
    for component, indices in parts(request).items():
        for index in indices:
            found[component, index] = derivative(index)[:, component].flatten(1) if any(index) else values[..., component]
    return answer(found, request)


def refuse_axes(backend: Axial, request: Request, grid: Grid) -> Diagnostic | None:
    """The first complaint of `backend.refuse_axis` over every axis and order of derivative a request needs."""
    needed = {(axis, count) for indices in parts(request).values() for index in indices for axis, count in enumerate(index) if count}
    return next((refused for axis, count in sorted(needed) if (refused := backend.refuse_axis(axis, count, grid)) is not None), None)


def refuse_period(name: str, axis: int, grid: Grid) -> Diagnostic | None:
    """P02 when the stated period is not that of the grid, so that wrapping would join the wrong points."""
    n, h, period, x = grid.shape[axis], grid.spacing[axis], grid.period[axis], grid.names[axis]
    if period is None or abs(n * h - period) <= 1e-3 * h:  # a thousandth of a cell: float32 coordinates are that exact up to 1e4 cells
        return None
    start = grid.origin[axis]
    if abs((n - 1) * h - period) <= 1e-3 * h:
        return Diagnostic(
            "P02",
            f"{name}: the grid holds {x} = {start:g} and {x} = {start + period:g}, which are the same point",
            hint=f"leave out {x} = {start + period:g}",
        )
    return Diagnostic(
        "P02",
        f"{name}: {n} points {h:.4g} apart along {x} repeat after {n * h:.6g}, but the period is {period:g}",
        hint=f"take {x} = {start:g} + i*{period:g}/{n}, i = 0 .. {n - 1}, or drop the period",
    )
