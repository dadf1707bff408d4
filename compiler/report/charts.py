"""Charts of a run: its training, and the errors of all samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from compiler.evaluation.result import Evaluation
from compiler.report.style import BLUE, GREY, RED
from compiler.report.terms import described
from compiler.training.progress import percent
from compiler.training.runs import column

Draw = Callable[[Evaluation, Sequence[str]], Figure]


@dataclass(frozen=True)
class Chart:
    """One chart of the report: its file name, the part of the page it is shown in ("samples" or
    "training"), its text for readers, and the file that holds its numbers where the run has one."""

    name: str
    part: str
    text: str
    draw: Draw
    numbers: str = ""


CHARTS: list[Chart] = []


def chart(name: str, part: str, text: str, numbers: str = "") -> Callable[[Draw], Draw]:
    """Puts a function of (evaluation, labels of the loss) into the report. A new chart is one
    decorated function here."""

    def register(draw: Draw) -> Draw:
        CHARTS.append(Chart(name, part, text, draw, numbers))
        return draw

    return register


EXACT = 1e-12  # a squared misfit of roundoff in float32


@chart(
    "training",
    "training",
    "loss terms, validation and learning rate against the step",
    "history.csv",
)
def training_picture(evaluation: Evaluation, labels: Sequence[str]) -> Figure:
    """Loss terms, those of `labels` that were seen, validation loss and error against the step;
    learning rate with them."""
    history = evaluation.run.history
    figure = Figure(figsize=(13, 4.6), layout="constrained")
    left, right = figure.subplots(1, 2, gridspec_kw={"width_ratios": [3, 1]})
    steps = np.array([row["step"] for row in history])
    titles = described(evaluation.run.problem, labels)
    for k, label in enumerate(label for label in labels if column(label) in history[0]):
        values = np.array([row[column(label)] for row in history], dtype=float)
        if np.median(values) < EXACT:  # would only stretch the axis
            left.plot([], [], color=f"C{k}", label=f"{titles[label]}, exact by construction")
            continue
        left.plot(steps, values, color=f"C{k}", alpha=0.25, lw=0.8, marker=_mark(steps))
        left.plot(steps, _smooth(values), color=f"C{k}", lw=1.6, label=titles[label])
    for name, style, title in (
        ("validation", "k.-", "validation loss"),
        ("error", "k.--", "relative L2 error"),
    ):
        marked = [(row["step"], row[name]) for row in history if name in row]
        if marked:
            left.plot(*zip(*marked, strict=True), style, lw=1, ms=4, label=title)
    left.set(yscale="log", xlabel="step", title="loss terms, unweighted")
    figure.legend(*left.get_legend_handles_labels(), fontsize=8, ncols=2, loc="outside lower left")
    right.plot(steps, [row["lr"] for row in history], color=GREY, marker=_mark(steps))
    right.set(yscale="log", xlabel="step", title="learning rate")
    for axes in (left, right):
        axes.title.set_fontsize(10)
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.25)
    return figure


@chart("errors", "samples", "relative error of every held-out sample")
def errors_picture(evaluation: Evaluation, labels: Sequence[str]) -> Figure:
    """The relative error of every held-out sample, sorted."""
    figure = Figure(figsize=(13, 2.6), layout="constrained")
    axes = figure.subplots()
    values = sorted(100 * each.relative_l2 for each in evaluation.samples)
    axes.bar(range(1, len(values) + 1), values, color=BLUE, width=0.8)
    mean = 100 * evaluation.relative_l2["mean"]
    axes.axhline(mean, color=RED, lw=1)
    axes.annotate(
        f"mean {percent(mean / 100)}",
        (0.5, mean),
        (4, 3),
        textcoords="offset points",
        color=RED,
        fontsize=9,
    )
    axes.set(
        xlabel="held-out samples, sorted",
        ylabel="relative L2 error, %",
        xlim=(0.4, len(values) + 0.6),
        ylim=(0, 1.2 * max(values) or 1),  # room for the mean
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.tick_params(labelsize=8)
    return figure


def _mark(steps: np.ndarray) -> str:
    """A dot where there is one row, of which no line is drawn."""
    return "." if len(steps) == 1 else ""


def _smooth(values: np.ndarray, share: float = 0.03) -> np.ndarray:
    """A running mean of the logarithm over a share of the curve."""
    width = max(1, int(share * len(values)))
    if width == 1:
        return values
    logs = np.log(np.maximum(values, 1e-300))
    padded = np.concatenate(
        [np.full(width // 2, logs[0]), logs, np.full(width - 1 - width // 2, logs[-1])]
    )
    return np.exp(np.convolve(padded, np.ones(width) / width, mode="valid"))
