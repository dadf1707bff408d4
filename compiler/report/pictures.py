"""Pictures of a run: prediction, reference, error and residual on the true domain."""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from compiler.arrays import Array
from compiler.evaluation.result import Evaluation, Sample
from compiler.loss.physics import PhysicsLoss, together
from compiler.loss.physics import compile as compile_loss
from compiler.report.labels import labelled
from compiler.report.plot_grid import PlaneMesh, PlotGrid, lengths, plot_grid
from compiler.report.style import BLUE, GREY, RED
from compiler.training.progress import percent
from pdespec.geometry import Boundary
from pdespec.statements.problem import Problem
from pdespec.statements.statements import IntegralRequirement

LOW = 0.5  # height over width of a domain that is drawn in panels of twice the width
FLOOR = 1e-12  # less is drawn as this


@torch.no_grad()
def residual(
    loss: PhysicsLoss,
    sample: Sample,
    points: Tensor,
    trainables: Mapping[str, float],
    block: int = 2048,
) -> Tensor:
    """The Euclidean norm over all equations of the residual at the points, taken in blocks. Of an
    energy whose unknown has a prescribed integral, as the lowest mode of a drum has, with the
    multipliers that make it least. Shapes: "1 k D" -> "k"."""
    found = _residuals(loss, sample, points, trainables, block)
    varied = list(loss.problem.stationarity)
    slopes = [_residuals(each, sample, points, trainables, block) for each in _held(loss)]
    if slopes:
        # the stationary point of E under G_k = c_k: dE + sum_k m_k dG_k = 0
        right = torch.cat([found[label] for label in varied], -1).flatten()
        columns = [torch.cat(list(each.values()), -1).flatten() for each in slopes]
        known = torch.stack([right, *columns]).isfinite().all(0)
        matrix = torch.stack(columns, -1).double()
        multipliers = torch.linalg.lstsq(matrix[known], -right[known].double()[:, None]).solution
        whole = (right + (matrix @ multipliers)[:, 0]).to(right).view(points.shape[1], -1)
        found = {label: each for label, each in found.items() if label not in varied}
        found["stationarity"] = whole
    return torch.cat(list(found.values()), -1).square().sum(-1).sqrt()


def _residuals(
    loss: PhysicsLoss, sample: Sample, points: Tensor, trainables: Mapping[str, float], block: int
) -> dict[str, Tensor]:
    """The residual of each equation. Shapes: "1 k D" -> "k c" each."""
    inputs = {
        name: lambda x, name=name: sample.batch.evaluate(name, x) for name in loss.problem.inputs
    }
    params = {**sample.batch.params, **together(loss.problem, trainables)}
    parts = [
        loss.residuals(sample.field, part, inputs, params) for part in points.split(block, dim=1)
    ]
    return {label: torch.cat([each[label][0] for each in parts]) for label in parts[0]}


def _held(loss: PhysicsLoss) -> list[PhysicsLoss]:
    """Of each integral that is prescribed beside an energy, the loss whose residual is its
    derivative by the unknowns that the energy varies."""
    problem, found = loss.problem, []
    for required in problem.requirements if len(problem.functionals) == 1 else ():
        if not isinstance(required, IntegralRequirement) or isinstance(required.region, Boundary):
            continue
        (energy,) = problem.functionals
        integral = replace(energy, terms=((required.density, required.region),))
        changes = {"functionals": (integral,), "equations": {}, "requirements": ()}
        found.append(compile_loss(problem.revised(**changes), loss.derivatives))
        found[-1].refusing = False
    return found


@dataclass(frozen=True)
class Panel:
    """Values on a plot grid, one for each of its points. `limits` are those of the colours, None
    what the values reach."""

    title: str
    grid: PlotGrid
    values: Array
    colours: str = "viridis"
    limits: tuple[float | None, float | None] = (None, None)


def sample_picture(
    evaluation: Evaluation, sample: Sample, title: str, loss: PhysicsLoss, whole: bool = True
) -> Figure:
    """Prediction, reference, error and residual of a sample, one row a component; without `whole`
    error and residual alone, where the first two are curves.

    A displacement is drawn whole, by its length: the prediction on the body as predicted, all else
    on the body as solved.
    """
    problem, trainables = evaluation.run.problem, evaluation.run.trainables
    # a residual costs several values
    ground, coarse = (plot_grid(problem, sample.batch, sample.truth, share) for share in (1, 0.5))
    found, truth = _values(sample.field, ground), _values(sample.truth, ground)
    if sample.sign is not None:  # of no meaning: drawn as the reference has it
        found = found * sample.sign[0].numpy()
    remaining = residual(loss, sample, coarse.points, trainables).double().cpu().numpy()
    title = _titled(f"{title}: relative L2 error {percent(sample.relative_l2)}", ground)
    if len(ground.axes) == 1:
        count = 2 + whole
        figure, panels = _figure(len(ground.rows), count, title, ground, slot=13 / count)
        if not whole:
            figure.set_size_inches(13, 3 * len(ground.rows) + 0.6)
        for axes, (name, (channel,)) in zip(panels, ground.rows.items(), strict=True):
            own, right, name = found[:, channel], truth[:, channel], labelled(name, problem)
            if whole:
                _both(axes[0], name, (ground, own, right))
            _gaps(axes[-2:], name, (ground, own - right), (coarse, remaining))
        return figure
    predicted, solved = ground.placed(found), ground.placed(truth)
    logs = np.log10(np.maximum(remaining, FLOOR))
    left = Panel(
        "log10 |residual|",
        coarse.placed(_values(sample.truth, coarse)),
        logs,
        "cividis",
        # at a corner it may be of any size, which would leave one colour for all else
        tuple(np.nanpercentile(logs, (1, 99.5))),
    )
    figure, panels = _figure(len(ground.rows), 4, title, solved, slot=13 / 4)
    for k, (name, row) in enumerate(ground.rows.items()):
        own, right = lengths(found[:, row]), lengths(truth[:, row])
        scale = (right.min(), max(right.max(), right.min() + FLOOR))
        error = np.abs(lengths(found[:, row] - truth[:, row]))
        title = labelled(name, problem)
        drawn = [
            Panel(f"{title}, operator", predicted, own, limits=scale),
            Panel(f"{title}, reference", solved, right, limits=scale),
            Panel(
                f"|error of {name.strip('|')}|{title.removeprefix(name)}",
                solved,
                error,
                "magma",
                (0, None),
            ),
        ]
        _draw(panels[k], drawn if k else [*drawn, left])
    return figure


def reference_picture(problem: Problem, batch: Any, truth: Callable[[Tensor], Tensor]) -> Figure:
    """A reference solution: its mesh where that is plane, and every component; a displacement
    whole, on the body it moves."""
    ground = plot_grid(problem, batch, truth)
    values = _values(truth, ground)
    place = ground.placed(values)
    drawn = [
        Panel(labelled(name, problem), place, lengths(values[:, row]))
        for name, row in ground.rows.items()
    ]
    meshed = isinstance(ground, PlaneMesh)
    figure, (panels,) = _figure(
        1, len(drawn) + meshed, _titled(problem.name.replace("_", " "), ground), place, slot=4.6
    )
    if len(ground.axes) == 1:
        for axes, panel in zip(panels, drawn, strict=True):
            axes.plot(ground.points[0, :, 0], panel.values, color=BLUE)
            axes.set(title=panel.title, xlabel=ground.labels[0])
        return figure
    if isinstance(ground, PlaneMesh):
        ground.draw_cells(panels[0], color="0.3", lw=0.5)
        _label(panels[0], f"mesh of {ground.mesh.cells} cells", ground)
    _draw(panels[meshed:], drawn)
    if isinstance(place, PlaneMesh) and place.rest is not None:
        for axes in panels[1:]:
            place.draw_cells(axes, color="white", lw=0.3, alpha=0.6)
    return figure


def _titled(title: str, ground: PlotGrid) -> str:
    return f"{title} ({ground.note})" if ground.note else title


@torch.no_grad()
def _values(field: Callable[[Tensor], Tensor], ground: PlotGrid) -> Array:
    """Shapes: -> "k c"."""
    return field(ground.points)[0].double().cpu().numpy()


def _figure(
    rows: int, columns: int, title: str, ground: PlotGrid, slot: float
) -> tuple[Figure, np.ndarray]:
    """A figure with panels "rows columns" as wide as `slot` and as high as the grid asks; a
    low one gets twice the width, half a row."""
    across = columns if ground.ratio > LOW else max(1, columns // 2)
    count, width = rows * columns, slot * columns / across
    down = math.ceil(count / across)
    figure = Figure(
        figsize=(across * width, down * ((width - 1) * min(ground.ratio, 1.5) + 0.8) + 0.4),
        layout="constrained",
    )
    figure.suptitle(title, fontsize=12)
    panels = figure.subplots(
        down, across, squeeze=False, sharex=True, sharey=len(ground.axes) > 1
    ).ravel()
    for axes in panels[count:]:
        axes.remove()
    return figure, panels[:count].reshape(rows, columns)


def _draw(row: Sequence[Axes], panels: Sequence[Panel]) -> None:
    for axes, panel in zip(row, panels, strict=False):
        shown = panel.grid.shade(
            axes, panel.values, cmap=panel.colours, vmin=panel.limits[0], vmax=panel.limits[1]
        )
        low, high = shown.get_clim()
        beyond = ("neither", "min", "max", "both")[
            (panel.values.min() < low) + 2 * (panel.values.max() > high)
        ]
        bar = axes.figure.colorbar(
            shown, cax=axes.inset_axes((1.03, 0, 0.03, 1)), ticks=MaxNLocator(4), extend=beyond
        )
        bar.ax.tick_params(labelsize=8)
        _label(axes, panel.title, panel.grid)
    for axes in row[len(panels) :]:
        axes.set_axis_off()


def _label(axes: Axes, title: str, ground: PlotGrid) -> None:
    axes.set_title(title, fontsize=10)
    axes.set_xlabel(ground.labels[0])
    axes.set_ylabel(ground.labels[1], rotation=0 if len(ground.labels[1]) < 3 else 90)
    axes.tick_params(labelsize=8)
    axes.locator_params(nbins=4)  # ticks are most of what drawing costs
    axes.label_outer()


def _both(axes: Axes, name: str, values: tuple[PlotGrid, Array, Array]) -> None:
    ground, found, truth = values
    x = ground.points[0, :, 0].cpu()
    axes.plot(x, truth, color=GREY, lw=2.5, label="reference")
    axes.plot(x, found, color=BLUE, lw=1.2, label="operator")
    axes.set_title(name, fontsize=10)
    axes.legend(fontsize=8)
    _ruled(axes, ground)


def _gaps(
    panels: Sequence[Axes], name: str, error: tuple[PlotGrid, Array], left: tuple[PlotGrid, Array]
) -> None:
    (ground, gap), (coarse, remaining) = error, left
    panels[0].plot(ground.points[0, :, 0].cpu(), gap, color=RED)
    panels[0].set_title(f"error of {name}", fontsize=10)
    sparse = coarse.points[0, :, 0].cpu()
    panels[1].semilogy(sparse, np.maximum(remaining, FLOOR), color=GREY)
    panels[1].set_title("|residual|", fontsize=10)
    for axes in panels:
        _ruled(axes, ground)


def _ruled(axes: Axes, ground: PlotGrid) -> None:
    axes.set_xlabel(ground.labels[0])
    axes.tick_params(labelsize=8)
    axes.grid(alpha=0.25)


def png(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
