"""Pictures of a run: prediction, reference, error and residual on the true domain."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import matplotlib

matplotlib.use("Agg", force=False)

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from torch import Tensor

from compiler.distance import domain
from compiler.evaluate import Evaluation, Sample
from compiler.loss import PhysicsLoss
from pdespec.problem import Problem

RESOLUTION = 160  # pixels along the longer side of the box of a domain
BLUE, RED, GREY = "#2563a8", "#c2452d", "#6b7280"


@dataclass(frozen=True)
class Raster:
    """A regular grid over a sample's domain, and which of its points lie inside.

    `points` are those inside, "1 k D"; `inside` is "h w" (or "w" for a curve), `extent` the limits of the `axes`, which name what is drawn
    across and upward, `aspect` as in matplotlib, `note` what is held fixed.
    """

    points: Tensor
    inside: np.ndarray
    extent: tuple[float, float, float, float]
    axes: tuple[str, ...]
    aspect: Literal["auto", "equal"]
    note: str

    def fill(self, values: Tensor) -> np.ndarray:
        """Values at the points inside, as an image with NaN outside. Shapes: "k" -> "h w"."""
        image = np.full(self.inside.shape, np.nan)
        image[self.inside] = values.detach().double().cpu().numpy()
        return image


def raster(problem: Problem, batch: Any, resolution: int = RESOLUTION) -> Raster:
    """The points at which a sample is drawn: a curve in 1D, an image of (x, t), of (x, y) at the last time, of a middle slice in 3D."""
    region = domain(problem)
    own = batch.points[region.name].points
    space, time = len(problem.coordinates), problem.time
    lower, upper = batch.geometry[region.name].box()
    limits = [(each.name, low, high) for each, low, high in zip(problem.coordinates, lower.tolist(), upper.tolist(), strict=True)]
    if time is not None and space == 1:
        limits.append((time.name, float(time.start), float(time.end)))
    drawn, sliced = limits[:2], limits[2:]
    fixed = [(name, 0.5 * (low + high)) for name, low, high in sliced]
    if time is not None and space > 1:
        fixed.append((time.name, float(time.end)))

    spacetime = time is not None and space == 1
    longest = max(high - low for _, low, high in drawn)
    counts = [resolution if spacetime else max(2, round(resolution * (high - low) / longest)) for _, low, high in drawn]
    ticks = [torch.linspace(low, high, count, dtype=own.dtype) for (_, low, high), count in zip(drawn, counts, strict=True)]
    columns = list(reversed(torch.meshgrid(*reversed(ticks), indexing="ij")))  # "h w" each, the first coordinate across
    shape = columns[0].shape
    columns += [torch.full(shape, value, dtype=own.dtype) for _, value in fixed]
    points = torch.stack(columns, -1).reshape(1, -1, len(columns)).to(own.device)
    inside = batch.geometry[region.name].contains(points[..., :space])[0]
    (_, left, right), (_, bottom, top) = drawn if len(drawn) == 2 else (*drawn, ("", 0.0, 0.0))
    note = ", ".join(f"{name} = {value:.3g}" for name, value in fixed)
    mask = inside.cpu().numpy().reshape(shape)
    return Raster(
        points[:, inside], mask, (left, right, bottom, top), tuple(name for name, _, _ in drawn), "auto" if spacetime else "equal", note
    )


@torch.no_grad()
def residual(loss: PhysicsLoss, sample: Sample, points: Tensor, trainables: Mapping[str, float], block: int = 2048) -> Tensor:
    """The Euclidean norm over all equations of the residual at the points, taken in blocks. Shapes: "1 k D" -> "k"."""
    inputs = {name: lambda x, name=name: sample.batch.evaluate(name, x) for name in loss.problem.inputs}
    norms = []
    for part in points.split(block, dim=1):
        found = loss.residuals(sample.field, part, inputs, {**sample.batch.params, **trainables})
        norms.append(torch.cat(list(found.values()), -1)[0].square().sum(-1).sqrt())
    return torch.cat(norms)


def sample_picture(evaluation: Evaluation, sample: Sample, title: str, loss: PhysicsLoss) -> Figure:
    """Prediction, reference, error and residual of a sample, one row a component."""
    problem = evaluation.run.problem
    grid = raster(problem, sample.batch)
    with torch.no_grad():
        found = sample.field(grid.points)[0].double().cpu()
    expected = sample.truth(grid.points)[0].double().cpu()
    coarse = raster(problem, sample.batch, RESOLUTION // 2)  # a residual costs several values
    remaining = coarse.fill(residual(loss, sample, coarse.points, evaluation.run.trainables))
    rows = len(problem.components)
    flat = len(grid.axes) == 1
    figure = Figure(figsize=(13, 2.9 * rows + 0.5), layout="constrained")
    note = f"{title}: relative L2 error {100 * sample.relative_l2:.2f} %"
    figure.suptitle(f"{note} ({grid.note})" if grid.note else note, fontsize=12)
    panels = figure.subplots(rows, 3 if flat else 4, squeeze=False)
    for k, name in enumerate(problem.components):
        values, truth = grid.fill(found[:, k]), grid.fill(expected[:, k])
        if flat:
            _curves(panels[k], grid, name, values, truth, remaining)
        else:
            _images(figure, panels[k], grid, name, values, truth, remaining, first=k == 0)
    return figure


def _images(
    figure: Figure,
    panels: Sequence[Axes],
    grid: Raster,
    name: str,
    found: np.ndarray,
    truth: np.ndarray,
    remaining: np.ndarray,
    first: bool,
) -> None:
    low, high = np.nanmin(truth), np.nanmax(truth)
    high = high if high > low else low + 1e-12
    drawn: list[tuple[str, np.ndarray, dict]] = [
        (f"{name}, operator", found, {"cmap": "viridis", "vmin": low, "vmax": high}),
        (f"{name}, reference", truth, {"cmap": "viridis", "vmin": low, "vmax": high}),
        (f"|error of {name}|", np.abs(found - truth), {"cmap": "magma", "vmin": 0}),
    ]
    if first:
        floor = np.maximum(remaining, 1e-12)
        drawn.append(("log10 |residual|", np.log10(floor), {"cmap": "cividis", "vmin": np.nanpercentile(np.log10(floor), 1)}))
    for axes, (title, image, style) in zip(panels, drawn, strict=False):
        shown = axes.imshow(image, origin="lower", extent=grid.extent, aspect=grid.aspect, interpolation="nearest", **style)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel(grid.axes[0])
        axes.set_ylabel(grid.axes[1], rotation=0)
        axes.tick_params(labelsize=8)
        axes.locator_params(nbins=4)  # ticks are most of what drawing costs
        figure.colorbar(shown, ax=axes, shrink=0.8, ticks=MaxNLocator(4)).ax.tick_params(labelsize=8)
    for axes in panels[len(drawn) :]:
        axes.set_axis_off()


def _curves(panels: Sequence[Axes], grid: Raster, name: str, found: np.ndarray, truth: np.ndarray, remaining: np.ndarray) -> None:
    x, sparse = (np.linspace(grid.extent[0], grid.extent[1], len(values)) for values in (found, remaining))
    panels[0].plot(x, truth, color=GREY, lw=2.5, label="reference")
    panels[0].plot(x, found, color=BLUE, lw=1.2, label="operator")
    panels[0].set_title(name, fontsize=10)
    panels[0].legend(fontsize=8)
    panels[1].plot(x, found - truth, color=RED)
    panels[1].set_title(f"error of {name}", fontsize=10)
    panels[2].semilogy(sparse, np.maximum(remaining, 1e-12), color=GREY)
    panels[2].set_title("|residual|", fontsize=10)
    for axes in panels:
        axes.set_xlabel(grid.axes[0])
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)


def reference_picture(problem: Problem, batch: Any, truth: Callable[[Tensor], Tensor]) -> Figure:
    """A reference solution, one panel a component."""
    grid = raster(problem, batch)
    values = truth(grid.points)[0].double().cpu()
    count = len(problem.components)
    figure = Figure(figsize=(4.6 * count, 4.2), layout="constrained")
    if grid.note:
        figure.suptitle(grid.note, fontsize=10)
    for k, (axes, name) in enumerate(zip(figure.subplots(1, count, squeeze=False)[0], problem.components, strict=True)):
        image = grid.fill(values[:, k])
        if len(grid.axes) == 1:
            axes.plot(np.linspace(grid.extent[0], grid.extent[1], len(image)), image, color=BLUE)
        else:
            shown = axes.imshow(image, origin="lower", extent=grid.extent, aspect=grid.aspect, interpolation="nearest")
            figure.colorbar(shown, ax=axes, shrink=0.8)
            axes.set_ylabel(grid.axes[1], rotation=0)
        axes.set(title=name, xlabel=grid.axes[0])
    return figure


def png(figure: Figure) -> bytes:
    """The picture as a PNG file."""
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=110)
    return out.getvalue()
