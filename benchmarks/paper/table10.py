"""Table 10 of Lin et al. (arXiv 2504.08277): the lid-driven cavity from physics, data and both, at
fewer and fewer points of either.

    OMP_NUM_THREADS=1 python benchmarks/paper/table10.py --scale small

An operator from coordinates (x, y, t) to velocity and pressure, an FNO on a regular grid and a
mollified GNO, trained at Re = 500 from rest to t = 10: on the equations at points drawn anew in
every step (with exact derivatives), or at the nodes of a fixed grid (by differences); on measured
velocities drawn anew, or on those of a fixed grid; and on the conditions at the walls and at the
start wherever the equations are seen. Measured: relative L2 error of the velocity on a grid of
middles of cells and times that training does not see, over all times and for t in [5, 10], and the
mean squared residual at random points by exact derivatives, over all, and farther than 0.1 from the
corners of the lid and from t = 0. The flow at the walls and in the corners of the lid is built into
the operator (see `cavity_lift.py`) but in rows "in the loss", which are the paper's way: plain
coordinates, and the conditions as terms, or not at all where there is data alone. `--rows` names
some of the rows: hybrid, physics, data, plain, grid,
differences, fewer.
"""

from __future__ import annotations

import statistics
from typing import Any

import matplotlib.pyplot as plt
from cavity import USUAL, measure
from experiment import arguments, computed, finished, spread, table

KINDS = "hybrid", "physics", "data", "plain", "grid", "differences", "fewer"
FEWER = {"demo": (), "small": ((1000, 100), (100, 1000)), "paper": ()}
POINTS = {"demo": 30, "small": 1000, "paper": 10_000}
PAPER = [(n, m) for n in (10_000, 1000, 100, 25) for m in (50_000, 10_000, 1000, 100)]


def rows_of(given: Any) -> list[dict[str, Any]]:
    count, paper = POINTS[given.scale], given.scale == "paper"
    fewer = [each for each in PAPER if each != (count, count)] if paper else FEWER[given.scale]
    rows = {
        "hybrid": [{"physics": count, "data": count}],
        "fewer": [{"physics": n, "data": m} for n, m in fewer],
        "physics": [
            {"physics": n, "data": None} for n in ((10_000, 1000, 100, 25) if paper else (count,))
        ],
        "data": [
            {"physics": None, "data": m}
            for m in ((50_000, 10_000, 1000, 100) if paper else (count,))
        ],
        "grid": [{"physics": count, "data": "grid"}, {"physics": None, "data": "grid"}],
        "differences": [
            {"physics": "grid", "data": m, "derivatives": "finite_difference"}
            for m in ((50_000, 10_000) if paper else (count,))
        ],
        "plain": [
            {"physics": n, "data": m, "walls": "in the loss"}
            for n, m in ((count, count), (count, None), (None, count))
        ],
    }
    asked = given.rows.split(",")
    return [
        {**USUAL, **row, "seed": seed}
        for seed in range(given.seeds)
        for kind in KINDS
        if kind in asked
        for row in rows[kind]
    ]


def name_of(row: dict[str, Any]) -> tuple[str, str, str]:
    points = str(row["physics"] or "none")
    if row["derivatives"] != "auto":
        points += ", differences"
    return points, str(row["data"] or "none"), row["walls"]


def gathered(rows: list[dict[str, Any]], key: str) -> dict[tuple[str, str, str], list[float]]:
    found: dict[tuple[str, str, str], list[float]] = {}
    for row in rows:
        found.setdefault(name_of(row), [])
        if key in row:
            found[name_of(row)].append(row[key])
    return found


def picture(rows: list[dict[str, Any]]) -> Any:
    figure, axis = plt.subplots(figsize=(6.5, 4.5), layout="constrained")
    error, residual = gathered(rows, "error"), gathered(rows, "residual_away")
    for k, name in enumerate(error):
        at = statistics.mean(error[name]), statistics.mean(residual[name])
        axis.plot(
            *at, "os^Dv"[k // 10], color=f"C{k % 10}", label="{}, data {}, walls {}".format(*name)
        )
    axis.set(xscale="log", yscale="log", xlabel="relative L2 error of the velocity")
    axis.set_ylabel("squared residual away from corners")
    axis.legend(fontsize=7)
    return figure


COLUMNS = {
    "error": "velocity",
    "late": "t in [5, 10]",
    "pressure": "pressure",
    "misfit": "data seen",
    "residual": "residual",
    "residual_away": "away",
    "seconds": "CPU s",
}


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table10", argv, steps=0, rows=",".join(KINDS))
    rows = computed(given, rows_of(given), lambda case: measure(given, case))
    columns = {key: gathered(rows, key) for key in COLUMNS}
    lines = [
        [*name, *(spread(columns[key][name]) for key in COLUMNS), len(columns["error"][name])]
        for name in columns["error"]
    ]
    text = table(["physics", "data", "walls", *COLUMNS.values(), "n"], lines)
    finished(given, rows, text, picture(rows))
    return rows


if __name__ == "__main__":
    run()
