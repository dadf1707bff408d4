"""Table 3 of Lin et al. (arXiv 2504.08277): Burgers' equation by the physics at fewer and fewer
points.

    OMP_NUM_THREADS=1 python benchmarks/paper/table3.py --scale small

The mollified GNO of table 1, trained on the family, then on one instance at a time by exact
residuals at points of the 128 x 26 grid: all 3328, or some that are drawn anew in every step
("anew"), or drawn once ("kept"; the paper does not say which it did).
"""

from __future__ import annotations

import statistics
from typing import Any

import matplotlib.pyplot as plt
from burgers import cases, gathered, measure
from experiment import arguments, computed, finished, spread, table

COUNTS = {"demo": (20,)}
PAPER = 1000, 500, 250, 100, 50, 25, 10
KEPT = {"small": (1000, 250, 50, 10)}


def rows_of(given: Any) -> list[dict[str, Any]]:
    counts = COUNTS.get(given.scale, PAPER)
    anew = [{"points": n} for n in counts]
    kept = [{"points": n, "kept": True} for n in KEPT.get(given.scale, counts)]
    return cases(given, [{"points": "grid"}, *anew, *kept])


def picture(rows: list[dict[str, Any]]) -> Any:
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, key in zip(axes, ("error", "residual"), strict=True):
        for kept, label in ((False, "drawn anew in every step"), (True, "drawn once")):
            own = [r for r in rows if r["kept"] == kept and r["points"] != "grid"]
            found = gathered(own, key, ["points"])
            line = sorted((n, statistics.mean(v)) for (n,), v in found.items())
            axis.plot(*zip(*line, strict=True), "o-", label=label)
        whole = statistics.mean(r[key] for r in rows if r["points"] == "grid")
        axis.axhline(whole, color="0.5", lw=1, label="whole grid")
        axis.set(xscale="log", yscale="log", xlabel="points of the physics", ylabel=key)
    axes[0].legend(fontsize=8)
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table3", argv)
    rows = computed(given, rows_of(given), lambda case: measure(given, case))
    by = ["points", "kept"]
    error, residual = (gathered(rows, key, by) for key in ("error", "residual"))
    lines = [
        [str(n), "" if n == "grid" else "kept" if kept else "anew", spread(values)]
        + [spread(residual[n, kept]), len(values)]
        for (n, kept), values in error.items()
    ]
    text = table(["points", "drawn", "relative L2", "residual", "n"], lines)
    finished(given, rows, text, picture(rows))
    return rows


if __name__ == "__main__":
    run()
