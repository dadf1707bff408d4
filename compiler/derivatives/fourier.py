"""Fourier differentiation on periodic grids."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Protocol, cast

import torch
from torch import Tensor

from compiler.derivatives.axes import Axial, on_grid, refuse_axes, refuse_period
from compiler.derivatives.interface import (
    DERIVATIVES,
    Field,
    Key,
    MultiIndex,
    Request,
    admit,
    order,
)
from compiler.derivatives.layout import Axes, GriddedPoints, Layout
from compiler.derivatives.precision import TOLERANCE, RoundOff
from operators.field import Capabilities
from pdespec.errors import Diagnostic


@DERIVATIVES.register("fourier")
@dataclass(frozen=True)
class Fourier:
    """`d^m u = F^-1 (ik)^m F u` along each periodic axis; exact for every resolved wave.

    `keep` is the fraction of the resolved waves that is differentiated, |k| <= keep * n / 2 along
    every periodic axis (2/3 removes what a quadratic term aliases); None keeps all. `rest`
    differentiates along the axes that do not repeat, such as time:
    `Fourier(rest=FiniteDifference(order=4))`. Without it such axes are refused.

    Source: Trefethen (2000), Spectral Methods in MATLAB, chapter 3: the wave n/2 of an even grid
    has no odd derivative on the grid.
    """

    name: ClassVar[str] = "fourier"

    keep: float | None = None
    rest: Axial | None = None
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.keep is not None and not 0 < self.keep <= 1:
            raise ValueError(
                f"fourier keeps a fraction of the waves between 0 and 1; got keep={self.keep}"
            )

    def accuracy(self, index: MultiIndex) -> float:
        """Spectral: faster than any power of the spacing for smooth fields."""
        return math.inf

    def points_per_query(self, request: Request) -> int:
        return 1

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout
    ) -> Diagnostic | None:
        return refuse_spectral(self, "a periodic grid", request, capabilities, layout)

    def roundoff(self, request: Request, grid: GriddedPoints) -> RoundOff:
        """The shortest wave kept, of n/2 * keep a period, is differentiated like a difference
        over h / (pi keep)."""
        sharpness = tuple(
            math.pi * (self.keep or 1.0) if repeats else 1.0 for repeats in grid.periodic
        )
        way_out = "drop the shortest waves with keep, or use taylor"
        return RoundOff(
            self.name, grid.spacing, grid, self.tolerance, way_out, spread(request), sharpness
        )

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        grid = cast(GriddedPoints, admit(self, field, points, request, layout))
        keep = self.keep

        def filtered(values: Tensor) -> Tensor:
            return (
                low_pass(
                    values,
                    tuple(axis + 2 for axis, repeats in enumerate(grid.periodic) if repeats),
                    keep,
                )
                if keep
                else values
            )

        return on_grid(
            field, points, grid, request, self.along, self.roundoff(request, grid), filtered
        )

    def along(self, values: Tensor, axis: int, derivative: int, grid: GriddedPoints) -> Tensor:
        """`d^derivative` along one axis.

        Shapes: values "b c *shape" -> the same.
        """
        period = grid.period[axis]
        if period is None:
            if self.rest is None:
                raise ValueError(
                    f"{grid.names[axis]} does not repeat and no other backend is named for it"
                )
            return self.rest.along(values, axis, derivative, grid).to(values.dtype)
        return spectral(values, axis + 2, derivative, period)

    def refuse_axis(self, axis: int, derivative: int, grid: GriddedPoints) -> Diagnostic | None:
        """P02 where the grid does not repeat as stated."""
        if grid.period[axis] is not None:
            return refuse_period(self.name, axis, grid)
        if self.rest is not None:
            return self.rest.refuse_axis(axis, derivative, grid)
        x, start = grid.names[axis], grid.origin[axis]
        return Diagnostic(
            "P02",
            f"fourier: {x} is not periodic, the side {x} = {start:g} is not that at {x} ="
            f" {start + grid.extent[axis]:g}",
            hint=(
                f"use fourier_continuation, finite_difference or taylor, declare `periodic {x}`, or"
                f" give {x} to another backend: Fourier(rest=FiniteDifference(order=4))"
            ),
            cause=(
                "an FFT joins the two sides; a jump between them spoils the derivative everywhere"
            ),
        )


class Spectral(Axial, Protocol):
    """A backend on a grid with an estimate of its round-off."""

    name: ClassVar[str]

    def roundoff(self, request: Request, grid: GriddedPoints) -> RoundOff:
        """What round-off does to the derivatives of a request on this grid."""
        ...


def refuse_spectral(
    backend: Spectral, needed: str, request: Request, capabilities: Capabilities, layout: Layout
) -> Diagnostic | None:
    """P01 without the grid that is `needed`, else the first complaint about an axis, else P05 where
    round-off leaves too few digits."""
    if not isinstance(layout, GriddedPoints):
        return Diagnostic(
            "P01",
            f"{backend.name} needs {needed}, got {layout}",
            hint="use taylor or least_squares",
        )
    if (refused := refuse_axes(backend, request, layout, capabilities)) is not None:
        return refused
    roundoff = backend.roundoff(request, layout)
    return roundoff.refuse(roundoff.expected(request))


def spectral(values: Tensor, dim: int, derivative: int, period: float) -> Tensor:
    """`d^derivative` along `dim` of samples of a function of that period."""
    n = values.shape[dim]
    wave = torch.arange(n // 2 + 1, device=values.device, dtype=values.dtype) * (
        2 * math.pi / period
    )
    factor = (1j * wave) ** derivative
    if derivative % 2 and n % 2 == 0:
        # imaginary there, which FFT libraries treat differently
        factor = torch.cat([factor[:-1], factor.new_zeros(1)])
    shape = [1] * values.ndim  # of the factor: one number a wave along `dim`, the same elsewhere
    shape[dim] = -1
    return torch.fft.irfft(torch.fft.rfft(values, dim=dim) * factor.reshape(shape), n=n, dim=dim)


def spread(request: Request) -> float:
    """Root mean square of k^m over the waves of a grid, as a share of its largest value."""
    return (2 * order(request) + 1) ** -0.5


def low_pass(values: Tensor, dims: tuple[int, ...], keep: float) -> Tensor:
    """The waves |k| <= keep * n / 2 along every one of `dims`, any number of them; all others
    removed."""
    for dim in dims:
        n = values.shape[dim]
        wave = torch.arange(n // 2 + 1, device=values.device)
        shape = [1] * values.ndim  # one number a wave along `dim`, the same elsewhere
        shape[dim] = -1
        mask = (wave <= keep * n / 2).reshape(shape)
        values = torch.fft.irfft(torch.fft.rfft(values, dim=dim) * mask, n=n, dim=dim)
    return values
