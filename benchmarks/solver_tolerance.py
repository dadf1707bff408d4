"""Uniform meshes beside those that a tolerance refines, where the solution has a corner.

    python benchmarks/solver_tolerance.py

-lap(u) = 0 in an L-shape with the values of r^(2/3) sin(2 a/3) around it: unknowns, the error
estimated and the true one, both in L2 and relative, and seconds.
"""

from __future__ import annotations

import time
import warnings

import numpy as np
import torch

import compiler
import pdespec

TEXT = """
problem corner
space    x, y
domain   Q = rectangle([-1, -1], [1, 1]) - rectangle([0, -1], [1, 0])
input    g : scalar on Q
unknown  u : scalar on Q
in Q: -lap(u) = 0
on boundary(Q): u = g
"""
UNIFORM = (8, 16, 32, 64, 128)
TOLERANCES = (1e-3, 1e-4)
BEGUN = 8  # cells along the longest side, from which a tolerance is sought


def exact(points: torch.Tensor) -> torch.Tensor:
    """Shapes: "b n 2" -> "b n 1"."""
    x, y = points.unbind(-1)
    angle = torch.atan2(-x - y, y - x) + 3 * torch.pi / 4
    return (torch.hypot(x, y) ** (2 / 3) * torch.sin(2 * angle / 3))[..., None]


def true_error(truth: compiler.fem.Solution) -> float:
    place = next(p for p in truth.samples[0].spaces.places.values() if p.normals is None)
    points = torch.from_numpy(np.ascontiguousarray(place.points.reshape(2, -1).T))[None]
    weights, right = place.weights.ravel(), exact(points)[0, :, 0].numpy()
    gap = truth(points)[0, :, 0].numpy() - right
    return float(np.sqrt(np.sum(weights * gap**2) / np.sum(weights * right**2)))


def main() -> None:
    warnings.simplefilter("ignore")
    problem = pdespec.parse(TEXT)
    batch = compiler.instance(problem, inputs={"g": exact})
    rows = [(f"uniform, {n}", {"resolution": n}) for n in UNIFORM]
    rows += [(f"tolerance {t:g}", {"resolution": BEGUN, "tolerance": t}) for t in TOLERANCES]
    for name, options in rows:
        begun = time.perf_counter()
        truth = compiler.solve(problem, batch, **options)
        seconds, size = time.perf_counter() - begun, truth.samples[0].spaces.size
        estimated = float(truth.relative_error.max())
        print(
            f"{name:16} {size:6} unknowns  estimated {estimated:.1e}  true {true_error(truth):.1e}"
            f"  {seconds:.1f} s",
            flush=True,
        )


if __name__ == "__main__":
    main()
