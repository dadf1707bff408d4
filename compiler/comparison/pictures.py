"""Pictures of a comparison of derivatives: error against cost, error against spacing,
smoothness, length of the gradient."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from torch import Tensor

from compiler.comparison.case import Case, cover
from compiler.comparison.compare import Table
from compiler.comparison.convergence import ConvergenceStudy, convergence_study
from compiler.derivatives import DERIVATIVES, Axes, FiniteDifference, MultiIndex, Request
from compiler.derivatives.precision import wavelength
from pdespec.statements.problem import Problem

# one-sided at the ends: a field that does not repeat, on a domain that does, is drawn as well
UNWRAPPED = Axes()
MARKS = "osD^v<>pXh"
Panel = tuple[str, np.ndarray]


def write_comparison(
    directory: str | Path,
    table: Table,
    problem: Problem,
    field: Callable[[Tensor], Tensor],
    batch: Any,
) -> None:
    """A comparison of backends on this field as `comparison.txt` and `.csv`, with `cost.png`,
    `spacing.png`, `smoothness.png` and `gradient.png` next to them."""
    directory = Path(directory)
    directory.mkdir(parents=True, exist_ok=True)
    swept = convergence_study(problem, field, batch)
    trial = Case.of(problem, field, batch)
    (directory / "comparison.txt").write_text(f"{table}\n\n{swept}\n")
    table.write_csv(directory / "comparison.csv")
    drawn = {
        "cost": cost_picture(table),
        "spacing": spacing_picture(swept),
        "smoothness": smoothness_picture(trial),
        "gradient": gradient_picture(trial),
    }
    for name, figure in drawn.items():
        figure.savefig(directory / f"{name}.png", dpi=130)


def colour(label: str) -> str:
    """One colour a backend, in every picture; variants differ by their marks or dashes."""
    own = label.split(",")[0]
    return f"C{list(DERIVATIVES).index(own) % 10}" if own in DERIVATIVES else "0.3"


def cost_picture(table: Table) -> Figure:
    """The worst error of the highest derivatives against time and against memory, one mark a
    backend.

    An error of zero is that of the reference itself: a hollow mark below all that was measured.
    """
    figure = Figure(figsize=(12, 4), layout="constrained")
    order = max(table.orders.values())
    rows = [row for row in table if row.refused is None]
    closed = not any(row.errors for row in rows)
    errors = [table.worst(row, order, closed) for row in rows]
    below = 0.1 * min((error for error in errors if error > 0), default=1.0)
    measures = (("CPU ms", lambda row: 1e3 * row.seconds), ("peak MB", lambda row: row.bytes / 1e6))
    panels = figure.subplots(1, 2)
    for axes, (unit, measure) in zip(panels, measures, strict=True):
        for k, (row, error) in enumerate(zip(rows, errors, strict=True)):
            reference = {} if error > 0 else {"markerfacecolor": "none"}
            label = f"{row.backend}, {row.layout}" + ("" if error > 0 else " (the reference)")
            axes.plot(
                measure(row),
                error or below,
                MARKS[k % len(MARKS)],
                color=colour(row.backend),
                ms=8,
                label=label,
                ls="",
                **reference,
            )
        axes.set(
            xlabel=f"{unit} for the residual and its gradient",
            ylabel=f"relative error, derivatives of order {order}",
        )
        axes.set(xscale="log", yscale="log")
        axes.margins(x=0.15, y=0.15)
        few_ticks(axes.xaxis, [measure(row) for row in rows])
        axes.grid(alpha=0.25)
    panels[1].legend(fontsize=8, loc="center left", bbox_to_anchor=(1.02, 0.5))
    figure.suptitle(f"{table.problem}: error against cost", fontsize=11)
    return figure


def few_ticks(axis: Axis, values: Sequence[float]) -> None:
    """Labels at 1, 2 and 5 times powers of ten within two decades, at powers of ten beyond, none
    between."""
    near = max(values) <= 100 * min(values)
    axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if near else (1.0,)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def spacing_picture(swept: ConvergenceStudy) -> Figure:
    """Error against spacing on double logarithmic axes, one panel an order of derivative, fitted
    orders in the legend below it.

    The dotted line is the round-off `eps/2 (l/h)^order` of a difference over one spacing, for one
    wave across the points.
    """
    orders = sorted({each.order for each in swept.series})
    figure = Figure(figsize=(4.5 * len(orders) + 1, 6), layout="constrained")
    for axes, order in zip(figure.subplots(1, len(orders), squeeze=False)[0], orders, strict=True):
        own = [each for each in swept.series if each.order == order]
        for k, each in enumerate(own):
            shown = [error or math.nan for error in each.errors]
            style = {
                "color": colour(each.backend),
                "ls": "-"
                if colour(each.backend) not in {colour(o.backend) for o in own[:k]}
                else "--",
            }
            axes.loglog(
                each.spacings,
                shown,
                MARKS[k % len(MARKS)],
                ms=4,
                label=f"{each.backend}: {each.slope:.1f}",
                **style,
            )
        spacings = np.array(sorted({h for each in own for h in each.spacings}))
        roundoff = swept.precision * (wavelength(1.0) / spacings) ** order
        axes.loglog(
            spacings,
            roundoff,
            ":",
            color="0.4",
            label=f"round-off of values known to {swept.precision:.0e}",
        )
        axes.axhline(0.01, color="0.6", lw=0.8, ls=":")
        axes.set(
            xlabel="spacing, share of an axis",
            ylabel="relative error",
            title=f"derivatives of order {order}",
        )
        axes.legend(
            fontsize=7,
            title="fitted order",
            title_fontsize=7,
            loc="upper center",
            bbox_to_anchor=(0.5, -0.17),
        )
        few_ticks(axes.xaxis, list(spacings))
        axes.grid(alpha=0.25)
    figure.suptitle(f"{swept.problem}: error against spacing", fontsize=11)
    return figure


def smoothness_picture(trial: Case, count: int = 48) -> Figure:
    """The highest derivative of the first unknown: closed form where known, autograd, finite
    differences on the drawn grid.

    To the right, by how much each differs from the first, on a scale of its own.
    """
    component, index = max(
        (key for key in trial.keys if key[0] == trial.keys[0][0]),
        key=lambda key: (sum(key[1]), key[1]),
    )
    drawn = slab(trial, count)
    request = Request({component: frozenset({index})})
    panels: list[Panel] = []
    if trial.exact is not None:
        panels.append(
            ("closed form", image(trial.exact.derivative(drawn.points, component, index), drawn))
        )
    if trial.pointwise:
        panels.append(
            (
                "autograd",
                image(trial.exact_derivatives(drawn.points, request)[component, index], drawn),
            )
        )
    across = any(index[len(drawn.shape) :])  # no grid there: a stencil of the drawn step
    backend = (
        FiniteDifference(mode="stencil", step=drawn.step)
        if across
        else FiniteDifference(mode="grid")
    )
    with torch.no_grad():
        numeric = backend.evaluate(trial.field, drawn.points, request, UNWRAPPED)[component, index]
    panels.append((f"finite differences, {drawn}", image(numeric, drawn)))
    (truth, exact), *others = panels
    figure = Figure(figsize=(4 * (len(panels) + len(others)) + 0.6, 3.7), layout="constrained")
    row = figure.subplots(1, len(panels) + len(others), squeeze=False)[0]
    _row(figure, row[: len(panels)], panels, drawn)
    for k, (title, values) in enumerate(others, len(panels)):
        _row(figure, row[k : k + 1], [(f"{title}, minus {truth}", values - exact)], drawn)
    figure.suptitle(f"{trial.name(component, index)} of {trial.loss.problem.name}", fontsize=11)
    return figure


def gradient_picture(trial: Case, count: int = 16) -> Figure:
    """The first unknown and the length of its gradient by autograd and by finite differences, on a
    grid and on one three times finer.

    The gradient is that in the drawn coordinates of space.
    """
    component, dim = trial.keys[0][0], len(trial.loss.names)
    value = (0,) * dim
    rows: list[tuple[list[Panel], Slab]] = []
    for n in (count, 3 * count):
        drawn = slab(trial, n)
        axes = range(min(len(drawn.shape), len(trial.loss.problem.coordinates)))
        request = Request(
            {
                component: frozenset(
                    [value, *(tuple(int(k == axis) for k in range(dim)) for axis in axes)]
                )
            }
        )
        with torch.no_grad():
            found = FiniteDifference(mode="grid").evaluate(
                trial.field, drawn.points, request, UNWRAPPED
            )
        panels = [
            (f"{trial.loss.components[component]}, {drawn}", image(found[component, value], drawn))
        ]
        if trial.pointwise:
            panels.append(
                (
                    "|gradient|, autograd",
                    image(length(trial.exact_derivatives(drawn.points, request)), drawn),
                )
            )
        panels.append(("|gradient|, finite differences", image(length(found), drawn)))
        rows.append((panels, drawn))
    width = len(rows[0][0])
    figure = Figure(figsize=(4 * width + 0.6, 7), layout="constrained")
    for row, (panels, drawn) in zip(figure.subplots(2, width, squeeze=False), rows, strict=True):
        _row(figure, row[:1], panels[:1], drawn)
        _row(figure, row[1:], panels[1:], drawn)
    figure.suptitle(f"{trial.loss.problem.name}: length of the gradient", fontsize=11)
    return figure


@dataclass(frozen=True)
class Slab:
    """A grid over the first two coordinates, the others held fixed.

    Shapes: points "b n D"; `shape` and `names` of the drawn axes; `limits` low, high of the first,
    low, high of the second.
    """

    points: Tensor
    shape: tuple[int, ...]
    names: tuple[str, ...]
    limits: tuple[float, ...]

    def __str__(self) -> str:
        return " x ".join(map(str, self.shape))

    @property
    def step(self) -> float:
        """The spacing along the first axis, in the unit of its coordinate."""
        return (self.limits[1] - self.limits[0]) / (self.shape[0] - 1)


def slab(trial: Case, count: int) -> Slab:
    """`count` points along either drawn axis of what a grid covers; further coordinates in the
    middle, time at its end."""
    problem, like = trial.loss.problem, trial.scattered
    region = cover(problem, trial.batch, 1)
    drawn = min(2, len(region.shape))
    columns = []
    for k, (low, high) in enumerate(zip(region.lower, region.upper, strict=True)):
        if k < drawn:
            steps = count if region.periodic[k] else count - 1
            columns.append(low + (high - low) / steps * torch.arange(count, dtype=torch.float64))
        else:
            last = problem.time is not None and k == len(region.shape) - 1
            columns.append(
                torch.tensor([high if last else 0.5 * (low + high)], dtype=torch.float64)
            )
    points = torch.stack(torch.meshgrid(*columns, indexing="ij"), -1).reshape(1, -1, len(columns))
    limits = tuple(float(end) for column in columns[:drawn] for end in (column[0], column[-1]))
    return Slab(
        points.to(like).expand(len(like), -1, -1).contiguous(),
        (count,) * drawn,
        trial.loss.names[:drawn],
        limits,
    )


def length(found: Mapping[tuple[int, MultiIndex | str], Tensor]) -> Tensor:
    """Euclidean norm of the first derivatives among some answers. Shapes: "b n"."""
    return (
        torch.stack([value for (_, index), value in found.items() if any(index)])
        .square()
        .sum(0)
        .sqrt()
    )


def image(values: Tensor, drawn: Slab) -> np.ndarray:
    """The first sample on its grid. Shapes: "b n" -> the slab's."""
    return values[0].detach().double().cpu().numpy().reshape(drawn.shape)


def _row(figure: Figure, row: np.ndarray, panels: list[Panel], drawn: Slab) -> None:
    """Panels with one scale of values, so that their colours compare."""
    low, high = min(np.nanmin(p) for _, p in panels), max(np.nanmax(p) for _, p in panels)
    for axes, (title, values) in zip(row, panels, strict=True):
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(drawn.names[0])
        axes.tick_params(labelsize=7)
        if values.ndim == 1:
            axes.plot(np.linspace(drawn.limits[0], drawn.limits[1], len(values)), values)
            axes.set_ylim(low, high)
            continue
        shown = axes.imshow(
            values.T,
            origin="lower",
            extent=drawn.limits,
            aspect="auto",
            vmin=low,
            vmax=high,
            cmap="viridis",
        )
        axes.set_ylabel(drawn.names[1], rotation=0)
        figure.colorbar(shown, ax=axes, shrink=0.8).ax.tick_params(labelsize=7)
