"""The reference of table 10 of Lin et al. (arXiv 2504.08277), the lid-driven cavity, held to what
is known.

    OMP_NUM_THREADS=1 python benchmarks/paper/cavity_truth.py --scale small

`compiler.solve` of examples/lid_cavity.pde (projection on a staggered grid) against the published
centre lines of the steady flow, against its own finest solution over time, and against finite
elements, which share nothing with it: on triangles that are finer and finer towards the corners of
the lid, and on uniform ones. Errors over time are relative L2 errors of the velocity, and of the
pressure without its mean, on 32 x 32 middles of cells at t = 0.5, 1, 2, 5, 10.

Sources: U. Ghia, K. N. Ghia and C. T. Shin (1982), J. Comput. Phys. 48, 387-411, tables 1 and 2; O.
Botella and R. Peyret (1998), Computers and Fluids 27, 421-433, tables 9 and 10.
"""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import skfem
import torch
from experiment import arguments, computed, example, finished, table

import compiler
import pdespec

# u on the vertical centre line by y, v on the horizontal one by x, at Re = 100, 400, 1000; without
# v(0.9063) at 400, which copies of the table give differently
VERTICAL = {
    0.0547: (-0.03717, -0.08186, -0.18109),
    0.0625: (-0.04192, -0.09266, -0.20196),
    0.0703: (-0.04775, -0.10338, -0.22220),
    0.1016: (-0.06434, -0.14612, -0.29730),
    0.1719: (-0.10150, -0.24299, -0.38289),
    0.2813: (-0.15662, -0.32726, -0.27805),
    0.4531: (-0.21090, -0.17119, -0.10648),
    0.5: (-0.20581, -0.11477, -0.06080),
    0.6172: (-0.13641, 0.02135, 0.05702),
    0.7344: (0.00332, 0.16256, 0.18719),
    0.8516: (0.23151, 0.29093, 0.33304),
    0.9531: (0.68717, 0.55892, 0.46604),
    0.9609: (0.73722, 0.61756, 0.51117),
    0.9688: (0.78871, 0.68439, 0.57492),
    0.9766: (0.84123, 0.75837, 0.65928),
}
HORIZONTAL = {
    0.0625: (0.09233, 0.18360, 0.27485),
    0.0703: (0.10091, 0.19713, 0.29012),
    0.0781: (0.10890, 0.20920, 0.30353),
    0.0938: (0.12317, 0.22965, 0.32627),
    0.1563: (0.16077, 0.28124, 0.37095),
    0.2266: (0.17507, 0.30203, 0.33075),
    0.2344: (0.17527, 0.30174, 0.32235),
    0.5: (0.05454, 0.05186, 0.02526),
    0.8047: (-0.24533, -0.38598, -0.31966),
    0.8594: (-0.22445, -0.44993, -0.42665),
    0.9063: (-0.16914, np.nan, -0.51550),
    0.9453: (-0.10313, -0.22847, -0.39188),
}
# the same places at Re = 1000 by Chebyshev collocation, the singular corners taken out
SPECTRAL = (
    dict(
        zip(
            VERTICAL,
            (-0.1812881, -0.2023300, -0.2228955, -0.3004561, -0.3885691, -0.2803696, -0.1081999)
            + (-0.0620561, 0.0570178, 0.1886747, 0.3372212, 0.4723329, 0.5169277, 0.5808359)
            + (0.6644227,),
            strict=True,
        )
    ),
    dict(
        zip(
            HORIZONTAL,
            (0.2807056, 0.2962703, 0.3099097, 0.3330442, 0.3769189, 0.3339924, 0.3253592)
            + (0.0257995, -0.3202137, -0.4264545, -0.5264392, -0.4103754),
            strict=True,
        )
    ),
)
REYNOLDS = 100, 400, 1000
STEADY = {100: 20, 400: 40, 1000: 60}
TIMES = 0.5, 1.0, 2.0, 5.0, 10.0
LINE = np.linspace(0, 1, 65)
NEAR = 0.05  # from the corners of the lid
SCALES: dict[str, dict[str, Any]] = {
    "demo": {
        "steady": [(100, 16)],
        "own": (8, 12),
        "finest": 16,
        "refined": [(3, 0.8, 2)],
        "uniform": [(2, 2)],
    },
    "small": {
        "steady": [(100, 64), (400, 64), (1000, 64), (1000, 96)],
        "own": (24, 32, 48, 64, 96, 112, 128, 160),
        "finest": 224,
        "refined": [(12, 0.25, 60), (20, 0.25, 60), (20, 0.15, 60)],
        "uniform": [(12, 60), (24, 60)],
    },
}
SCALES["paper"] = SCALES["small"]


def middles() -> np.ndarray:
    """Shapes: -> "5 1024 3"."""
    at = (np.arange(32) + 0.5) / 32
    x, y = np.meshgrid(at, at, indexing="ij")
    place = np.stack((x.ravel(), y.ravel()), -1)
    return np.stack([np.column_stack((place, np.full(len(place), t))) for t in TIMES])


def fields(problem: Any, points: np.ndarray, reynolds: float, **options: Any) -> np.ndarray:
    """(u, v, p), p without its mean over each set of points. Shapes: "k n 3" -> "k n 3"."""
    batch = compiler.instance(problem, params={"Re": float(reynolds)}).to(torch.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the lid starts at once, and cells are coarse
        found = compiler.solve(problem, batch, **options)
        values = found(torch.from_numpy(points.reshape(1, -1, 3)))[0].numpy().reshape(points.shape)
    values[..., 2] -= values[..., 2].mean(axis=1, keepdims=True)
    return values


def finest(resolution: int, path: Path) -> np.ndarray:
    """Solved once."""
    if not path.is_file():
        np.save(path, fields(example("lid_cavity"), middles(), 500, resolution=resolution))
    return np.load(path)


def refined(cells: int, ratio: float) -> skfem.MeshTri:
    """Triangles of the unit square whose size is at most `ratio` times their distance from the
    corners of the lid, or a thousandth."""
    mesh = skfem.MeshTri.init_tensor(*[np.linspace(0, 1, cells + 1)] * 2)
    while True:
        at = mesh.p[:, mesh.t]
        far = np.min([np.hypot(at[0] - c, at[1] - 1).max(axis=0) for c in (0, 1)], axis=0)
        size = np.hypot(*(at[:, 1] - at[:, 0]))
        large = size > np.maximum(1e-3, ratio * far)
        if not large.any():
            return mesh
        mesh = mesh.refined(np.flatnonzero(large))


def steady(reynolds: int, resolution: int) -> dict[str, Any]:
    """The largest distance from the published values, and both lines for the picture."""
    problem = pdespec.parse(
        example("lid_cavity").to_dsl().replace("[0, 10]", f"[0, {STEADY[reynolds]}]")
    )
    column, now = REYNOLDS.index(reynolds), float(STEADY[reynolds])
    lines = ([(0.5, y) for y in (*VERTICAL, *LINE)], [(x, 0.5) for x in (*HORIZONTAL, *LINE)])
    points = [np.column_stack((np.array(line), np.full(len(line), now))) for line in lines]
    values = fields(problem, np.concatenate(points)[None], reynolds, resolution=resolution)[0]
    u, v = values[: len(lines[0]), 0], values[len(lines[0]) :, 1]
    gaps = [
        found[: len(known)] - np.array([row[column] for row in known.values()])
        for found, known in ((u, VERTICAL), (v, HORIZONTAL))
    ]
    spectral = [
        found[: len(known)] - np.array([*known.values()])
        for found, known in zip((u, v), SPECTRAL, strict=True)
    ]
    return {
        "published": float(np.nanmax(np.abs(np.concatenate(gaps)))),
        "spectral": float(np.abs(np.concatenate(spectral)).max()) if reynolds == 1000 else None,
        "u": u[len(VERTICAL) :].tolist(),
        "v": v[len(HORIZONTAL) :].tolist(),
    }


def transient(case: Any, truth: np.ndarray) -> dict[str, Any]:
    problem = example("lid_cavity")
    options = {"method": "finite_elements"}
    if case["kind"] == "own":
        options = {"resolution": case["cells"]}
    elif case["kind"] == "refined":
        options |= {"mesh": refined(case["cells"], case["ratio"]), "steps": case["steps"]}
    else:
        options |= {"resolution": case["cells"], "steps": case["steps"]}
    began = time.process_time()
    found = fields(problem, middles(), 500, **options)
    seconds, gap = time.process_time() - began, found - truth

    def relative(part: slice, held: Any = slice(None)) -> list[float]:
        return [
            float(np.linalg.norm(a[held, part]) / np.linalg.norm(b[held, part]))
            for a, b in zip(gap, truth, strict=True)
        ]

    at = middles()
    away = np.min([np.hypot(at[0, :, 0] - c, at[0, :, 1] - 1) for c in (0, 1)], axis=0) > NEAR
    return {
        "velocity": relative(slice(2)),
        "away": relative(slice(2), away),
        "pressure": relative(slice(2, 3), away),
        "seconds": seconds,
    }


def measure(given: Any, case: Any) -> dict[str, Any]:
    if case["kind"] == "steady":
        return steady(case["reynolds"], case["cells"])
    best = SCALES[given.scale]["finest"]
    return transient(case, finest(best, given.out / f"finest-{best}.npy"))


def picture(rows: list[dict[str, Any]]) -> Any:
    figure, axes = plt.subplots(1, 3, figsize=(12, 3.8), layout="constrained")
    for k, reynolds in enumerate(REYNOLDS):
        own = [row for row in rows if row.get("reynolds") == reynolds]
        for axis, key, known in zip(axes, "uv", (VERTICAL, HORIZONTAL), strict=False):
            if own:
                axis.plot(LINE, own[-1][key], color=f"C{k}", label=f"Re = {reynolds}")
            axis.plot([*known], [v[k] for v in known.values()], "o", ms=3, color=f"C{k}")
    axes[0].set(xlabel="y", title="u(0.5, y), steady", ylim=(-0.5, 1.05))
    axes[1].set(xlabel="x", title="v(x, 0.5), steady")
    axes[0].legend(fontsize=8)
    for kind in ("own", "refined", "uniform"):
        line = [(r["seconds"], max(r["away"])) for r in rows if r["kind"] == kind]
        axes[2].loglog(*zip(*line, strict=True), "o-", label=NAMES[kind])
    axes[2].set(xlabel="CPU s", title="velocity, worst of five times")
    axes[2].legend(fontsize=8)
    return figure


NAMES = {
    "own": "projection",
    "refined": "elements, refined corners",
    "uniform": "elements, uniform",
}


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "cavity_truth", argv)
    scale = SCALES[given.scale]
    cases = [{"kind": "steady", "reynolds": r, "cells": n} for r, n in scale["steady"]]
    cases += [{"kind": "own", "cells": n} for n in scale["own"]]
    cases += [
        {"kind": "refined", "cells": n, "ratio": ratio, "steps": steps}
        for n, ratio, steps in scale["refined"]
    ]
    cases += [{"kind": "uniform", "cells": n, "steps": steps} for n, steps in scale["uniform"]]
    rows = computed(given, cases, lambda case: measure(given, case))
    lines = [
        [r["reynolds"], r["cells"], r["published"], "" if r["spectral"] is None else r["spectral"]]
        for r in rows
        if r["kind"] == "steady"
    ]
    text = table(["steady, Re", "cells", "from Ghia et al.", "from Botella and Peyret"], lines)
    lines = [
        [NAMES[r["kind"]], r["cells"], r.get("ratio", "")]
        + [f"{max(r[key]):.1e}" for key in ("velocity", "away", "pressure")]
        + [round(r["seconds"], 1)]
        for r in rows
        if r["kind"] != "steady"
    ]
    head = ["t = 0.5 to 10, Re = 500", "cells", "ratio", "velocity", "away", "pressure", "CPU s"]
    finished(given, rows, text + "\n\n" + table(head, lines), picture(rows))
    return rows


if __name__ == "__main__":
    run()
