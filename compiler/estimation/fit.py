"""Trainables from measured values, by the reference solver: least squares, and how sure the result
is.

With residuals r_k = sqrt(w_k) (u(x_k; theta) - u_k) and normal priors theta_i ~ N(m_i, t_i), the
estimate maximises the posterior: it minimises

    sum_k r_k^2 / s^2 + sum_i ((theta_i - m_i) / t_i)^2.

About it the posterior is nearly normal with covariance (J^T J / s^2 + T^-2)^-1, J = dr/dtheta
(Laplace's approximation with the Gauss-Newton Hessian). s^2 is 1 where the data say their standard
deviation, w = 1/sigma^2; else it is estimated from what is left, sum r^2 / (n - p), for each file
by itself, p = tr(C J^T J / s^2) the number of trainables that the data determine: all of them where
there are no priors. What follows from theta, such as an output q, has variance q' C q'^T (the delta
method).
Sources: Seber and Wild 1989, Nonlinear Regression, 2.1 and 5; MacKay 1992, Bayesian Interpolation,
Neural Computation 4, eqs. 3.10 to 3.14 (p).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from scipy.optimize import least_squares

from compiler.arrays import Array
from compiler.batches.measured import measured_batch
from compiler.batches.sample import Batch
from compiler.estimation.result import Estimate, EstimateError, FieldEstimate, Quantity
from compiler.fem import SolverError
from compiler.functionals.outputs import output
from compiler.measurements.measured import Measured, measurements
from compiler.solvers import solve
from compiler.trainable_fields import expanded, found_fields, priors
from pdespec.errors import ProblemError, suggestion
from pdespec.statements.problem import Problem
from pdespec.trainable_fields import TrainableField

STEP = 1e-2  # of a trainable, of the central differences: far above the solver's own error
FAR = 1e3  # times the residuals of the first guess: what a step to where there is no solution gives
ROUNDS = 12  # of estimating the noise where there are priors
SETTLED = 1e-3  # the relative change of the noise at which that ends


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
        self.problem, self.solver, self.options = expanded(problem), solver, options
        self.declared = found_fields(problem)
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
            self.problem, measurements(problem), {"operator": 1}, 0, {"hard_conditions": False}
        )
        laws = priors(problem)
        law = [laws.get(name, (0.0, np.inf)) for name in self.names]
        self.mean, self.spread = np.array(law).T
        self.bound = np.isfinite(self.spread)  # that have a prior
        self.rows = sum(each.whole.values.size for each in self.terms)  # every component counts
        free = int((~self.bound).sum())
        if self.rows <= free:
            raise EstimateError(
                f"{self.rows} measured values do not determine {free} numbers and their noise"
            )
        declared = [
            float(p.value if p.value is not None else 1)
            for p in self.problem.trainables.values()
            for _ in p.components
        ]
        self.first = np.array(declared)
        size = np.where(self.first != 0, abs(self.first), 1.0)
        self.size = np.where(self.bound, self.spread, size)
        self.quantities: list[tuple[str, int]] = []  # outputs that are numbers, and how many

    # ----------------------------------------------------------------------------------------------
    # least squares

    def fitted(self, start: Mapping[str, float]) -> Estimate:
        for name in sorted(set(start) - set(self.names)):
            known = f"the numbers are {', '.join(self.names[:12])}"
            raise EstimateError(
                f"there is no number `{name}` to begin with; {suggestion(name, self.names, known)}"
            )
        first = np.array(
            [float(start.get(n, v)) for n, v in zip(self.names, self.first, strict=True)]
        )
        begin = self.residuals(first)
        known = all(each.whole.sigma is not None for each in self.terms)
        if known or not self.bound.any():
            found = self.lowest(first, begin, np.ones_like(begin))
            return self.judged(found.x, found.fun[: len(begin)])
        noise, theta = self.noise_of(begin, None), first
        for _ in range(ROUNDS):
            found = self.lowest(theta, begin, noise)
            theta, residuals = found.x, found.fun[: len(begin)] * noise
            slopes = found.jac[: len(begin)] * noise[:, None]
            before, noise = noise, self.noise_of(residuals, slopes, noise)
            if np.max(abs(noise / before - 1)) < SETTLED:
                break
        return self.judged(theta, residuals)

    def lowest(self, first: Array, begin: Array, noise: Array) -> Any:
        """Where the squares of residuals over noise and of the priors have their least sum. Shapes:
        noise "n"."""

        def tried(theta: Array) -> Array:
            try:
                residuals = self.residuals(theta)
            except SolverError:  # a step too far, such as to heat that runs backwards
                residuals = FAR * (begin + np.sqrt(np.mean(begin**2)) + 1)
            return np.concatenate([residuals / noise, self.off(theta)])

        def slopes(theta: Array) -> Array:
            return np.concatenate([self.slopes(theta)[0] / noise[:, None], self.pull])

        # its steps are of these sizes at first
        scale = np.where(first != 0, abs(first), 1.0)
        scale = np.where(self.bound, self.spread, scale)
        return least_squares(tried, first, slopes, x_scale=scale, method="lm")

    def off(self, theta: Array) -> Array:
        """How many standard deviations those with a prior are from its mean."""
        return ((theta - self.mean) / self.spread)[self.bound]

    @property
    def pull(self) -> Array:
        """The slopes of that. Shapes: "q p"."""
        return np.diag(1 / self.spread)[self.bound]

    def noise_of(self, residuals: Array, slopes: Array | None, now: Array | None = None) -> Array:
        """The standard deviation of each residual, where `now` is a guess of it. Shapes: -> "n"."""
        count = 0.0 if slopes is None or now is None else self.determined(slopes / now[:, None])
        share = max(self.rows - count, 1.0) / self.rows
        found, first = np.ones_like(residuals), 0
        for each in self.terms:
            own = slice(first, first + each.whole.values.size)
            first = own.stop
            if each.whole.sigma is None:
                size = float(np.sqrt(np.mean(residuals[own] ** 2) / share))
                found[own] = size or np.finfo(float).tiny
        return found

    def determined(self, weighed: Array) -> float:
        """How many trainables the data determine: all where there are no priors."""
        if not self.bound.any():
            return float(len(self.names))
        information = weighed.T @ weighed
        return float(np.trace(np.linalg.solve(information + self.pull.T @ self.pull, information)))

    def at(self, values: Mapping[str, float]) -> Estimate:
        theta = np.array([float(values[name]) for name in self.names])
        return self.judged(theta, self.residuals(theta))

    # ----------------------------------------------------------------------------------------------
    # the solver

    def residuals(self, theta: Array) -> Array:
        """sqrt(w) (u - u_k) of all rows and components, w = 1/sigma^2 where sigma is known."""
        return self.solved(theta, False)[0]

    def solved(self, theta: Array, asked: bool) -> tuple[Array, Array]:
        """Those, and the outputs that are numbers where they are `asked` for. Shapes: "n", "q"."""
        batch = self.batch.with_trainables(dict(zip(self.names, theta.tolist(), strict=True)))
        truth = self.solver(self.problem, batch, **self.options)
        residuals = np.concatenate([self.misfit(each, truth).ravel() for each in self.terms])
        return residuals, self.numbers(truth, batch) if asked else np.empty(0)

    def numbers(self, truth: Any, batch: Batch) -> Array:
        """The declared outputs that are numbers of the one sample, one after the other; notes which
        in `quantities`."""
        self.quantities, found = [], []
        for name in self.problem.outputs if batch.size == 1 else ():
            try:
                value = output(self.problem, name, truth, batch)
            except (ProblemError, SolverError):
                continue  # one that the reference solver does not give
            if isinstance(value, torch.Tensor) and value.ndim <= 2:
                found.append(value.detach().double().numpy()[0].reshape(-1))
                self.quantities.append((name, value.shape[1] if value.ndim == 2 else 0))
        return np.concatenate([*found, np.empty(0)])

    def misfit(self, each: Measured, truth: Callable[[torch.Tensor], torch.Tensor]) -> Array:
        """Those of one term. Shapes: -> "n c"."""
        table, names = each.whole, list(self.problem.components)
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

    def slopes(self, theta: Array, asked: bool = False) -> tuple[Array, Array]:
        """dr/dtheta and dq/dtheta by central differences. Shapes: "n p", "q p"."""
        columns = []
        for k, value in enumerate(theta):
            step = np.zeros_like(theta)
            step[k] = STEP * (self.size[k] if self.bound[k] else abs(value) or 1.0)
            up, down = (self.solved(theta + sign * step, asked) for sign in (1, -1))
            columns.append([(a - b) / (2 * step[k]) for a, b in zip(up, down, strict=True)])
        residuals, outputs = zip(*columns, strict=True)
        return np.stack(residuals, 1), np.stack(outputs, 1)

    # ----------------------------------------------------------------------------------------------
    # the covariance

    def judged(self, theta: Array, residuals: Array) -> Estimate:
        """The covariance, with the noise of each term that does not say its own."""
        _, values = self.solved(theta, True)
        slopes, changes = self.slopes(theta, True)
        noise = self.noise_of(residuals, None)
        for _ in range(ROUNDS):
            count = self.determined(slopes / noise[:, None])
            before, noise = noise, self.noise_of(residuals, slopes, noise)
            if np.max(abs(noise / before - 1)) < SETTLED:
                break
        count = self.determined(slopes / noise[:, None])
        weighed = np.concatenate([slopes / noise[:, None], self.pull])
        gaps = np.concatenate([residuals / noise, self.off(theta)])
        scale = np.linalg.norm(weighed, axis=0)
        lost = [n for n, s in zip(self.names, scale, strict=True) if not s > 0]
        if lost or np.linalg.cond(weighed / scale) > 1e8:
            which = ", ".join(lost or self.names)
            raise EstimateError(f"the data do not determine {which}")
        inverse = np.linalg.inv((weighed / scale).T @ (weighed / scale))
        covariance = inverse / np.outer(scale, scale)
        step = np.linalg.lstsq(weighed / scale, -gaps, rcond=None)[0] / scale
        known = all(each.whole.sigma is not None for each in self.terms)
        freedom = self.rows - count
        return Estimate(
            dict(zip(self.names, theta.tolist(), strict=True)),
            covariance,
            self.said(noise),
            known,
            int(freedom) if freedom == int(freedom) else freedom,
            dict(zip(self.names, step.tolist(), strict=True)),
            fields_of(self.declared, self.names, theta, covariance, known, freedom),
            self.spreads(values, changes, covariance, known, freedom),
        )

    def said(self, noise: Array) -> dict[str, float]:
        """The standard deviation of the values of each term, by label."""
        found, first = {}, 0
        for each in self.terms:
            sigma = each.whole.sigma
            found[each.label] = float(noise[first]) if sigma is None else float(sigma.mean())
            first += each.whole.values.size
        return found

    def spreads(
        self, values: Array, changes: Array, covariance: Array, known: bool, freedom: float
    ) -> dict[str, Quantity]:
        """The outputs with their standard deviations."""
        std = np.sqrt(np.maximum(np.sum(changes @ covariance * changes, 1), 0.0))
        found, first = {}, 0
        for name, count in self.quantities:
            own = slice(first, first + max(count, 1))
            shape = (count,) if count else ()
            found[name] = Quantity(
                values[own].reshape(shape), std[own].reshape(shape), known, freedom
            )
            first = own.stop
        return found


def fields_of(
    declared: Mapping[str, TrainableField],
    names: list[str],
    theta: Array,
    covariance: Array | None = None,
    known: bool = True,
    freedom: float = np.inf,
) -> dict[str, FieldEstimate]:
    """The trainable functions, of values and covariance of all trainables, ordered as `names`."""
    found = {}
    for name, each in declared.items():
        own = [names.index(c) for c in each.components]
        part = None if covariance is None else covariance[np.ix_(own, own)]
        found[name] = FieldEstimate(each, theta[own], part, known, freedom)
    return found


__all__ = ["SolverError", "estimate", "fields_of", "uncertainty"]
