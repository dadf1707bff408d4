"""Figure 10 of Lin et al. (arXiv 2504.08277): how many times the points of training differences
need before their gradient, and their Laplacian, are those of the operator.

    OMP_NUM_THREADS=1 python benchmarks/paper/figure10.py --run runs/poisson --scale small

`--run` is a trained GINO of `nonlinear_poisson`. Its points of training have a density (interior
points over the mean area of a domain). On a patch inside, the operator's own field is
differentiated on clouds and grids of 1/4 to 256 times that density: central differences of order 2
and 4 on the grid, least squares of degree 1 on 5 neighbours, repeated (the paper's, Appendix E),
and of degree 2 on clouds. Errors are relative L2 over the patch against jets, by medians over
samples.
"""

from __future__ import annotations

import math
import statistics
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import HeldOut, arguments, computed, example, finished, table
from matplotlib.ticker import FuncFormatter

import compiler
from compiler.derivatives import FiniteDifference, Form, LeastSquares, Request, Taylor
from compiler.training.checkpoint import load_run

# samples, multiples of the density of training
SCALES = {
    "demo": (1, (1, 16)),
    "small": (8, (0.25, 1, 2.25, 4, 9, 16, 36, 64, 144, 256)),
    "paper": (200, (0.25, 1, 2.25, 4, 9, 16, 36, 64, 144, 256, 576)),
}
HALF = 0.36  # of the side of the patch, inside of every domain (r >= 0.6)
REQUEST = Request(
    {0: frozenset({(1, 0), (0, 1)})},
    {"lap": Form({(2, 0): 1.0, (0, 2): 1.0}, frozenset({0}))},
)
WAYS = {
    "central, order 2, grid": (FiniteDifference(2, "grid", tolerance=1e9), True),
    "central, order 4, grid": (FiniteDifference(4, "grid", tolerance=1e9), True),
    "least squares, degree 1, cloud (the paper's)": (
        LeastSquares(degree=1, neighbours=5, tolerance=1e9),
        False,
    ),
    "least squares, degree 2, cloud": (LeastSquares(degree=2, tolerance=1e9), False),
}


def density(problem: Any, points: int) -> float:
    """Points of training over an area: its mean over samples."""
    batch = compiler.sample(problem, 64, {"interior": 1}, torch.Generator().manual_seed(0))
    return points / float(batch.points["Omega"].measure.mean())


def places(side: int, grid: bool, seed: int) -> torch.Tensor:
    """A grid, or as many points at random, on the patch. Shapes: "1 n 2", float64."""
    if grid:
        t = torch.linspace(-HALF, HALF, side, dtype=torch.float64)
        return torch.stack(torch.meshgrid(t, t, indexing="ij"), -1).reshape(1, -1, 2)
    chance = torch.Generator().manual_seed(seed)
    return (2 * torch.rand(1, side * side, 2, generator=chance, dtype=torch.float64) - 1) * HALF


def off(found: dict[Any, torch.Tensor], exact: dict[Any, torch.Tensor]) -> tuple[float, float]:
    """Relative L2 errors of the gradient and of the Laplacian."""

    def of(keys: list[Any]) -> float:
        gap = sum(float((found[k] - exact[k]).square().sum()) for k in keys)
        return math.sqrt(gap / sum(float(exact[k].square().sum()) for k in keys))

    return of([(0, (1, 0)), (0, (0, 1))]), of([(0, "lap")])


def fields(given: Any) -> list[Any]:
    """The operator on held-out samples, in float64."""
    run = load_run(given.run)
    model = run.model.double()
    held = HeldOut(run.problem, SCALES[given.scale][0])
    return [
        model(held.batch(k, points=dict(run.options.points), **run.options.ansatz).inputs)
        for k in range(held.samples)
    ]


def measure(given: Any, case: dict[str, Any], per_area: float) -> dict[str, Any] | None:
    """Median errors of a way at a multiple of the density."""
    backend, grid = WAYS[case["way"]]
    side = round(2 * HALF * math.sqrt(per_area * case["multiple"]))
    if side * side < 16:
        return None
    found = []
    with torch.no_grad():
        for k, field in enumerate(given.fields):
            points = places(side, grid, k)
            exact = Taylor().evaluate(field, points, REQUEST)
            found.append(off(backend.evaluate(field, points, REQUEST), exact))
    gradient, laplacian = (statistics.median(column) for column in zip(*found, strict=True))
    return {"points": side * side, "gradient": gradient, "laplacian": laplacian}


def needed(rows: list[dict[str, Any]], way: str, what: str, most: float) -> float:
    """The multiple of the density from which on the error is at most that, between the measured
    ones by a power law; infinite where it never is."""
    own = sorted((r["multiple"], r[what]) for r in rows if r["way"] == way)
    last = math.inf
    for (m, e), (n, f) in zip(own, own[1:], strict=False):
        if e > most >= f:
            last = m * (n / m) ** (math.log(e / most) / math.log(e / f))
    if own[0][1] <= most:
        return own[0][0]
    return last if own[-1][1] <= most else math.inf


def picture(given: Any, rows: list[dict[str, Any]], per_area: float) -> Any:
    """Above: the gradient of the operator as jets and as differences see it. Below: errors by
    number of points."""
    figure = plt.figure(figsize=(12.5, 7.6), layout="constrained")
    above, below = figure.subfigures(2, 1, height_ratios=[1, 1.15])
    field, dense = given.fields[0], 90
    points = places(dense, True, 0)
    with torch.no_grad():
        exact = Taylor().evaluate(field, points, REQUEST)
    panels = {f"exact, shown on {dense} x {dense}": slope(exact, dense)}
    for multiple in (1, 9, 64):
        side = max(4, round(2 * HALF * math.sqrt(per_area * multiple)))
        with torch.no_grad():
            cloud = places(side, True, 0)
            found = WAYS["central, order 2, grid"][0].evaluate(field, cloud, REQUEST)
        name = "the density of training" if multiple == 1 else f"{multiple} times as many"
        panels[f"differences, {side} x {side}: {name}"] = slope(found, side)
    axes = above.subplots(1, len(panels))
    first = next(iter(panels.values()))
    for axis, (title, values) in zip(axes, panels.items(), strict=True):
        image = axis.imshow(
            values.T,
            origin="lower",
            extent=(-HALF, HALF) * 2,
            vmin=first.min(),
            vmax=first.max(),
            cmap="magma",
        )
        axis.set_title(title, fontsize=9)
        axis.set(xticks=[], yticks=[])
    above.colorbar(image, ax=axes, shrink=0.8, label="|grad u|")
    axes = below.subplots(1, 2, sharey=True)
    for axis, what in zip(axes, ("gradient", "laplacian"), strict=True):
        for k, way in enumerate(WAYS):
            own = [r for r in rows if r["way"] == way]
            axis.plot(
                [r["multiple"] for r in own],
                [100 * r[what] for r in own],
                "o-",
                color=f"C{k}",
                label=way,
            )
        axis.axhline(10, color="0.5", ls=":")
        axis.axvline(1, color="0.5", lw=0.8)
        axis.axvline(9, color="tab:red", lw=0.8, ls="--")
        axis.text(9.4, axis.get_ylim()[0] * 1.3 + 0.01, "9 times", color="tab:red", fontsize=8)
        axis.set(
            xscale="log",
            yscale="log",
            title=f"error of the {what.replace('l', 'L', 1) if what[0] == 'l' else what}",
            xlabel="points over those of training, by area",
        )
        axis.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g} %"))
        axis.grid(alpha=0.25)
    axes[0].legend(fontsize=8)
    return figure


def slope(found: dict[Any, torch.Tensor], side: int) -> np.ndarray:
    both = [found[0, index].reshape(side, side) for index in ((1, 0), (0, 1))]
    return torch.hypot(*both).numpy()


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "figure10", argv, SCALES, run="runs/poisson")
    training = load_run(given.run)
    per_area = density(example("nonlinear_poisson"), training.options.points["interior"])
    given.fields = fields(given)
    cases = [
        {"way": way, "multiple": multiple} for way in WAYS for multiple in SCALES[given.scale][1]
    ]
    rows = computed(given, cases, lambda case: measure(given, case, per_area))
    lines = [
        [
            way,
            *(
                needed(rows, way, what, most)
                for what in ("gradient", "laplacian")
                for most in (0.1, 0.01)
            ),
        ]
        for way in WAYS
    ]
    text = table(
        ["times the points of training", "gradient 10 %", "1 %", "Laplacian 10 %", "1 %"], lines
    )
    finished(given, rows, text, picture(given, rows, per_area))
    return rows


if __name__ == "__main__":
    run()
