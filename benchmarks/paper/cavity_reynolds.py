"""One operator for the lid-driven cavity at Re = 100 to 1000, which goes beyond the paper (Lin et
al., arXiv 2504.08277, whose table 10 is of one Reynolds number).

    OMP_NUM_THREADS=1 python benchmarks/paper/cavity_reynolds.py --scale small

The operator of table 10 reads Re as well, drawn log-uniformly. It is trained on the equations at
Re drawn anew in every step, and on velocities measured at random points of a few flows; the error
of the velocity is measured on flows at other Re, on a grid of middles of cells and times.
`--rows` names some of: hybrid, data.
"""

from __future__ import annotations

import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from cavity import SCALES, WEIGHTS, asked, built, errors, field_of, keep, problem_of, truth
from experiment import arguments, computed, finished, table

import compiler

WALLS = "built in"
LAW = "~ loguniform(100, 1000)"
NU = 1 / 300  # of the lift, for all
SEEN = {"demo": 2, "small": 8, "paper": 32}  # flows that are measured, evenly spaced in log(Re)
ASKED = {"demo": (150,), "small": (100, 180, 320, 570, 1000)}
SIZES = {  # cells of the solutions, measured values of each, points and flows of a step, steps
    "demo": {"cells": 8, "pool": 100, "points": 30, "batch": 2, "steps": 2},
    "small": {"cells": 64, "pool": 20_000, "points": 400, "batch": 2, "steps": 600},
    "paper": {"cells": 128, "pool": 100_000, "points": 4000, "batch": 8, "steps": 20_000},
}


def known_of(given: Any, reynolds: float) -> dict[str, np.ndarray]:
    """Measured values and those that errors are taken to, of one flow."""
    size, scale = SIZES[given.scale], SCALES[given.scale]
    scale = replace(scale, cells=size["cells"], pool=size["pool"])
    return truth(scale, given.out / "flows", round(float(reynolds), 3))


def data_of(given: Any, folder: Path) -> Path:
    """The file of all measured flows, a sample each."""
    seen = np.geomspace(100, 1000, SEEN[given.scale] + 2)[1:-1]
    rows = [(reynolds, known_of(given, reynolds)["pool"]) for reynolds in seen]
    columns = {
        "Re": np.concatenate([np.full(len(each), reynolds) for reynolds, each in rows]),
        "sample": np.concatenate([np.full(len(each), k) for k, (_, each) in enumerate(rows)]),
    }
    return keep(WALLS, np.concatenate([each for _, each in rows]), folder / "data.npz", **columns)


def fitted(given: Any, case: dict[str, Any], folder: Path) -> tuple[Any, float]:
    """The operator, and the seconds of the processor that its training took."""
    size, scale = SIZES[given.scale], SCALES[given.scale]
    problem = problem_of(WALLS, LAW, data_of(given, folder))
    model = built(scale, problem, WALLS, case["seed"], NU)
    physics = case["rows"] == "hybrid"
    options = compiler.TrainOptions(
        steps=size["steps"],
        batch=size["batch"],
        seed=case["seed"],
        optimizer="soap",
        lr=scale.rate,
        schedule_options={"warmup": min(30, size["steps"] // 4), "floor": 0.005},
        physics=physics,
        weights={k: WEIGHTS[k] for k in (("data", "along", "upward") if physics else ("data",))},
        points={"interior": size["points"], "boundary": 8, "initial": 8, "operator": 16},
        rows=1000,
        validation=0,
        checkpoint_every=100,
    )
    began = time.process_time()
    run = compiler.train(problem, model, options, given.out / f"run-{case['rows']}", resume=True)
    return run.model.eval(), time.process_time() - began


def measure(given: Any, case: dict[str, Any]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        model, seconds = fitted(given, case, Path(folder))
    problem, found = problem_of(WALLS, LAW), {"seconds": seconds}
    for reynolds in ASKED.get(given.scale, ASKED["small"]):
        rows = known_of(given, reynolds)["test"]
        field = field_of(model, problem, {"Re": float(reynolds)})
        own = errors(asked(field, WALLS, rows[:, :3]), rows)
        found |= {f"{key} {reynolds}": value for key, value in own.items()}
    return found


def picture(rows: list[dict[str, Any]], reynolds: tuple[int, ...]) -> Any:
    figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
    for row in rows:
        for key, mark in (("error", "o-"), ("late", "s--")):
            values = [row[f"{key} {each}"] for each in reynolds]
            label = f"{row['rows']}, " + ("t in [0, 10]" if key == "error" else "t in [5, 10]")
            axis.loglog(reynolds, values, mark, label=label)
    axis.set(xlabel="Re", ylabel="relative L2 error of the velocity")
    axis.legend(fontsize=8)
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "cavity_reynolds", argv, rows="hybrid,data")
    cases = [
        {"rows": kind, "seed": seed}
        for seed in range(given.seeds)
        for kind in given.rows.split(",")
    ]
    rows = computed(given, cases, lambda case: measure(given, case))
    reynolds = ASKED.get(given.scale, ASKED["small"])
    lines = [
        [row["rows"], name, *(row[f"{key} {each}"] for each in reynolds)]
        for row in rows
        for key, name in (("error", "[0, 10]"), ("late", "[5, 10]"), ("pressure", "pressure"))
    ]
    text = table(["trained on", "t in", *(f"Re {each}" for each in reynolds)], lines)
    finished(given, rows, text, picture(rows, reynolds))
    return rows


if __name__ == "__main__":
    run()
