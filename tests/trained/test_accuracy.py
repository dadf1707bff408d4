"""The first steps of `demo` reach the accuracy that they have reached before: one problem for each
way of measuring the error. `docs/accuracy.md` is the whole table."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

import compiler
import pdespec
from compiler.training.presets import preset

ROOT = Path(__file__).parents[2]
REACHED = {  # steps; mean error of the worst unknown on four held-out samples
    "examples/biharmonic_plate.pde": (150, 0.01),  # strong residual, of fourth order
    "examples/nonlinear_poisson.pde": (120, 0.0125),  # with the error that it causes
    "examples/darcy.pde": (60, 0.22),  # weak residual in the dual norm
    "examples/heat.pde": (60, 0.047),  # the same in time
    "examples/minimal_surface.pde": (60, 0.021),  # an energy
}


@pytest.mark.parametrize("path", REACHED, ids=lambda path: Path(path).stem)
def test_a_training_is_as_accurate_as_it_was(path, tmp_path):
    steps, reached = REACHED[path]
    problem, chosen = pdespec.load(ROOT / path), preset("demo")
    torch.manual_seed(0)
    model = compiler.build(problem, chosen.operator, **chosen.model)
    options = replace(chosen.options, steps=steps, validation=0, references=0)
    compiler.train(problem, model, options, tmp_path)
    found = compiler.evaluate(tmp_path, 4, resolution=16, report=False).relative_l2["mean"]
    assert found < 1.5 * reached, found
