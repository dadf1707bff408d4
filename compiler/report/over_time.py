"""The error of samples over time."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from compiler.arrays import Array
from compiler.evaluation.result import Sample
from compiler.geometry.metrics import FLOOR, interior
from compiler.report.labels import labelled
from compiler.report.style import BLUE, GREY, RED
from pdespec.rules.freedom import gauges
from pdespec.statements.problem import Problem

TIMES, POINTS = 33, 512
COLOURS = {"best": BLUE, "median": GREY, "worst": RED}


@torch.no_grad()
def errors_over_time(problem: Problem, sample: Sample) -> tuple[Array, dict[str, Array]]:
    """Times, and the relative L2 error of each unknown at each of them: what it is divided by is at
    least FLOOR of the root mean square over all times. A constant that may be added does not count.
    """
    assert problem.time is not None
    times = torch.linspace(float(problem.time.start), float(problem.time.end), TIMES)
    points = interior(problem, sample.batch)[:, :POINTS]
    points = points.expand(TIMES, -1, -1).clone()
    points[..., -1] = times.to(points)[:, None]
    flat = points.reshape(1, -1, points.shape[-1])
    own, right = (f(flat)[0].double().cpu() for f in (sample.field, sample.truth))
    own = own if sample.sign is None else own * sample.sign[0].double().cpu()
    gap, size = ((each).reshape(TIMES, -1, own.shape[-1]) for each in (own - right, right))
    free = {mode.unknown.name for mode in gauges(problem)}
    names, found = list(problem.components), {}
    for name, unknown in problem.unknowns.items():
        columns = [names.index(each) for each in unknown.components]
        one, other = (_squares(each[..., columns], name in free) for each in (gap, size))
        least = FLOOR**2 * other.mean()
        bottom = torch.maximum(other, least)
        found[name] = (one / torch.where(bottom > 0, bottom, 1.0)).sqrt().numpy()
    return times.numpy(), found


def _squares(values: Tensor, free: bool) -> Tensor:
    """Sums of squares at each time, where a value is known. Shapes: "t n c" -> "t"."""
    if free:
        values = values - values.nanmean(1, keepdim=True)
    return values.square().nan_to_num(0.0).sum((1, 2))


def errors_picture(problem: Problem, samples: Mapping[str, Sample]) -> Figure:
    """A panel for each unknown, a curve for each of the samples, by its rank."""
    names = list(problem.unknowns)
    figure = Figure(figsize=(13, 3.0), layout="constrained")
    panels = figure.subplots(1, len(names), squeeze=False)[0]
    for rank, sample in samples.items():
        times, found = errors_over_time(problem, sample)
        for axes, name in zip(panels, names, strict=True):
            axes.plot(times, 100 * np.asarray(found[name]), color=COLOURS[rank], label=rank)
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(f"error of {name} over time", fontsize=10)
        axes.set_xlabel(labelled(problem.time.name, problem) if problem.time else "")
        axes.set_ylabel("relative L2 error, %")
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=8)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return figure
