"""Table 1 of Lin et al. (arXiv 2504.08277): Burgers' equation by exact derivatives, differences and
transforms, with a mollified GNO, with an FNO alone (PINO) and with Transolver.

    OMP_NUM_THREADS=1 python benchmarks/paper/table1.py --scale small

Each operator is trained on the family by its physics, then on one instance at a time from there, by
the physics at the 128 x 26 points of the paper's grid and each kind of derivatives, in the same
number of steps. Measured on each instance: relative L2 error of u on 128 x 101 points against the
solution by Cole and Hopf, and the mean squared residual by exact derivatives at random points
(Transolver, which has none: by differences on 128 x 101 points). "before": the operator as trained
on the family. Fourier: a transform in x, which repeats, and differences in t.

A second part takes exact derivatives and differences on other grids, and exact ones at as many of
the paper's points, drawn anew in every step, since they need no grid; rows "truth" hold the
residual that differences leave of the true solution. `--steps` overrides those on an instance, for
another `--out`; `--operators fno_gno,fno` leaves others out; `--part grids` is the second part
alone.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import torch
from burgers import SCALES, cases, gathered, measure
from experiment import arguments, computed, finished, spread, table

KINDS = {"taylor": "exact", "finite_difference": "differences", "pino": "Fourier"}
NAMES = {"fno_gno": "mollified GNO", "fno": "PINO", "transolver": "Transolver"}
MARKS = ("taylor", "finite_difference")
GRIDS = {
    "demo": ([8, 6],),
    "small": ([32, 7], [64, 13]),
    "paper": ([16, 5], [32, 7], [64, 13], [256, 51]),
}


def rows_of(given: Any) -> list[dict[str, Any]]:
    """The table, then the grids."""
    decoded, pino = (
        [{"operator": operator, "derivatives": kind} for kind in ("none", *KINDS)]
        for operator in ("fno_gno", "fno")
    )
    attention = [
        {"operator": "transolver", "derivatives": kind} for kind in ("none", "finite_difference")
    ]
    grids = [
        {"derivatives": kind, "grid": grid}
        for grid in GRIDS[given.scale]
        for kind in ("taylor", "finite_difference")
    ]
    usual = math.prod(SCALES[given.scale].grid)
    grids += [
        {"derivatives": "taylor", "points": math.prod(grid)}
        for grid in GRIDS[given.scale]
        if math.prod(grid) < usual
    ]
    truth = [
        {"operator": "truth", "derivatives": "finite_difference", "grid": grid}
        for grid in (*GRIDS[given.scale], None)
    ]
    asked = ["truth", *given.operators.split(",")]
    whole = [] if given.part == "grids" else [*decoded, *pino, *attention]
    rows = [*truth, *whole, *grids]
    return [each for each in cases(given, rows) if each["operator"] in asked]


def nodes(given: Any, row: Mapping[str, Any]) -> int:
    """Points of the physics in a step."""
    whole = math.prod(row["grid"] or SCALES[given.scale].grid)
    return whole if row["points"] == "grid" else row["points"]


def picture(given: Any, rows: list[dict[str, Any]]) -> Any:
    """Left: error against residual of every instance. Right: error over the grid."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.3), layout="constrained")
    whole = [row for row in rows if row["grid"] is None and row["points"] == "grid"]
    for k, (operator, name) in enumerate(NAMES.items()):
        for mark, (kind, word) in zip("o^sx", {**KINDS, "none": "before"}.items(), strict=True):
            own = [r for r in whole if (r["operator"], r["derivatives"]) == (operator, kind)]
            if own:
                at = [r["error"] for r in own], [r["residual"] for r in own]
                left.plot(*at, mark, color=f"C{k}", label=f"{name}, {word}")
    left.set(xscale="log", yscale="log", xlabel="relative L2 error", ylabel="squared residual")
    left.legend(fontsize=7)
    own = [r for r in rows if r["operator"] == "fno_gno" and r["derivatives"] in MARKS]
    counted = [{**r, "count": nodes(given, r), "anew": r["points"] != "grid"} for r in own]
    lines: dict[tuple, list] = {}
    for (kind, anew, count), found in gathered(
        counted, "error", ["derivatives", "anew", "count"]
    ).items():
        lines.setdefault((kind, anew), []).append((count, statistics.mean(found)))
    for (kind, anew), line in lines.items():
        label = f"{KINDS[kind]}, {'points drawn anew' if anew else 'a grid'}"
        right.plot(*zip(*sorted(line), strict=True), "o-", label=label)
    right.set(
        xscale="log", yscale="log", xlabel="points of the physics", ylabel="relative L2 error"
    )
    counts = sorted({row["count"] for row in counted})
    right.set_xticks(counts, list(map(str, counts)))
    right.minorticks_off()
    right.legend()
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table1", argv, steps=0, operators=",".join(NAMES), part="all")
    rows = computed(given, rows_of(given), lambda case: measure(given, case))
    by, usual = ["operator", "derivatives", "grid", "points"], list(SCALES[given.scale].grid)
    columns = [gathered(rows, key, by) for key in ("error", "residual", "seconds")]
    lines = []
    for name in columns[1]:
        operator, kind, grid, count = name
        error, residual, seconds = (column.get(name, []) for column in columns)
        shown = " x ".join(map(str, grid or usual)) if count == "grid" else f"{count} anew"
        worst = f"{max(error):.3g}" if error else ""
        took = f"{statistics.mean(seconds):.3g}" if seconds else ""
        words = [NAMES.get(operator, operator), {**KINDS, "none": "before"}[kind], shown]
        mean = spread(error) if error else ""
        lines.append([*words, mean, worst, spread(residual), took, len(residual)])
    measures = ["relative L2", "worst", "residual", "CPU s", "n"]
    heading = ["operator", "derivatives", "points", *measures]
    finished(given, rows, table(heading, lines), picture(given, rows))
    return rows


if __name__ == "__main__":
    torch.set_num_threads(1)
    run()
