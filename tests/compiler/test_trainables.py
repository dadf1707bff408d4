"""A trainable number may have any name a problem can give it, also one that a torch module has
for itself."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec

TEXT = """
problem named
space x
domain L = interval(0, 1)
trainable values = 2, training = 3, __init__ = 4, k = 5
unknown u : scalar on L
in L: values*dxx(u) + training*u = __init__ + k*dx(u)
on boundary(L): u = 0
"""


def test_names_that_a_module_has_for_itself_are_trained_saved_and_loaded(tmp_path):
    problem = pdespec.parse(TEXT)
    loss = compiler.compile(problem).double()
    x = torch.rand(1, 4, 1, dtype=torch.float64)
    residual = loss.residuals(lambda points: points**2, x)["eq1"]
    torch.testing.assert_close(residual, 4 + 3 * x**2 - 4 - 10 * x, check_dtype=False)
    model = compiler.build(problem, "pinn", hidden=(4,))
    options = compiler.TrainOptions(
        steps=1,
        points={"interior": 8, "boundary": 2, "operator": 8},
        validation=1,
        precision="float64",
    )
    run = compiler.train(problem, model, options, tmp_path / "run")
    loaded = compiler.load_run(tmp_path / "run")
    assert loaded.trainables == run.trainables and set(loaded.trainables) == {
        "values",
        "training",
        "__init__",
        "k",
    }
    assert (
        loaded.trainables["values"] == pytest.approx(2, abs=2e-3)
        and loaded.trainables["values"] != 2
    )
