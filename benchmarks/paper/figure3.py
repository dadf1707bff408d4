"""Figure 3 of Lin et al. (arXiv 2504.08277): a GINO fitted by a physics loss to a known function,
and its derivatives: in closed form, by jets, by differences.

    OMP_NUM_THREADS=1 python benchmarks/paper/figure3.py --scale small

Poisson's equation on the unit square whose solution is sin(2 pi x) sin(pi y). Differences: of
neighbours on a grid of as many points as training has, and of the field in float32 with a step of
2e-4 (a small step in place of a fine grid). Roughness: root mean square of the second difference of
the derivative on a fine grid, over that of the closed form.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import torch
from experiment import arguments, computed, finished, table, trained

import compiler
import pdespec
from compiler.chance import seeded
from compiler.training.presets import preset
from operators import JetSpace

TEXT = """problem fitted
space x, y
domain D = rectangle([0, 0], [1, 1])
unknown u : scalar on D
in D: lap(u) = -5*pi^2*sin(2*pi*x)*sin(pi*y)
on boundary(D): u = 0
"""
# steps, latent nodes, points of a side of the pictures
SCALES = {"demo": (3, 12, 24), "small": (400, 24, 128), "paper": (20_000, 64, 256)}
POINTS = 256  # of training, inside
SPACE = JetSpace.closure([(1, 0), (2, 0)])
STEP = 2e-4


def exact(x: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """The first and second derivative in x, in closed form."""
    wave = 2 * math.pi
    return {
        "du/dx": wave * np.cos(wave * x) * np.sin(math.pi * y),
        "d2u/dx2": -(wave**2) * np.sin(wave * x) * np.sin(math.pi * y),
    }


def fitted(given: Any, seed: int) -> Any:
    """The field of a GINO that was trained on the physics."""
    steps, latent, _ = SCALES[given.scale]
    problem, chosen = pdespec.parse(TEXT), preset("demo")
    model = {**chosen.model, "latent": (latent, latent), "modes": min(8, latent // 2 - 1)}
    options = replace(
        chosen.options,
        steps=steps,
        seed=seed,
        batch=1,
        references=0,
        validation=0,
        points={"interior": POINTS, "boundary": 64, "operator": 256},
        checkpoint_every=steps,
    )
    run = trained(problem, {**model, "seed": seed}, options, given.out / f"run-{seed}")
    batch = compiler.sample(problem, 1, {"operator": 256}, seeded(0, "shown", 0))
    return run.model.eval()(batch.inputs)


def derivatives(field: Any, side: int) -> dict[str, dict[str, np.ndarray]]:
    """By way and name, on a grid over the square; those of neighbours on a grid of as many points
    as training has. Shapes: (n, n), x first."""

    def grid(n: int) -> torch.Tensor:
        t = (torch.arange(n, dtype=torch.float64) + 0.5) / n
        return torch.stack(torch.meshgrid(t, t, indexing="ij"), -1).reshape(1, -1, 2)

    def values(points: torch.Tensor) -> np.ndarray:
        return field(points.float())[0, :, 0].double().numpy().reshape(side, side)

    fine, few = grid(side), round(math.sqrt(POINTS))
    with torch.no_grad():
        jet = field.taylor(fine.float(), SPACE)
        coarse = field(grid(few).float())[0, :, 0].double().numpy().reshape(few, few)
        shift = torch.tensor([STEP, 0.0], dtype=torch.float64)
        ahead, here, behind = (values(fine + s * shift) for s in (1, 0, -1))
    x, y = fine[0].T.reshape(2, side, side).numpy()
    own = {
        name: jet[index][0, :, 0].double().numpy().reshape(side, side)
        for name, index in {"du/dx": (1, 0), "d2u/dx2": (2, 0)}.items()
    }
    first = np.gradient(coarse, 1 / few, axis=0, edge_order=2)
    second = np.empty_like(coarse)
    second[1:-1] = (coarse[2:] - 2 * coarse[1:-1] + coarse[:-2]) * few**2
    for end, row in ((0, (0, 1, 2, 3)), (-1, (-1, -2, -3, -4))):
        second[end] = few**2 * sum(w * coarse[r] for w, r in zip((2, -5, 4, -1), row, strict=True))
    return {
        "closed form": exact(x, y),
        "jets": own,
        f"differences, {few} x {few} grid": {"du/dx": first, "d2u/dx2": second},
        f"differences, step {STEP:g}, float32": {
            "du/dx": (ahead - behind) / (2 * STEP),
            "d2u/dx2": (ahead - 2 * here + behind) / STEP**2,
        },
    }


def measures(found: dict[str, dict[str, np.ndarray]]) -> dict[str, float]:
    """Relative L2 error of each derivative against the closed form, and its roughness over that of
    the closed form."""
    result: dict[str, float] = {}
    for way, parts in found.items():
        for name, values in parts.items():
            side = len(values)
            t = (np.arange(side) + 0.5) / side
            right = exact(*np.meshgrid(t, t, indexing="ij"))[name]
            rough = [np.diff(v, 2, axis=0).std() for v in (values, right)]
            result[f"{way}: {name}"] = float(np.linalg.norm(values - right) / np.linalg.norm(right))
            result[f"{way}: roughness of {name}"] = float(rough[0] / rough[1])
    return result


def picture(found: dict[str, dict[str, np.ndarray]], errors: dict[str, float]) -> Any:
    """Columns: ways; rows: derivatives, one colour scale each."""
    names = list(found["closed form"])
    figure, axes = plt.subplots(
        len(names), len(found), figsize=(13, 3.4 * len(names)), layout="constrained"
    )
    for row, name in zip(axes, names, strict=True):
        most = np.abs(found["closed form"][name]).max()
        for axis, (way, parts) in zip(row, found.items(), strict=True):
            image = axis.imshow(
                parts[name].T,
                origin="lower",
                extent=(0, 1, 0, 1),
                cmap="RdBu_r",
                vmin=-most,
                vmax=most,
                interpolation="nearest",
            )
            axis.set(xticks=[], yticks=[])
            said = "" if way == "closed form" else f"\nerror {100 * errors[f'{way}: {name}']:.2g} %"
            axis.set_title(f"{name}: {way}{said}", fontsize=9)
        figure.colorbar(image, ax=row, shrink=0.85)
    return figure


def run(argv: list[str] | None = None) -> list[dict[str, Any]]:
    given = arguments(__doc__ or "", "figure3", argv, SCALES)
    side = SCALES[given.scale][2]
    rows = computed(
        given,
        [{"seed": s} for s in range(given.seeds)],
        lambda case: measures(derivatives(fitted(given, case["seed"]), side)),
    )
    ways = [key.split(": du/dx")[0] for key in rows[0] if key.endswith(": du/dx")]
    text = table(
        ["derivative", "error du/dx", "roughness", "error d2u/dx2", "roughness"],
        [
            [w]
            + [rows[0][f"{w}: {k}{n}"] for n in ("du/dx", "d2u/dx2") for k in ("", "roughness of ")]
            for w in ways
        ],
    )
    shown = derivatives(fitted(given, 0), side)
    finished(given, rows, text, picture(shown, measures(shown)))
    return rows


if __name__ == "__main__":
    run()
