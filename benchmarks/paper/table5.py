"""Table 5 of Lin et al. (arXiv 2504.08277): Burgers' equation from physics and noisy data, by exact
derivatives and by differences.

    OMP_NUM_THREADS=1 python benchmarks/paper/table5.py --scale small

The mollified GNO of table 1, trained on the family, then on one instance at a time by residuals and
data at the 128 x 26 points of the grid. Noise as in equation 15: normal, independent at every
point, its standard deviation the level times the mean of |u|. Relative L2 error against the truth
on 128 x 101 points, and against the noisy data at theirs.
"""

from __future__ import annotations

import statistics
from typing import Any

import matplotlib.pyplot as plt
from burgers import cases, gathered, measure
from experiment import arguments, computed, finished, spread, table

LEVELS = {
    "demo": (0.0, 0.1),
    "small": (0.0, 0.05, 0.2),
    "paper": (0.0, 0.01, 0.05, 0.1, 0.2, 0.5),
}
KINDS = {"taylor": "exact", "finite_difference": "differences"}


def picture(rows: list[dict[str, Any]]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for color, (kind, word) in zip(("C0", "C1"), KINDS.items(), strict=True):
        own = [r for r in rows if r["derivatives"] == kind]
        for axis, key, style, label in (
            (axes[0], "error", "o-", "to the truth"),
            (axes[0], "misfit", "^:", "to the data"),
            (axes[1], "residual", "o-", "squared residual"),
        ):
            found = gathered(own, key, ["noise"])
            line = [(level, statistics.mean(v)) for (level,), v in sorted(found.items())]
            x, y = zip(*line, strict=True)
            axis.plot(x, y, style, color=color, label=f"{word}, {label}")
    levels = sorted({row["noise"] for row in rows})
    axes[0].plot(levels, levels, color="0.7", lw=1, label="noise level")
    for axis in axes:
        axis.set(yscale="log", xlabel="noise level")
        axis.legend(fontsize=7)
    axes[0].set(ylabel="relative L2")
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table5", argv)
    each = [
        {"on": "both", "noise": level, "derivatives": kind, "data": [1, 1]}
        for kind in KINDS
        for level in LEVELS[given.scale]
    ]
    rows = computed(given, cases(given, each), lambda case: measure(given, case))
    by = ["derivatives", "noise"]
    keys = ("residual", "error", "misfit")
    columns = [gathered(rows, key, by) for key in keys]
    lines = [
        [KINDS[kind], level, *(spread(c[kind, level]) for c in columns)]
        + [len(columns[0][kind, level])]
        for kind, level in columns[0]
    ]
    heading = ["derivatives", "noise", "residual", "L2 to the truth", "L2 to the data", "n"]
    finished(given, rows, table(heading, lines), picture(rows))
    return rows


if __name__ == "__main__":
    run()
