"""Trainable numbers from measured values, by the reference solver: least squares, and how sure the
result is.

With residuals r_k = sqrt(w_k) (u(x_k; theta) - u_k), J = dr/dtheta, the posterior of theta about
the least squares estimate is nearly normal with covariance s^2 (J^T J)^-1 (Laplace's
approximation with the Gauss-Newton Hessian). s^2 is 1 where the data say their standard deviation,
w = 1/sigma^2; else it is estimated from what is left, sum r^2 / (n - p), for each file by itself.
Source: Seber and Wild 1989, Nonlinear Regression, 2.1 and 5.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import least_squares
from scipy.stats import norm
from scipy.stats import t as student

from compiler.batches.measured import measured_batch
from compiler.batches.sample import Batch
from compiler.fem import SolverError
from compiler.measurements.measured import Measured, measurements
from compiler.solvers import solve
from pdespec.errors import PdespecError
from pdespec.statements.problem import Problem

Array = NDArray[np.float64]
STEP = 1e-2  # of a trainable, of the central differences: far above the solver's own error
FAR = 1e3  # times the residuals of the first guess: what a step to where there is no solution gives
LEVEL = 0.95
AWAY = 2.0  # standard deviations from the best fit, from which on an interval says nothing


class EstimateError(PdespecError):
    """There is no estimate; the text says why."""


@dataclass(frozen=True)
class Estimate:
    """Values of the trainables by component, and their covariance, "p p" in that order.

    `noise` is the standard deviation of the values of each term of data, as the file says it (mean
    over the rows) or as it was estimated; `known` where all files say it; `freedom` the number of
    rows less that of trainables; `step` what Gauss-Newton's method would add to the values: next to
    nothing where they fit best, and where it is large the covariance is not that of an optimum.
    """

    values: Mapping[str, float]
    covariance: Array
    noise: Mapping[str, float]
    known: bool
    freedom: int
    step: Mapping[str, float]

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation of each value."""
        deviations = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.values, deviations.tolist(), strict=True))

    def interval(self, level: float = LEVEL) -> dict[str, tuple[float, float]]:
        """Between which the truth lies with probability `level`: by the normal law, or by
        Student's where the noise was estimated."""
        share = (1 + level) / 2
        width = float(norm.ppf(share) if self.known else student.ppf(share, self.freedom))
        return {
            name: (value - width * self.std[name], value + width * self.std[name])
            for name, value in self.values.items()
        }

    def __repr__(self) -> str:
        found = ", ".join(f"{name} = {value:.6g}" for name, value in self.values.items())
        return f"<Estimate: {found}>"

    def __str__(self) -> str:
        return "\n".join(
            f"{name} = {value:.6g} ± {self.std[name]:.2g}" for name, value in self.values.items()
        )


def estimate(
    problem: Problem,
    start: Mapping[str, float] | None = None,
    *,
    solver: Callable[..., Any] = solve,
    **options: Any,
) -> Estimate:
    """The trainables that fit the data of a problem best, by the reference solver, from a first
    guess: `start`, or the one declared. `options`: of `solver`.

    Raises: EstimateError where the data do not determine them, or measure an expression;
    SolverError; ProblemError D01 to D09.
    """
    return _Fit(problem, solver, options).fitted(start or {})


def uncertainty(
    problem: Problem,
    values: Mapping[str, float],
    *,
    solver: Callable[..., Any] = solve,
    **options: Any,
) -> Estimate:
    """The same at values that were found otherwise, such as in training: their covariance, as if
    they were the best. Raises: as `estimate`."""
    return _Fit(problem, solver, options).at(values)


class _Fit:
    """The residuals of the data of a problem as a function of its trainables, theta "p"."""

    def __init__(
        self, problem: Problem, solver: Callable[..., Any], options: Mapping[str, Any]
    ) -> None:
        self.problem, self.solver, self.options = problem, solver, options
        self.names = [c for p in problem.trainables.values() for c in p.components]
        self.terms = measurements(problem).terms
        if not self.names or not self.terms:
            what = "trainable numbers" if not self.names else "data"
            raise EstimateError(f"`{problem.name}` has no {what}")
        for each in self.terms:
            if not each.direct:
                raise EstimateError(
                    f"`{each.label}` measures an expression; the reference solver is asked for"
                    " unknowns and components alone"
                )
        self.batch: Batch = measured_batch(
            problem, measurements(problem), {"operator": 1}, 0, {"hard": False}
        )
        self.rows = sum(len(each.table) for each in self.terms)
        if self.rows <= len(self.names):
            raise EstimateError(
                f"{self.rows} measured values do not determine {len(self.names)} numbers and their"
                " noise"
            )

    def fitted(self, start: Mapping[str, float]) -> Estimate:
        declared = {
            c: float(p.value if p.value is not None else 1)
            for p in self.problem.trainables.values()
            for c in p.components
        }
        first = np.array([float(start.get(name, declared[name])) for name in self.names])
        scale = np.where(first != 0, abs(first), 1.0)
        begin = self.residuals(first)

        def tried(theta: Array) -> Array:
            try:
                return self.residuals(theta)
            except SolverError:  # a step too far, such as to heat that runs backwards
                return FAR * (begin + np.sqrt(np.mean(begin**2)) + 1)

        found = least_squares(tried, first, self.slopes, x_scale=scale, method="lm")
        return self.judged(found.x, found.fun, found.jac)

    def at(self, values: Mapping[str, float]) -> Estimate:
        theta = np.array([float(values[name]) for name in self.names])
        return self.judged(theta, self.residuals(theta), self.slopes(theta))

    def residuals(self, theta: Array) -> Array:
        """sqrt(w) (u - u_k) of all rows and components, w = 1/sigma^2 where sigma is known."""
        batch = self.batch.with_trainables(dict(zip(self.names, theta.tolist(), strict=True)))
        truth = self.solver(self.problem, batch, **self.options)
        return np.concatenate([self.misfit(each, truth).ravel() for each in self.terms])

    def misfit(self, each: Measured, truth: Callable[[torch.Tensor], torch.Tensor]) -> Array:
        """Those of one term. Shapes: -> "n c"."""
        table, names = each.table, list(self.problem.components)
        count = self.batch.size
        own = table.rows if table.family else [np.arange(len(table))] * count
        width = max(map(len, own))
        points = np.stack([table.points[np.resize(rows, width)] for rows in own])
        values = truth(torch.as_tensor(points)).numpy()
        values = values[..., [names.index(c) for c in each.components]]
        gap = np.zeros_like(table.values)
        for k, rows in enumerate(own):
            gap[rows] = values[k, : len(rows)] - table.values[rows]
        if np.isnan(gap).any():
            raise EstimateError(f"`{each.label}` has rows outside of the reference's mesh")
        weights = table.weights if table.sigma is None else table.sigma**-2.0
        return np.sqrt(weights)[:, None] * gap

    def slopes(self, theta: Array) -> Array:
        """dr/dtheta by central differences. Shapes: "n p"."""
        columns = []
        for k, value in enumerate(theta):
            step = np.zeros_like(theta)
            step[k] = STEP * (abs(value) or 1.0)
            change = self.residuals(theta + step) - self.residuals(theta - step)
            columns.append(change / (2 * step[k]))
        return np.stack(columns, 1)

    def judged(self, theta: Array, residuals: Array, slopes: Array) -> Estimate:
        """The covariance, with the noise of each term that does not say its own."""
        freedom = self.rows - len(self.names)
        noise, parts, gaps, first = {}, [], [], 0
        for each in self.terms:
            size = each.table.values.size
            own = residuals[first : first + size]
            spread = 1.0
            if each.table.sigma is None:
                spread = (
                    float(np.sqrt(np.mean(own**2) * self.rows / freedom)) or np.finfo(float).tiny
                )
            noise[each.label] = (
                spread if each.table.sigma is None else float(each.table.sigma.mean())
            )
            parts.append(slopes[first : first + size] / spread)
            gaps.append(own / spread)
            first += size
        weighed = np.concatenate(parts)
        scale = np.linalg.norm(weighed, axis=0)
        lost = [n for n, s in zip(self.names, scale, strict=True) if not s > 0]
        if lost or np.linalg.cond(weighed / scale) > 1e8:
            which = ", ".join(lost or self.names)
            raise EstimateError(f"the data do not determine {which}")
        inverse = np.linalg.inv((weighed / scale).T @ (weighed / scale))
        covariance = inverse / np.outer(scale, scale)
        values = dict(zip(self.names, theta.tolist(), strict=True))
        known = all(each.table.sigma is not None for each in self.terms)
        step = np.linalg.lstsq(weighed / scale, -np.concatenate(gaps), rcond=None)[0] / scale
        steps = dict(zip(self.names, step.tolist(), strict=True))
        return Estimate(values, covariance, noise, known, freedom, steps)


def described(found: Estimate, level: float = LEVEL) -> Sequence[str]:
    """A line for each trainable, and for each that is not where the data want it."""
    intervals = found.interval(level)
    lines = [
        f"{name} = {value:.6g} ± {found.std[name]:.2g}"
        f" ({100 * level:.0f} % between {intervals[name][0]:.6g} and {intervals[name][1]:.6g})"
        for name, value in found.values.items()
    ]
    for name, step in found.step.items():
        away = abs(step) / found.std[name]
        if away > AWAY:
            lines.append(
                f"warning: {name} is {away:.2g} standard deviations from what fits the data best by"
                f" the reference solver, about {found.values[name] + step:.4g}: train longer, give"
                " weights.data more weight, or take compiler.estimate"
            )
    return lines


__all__ = ["Estimate", "EstimateError", "SolverError", "described", "estimate", "uncertainty"]
