"""Fourier differentiation of data that do not repeat: continued to a longer, periodic interval
first."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal, cast

import numpy as np
import torch
from torch import Tensor

from compiler.derivatives.axes import on_grid, refuse_period
from compiler.derivatives.fourier import refuse_spectral, spectral, spread
from compiler.derivatives.interface import DERIVATIVES, Field, Key, MultiIndex, Request, admit
from compiler.derivatives.layout import Axes, GriddedPoints, Layout
from compiler.derivatives.precision import TOLERANCE, RoundOff
from operators.field import Capabilities
from pdespec.errors import Diagnostic

ZEROS = 12  # points on which a blend is held at zero: Amlani & Bruno (2016), section 3
OVERSAMPLING = 20  # of the grid on which a blend is fitted: the same
# shortest wave of a blend; with 4 or 6 the error of exp(x) at d = 6 rises from 2e-10 to 2e-9
POINTS_PER_WAVE = 5


@DERIVATIVES.register("fourier_continuation")
@dataclass(frozen=True)
class FourierContinuation:
    """`d^m u` by FFT of `u` continued smoothly from its last `matching` points to its first; axes
    with a period need no continuation.

    `kind="gram"` blends the polynomial through the points at either end to zero by a fixed,
    resolved wave packet of 36 points. `kind="legendre"` joins the two ends by the one polynomial of
    degree 2 `matching` - 1 through them, across a gap as long as the grid (a gap of fixed length in
    points would leave an error that grows with refinement wherever the two ends differ).

    The error in a derivative of order m falls like `spacing^(matching - m)` until the round-off of
    the continuation takes over: 1e-9 of the field's size for a first derivative at the default. All
    arithmetic is in float64, answers come in the field's dtype.

    Source: Bruno & Lyon (2010); Amlani & Bruno (2016), An FC-based spectral solver, J. Comput.
    Phys. 307 (Gram); Ganeshram et al. (2025), FC-PINO, arXiv 2211.15960 (Legendre).
    """

    name: ClassVar[str] = "fourier_continuation"

    kind: Literal["gram", "legendre"] = "gram"
    matching: int = 6
    tolerance: float = TOLERANCE

    def __post_init__(self) -> None:
        if self.kind not in ("gram", "legendre"):
            raise ValueError(
                f"fourier_continuation has kinds gram and legendre; got kind={self.kind!r}"
            )
        if not 2 <= self.matching <= 8:
            raise ValueError(
                "fourier_continuation matches 2 to 8 points at each end; got"
                f" matching={self.matching}"
            )

    def accuracy(self, index: MultiIndex) -> float:
        """Power of the spacing in the error."""
        return self.matching - max(index)

    def points_per_query(self, request: Request) -> int:
        return 1

    def refuse(
        self, request: Request, capabilities: Capabilities, layout: Layout
    ) -> Diagnostic | None:
        return refuse_spectral(self, "a grid", request, capabilities, layout)

    def roundoff(self, request: Request, grid: GriddedPoints) -> RoundOff:
        """As of the shortest wave on the grid, in the precision of the field, and of one wave
        across a bridge, in float64.

        A bridge follows rounded ends as smoothly as exact ones, so the field's own round-off is
        differentiated as on a periodic grid; the bridge adds that of its arithmetic, `gain` times
        float64's.
        """
        bridges = [n for n, length in zip(grid.shape, grid.period, strict=True) if length is None]
        arithmetic = max((2 / len(self.matrix(n)) * self.gain(n) for n in bridges), default=0.0)
        share = torch.finfo(torch.float64).eps / torch.finfo(grid.dtype).eps
        gain, sharpness = spread(request) + share * arithmetic, (math.pi,) * len(grid.shape)
        return RoundOff(
            self.name,
            grid.spacing,
            grid,
            self.tolerance,
            "match fewer points, or use taylor",
            gain,
            sharpness,
        )

    def evaluate(
        self, field: Field, points: Tensor, request: Request, layout: Layout | Axes | None = None
    ) -> dict[Key, Tensor]:
        grid = cast(GriddedPoints, admit(self, field, points, request, layout))
        answers = on_grid(
            field, points, grid, request, self.along, self.roundoff(request, grid), Tensor.double
        )
        return {key: value.to(points.dtype) for key, value in answers.items()}

    def along(self, values: Tensor, axis: int, derivative: int, grid: GriddedPoints) -> Tensor:
        """`d^derivative` along one axis, in float64.

        Shapes: values "b c *shape" -> the same.
        """
        dim, n, d = axis + 2, grid.shape[axis], self.matching
        period = grid.period[axis]
        values = values.double()
        if period is not None:
            return spectral(values, dim, derivative, period)
        matrix = torch.as_tensor(self.matrix(n), device=values.device)
        ends = torch.cat([values.narrow(dim, n - d, d), values.narrow(dim, 0, d)], dim)
        # 2 d values at the ends -> len(matrix) values between them, along `dim`
        bridge = (ends.movedim(dim, -1) @ matrix.mT).movedim(-1, dim)
        length = grid.spacing[axis] * (n + len(matrix))
        return spectral(torch.cat([values, bridge], dim), dim, derivative, length).narrow(dim, 0, n)

    def refuse_axis(self, axis: int, derivative: int, grid: GriddedPoints) -> Diagnostic | None:
        """P01 where the two ends overlap or the polynomials are too poor, P02 where a stated
        period is not that of the grid."""
        n, d, x = grid.shape[axis], self.matching, grid.names[axis]
        if grid.period[axis] is not None:
            return refuse_period(self.name, axis, grid)
        if n < 2 * d:
            return Diagnostic(
                "P01",
                f"fourier_continuation matches {d} points at each end of {x} and needs at least"
                f" {2 * d}, got {n}",
                hint="refine the grid, match fewer points, or use finite_difference",
            )
        if derivative >= d:
            return Diagnostic(
                "P01",
                f"fourier_continuation with {d} matched points has no d{x * derivative}",
                hint=f"match at least {derivative + 1} points" if derivative < 8 else "use taylor",
                cause=f"polynomials of degree {d - 1} join the ends",
            )
        return None

    def matrix(self, n: int) -> np.ndarray:
        """The bridge from the last and the first `matching` of n points (2 matching values in
        that order), one row a point."""
        return gram(self.matching) if self.kind == "gram" else legendre(self.matching, n)

    def gain(self, n: int) -> float:
        """The largest values of a bridge, of ends of size 1."""
        return float(np.abs(self.matrix(n)).sum(1).max())


@lru_cache
def legendre(d: int, gap: int) -> np.ndarray:
    """Bridge of `gap` points by the polynomial of degree 2d - 1 through d points on either side.

    The fit of 2d Legendre coefficients to 2d values is interpolation; Lagrange's form of it keeps
    every entry to round-off, where the pseudo-inverse of the ill-conditioned Legendre matrix loses
    up to all digits.
    """
    nodes = np.concatenate([np.arange(d), np.arange(d + gap, 2 * d + gap)]).astype(float)
    x = np.arange(d, d + gap, dtype=float)
    columns = []
    for i, node in enumerate(nodes):
        others = np.delete(nodes, i)
        columns.append(np.prod((x[:, None] - others) / (node - others), axis=1))
    return np.stack(columns, axis=1)


@lru_cache
def gram(d: int, gap: int = 36) -> np.ndarray:
    """Bridge of `gap` points: the polynomial of the right end blended to zero, plus that of the
    left end, mirrored.

    A blend is the trigonometric polynomial that fits, by least squares on an oversampled grid, the
    end's Gram polynomial on its d points and zero past the gap.
    """
    length = d + gap + ZEROS + gap
    waves = np.arange(length // POINTS_PER_WAVE + 1)
    nodes = np.arange(d)

    def powers(x: np.ndarray) -> np.ndarray:
        return np.vander(2 * x / (d - 1) - 1, d, increasing=True)

    def basis(x: np.ndarray) -> np.ndarray:
        phase = 2 * np.pi * np.outer(x, waves) / length
        return np.concatenate([np.cos(phase), np.sin(phase[:, 1:])], axis=1)

    # columns of q: Gram polynomials, orthonormal on the d points
    q, r = np.linalg.qr(powers(nodes))
    on_match = np.arange((d - 1) * OVERSAMPLING + 1) / OVERSAMPLING
    on_zero = d + gap + np.arange((ZEROS - 1) * OVERSAMPLING + 1) / OVERSAMPLING
    targets = np.concatenate(
        [np.linalg.solve(r.T, powers(on_match).T).T, np.zeros((len(on_zero), d))]
    )
    coefficients, *_ = np.linalg.lstsq(
        basis(np.concatenate([on_match, on_zero])), targets, rcond=1e-14
    )
    right = basis(d + np.arange(gap)) @ coefficients @ q.T
    return np.concatenate([right, right[::-1, ::-1]], axis=1)
