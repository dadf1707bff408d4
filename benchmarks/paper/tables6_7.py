"""Tables 6 and 7 of Lin et al. (arXiv 2504.08277): nonlinear Poisson from data, from physics and
from both; and from both by numbers of points.

    OMP_NUM_THREADS=1 python benchmarks/paper/tables6_7.py --scale small

All rows take the same number of steps of a small GINO from the same first weights. Data are solved
samples of the reference solver, fewer than physics draws; their weight makes a relative squared
error of 1 count as 10. "data, then physics" is the paper's repair of a data-driven model: as many
further steps on the physics alone. Measured on held-out samples: relative squared and mean squared
error of u, and the squared residual by
jets at 1024 points, its mean over points, over samples as mean and median.
"""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import HeldOut, arguments, computed, example, finished, spread, table, trained

import compiler
from compiler.training.presets import preset

# steps, solved samples, held out, points of a sample in table 6, physics points, data points
SCALES = {
    "demo": (2, 2, 1, 24, (24,), (16,)),
    "small": (200, 48, 12, 160, (16, 160), (8, 160)),
    "hour": (400, 64, 16, 160, (16, 48, 160), (8, 48, 160)),
    "paper": (1_000_000, 7000, 200, 162, (40, 81, 162), (40, 81, 162)),
}
WEIGHT = {"error": 3000.0, "data": 10.0}


class Apart:
    """A sampler that places other numbers of points for physics than a step sees of solved
    samples."""

    def __init__(self, physics: int, data: int) -> None:
        self.physics, self.data = physics, data

    def __call__(self, problem: Any, size: int, points: Any, generator: Any, **options: Any) -> Any:
        if points["interior"] == self.data:
            points = {**points, "interior": self.physics}
        return compiler.sample(problem, size, points, generator, **options)


def rows_of(given: Any) -> list[dict[str, Any]]:
    """Table 6, then table 7."""
    _, _, _, points, physics, data = SCALES[given.scale]
    kinds = ("data", "physics", "both", "data, then physics")
    cases = [{"on": kind, "physics": points, "data": points} for kind in kinds]
    cases += [{"on": "both", "physics": p, "data": d} for p in physics for d in data]
    unique = list({tuple(c.values()): c for c in cases}.values())
    return [{**c, "seed": s} for s in range(given.seeds) for c in unique]


def measure(given: Any, case: dict[str, Any]) -> dict[str, Any]:
    """Errors and residual of a row, trained to its end."""
    steps, solutions, samples, _, _, _ = SCALES[given.scale]
    problem, chosen = example("nonlinear_poisson"), preset("demo")
    latent = 12 if given.scale == "demo" else 24
    small = {
        "latent": (latent, latent),
        "hidden": 24,
        "layers": 3,
        "modes": min(8, latent // 2 - 1),
    }
    model = {**chosen.model, **small, "seed": case["seed"]}
    common = {
        "steps": steps,
        "seed": case["seed"],
        "points": {"interior": case["data"], "boundary": 32, "operator": 512},
        "validation": 1,
        "references": 0,
        "validate_every": steps,
        "checkpoint_every": steps,
        "weights": WEIGHT,
        "solutions": solutions,
        "dual": None,
    }
    data = {"physics": False, "error_estimate": False, "references": 1, "weights": {"data": 10.0}}
    physics = {"solutions": 0, "weights": {"error": 3000.0}}
    own = {"data": data, "physics": physics, "both": {}, "data, then physics": physics}[case["on"]]
    options = replace(chosen.options, **{**common, **own})
    where = given.out / "runs" / "-".join(map(str, case.values())).replace(", ", "-")
    more: dict[str, Any] = {}
    if case["physics"] != case["data"]:
        more["sampler"] = Apart(case["physics"], case["data"])
    if case["on"] == "data, then physics":
        first = given.out / "runs" / "-".join(map(str, {**case, "on": "data"}.values()))
        more["start"] = compiler.load_run(first).model.state_dict()
    run = trained(problem, model, options, where, **more)
    return {**errors(given, run, samples), "seconds": run.history[-1]["seconds"]}


HELD: dict[str, HeldOut] = {}


def errors(given: Any, run: Any, samples: int) -> dict[str, float]:
    """Means over held-out samples."""
    held = HELD.setdefault(given.scale, HeldOut(run.problem, samples))
    loss, squared, mean, residual = compiler.compile(run.problem), [], [], []
    for k in range(samples):
        batch = held.batch(k, dtype=torch.float32, points={"interior": 1024, "operator": 512})
        field = run.model.eval()(batch.inputs)
        squared.append(held.error(k, field))
        points, expected = held.references[k]
        with torch.no_grad():
            gap = field(points.float()).double() - expected
            mean.append(float(gap.square().mean()))
            residual.append(float(loss(field, batch)["eq1"]))
    columns = {"error": squared, "mse": mean, "residual": residual}
    found = {name: statistics.mean(values) for name, values in columns.items()}
    return found | {"median residual": statistics.median(residual)}


def picture(given: Any, rows: list[dict[str, Any]]) -> Any:
    """Left: error and residual of each way of training. Right: table 7 as a map."""
    _, _, _, points, physics, data = SCALES[given.scale]
    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(13.5, 4.3), layout="constrained", width_ratios=[1.25, 1, 1]
    )
    six = [r for r in rows if r["physics"] == r["data"] == points]
    names = list(dict.fromkeys(r["on"] for r in six))
    at = np.arange(len(names))
    for shift, name, label, color in (
        (-0.2, "error", "relative squared error of u", "C0"),
        (0.2, "median residual", "mean squared residual of the median sample", "C3"),
    ):
        values = [statistics.mean(r[name] for r in six if r["on"] == on) for on in names]
        bars = left.bar(at + shift, values, 0.38, color=color, label=label)
        left.bar_label(bars, [f"{v:.2g}" for v in values], fontsize=8)
    left.set(yscale="log", title="trained on")
    left.set_xticks(at, names, fontsize=9)
    left.margins(y=0.15)
    left.legend(fontsize=8)
    for axis, name, title in (
        (middle, "error", "relative squared error of u"),
        (right, "median residual", "squared residual, median"),
    ):
        values = np.array([[mean_of(rows, p, d, name) for d in data] for p in physics])
        axis.imshow(np.log(values), cmap="viridis_r")
        half = (np.nanmax(np.log(values)) + np.nanmin(np.log(values))) / 2
        for i, j in np.ndindex(values.shape):
            tint = "k" if np.log(values[i, j]) < half else "w"
            shown = "" if np.isnan(values[i, j]) else f"{values[i, j]:.2g}"
            axis.text(j, i, shown, ha="center", va="center", color=tint)
        axis.set_xticks(range(len(data)), [str(d) for d in data])
        axis.set_yticks(range(len(physics)), [str(p) for p in physics])
        axis.set(xlabel="points of data a sample", ylabel="points of physics a sample")
        axis.set_title(f"both: {title}", fontsize=10)
    return figure


def mean_of(rows: list[dict[str, Any]], physics: int, data: int, name: str) -> float:
    own = [r[name] for r in rows if (r["on"], r["physics"], r["data"]) == ("both", physics, data)]
    return statistics.mean(own) if own else math.nan


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "tables6_7", argv, SCALES)
    rows = computed(given, rows_of(given), lambda case: measure(given, case))
    _, _, _, points, physics, data = SCALES[given.scale]
    names = ("error", "mse", "residual", "median residual")
    cells = list(dict.fromkeys((r["on"], r["physics"], r["data"]) for r in rows))
    lines = []
    for on, p, d in cells:
        own = [r for r in rows if (r["on"], r["physics"], r["data"]) == (on, p, d)]
        percent = 100 * math.sqrt(statistics.mean(r["error"] for r in own))
        lines.append([on, p, d, *(spread([r[n] for r in own]) for n in names), f"{percent:.2g} %"])
    heading = ["trained on", "physics points", "data points", "relative squared error", "MSE"]
    text = table([*heading, "squared residual: mean", "median", "error of u"], lines)
    finished(given, rows, text, picture(given, rows))
    return rows


if __name__ == "__main__":
    run()
