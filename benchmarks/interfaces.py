"""A wall of two conductivities, 1.38 and 400: what a short training reaches, on residuals and on
the energy.

`python benchmarks/interfaces.py` trains a PINN and a GINO in each form and prints the relative L2
error of u - 293.15 on 4096 points. Units: CPU seconds.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

import torch

import compiler
import pdespec

PROBLEM = """
problem wall
space    x, y
domain   Omega = rectangle([0, 0], [1, 2])
boundary bottom = side(Omega, y = 0), top = side(Omega, y = 2), sides = rest(Omega)
unknown  u : scalar on Omega
k := if(y < 1, 1.38, 400)
in Omega:  div(k*grad(u)) = 0
on bottom: u = 293.15
on top:    k*dot(grad(u), n) = 200
on sides:  dot(grad(u), n) = 0
"""
RUNS = (("pinn", {"hidden": (48, 48)}, 600), ("gino", {"latent": (12, 12), "modes": 5}, 200))


def truth(points: torch.Tensor) -> torch.Tensor:
    """u - 293.15: slopes 200/1.38 and 200/400. Shapes: "b n 2" -> "b n 1"."""
    h = points[..., 1:2]
    return torch.where(h < 1, 200 * h / 1.38, 200 / 1.38 + (h - 1) / 2)


def reached(form: str, operator: str, options: dict, steps: int) -> tuple[float, float, float]:
    """Relative L2 error, the loss of residuals and flux jumps, and the seconds taken."""
    problem = pdespec.parse(PROBLEM)
    model = compiler.build(problem, operator, **options)
    training = compiler.TrainOptions(
        steps=steps,
        batch=1,
        validation=0,
        optimizer="soap",
        lr=3e-3,
        form=form,
        points={"interior": 256, "boundary": 64, "operator": 256},
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        compiler.train(problem, model, training, Path(folder) / "run")
    seconds = time.process_time() - began
    batch = compiler.sample(problem, 1, {"interior": 4096}, torch.Generator().manual_seed(1))
    points = batch.points["Omega"].points
    field = model(batch.inputs)
    with torch.no_grad():
        found, expected = field(points) - 293.15, truth(points)
    error = float((found - expected).norm() / expected.norm())
    return error, float(compiler.compile(problem)(field, batch).total.detach()), seconds


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(
        "| operator | form | steps | relative L2 error | loss of residuals and flux | CPU seconds"
        " |\n|---|---|---|---|---|---|"
    )
    for operator, options, steps in RUNS:
        for form in ("energy", "strong"):
            error, loss, seconds = reached(form, operator, options, steps)
            print(
                f"| {operator} | {form} | {steps} | {error:.2%} | {loss:.3g} | {seconds:.0f} |",
                flush=True,
            )
