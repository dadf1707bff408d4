"""Collocation points that are placed later are those that are placed at once, and so is all that
is drawn after them."""

import pickle
from pathlib import Path

import pytest
import torch

import pdespec
from compiler.batches.places import PlacedLater, foreseen
from compiler.batches.sample import instance
from tests.texts import STAR

EXAMPLES = Path(__file__).parents[2] / "examples"
GIVEN = {
    "nonlinear_poisson": ({"c1": 0.1, "c2": -0.05}, {"f": 1.0, "g": 0.5}),
    "heat": ({}, None),
    "stokes": ({}, None),
    "burgers": ({}, None),
}


@pytest.mark.parametrize("name", GIVEN)
def test_points_placed_later_are_those_placed_at_once(name):
    problem = pdespec.load(EXAMPLES / f"{name}.pde")
    params, inputs = GIVEN[name]
    params = {p: 0.5 for p, each in problem.params.items() if each.value is None} | params
    inputs = dict.fromkeys(problem.inputs, 0.1) if inputs is None else inputs
    inputs = {i: lambda x, v=v, i=i: _constant(problem, i, x, v) for i, v in inputs.items()}
    counts = {"interior": 5, "boundary": 4, "initial": 3, "operator": 16}

    def made(later):
        generator = torch.Generator().manual_seed(3)
        return instance(problem, params, inputs, counts, generator, later=later)

    at_once, later = made(False), made(True)
    assert foreseen(problem)
    assert torch.equal(at_once.inputs.points, later.inputs.points)
    assert torch.equal(at_once.inputs.values, later.inputs.values)
    kept = (later.local or later).points
    assert isinstance(kept, PlacedLater) and list(at_once.points) == list(later.points)
    for key, each in at_once.points.items():
        assert torch.equal(each.points, later.points[key].points), key
        assert torch.equal(each.measure, later.points[key].measure), key
    again = pickle.loads(pickle.dumps(kept))
    assert list(again) == list(kept)


def test_points_placed_later_hang_on_params_whoever_asks_for_them_first():
    problem = pdespec.parse(STAR)
    slopes = []
    for later in (False, True):
        c = torch.tensor(0.1, dtype=torch.float64, requires_grad=True)
        generator = torch.Generator().manual_seed(0)
        batch = instance(problem, {"c": c}, generator=generator, dtype=torch.float64, later=later)
        with torch.inference_mode():
            assert len(batch.points["Omega"].points) == 1
        total = sum(each.points.square().sum() for each in batch.points.values())
        slopes.append(*torch.autograd.grad(total, c))
    assert slopes[0] == slopes[1] != 0


def _constant(problem, name, x, value):
    return torch.full((*x.shape[:-1], len(problem.inputs[name].components)), value, dtype=x.dtype)
