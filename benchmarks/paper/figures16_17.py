"""Figures 16 and 17 of Lin et al. (arXiv 2504.08277): time of a training step by latent and by
output resolution, for exact derivatives and for differences.

    OMP_NUM_THREADS=1 python benchmarks/paper/figures16_17.py --scale small

One step is the Poisson residual of a GINO on the unit square at n x n points, its squared mean, and
the gradient of all weights. Exact: jets, and nested autograd as the paper has it. Differences: of
second order on the uniform grid; least squares on neighbours of the same points moved at random
(the paper's non-uniform ones). CPU seconds of one thread, medians of alternated steps. Slopes are
fitted to the logarithms over the two largest thirds of the sizes.
"""

from __future__ import annotations

import itertools
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import arguments, computed, finished, table
from measure import alternate

import compiler
import pdespec
from compiler.derivatives import FiniteDifference, LeastSquares

TEXT = """problem square
space x, y
domain D = rectangle([0, 0], [1, 1])
input f : scalar on D ~ gaussians(count = 2, width = 0.3)
unknown u : scalar on D
in D: balance: lap(u) = f
on boundary(D): u = 0
"""
# latent nodes an axis, output points an axis, rounds
SCALES = {
    "demo": ((12,), (8,), 1),
    "small": ((16, 24, 32, 48), (16, 32, 48, 64), 3),
    "paper": ((16, 32, 64, 128), (16, 32, 64, 128, 256), 5),
}
WAYS = {
    "jets": ("taylor", False),
    "nested autograd": ("autograd", False),
    "differences, uniform": (FiniteDifference(2, "grid", tolerance=1e9), False),
    "differences, non-uniform": (LeastSquares(degree=2, tolerance=1e9), True),
}


def step(way: str, latent: int, output: int) -> Any:
    """A training step without the optimiser, as a call."""
    problem = pdespec.parse(TEXT)
    model = compiler.build(
        problem,
        "gino",
        latent=(latent, latent),
        hidden=32,
        modes=min(12, latent // 2 - 1),
        kernel="mlp",
    )
    backend, moved = WAYS[way]
    loss = compiler.compile(problem, {"balance": backend, "default": "auto"})
    chance = torch.Generator().manual_seed(0)
    batch = compiler.sample(
        problem, 1, {"operator": 512, "boundary": 16}, chance, hard_conditions=False
    )
    t = (torch.arange(output, dtype=torch.float64) + 0.5) / output
    grid = torch.stack(torch.meshgrid(t, t, indexing="ij"), -1).reshape(1, -1, 2)
    if moved:  # by a third of the spacing at most
        grid = grid + (torch.rand(grid.shape, generator=chance) - 0.5) * (2 / 3) / output
    batch = batch.with_points({"D": grid.float()})

    def taken() -> None:
        model.zero_grad()
        loss(model(batch.inputs), batch).total.backward()

    return taken


def measure(given: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Seconds of every way at one pair of resolutions."""
    steps = {way: step(way, case["latent"], case["output"]) for way in WAYS}
    costs = alternate(steps, SCALES[given.scale][2])
    return {way: cost.median for way, cost in costs.items()}


def slope(sizes: list[float], seconds: list[float]) -> float:
    """Power of the size, over its upper two thirds."""
    first = len(sizes) // 3
    if len(sizes) - first < 2:
        return float("nan")
    return float(np.polyfit(np.log(sizes[first:]), np.log(seconds[first:]), 1)[0])


def series(rows: list[dict[str, Any]], way: str, by: str, at: int) -> tuple[list[int], list[float]]:
    """Sizes along one axis and seconds, at a size of the other."""
    other = "latent" if by == "output" else "output"
    own = sorted((r[by], r[way]) for r in rows if r[other] == at)
    return [size for size, _ in own], [seconds for _, seconds in own]


def picture(rows: list[dict[str, Any]]) -> Any:
    """Left by output resolution, right by latent: lines for the least and the greatest of the
    other."""
    figure, axes = plt.subplots(1, 2, figsize=(12, 5), sharey=True, layout="constrained")
    for axis, by, other in zip(axes, ("output", "latent"), ("latent", "output"), strict=True):
        values = sorted({r[other] for r in rows})
        for at, style in zip((values[0], values[-1]), ("o--", "o-"), strict=True):
            for k, way in enumerate(WAYS):
                sizes, seconds = series(rows, way, by, at)
                label = way if at == values[-1] else None
                axis.plot(sizes, seconds, style, color=f"C{k}", ms=4, label=label)
                if at == values[-1]:
                    power = slope(sizes, seconds)
                    axis.annotate(
                        f"n^{power:.2g}",
                        (sizes[-1], seconds[-1]),
                        xytext=(6, -3),
                        textcoords="offset points",
                        color=f"C{k}",
                        fontsize=8,
                    )
        sizes = sorted({r[by] for r in rows})
        axis.set(xscale="log", yscale="log", xlabel=f"{by} points along each axis, n")
        axis.set_xticks(sizes, [str(s) for s in sizes])
        axis.minorticks_off()
        axis.grid(alpha=0.25)
        axis.set_title(
            f"by {by} resolution; {other} {values[-1]} x {values[-1]} (full lines), {values[0]} x"
            f" {values[0]} (dashed)",
            fontsize=9,
        )
        axis.margins(x=0.2)
    axes[0].set_ylabel("CPU seconds of a step, one thread")
    axes[0].legend(fontsize=9)
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "figures16_17", argv, SCALES)
    latents, outputs, _ = SCALES[given.scale]
    cases = [{"latent": a, "output": b} for a, b in itertools.product(latents, outputs)]
    rows = computed(given, cases, lambda case: measure(given, case))
    lines = [
        [r["latent"], r["output"], *(r[way] for way in WAYS), r["nested autograd"] / r["jets"]]
        for r in rows
    ]
    text = table(["latent", "output", *WAYS, "autograd / jets"], lines)
    powers = [
        [
            way,
            slope(*series(rows, way, "output", latents[-1])),
            slope(*series(rows, way, "latent", outputs[-1])),
        ]
        for way in WAYS
    ]
    text += "\n\n" + table(["power of n", "output", "latent"], powers)
    finished(given, rows, text, picture(rows))
    return rows


if __name__ == "__main__":
    run()
