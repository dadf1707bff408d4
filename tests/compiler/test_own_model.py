"""Modules of the caller's own: what takes points trains, resumes, is evaluated, compared and asked
by the calls of a built model; and models, problems and losses are copied and pickled."""

from __future__ import annotations

import copy
import io
import json
import pickle

import numpy as np
import pytest
import torch
from torch import nn

import compiler
import pdespec
from compiler.batches.own_model import as_operator
from compiler.prediction.export.program import program
from operators import OperatorInput
from operators.models.points import PointNetwork

LINE = """
problem line
space    x
const    a = 2
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: -dxx(u) = a
on boundary(L): u = 0
"""
WIRE = """
problem wire
space    x
time     t in [0, 0.002]
domain   L = interval(0, 0.001)
unknown  u : scalar on L, v : scalar on L
in L:
    dt(u) = 1e-6*dxx(u) + 3
    dt(v) = 1e-6*dxx(v) + u
on boundary(L): u = 1; v = 2
at t = 0: u = 1; v = 2
"""
OPTIONS = compiler.TrainOptions(
    steps=150,
    batch=1,
    lr=1e-2,
    points={"interior": 64, "operator": 16},
    validation=1,
    validate_every=75,
    precision="float64",
)


def network(inputs: int = 1, outputs: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(inputs, 24), nn.Tanh(), nn.Linear(24, outputs))


class Blind(nn.Module):
    """A network of points that autograd alone can differentiate."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, points):
        return self.inner(points) + 0.1 * self.inner(points**2)


@pytest.mark.parametrize("make", [network, Blind])
def test_a_module_of_points_trains_and_is_asked_by_the_same_calls(make, tmp_path):
    problem, net = pdespec.parse(LINE), make()
    run = compiler.train(problem, net, OPTIONS, tmp_path / "run")
    assert any(each is net for each in run.model.modules())  # trained in place
    x = np.linspace(0, 1, 33)[:, None]
    exact = (x * (1 - x))[:, 0]  # of -u'' = 2
    operator = compiler.load(tmp_path / "run", model=make())
    found = operator().u(x)
    assert np.abs(found - exact).max() < 0.02 * exact.max()
    assert found[[0, -1]] == pytest.approx([0, 0], abs=1e-12)  # built in, as for every model
    assert operator().error["u"] == pytest.approx(
        np.linalg.norm(found - exact) / np.linalg.norm(exact), rel=0.2
    )
    compiler.evaluate(tmp_path / "run", 1, model=make())
    told = json.loads((tmp_path / "run" / "evaluation.json").read_text())
    assert told["relative_l2"]["mean"] < 0.02
    batch = compiler.sample(problem, 1, dtype=torch.float64)
    table = compiler.compare(problem, run.model(batch.inputs), batch, derivatives=["autograd"])
    assert "autograd" in str(table)
    program(operator)  # agrees with the operator, or raises
    closer = operator.finetuned(directory=tmp_path / "closer", steps=2)
    assert closer().u(x).shape == found.shape


def test_a_module_of_points_resumes_to_the_same_weights(tmp_path):
    problem, few = pdespec.parse(LINE), {"schedule": "constant", "validation": 0}
    weights = []
    for place, stops in (("one", (8,)), ("two", (5, 8))):
        net = network()
        for k, steps in enumerate(stops):
            options = compiler.TrainOptions(**{"points": OPTIONS.points, "steps": steps, **few})
            net = network()  # another process begins with other weights
            compiler.train(problem, net, options, tmp_path / place, resume=k > 0)
        weights.append(torch.cat([each.flatten() for each in net.parameters()]))
    assert torch.equal(*weights)


def test_jets_pass_a_module_of_points_whose_parts_have_rules():
    problem = pdespec.parse(LINE)
    batch = compiler.sample(problem, 1, dtype=torch.float64)
    field = as_operator(problem, network().double())(batch.inputs)
    assert field.capabilities.taylor
    x = torch.rand(1, 7, 1, dtype=torch.float64)
    values = [
        compiler.compile(problem, derivatives=each).residuals(field, x)["eq1"].detach().numpy()
        for each in ("taylor", "autograd")
    ]
    assert values[0] == pytest.approx(values[1], rel=1e-10)
    other = as_operator(problem, Blind().double())(batch.inputs)
    assert not other.capabilities.taylor and "Blind" in other.capabilities.reason


def test_a_module_of_points_sees_the_coordinates_of_the_user():
    problem, met = pdespec.parse(WIRE), []
    net = network(2, 2)
    net.register_forward_pre_hook(lambda module, given: met.append(given[0].detach()))
    batch = compiler.sample(problem, 2)
    terms = compiler.compile(problem)(as_operator(problem, net)(batch.inputs), batch)
    assert terms.total.isfinite()
    # differences, which try what the derivatives are, step a little beyond the ends
    assert 5e-4 < max(float(each[..., 0].max()) for each in met) < 1.1e-3


def test_a_module_that_does_not_fit_is_refused_with_what_is_needed(tmp_path):
    problem = pdespec.parse(LINE)
    with pytest.raises(ValueError, match=r"needs \(1, 3, 1\): u"):
        compiler.train(problem, network(1, 3), OPTIONS, tmp_path / "a")
    family = pdespec.parse(LINE.replace("const    a = 2", "param    a ~ uniform(1, 2)"))
    with pytest.raises(ValueError, match="`line` draws a anew for every sample"):
        compiler.train(family, network(), OPTIONS, tmp_path / "b")
    assert not list(tmp_path.iterdir())


def test_an_operator_is_left_as_it_is():
    class Operator(nn.Module):
        def forward(self, inputs: OperatorInput):
            return lambda points: points * inputs.values.mean()

    problem, own = pdespec.parse(LINE), Operator()
    built = compiler.build(problem, "pinn", hidden=(4,))
    assert as_operator(problem, own) is own and as_operator(problem, built) is built
    wrapped = as_operator(problem, network())
    assert isinstance(wrapped, PointNetwork) and as_operator(problem, wrapped) is wrapped


def saved(value):
    file = io.BytesIO()
    torch.save(value, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


WAYS = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "torch.save": saved,
    "deepcopy": copy.deepcopy,
}
BUILT = {
    "gino": {"latent": (8, 8), "hidden": 4, "modes": 2, "layers": 1},
    "fno": {"grid": (8, 8), "hidden": 4, "modes": 2, "layers": 1},
    "deeponet": {"sensors": (6, 6), "basis": 4},
    "transolver": {},
    "pinn": {"hidden": (4,)},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", BUILT)
def test_models_are_copied_with_all_that_they_know(kind, way):
    # a frame that is not trivial: coordinates and units hang on the model
    problem = pdespec.parse(WIRE)
    model = compiler.build(problem, kind, **BUILT[kind])
    batch = compiler.sample(problem, 1, generator=torch.Generator().manual_seed(0))
    points = batch.points["L"].points
    copied = WAYS[way](model)
    assert torch.equal(copied(batch.inputs)(points), model(batch.inputs)(points))
    assert copied.recipe == model.recipe
    with torch.no_grad():
        next(copied.parameters()).add_(1)
    assert not torch.equal(copied(batch.inputs)(points), model(batch.inputs)(points))


@pytest.mark.parametrize("way", WAYS)
def test_problems_and_losses_are_copied(way):
    problem = pdespec.parse(WIRE)
    copied = WAYS[way](problem)
    assert copied == problem and hash(copied) == hash(problem)
    assert copied.to_dsl() == problem.to_dsl()
    batch = compiler.sample(problem, 1, generator=torch.Generator().manual_seed(0))
    loss, field = compiler.compile(problem), as_operator(problem, network(2, 2))(batch.inputs)
    assert torch.equal(WAYS[way](loss)(field, batch).total, loss(field, batch).total)
