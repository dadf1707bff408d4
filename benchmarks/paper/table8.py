"""Table 8 of Lin et al. (arXiv 2504.08277): five radii by the number of latent nodes that a ball
holds, and every weight function.

    OMP_NUM_THREADS=1 python benchmarks/paper/table8.py --scale small

Two parts. What must be: the lowest derivative of a decoded field that jumps where a node enters a
ball, and at a node itself, found by one-sided jets in float64, against the class that each weight
declares; and the residual of Poisson's equation along a line. What trains: GINO on physics alone,
the same steps for all, and the error of u on held-out samples of `nonlinear_poisson`.
"""

from __future__ import annotations

import copy
import math
import statistics
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import HeldOut, arguments, computed, example, finished, spread, table, trained
from matplotlib.colors import LogNorm
from matplotlib.ticker import FuncFormatter

from compiler.training.presets import preset
from operators import GNO, WEIGHTS, JetSpace, Lattice
from operators.graph.neighbors import NEIGHBORS
from operators.jets.jet import coordinates

# nodes in the ball around a node -> a radius in spacings between the thresholds 1, sqrt 2, 2, ..
RADII = {1: 0.95, 5: 1.2, 9: 1.7, 13: 2.1, 21: 2.5, 25: 2.9}
# steps, samples that are held out, latent nodes an axis, radii, weights
SCALES = {
    "demo": (2, 1, 12, (9,), ("half_cos", "quadweight")),
    "small": (
        120,
        6,
        24,
        (1, 9, 25),
        ("bump", "half_cos", "quartic", "octic", "quadweight"),
    ),
    "hour": (400, 16, 24, (1, 5, 9, 13, 21, 25), tuple(WEIGHTS)),
    "paper": (100_000, 200, 64, (5, 9, 13, 21, 25), tuple(WEIGHTS)),
}
HIGHEST, STEP = 7, 1e-6  # order of the derivatives that are compared, and how far off the rim


def first_jump(weight: str, place: str) -> int:
    """The lowest order of derivative along x that jumps in a field decoded with a weight, HIGHEST +
    1 where none does: on the rim of a ball, or at a node.

    A jump is one that does not fall with the distance of the two sides: each order of a continuous
    derivative changes over 2e-6 of the radius by some 1e-5 of its size.
    """
    lattice = Lattice((-2.0, -2.0), (2.0, 2.0), (9, 9))
    radius = 1.23 * lattice.spacing[0]
    chance = torch.Generator().manual_seed(0)
    layer = GNO(1, 1, 2, radius, weight=weight, kernel="polynomial", degree=0, generator=chance)
    values = torch.randn(lattice.size, 1, generator=chance, dtype=torch.float64)
    layer, nodes = layer.double(), lattice.points(torch.float64)
    angle = 0.3  # no other node's rim, nor a line of symmetry
    at = radius if place == "rim" else 0.0
    shift = torch.tensor([math.cos(angle), math.sin(angle)], dtype=torch.float64)
    # all derivatives along x up to the highest, on both sides along the ray
    space = JetSpace.closure([(HIGHEST, 0)])
    sides = []
    for sign in (-1, 1):
        point = nodes[lattice.size // 2] + (at + sign * STEP * radius) * shift
        edges = NEIGHBORS["lattice"](point[None, None], lattice, (radius, radius))
        columns = tuple(c.map(lambda v: v[0]) for c in coordinates(point[None, None], space))
        with torch.no_grad():
            jet = layer.integrate(columns, nodes, layer.prepare(nodes, values), edges, lattice.cell)
        sides.append([float(jet[(m, 0)]) * radius**m for m in range(HIGHEST + 1)])
    for m, (one, other) in enumerate(zip(*sides, strict=True)):
        if abs(one - other) > 1e-2 * max(abs(one), abs(other), 1e-2):
            return m
    return HIGHEST + 1


def theory() -> list[dict[str, Any]]:
    """For each weight the class it declares, and the first derivative that jumps."""
    found = []
    for name, weight in WEIGHTS.items():
        rim, centre = first_jump(name, "rim"), first_jump(name, "node")
        found.append({"weight": name, "declared": weight.smoothness, "rim": rim, "node": centre})
    return found


def line(weight: str | None) -> tuple[np.ndarray, np.ndarray, np.ndarray, list[float]]:
    """x, u and its Laplacian along a horizontal line through a decoded random field, and where the
    line crosses rims."""
    lattice = Lattice((-2.0, -2.0), (2.0, 2.0), (9, 9))
    radius, y = 2.3 * lattice.spacing[0], 0.13
    chance = torch.Generator().manual_seed(1)
    layer = GNO(1, 1, 2, radius, weight=weight, kernel="polynomial", degree=0, generator=chance)
    layer, nodes = layer.double(), lattice.points(torch.float64)
    wave = torch.sin(2.2 * nodes[:, :1]) * torch.cos(1.6 * nodes[:, 1:])
    x = torch.linspace(-0.55, 0.55, 2201, dtype=torch.float64)
    points = torch.stack([x, torch.full_like(x, y)], 1)
    space = JetSpace.closure([(0, 0)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
    edges = NEIGHBORS["lattice"](points[None], lattice, (radius, radius))
    with torch.no_grad():
        jet = layer.integrate(
            coordinates(points, space), nodes, layer.prepare(nodes, wave), edges, lattice.cell
        )
    rims = []
    for a, b in nodes.tolist():
        if abs(y - b) < radius:
            half = math.sqrt(radius**2 - (y - b) ** 2)
            rims += [each for each in (a - half, a + half) if -0.55 < each < 0.55]
    u, lap = jet.value[:, 0].numpy(), jet["laplacian"][:, 0].numpy()
    size = np.abs(u).max()
    return x.numpy(), u / size, lap / size, rims


def lines() -> Any:
    """The Laplacian that a residual sees, weight by weight: jumps, kinks, or neither."""
    shown = {
        None: "no weight: u itself jumps, lap u is zero between jumps",
        "half_cos": "half_cos, C¹: lap u jumps",
        "quartic": "quartic, C¹: lap u jumps",
        "octic": "octic, C²: lap u has kinks",
        "quadweight": "(1 - s)⁴, C³: lap u has a slope",
        "bump": "bump, all orders: smooth, but steep between nodes",
    }
    figure, axes = plt.subplots(
        len(shown), 2, figsize=(11.5, 1.5 * len(shown) + 0.6), sharex=True, layout="constrained"
    )
    for row, (weight, title) in zip(axes, shown.items(), strict=True):
        x, u, lap, rims = line(weight)
        for axis, values, name in zip(row, (u, lap), ("u", "lap u"), strict=True):
            for each in rims:
                axis.axvline(each, color="tab:blue", lw=0.6, alpha=0.45)
            # a curve is broken where it jumps
            cuts = np.searchsorted(x, sorted(rims))
            for part in np.split(np.arange(len(x)), cuts):
                axis.plot(x[part], values[part], "k", lw=1.2)
            axis.set_ylabel(name, fontsize=9)
            axis.tick_params(labelsize=7)
        row[0].set_title(title, fontsize=9, loc="left")
    for axis in axes[-1]:
        axis.set_xlabel("x", fontsize=9)
    figure.suptitle(
        "A decoded field (left) and its Laplacian, which the residual sees (right), along a line."
        " Blue: a latent node enters or leaves the ball.",
        fontsize=10,
    )
    return figure


def measure_training(given: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Error of one cell: a weight and a radius, the same steps for all."""
    steps, samples, latent, _, _ = SCALES[given.scale]
    problem, chosen = example("nonlinear_poisson"), preset("demo")
    model = {
        **chosen.model,
        "latent": (latent, latent),
        "hidden": 16,
        "layers": 3,
        "modes": min(8, latent // 2 - 1),
        "weight": case["weight"],
        "radius_in_spacings": RADII[case["nodes"]],
        "seed": case["seed"],
    }
    options = replace(
        chosen.options,
        steps=steps,
        seed=case["seed"],
        references=0,
        validation=0,
        points={"interior": 160, "boundary": 32, "operator": 512},
        checkpoint_every=steps,
    )
    where = given.out / "cells" / f"{case['weight']}-{case['nodes']}-{case['seed']}"
    run = trained(problem, model, options, where)
    held, errors = HELD.setdefault(given.scale, HeldOut(problem, samples)), []
    for k in range(samples):
        batch = held.batch(k, dtype=torch.float32, points={"operator": 512})
        errors.append(held.error(k, run.model.eval()(batch.inputs)))
    row = run.history[-1]
    return {
        "error": statistics.mean(errors),
        "residual": row["eq1"],
        "seconds": row["seconds"],
    }


HELD: dict[str, HeldOut] = {}


def heat(rows: list[dict[str, Any]]) -> Any:
    """Error of u by weight and radius."""
    weights = list(dict.fromkeys(r["weight"] for r in rows))
    counts = sorted({r["nodes"] for r in rows})
    mean = np.array([[cell(rows, w, n) for n in counts] for w in weights])
    figure, axis = plt.subplots(figsize=(7.2, 0.42 * len(weights) + 1.6), layout="constrained")
    image = axis.imshow(100 * np.sqrt(mean), norm=LogNorm(), cmap="viridis_r", aspect="auto")
    middle = math.sqrt(100 * np.nanmax(np.sqrt(mean)) * 100 * np.nanmin(np.sqrt(mean)))
    for i in range(len(weights)):
        for j in range(len(counts)):
            value = 100 * math.sqrt(mean[i, j])
            tint = "w" if value > middle else "k"
            shown = "" if math.isnan(value) else f"{value:.3g}"
            axis.text(j, i, shown, ha="center", va="center", color=tint, fontsize=9)
    axis.set(
        xticks=range(len(counts)),
        yticks=range(len(weights)),
        xlabel="latent nodes in the ball around a node (the radius grows to the right)",
    )
    axis.set_xticklabels([f"{n}\n(r = {RADII[n]} h)" for n in counts], fontsize=8)
    classes = {w: WEIGHTS[w].smoothness for w in weights}
    axis.set_yticklabels([f"{w}, C{'∞' if math.isinf(c) else int(c)}" for w, c in classes.items()])
    axis.set_title("error of u in % after the same steps of physics alone", fontsize=10)
    bar = figure.colorbar(image, ax=axis, label="%")
    bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    bar.ax.yaxis.set_minor_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    return figure


def cell(rows: list[dict[str, Any]], weight: str, nodes: int) -> float:
    own = [r["error"] for r in rows if r["weight"] == weight and r["nodes"] == nodes]
    return statistics.mean(own) if own else math.nan


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table8", argv, SCALES)
    classes = theory()
    shown = {math.inf: "all"}
    text = table(
        ["weight", "class declared", "first derivative that jumps: on a rim", "at a node"],
        [
            [
                r["weight"],
                shown.get(r["declared"], r["declared"]),
                *(r[k] if r[k] <= HIGHEST else f"none to {HIGHEST}" for k in ("rim", "node")),
            ]
            for r in classes
        ],
    )
    _, _, _, counts, weights = SCALES[given.scale]
    first = named(given, "table8_residuals")
    finished(first, classes, text, lines())
    cases = [
        {"weight": w, "nodes": n, "seed": s}
        for s in range(given.seeds)
        for n in counts
        for w in weights
    ]
    rows = computed(given, cases, lambda case: measure_training(given, case))
    lines_of = [
        [w]
        + [
            spread(
                [100 * math.sqrt(r["error"]) for r in rows if r["weight"] == w and r["nodes"] == n]
            )
            for n in counts
        ]
        for w in weights
    ]
    cells = table(["error of u in %", *(f"{n} nodes" for n in counts)], lines_of)
    finished(given, rows, cells, heat(rows))
    return rows


def named(given: Any, name: str) -> Any:
    """The same command line for a result of another name."""
    other = copy.copy(given)
    other.name, other.out = name, given.out / name
    other.out.mkdir(exist_ok=True)
    return other


if __name__ == "__main__":
    run()
