"""Comparison of derivative backends on one problem and field: error, time and memory."""

from __future__ import annotations

import csv
import math
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compiler.comparison.case import Case, Comparison, rms
from compiler.comparison.timing import PeakMemory, seconds
from compiler.derivatives import DERIVATIVES, Backend, recognise
from compiler.loss.physics import PhysicsLoss
from compiler.lowering.exact_solution import ExactSolution
from pdespec.errors import Diagnostic, ProblemError
from pdespec.statements.problem import Problem

Errors = Mapping[str, float]


@dataclass(frozen=True)
class Row:
    """One backend on one set of points.

    `errors` are relative root mean squares by derivative, against autograd on the same points;
    `closed_form` the same against the known function. `residuals` are the root mean squares of each
    equation's residual minus that by autograd, `closed_residuals` minus that of the known function,
    in the equation's own unit. `values` counts values of the field a point. `refused` says why
    there are no figures. Units: seconds of CPU for one residual with its gradient, bytes.
    """

    backend: str
    layout: str
    points: int
    values: int
    errors: Errors
    closed_form: Errors
    residuals: Errors
    closed_residuals: Errors
    seconds: float
    bytes: int
    refused: Diagnostic | None = None

    @property
    def residual(self) -> float:
        """The largest of `residuals`."""
        return max(self.residuals.values(), default=math.nan)


@dataclass(frozen=True)
class Table:
    """The comparison of derivative backends. `print(table)`, `table["taylor"]`,
    `table.write_csv(path)`."""

    problem: str
    setting: str
    orders: Mapping[str, int]  # of each derivative, by its name
    residuals: Errors  # root mean square of the exact residual of each equation
    rows: tuple[Row, ...]

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows)

    def __getitem__(self, backend: str) -> Row:
        found = next((row for row in self.rows if row.backend == backend), None)
        if found is None:
            raise KeyError(
                f"no row {backend!r}; there are"
                f" {', '.join(dict.fromkeys(row.backend for row in self.rows))}"
            )
        return found

    @property
    def equations(self) -> list[str]:
        """Labels of the equations that some row has a residual of."""
        return list(
            dict.fromkeys(
                label for row in self.rows for label in (*row.residuals, *row.closed_residuals)
            )
        )

    def worst(self, row: Row, order: int, closed: bool = False) -> float:
        """The largest error among the derivatives of an order."""
        errors = row.closed_form if closed else row.errors
        return max(
            (value for name, value in errors.items() if self.orders[name] == order),
            default=math.nan,
        )

    def __str__(self) -> str:
        orders = sorted({order for order in self.orders.values() if order})
        closed = any(row.closed_form for row in self.rows)
        fastest = min((row.seconds for row in self.rows if row.refused is None), default=math.nan)
        head = ["backend", "points", "values", *(f"error d{k}" for k in orders)]
        head += [f"truth d{k}" for k in orders] * closed
        equations = self.equations
        several = len(equations) > 1
        head += [f"residual {label}" if several else "residual" for label in equations]
        head += [f"truth {label}" if several else "truth res." for label in equations] * closed + [
            "ms",
            "times",
            "MB",
        ]
        lines = [head]
        for row in self.rows:
            if row.refused is not None:
                lines.append([row.backend, row.layout, f"refused, {row.refused.code}"])
                continue
            line = [
                row.backend,
                row.layout,
                f"{row.values * row.points}",
                *(f"{self.worst(row, k):.1e}" for k in orders),
            ]
            line += [f"{self.worst(row, k, True):.1e}" for k in orders] * closed
            line += [f"{row.residuals.get(label, math.nan):.1e}" for label in equations]
            line += [
                f"{row.closed_residuals.get(label, math.nan):.1e}" for label in equations
            ] * closed
            line += [
                f"{1e3 * row.seconds:.1f}",
                f"{row.seconds / fastest:.1f}",
                f"{row.bytes / 1e6:.2f}",
            ]
            lines.append(line)
        body = aligned(lines)
        reasons = [
            f"{row.backend} on {row.layout}: {row.refused.message}"
            for row in self.rows
            if row.refused is not None
        ]
        sizes = ", ".join(f"{size:.2e} of {label}" for label, size in self.residuals.items())
        title = f"{self.problem}, {self.setting}" + (
            f"; root mean square of the exact residual {sizes}" if sizes else ""
        )
        return "\n".join([title, *body, *reasons])

    def write_csv(self, path: str | Path) -> Path:
        """One line a row, every derivative in its own column."""
        names, equations = list(self.orders), self.equations
        with Path(path).open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(
                ["backend", "layout", "points", "values", "values a point"]
                + [*(f"error {n}" for n in names), *(f"closed form {n}" for n in names)]
                + [
                    f"{kind} {label}"
                    for kind in ("residual error", "closed form residual")
                    for label in equations
                ]
                + ["seconds", "bytes", "refused"]
            )
            for row in self.rows:
                errors = [row.errors.get(name, "") for name in names] + [
                    row.closed_form.get(name, "") for name in names
                ]
                residuals = [
                    each.get(label, "")
                    for each in (row.residuals, row.closed_residuals)
                    for label in equations
                ]
                counts = [row.points, row.values * row.points, row.values]
                refused = f"{row.refused.code} {row.refused.message}" if row.refused else ""
                writer.writerow(
                    [
                        row.backend,
                        row.layout,
                        *counts,
                        *errors,
                        *residuals,
                        row.seconds,
                        row.bytes,
                        refused,
                    ]
                )
        return Path(path)


def compare(
    problem: Problem,
    field: Callable[[Tensor], Tensor],
    batch: Any,
    derivatives: Sequence[str | Backend] | None = None,
    *,
    exact: ExactSolution | Mapping[str, object] | None = None,
    repeats: int = 5,
) -> Table:
    """Every backend on the residuals of a problem for one field.

    Backends that need a grid get one of about as many points as the batch has inside: over the
    whole domain where it is an interval, rectangle or box, else over a cube inside all samples.
    Finite differences are shown both ways, by a stencil at the batch's points and on the grid.
    `derivatives` are names or backends with options, by default all of `DERIVATIVES`. `exact` is
    the function the field stands for, as expressions; by default the field itself if it is a closed
    form, or the problem's reference.
    """
    loss = PhysicsLoss(problem)
    # in the coordinates that are computed with
    if loss.local is not None and exact is None and not isinstance(field, ExactSolution):
        problem, field, batch = loss.local.problem, loss.inner(field), loss.inner_batch(batch)
    trial = Case.of(problem, field, batch, exact)
    contests = [
        contest for chosen in derivatives or list(DERIVATIVES) for contest in trial.contests(chosen)
    ]
    rows = [accuracy(trial, contest) for contest in contests]
    running = [k for k, row in enumerate(rows) if row.refused is None]
    steps = {k: trial.step(contests[k]) for k in running}
    times: dict[int, list[float]] = {k: [] for k in running}
    for _ in range(repeats):  # in turns, so that a change of load meets all alike
        for k in running:
            times[k].append(seconds(steps[k], trial.scattered.device))
    for k in running:
        with PeakMemory() as memory:
            steps[k]()
        rows[k] = replace(rows[k], seconds=statistics.median(times[k]), bytes=memory.peak)
    sample = trial.scattered
    setting = (
        f"{len(sample)} sample{'s' * (len(sample) != 1)},"
        f" {str(sample.dtype).removeprefix('torch.')} on {sample.device.type}"
    )
    size = (
        {label: rms(exact) for label, exact in trial.exact_residuals(sample).items()}
        if trial.pointwise
        else {}
    )
    return Table(problem.name, setting, trial.orders, size, tuple(rows))


def accuracy(trial: Case, contest: Comparison) -> Row:
    """A row without its costs; with the reason where the backend refuses."""
    backend, points = contest.backend, contest.points
    layout = recognise(points, trial.loss.axes)
    row = Row(
        contest.label,
        str(layout),
        points.shape[1],
        backend.points_per_query(trial.request),
        {},
        {},
        {},
        {},
        math.nan,
        0,
    )
    try:
        with torch.no_grad():
            found = backend.evaluate(trial.field, points, trial.request, trial.loss.axes)
            residual = trial.residuals(contest.loss, points)
    except ProblemError as error:
        return replace(row, refused=error.diagnostics[0])
    if trial.pointwise:
        exact = trial.exact_derivatives(points)
        row = replace(
            row,
            errors=trial.errors(found, lambda *key: exact[key]),
            residuals=gaps(residual, trial.exact_residuals(points)),
        )
    if (known := trial.exact) is not None:
        closed = trial.errors(found, lambda *key: known.derivative(points, *key))
        row = replace(
            row,
            closed_form=closed,
            closed_residuals=gaps(residual, trial.exact_residuals(points, known)),
        )
    return row


def gaps(found: Mapping[str, Tensor], exact: Mapping[str, Tensor]) -> dict[str, float]:
    """Root mean square difference by label."""
    return {label: rms(found[label] - exact[label]) for label in found}


def aligned(lines: Sequence[Sequence[str]], left: int = 2) -> list[str]:
    """Cells padded to columns, the first `left` of them to the left; the first line sets how
    many columns there are."""
    full = [line for line in lines if len(line) == len(lines[0])]
    widths = [
        max(len(line[k]) for line in (lines if k < left else full)) for k in range(len(lines[0]))
    ]
    rows = [
        [
            cell.ljust(w) if k < left else cell.rjust(w)
            for k, (cell, w) in enumerate(zip(line, widths, strict=False))
        ]
        for line in lines
    ]
    return ["  ".join(row).rstrip() for row in rows]
