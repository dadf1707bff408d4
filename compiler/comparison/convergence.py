"""Convergence study: error of numerical derivatives against the spacing of points, with fitted
orders."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.comparison.case import Case, cover
from compiler.comparison.compare import aligned
from compiler.derivatives import (
    Backend,
    FiniteDifference,
    Fourier,
    FourierContinuation,
    LeastSquares,
    MultiIndex,
)
from compiler.lowering.exact_solution import ExactSolution
from operators.graph.grid import Lattice
from pdespec.errors import ProblemError
from pdespec.statements.problem import Problem

# on the finest grid of a sample: nested autograd of a graph decoder there takes seconds
POINTS = 2304
CREDIBLE = 100  # times the finest grid: as far as a fitted slope is extrapolated


@dataclass(frozen=True)
class Series:
    """The worst relative error among the derivatives of one order, against the spacing. Units:
    spacings are shares of the longest axis."""

    backend: str
    order: int
    points: tuple[int, ...]
    spacings: tuple[float, ...]
    errors: tuple[float, ...]

    @property
    def falling(self) -> slice:
        """The part down to the least error: beyond it round-off rules."""
        return slice(0, int(np.argmin(self.errors)) + 1)

    @property
    def slope(self) -> float:
        """Order of convergence, fitted to the last three points that still fall."""
        h, e = (
            np.log(self.spacings[self.falling])[-3:],
            np.log(np.maximum(self.errors[self.falling], 1e-300))[-3:],
        )
        return float(np.polyfit(h, e, 1)[0]) if len(h) > 1 else math.nan

    def points_for(self, error: float) -> float:
        """Points at which the error is reached, along the fitted slope; inf where it does not
        fall."""
        k = int(np.argmin(self.errors))
        below = [n for n, e in zip(self.points, self.errors, strict=True) if e <= error]
        if below:
            return below[0]
        dim = round(
            -math.log(self.points[-1] / self.points[0])
            / math.log(self.spacings[-1] / self.spacings[0])
        )
        return (
            self.points[k] * (self.errors[k] / error) ** (dim / self.slope)
            if self.slope > 0.3
            else math.inf
        )


@dataclass(frozen=True)
class ConvergenceStudy:
    """Error against spacing of every numerical backend on one field. `print(sweep)`."""

    problem: str
    series: tuple[Series, ...]
    refused: Mapping[str, str]
    precision: float  # relative round-off of the values

    def __str__(self) -> str:
        lines = [["backend", "derivatives", "fitted order", "coarsest", "finest", "points for 1 %"]]
        for each in self.series:
            needed = each.points_for(0.01)
            most = CREDIBLE * each.points[-1]
            count = f"{needed:.0f}" if needed <= most else f"> {most}"
            lines.append(
                [
                    each.backend,
                    f"order {each.order}",
                    f"{each.slope:.1f}",
                    f"{each.errors[0]:.1e}",
                    f"{each.errors[-1]:.1e}",
                    count,
                ]
            )
        return "\n".join(
            [
                f"{self.problem}, error against spacing",
                *aligned(lines),
                *(f"{k}: {v}" for k, v in self.refused.items()),
            ]
        )


def convergence_study(
    problem: Problem,
    field: Callable[[Tensor], Tensor],
    batch: Any,
    per_axis: Sequence[int] | None = None,
    *,
    exact: ExactSolution | Mapping[str, object] | None = None,
) -> ConvergenceStudy:
    """Numerical backends on finer and finer grids (clouds for least squares) over the same part of
    the domain, against exact derivatives.

    Exact is autograd, or the closed form for a field that is not pointwise.
    """
    trial = Case.of(problem, field, batch, exact)
    region = cover(problem, batch, POINTS)
    per_axis = tuple(per_axis or steps(len(region.shape)))
    found: dict[str, list[dict[str, float]]] = {}
    refused: dict[str, str] = {}
    for count, scattered in itertools.product(per_axis, (False, True)):
        points = places(trial, region, count, scattered)
        own = [
            (label, backend)
            for label, backend, cloud in contestants(trial)
            if cloud is scattered and label not in refused
        ]
        if not own:
            continue
        exact_at = truth(trial, points)
        for label, backend in own:
            try:
                with torch.no_grad():
                    answers = backend.evaluate(trial.field, points, trial.request, trial.loss.axes)
            except ProblemError as error:
                refused[label] = error.diagnostics[0].message
                continue
            found.setdefault(label, []).append(trial.errors(answers, exact_at))
    counts = tuple(n ** len(region.shape) for n in per_axis)
    spacings = tuple(1 / (n - 1) for n in per_axis)
    series = [
        Series(
            label,
            order,
            counts,
            spacings,
            tuple(max(e[name] for name in e if trial.orders[name] == order) for e in errors),
        )
        for label, errors in found.items()
        if label not in refused
        for order in sorted(set(trial.orders.values()))
    ]
    return ConvergenceStudy(
        problem.name, tuple(series), refused, torch.finfo(trial.scattered.dtype).eps / 2
    )


def truth(trial: Case, points: Tensor) -> Callable[[int, MultiIndex], Tensor]:
    """The exact derivatives at some points, by component and multi-index."""
    if trial.pointwise:
        known = trial.exact_derivatives(points)
        return lambda component, index: known[component, index]
    if trial.exact is None:
        raise ValueError(
            f"the field of `{trial.loss.problem.name}` mixes its queries and no closed form is"
            " known: give exact="
        )
    exact = trial.exact
    return lambda component, index: exact.derivative(points, component, index)


def steps(dim: int) -> list[int]:
    """Five counts along an axis, evenly spread in their logarithm, from 12 up to 128 or what
    `POINTS` allows."""
    top = min(128, round(POINTS ** (1 / dim)))
    return sorted({round(12 * (top / 12) ** (k / 4)) for k in range(5)})


def contestants(trial: Case) -> list[tuple[str, Backend, bool]]:
    """Label, backend, and whether it takes scattered points."""
    period = trial.loss.axes.period
    chosen: list[tuple[str, Backend, bool]] = [
        (f"finite_difference, order {k}", FiniteDifference(order=k, mode="grid"), False)
        for k in (2, 4)
    ]
    if all(period):
        chosen.append(("fourier", Fourier(), False))
    elif any(period):
        chosen.append(
            ("fourier, else finite_difference", Fourier(rest=FiniteDifference(order=4)), False)
        )
    chosen.append(("fourier_continuation", FourierContinuation(), False))
    return [
        *chosen,
        *(
            (f"least_squares, degree {k}", LeastSquares(degree=k, worst=math.inf), True)
            for k in (1, 2)
            if trial.pointwise
        ),
    ]


def places(trial: Case, region: Lattice, count: int, scattered: bool) -> Tensor:
    """`count` points along every axis of a region: its grid, or as many Sobol points. Shapes: ->
    "b n D"."""
    like = trial.scattered
    if not scattered:
        grid = Lattice(region.lower, region.upper, (count,) * len(region.shape), region.periodic)
        return grid.points(like.dtype, like.device).expand(len(like), -1, -1).contiguous()
    engine = torch.quasirandom.SobolEngine(len(region.shape), scramble=True, seed=0)
    low, high = (
        torch.tensor(corner, dtype=like.dtype, device=like.device)
        for corner in (region.lower, region.upper)
    )
    cloud = engine.draw(count ** len(region.shape), dtype=torch.float64).to(like)
    return (low + (high - low) * cloud).expand(len(like), -1, -1).contiguous()
