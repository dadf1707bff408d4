"""Poisson's equation for a random source: declare, train, hold against finite elements."""

import tempfile

import torch

import compiler
import pdespec

TEXT = """
problem poisson
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
input    f : scalar on Q ~ gaussians(count = 2, width = 0.3)
unknown  u : scalar on Q
in Q: -lap(u) = f
on boundary(Q): u = 0
"""


def main(steps: int = 500) -> float:
    problem = pdespec.parse(TEXT)
    model = compiler.build(problem, "gino", latent=(16, 16))
    with tempfile.TemporaryDirectory() as folder:
        options = compiler.TrainOptions(steps=steps, batch=4, validation=2)
        run = compiler.train(problem, model, options, folder + "/poisson")
    batch = compiler.sample(problem, size=1, generator=torch.Generator().manual_seed(1))
    points = batch.points["Q"].points
    truth = compiler.solve(problem, batch, resolution=16)(points)
    with torch.no_grad():
        found = run.model(batch.inputs)(points)
    error = float((found - truth).norm() / truth.norm())
    print(f"relative L2 error after {steps} steps: {error:.3f}")
    return error


if __name__ == "__main__":
    main()
