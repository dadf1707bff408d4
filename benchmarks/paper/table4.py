"""Table 4 of Lin et al. (arXiv 2504.08277): Burgers' equation from physics on the whole grid and
data on a coarser one.

    OMP_NUM_THREADS=1 python benchmarks/paper/table4.py --scale small

The mollified GNO of table 1, trained on the family, then on one instance at a time by exact
residuals at the 128 x 26 points and the truth at every k-th in x and every m-th in t. The column
without data is physics alone.
"""

from __future__ import annotations

import statistics
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from burgers import SCALES, cases, gathered, measure
from experiment import arguments, computed, finished, spread, table

STRIDES = {
    "demo": ((4,), (3,)),
    "small": ((1, 8, 32), (1, 5)),
    "paper": ((1, 2, 4, 8, 16, 32), (1, 3, 5, 7, 13, 25)),
}


def shape(given: Any, x: int, t: int) -> tuple[int, int]:
    """Nodes in x and t that are left."""
    columns, rows = SCALES[given.scale].grid
    return -(-columns // x), -(-rows // t)


def picture(given: Any, rows: list[dict[str, Any]]) -> Any:
    along_x, along_t = STRIDES[given.scale]
    figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
    for axis, key in zip(axes, ("error", "residual"), strict=True):
        found = gathered([r for r in rows if r["on"] == "both"], key, ["data"])
        values = np.array([[statistics.mean(found[(x, t),]) for t in along_t] for x in along_x])
        axis.imshow(np.log(values), cmap="viridis_r")
        for i, j in np.ndindex(values.shape):
            axis.text(j, i, f"{values[i, j]:.2g}", ha="center", va="center")
        axis.set_xticks(range(len(along_t)), [str(shape(given, 1, t)[1]) for t in along_t])
        axis.set_yticks(range(len(along_x)), [str(shape(given, x, 1)[0]) for x in along_x])
        axis.set(xlabel="data in t", ylabel="data in x", title=key)
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "table4", argv)
    along_x, along_t = STRIDES[given.scale]
    both = [{"on": "both", "data": [x, t]} for x in along_x for t in along_t]
    case = cases(given, [{"on": "physics"}, *both])
    rows = computed(given, case, lambda each: measure(given, each))
    error, residual = (gathered(rows, key, ["data"]) for key in ("error", "residual"))
    lines = []
    for (data,), values in error.items():
        shown = "none" if data is None else " x ".join(map(str, shape(given, *data)))
        count = 0 if data is None else int(np.prod(shape(given, *data)))
        lines.append([shown, count, spread(values), spread(residual[data,]), len(values)])
    text = table(["data", "points", "relative L2", "residual", "n"], lines)
    finished(given, rows, text, picture(given, rows))
    return rows


if __name__ == "__main__":
    run()
