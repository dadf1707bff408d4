"""The baselines as operators of a run: interrupted, they go on bit for bit."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec

POISSON = """problem disks
space x, y
param k ~ uniform(1, 2)
domain D = disk(radius = 1)
input f : scalar on D ~ gaussians(count = 1, width = 1)
unknown u : scalar on D
in D: k*lap(u) = f
on boundary(D): u = 0
"""
HEAT = """problem rod
space x
time t in [0, 1]
domain L = interval(0, 1)
periodic x
input u0 : scalar on L ~ grf(sigma = 25, tau = 5, alpha = 4)
unknown u : scalar on L
in L: dt(u) = dxx(u)/100
at t = 0: u = u0
"""
BRANCH = {"sensors": (5, 5), "basis": 6, "branch": (8,), "trunk": (8,)}
CASES = {
    "deeponet": (POISSON, BRANCH, "taylor"),
    "deeponet, mollified trunk": (POISSON, {**BRANCH, "kind": "mollified", "nodes": 9}, "taylor"),
    "transolver": (POISSON, {"hidden": 8, "layers": 1, "heads": 2, "slices": 4}, "least_squares"),
}


@pytest.mark.parametrize("name", CASES)
def test_a_stopped_baseline_goes_on_bit_for_bit(name, tmp_path):
    text, model, derivatives = CASES[name]
    problem = pdespec.parse(text)

    def trained(directory, steps, resume=False):
        options = compiler.TrainOptions(
            steps=steps,
            schedule="constant",
            batch=2,
            points={"interior": 40, "boundary": 16, "operator": 30},
            validation=0,
            derivatives=derivatives,
        )
        made = compiler.build(problem, name.split(",")[0], **model)
        run = compiler.train(problem, made, options, tmp_path / directory, resume=resume)
        return run.model.state_dict()

    whole = trained("whole", 4)
    trained("parted", 2)
    again = trained("parted", 4, resume=True)
    assert all(torch.equal(again[key], whole[key]) for key in whole)


def test_a_fourier_operator_lowers_the_residual_of_pino_on_its_own_grid():
    """At the points of its grid the loss is differentiated as PINO does, and has a gradient."""
    problem = pdespec.parse(HEAT)
    model = compiler.build(problem, "fno", grid=(12, 8), hidden=6, modes=3, layers=1)
    batch = compiler.sample(problem, 2, generator=torch.Generator().manual_seed(0))
    x, t = torch.arange(12) / 12, torch.linspace(0, 1, 8)
    grid = torch.stack(torch.meshgrid(x, t, indexing="ij"), -1).reshape(1, -1, 2)
    batch = batch.with_points({"L": grid.expand(2, -1, -1)})
    loss = compiler.compile(problem, "pino")
    terms = loss(model(batch.inputs), batch)
    assert "pino" in loss.explain(model(batch.inputs))
    terms.total.backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())
