"""Table 2 of Lin et al. (arXiv 2504.08277): Burgers' equation from data, physics and both.

    OMP_NUM_THREADS=1 python benchmarks/paper/table2.py --scale small

The mollified GNO of table 1, trained on the family by physics, then on one instance at a time: by
the truth at the 128 x 26 points of the grid, by exact residuals at the same points, or by both.
"""

from __future__ import annotations

import statistics
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from burgers import cases, gathered, measure
from experiment import arguments, computed, finished, spread, table

ON = ("data", "physics", "both")


def picture(rows: list[dict[str, Any]]) -> Any:
    figure, axis = plt.subplots(figsize=(5.5, 4), layout="constrained")
    at = np.arange(len(ON))
    for shift, key, label in ((-0.2, "error", "relative L2 error"), (0.2, "residual", "residual")):
        found = gathered(rows, key, ["on"])
        values = [statistics.mean(found[on,]) for on in ON]
        bars = axis.bar(at + shift, values, 0.38, label=label)
        axis.bar_label(bars, [f"{v:.2g}" for v in values], fontsize=8)
    axis.set(yscale="log", title="trained on")
    axis.set_xticks(at, ON)
    axis.margins(y=0.15)
    axis.legend(fontsize=8)
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table2", argv)
    case = cases(given, [{"on": on} for on in ON])
    rows = computed(given, case, lambda each: measure(given, each))
    error, residual = (gathered(rows, key, ["on"]) for key in ("error", "residual"))
    lines = [[on, spread(error[on,]), spread(residual[on,]), len(error[on,])] for on in ON]
    text = table(["trained on", "relative L2", "residual", "n"], lines)
    finished(given, rows, text, picture(rows))
    return rows


if __name__ == "__main__":
    run()
