"""Gradients through the operator: of its field and of the loss, in params, shapes and amplitudes
of inputs, against central differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import compiler
import pdespec
from pdespec.statements.problem import Problem

PATHS = sorted((Path(__file__).parents[2] / "examples").glob("*.pde"))
PROBLEMS = {path.stem: pdespec.load(path) for path in PATHS}
POINTS = {"interior": 8, "boundary": 6, "initial": 5, "operator": 40}
NODES = {1: (12,), 2: (9, 9), 3: (7, 7, 7), 4: (6, 6, 6, 6)}
TOLERANCE = 1e-6
# relative: the best of them counts, as scales differ by decades from one problem to the next
STEPS = (1e-3, 3e-3, 3e-4, 1e-2)

TINY: Mapping[str, Callable[[int], dict]] = {
    "gino": lambda dim: {
        "latent": NODES[dim],
        "weight": "bump",
        "modes": 2,
        "hidden": 4,
        "layers": 1,
        "projection": 5,
        "cells": 1.6,
    },
    "fno": lambda dim: {"grid": NODES[dim], "modes": 2, "hidden": 4, "layers": 1, "projection": 5},
    "deeponet": lambda dim: {"sensors": (6,) * dim, "basis": 4, "branch": (6,), "trunk": (6,)},
    "pinn": lambda dim: {"hidden": (6, 6)},
    "transolver": lambda dim: {"hidden": 8, "layers": 1, "heads": 2, "slices": 4},
}


def tiny(problem: Problem, operator: str) -> nn.Module:
    return compiler.build(problem, operator, **TINY[operator](len(problem.variables))).double()


@dataclass(frozen=True)
class Knobs:
    """All numbers of a sample that a user may turn: params by component, and an amplitude for
    every input."""

    problem: Problem
    base: compiler.Batch

    @property
    def names(self) -> list[tuple[str, int | None]]:
        params = [(name, k) for name, p in self.problem.params.items() for k in range(p.size or 1)]
        return params + [(name, None) for name in self.problem.inputs]

    @property
    def start(self) -> Tensor:
        return torch.stack(
            [
                torch.ones(()).double() if k is None else self.base.params[n].reshape(-1)[k]
                for n, k in self.names
            ]
        )

    def _scaled(self, name: str, amplitude: Tensor) -> Callable[[Tensor], Tensor]:
        return lambda x: (amplitude * self.base.functions[name](x.double())).to(x)

    def batch(self, values: Tensor, **options) -> compiler.Batch:
        """One sample with these numbers; points follow the shape, as the seed is the same."""
        params: dict[str, object] = {}
        inputs: dict[str, object] = {}
        for (name, k), value in zip(self.names, values, strict=True):
            if k is None:
                inputs[name] = self._scaled(name, value)
            elif self.problem.params[name].size:
                params.setdefault(name, []).append(value)
            else:
                params[name] = value
        generator = torch.Generator().manual_seed(7)
        return compiler.instance(
            self.problem, params, inputs, POINTS, generator, dtype=torch.float64, **options
        )


def knobs(problem: Problem) -> Knobs:
    few = {"interior": 1, "boundary": 1, "initial": 1, "operator": 8}
    return Knobs(
        problem,
        compiler.sample(problem, 1, few, torch.Generator().manual_seed(5), dtype=torch.float64),
    )


def queries(of: Knobs, count: int = 7) -> Tensor:
    problem = of.problem
    generator = torch.Generator().manual_seed(3)
    points = of.base.geometry[next(iter(problem.unknowns.values())).region.name].interior(
        count, generator
    )
    if problem.time is None:
        return points
    first, last = float(problem.time.start), float(problem.time.end)
    return torch.cat(
        [
            points,
            first
            + (last - first) * torch.rand(1, count, 1, generator=generator, dtype=points.dtype),
        ],
        -1,
    )


def weighted(values: Tensor) -> Tensor:
    """A number that depends on every value."""
    return (
        values * torch.arange(values.numel(), dtype=values.dtype).reshape(values.shape).cos()
    ).sum()


def differences(
    function: Callable[[Tensor], Tensor], at: Tensor, unit: Tensor, step: float
) -> Tensor:
    """Central differences along a direction, extrapolated twice (Richardson): of order 6."""
    with torch.no_grad():
        first, second, third = [
            (function(at + h * unit) - function(at - h * unit)) / (2 * h)
            for h in (step, step / 2, step / 4)
        ]
    finer, coarser = (4 * third - second) / 3, (4 * second - first) / 3
    return (16 * finer - coarser) / 15


def check(function: Callable[[Tensor], Tensor], at: Tensor) -> None:
    """Reverse mode against differences, for every output and every number (of seven or more, along
    three directions that mix them), relative to the slope or a thousandth of the output.
    """
    leaf = at.clone().requires_grad_()
    values = function(leaf)
    slopes = torch.stack([torch.autograd.grad(each, leaf, retain_graph=True)[0] for each in values])
    assert slopes.isfinite().all()
    units = torch.eye(len(at), dtype=at.dtype)
    if len(at) > 6:
        units = torch.randn(3, len(at), dtype=at.dtype, generator=torch.Generator().manual_seed(9))
    for unit in units:
        best = torch.full_like(values, torch.inf).detach()
        for step in STEPS:
            numeric = differences(function, at, unit, step * max(1e-2, abs(float(at @ unit))))
            error = (slopes @ unit - numeric).abs() / torch.maximum(
                numeric.abs(), 1e-3 * values.detach().abs()
            )
            best = torch.minimum(best, error)
            if best.max() < TOLERANCE:
                break
        assert best.max() < TOLERANCE, (unit, best)


@pytest.mark.parametrize("name", [name for name, problem in PROBLEMS.items() if problem.outputs])
def test_declared_outputs_have_the_gradients_that_differences_find(name):
    problem = PROBLEMS[name]
    own, model = knobs(problem), tiny(problem, "gino")
    with torch.no_grad():
        # the force on a closed contour of a field that hardly varies is rounding: let it vary
        for weights in model.parameters():
            weights *= 3 if name == "airfoil_euler" else 1
    points = queries(own)

    def outputs(values: Tensor) -> Tensor:
        batch = own.batch(values)
        found = compiler.outputs(problem, model(batch.inputs), batch).values()
        return torch.stack([weighted(each(points) if callable(each) else each) for each in found])

    check(outputs, own.start)


CASES = [(name, "gino") for name in PROBLEMS]
CASES += [
    (name, operator)
    for operator in ("fno", "transolver")
    for name in ("nonlinear_poisson", "stokes", "burgers", "maxwell_te")
]
CASES += [("lid_cavity", "pinn"), ("nonlinear_poisson", "deeponet"), ("burgers", "deeponet")]


@pytest.mark.parametrize(("name", "operator"), CASES)
def test_field_and_loss_have_the_gradients_that_differences_find(name, operator):
    problem = PROBLEMS[name]
    own, model = knobs(problem), tiny(problem, operator)
    loss = compiler.compile(problem, error_estimate=True).double()
    points = queries(own)

    def outputs(values: Tensor) -> Tensor:
        batch = own.batch(values)
        field = model(batch.inputs)
        # what mixes its queries is differentiated by least squares, which needs more points than
        # these
        found = [weighted(field(points))] + (
            [] if operator == "transolver" else [loss(field, batch).total]
        )
        return torch.stack(found) + 0 * values.sum()  # a declared number may reach neither

    check(outputs, own.start)


def test_the_gradients_reach_a_batch_in_another_dtype_and_a_selected_one():
    own = knobs(PROBLEMS["nonlinear_poisson"])
    model, points = tiny(own.problem, "gino"), queries(own)
    leaf = own.start.requires_grad_()
    wanted = torch.autograd.grad(weighted(model(own.batch(leaf).inputs)(points)), leaf)[0]
    for moved in (
        own.batch(leaf).select([0]),
        own.batch(leaf).to(torch.float64),
        own.batch(leaf).to("cpu"),
    ):
        found = torch.autograd.grad(weighted(model(moved.inputs)(points)), leaf)[0]
        torch.testing.assert_close(found, wanted, rtol=1e-12, atol=0)
    single = own.batch(leaf).to(torch.float32)
    single = torch.autograd.grad(weighted(model.float()(single.inputs)(points.float())), leaf)[0]
    torch.testing.assert_close(single, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))


NEUMANN = """
problem reaction
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
input    f : scalar on Q ~ gaussians(count = 2, width = 0.5)
unknown  p : scalar on Q
in Q: -lap(p) + p = f
on boundary(Q): dot(grad(p), n) = 0
"""


@pytest.mark.parametrize("form", ["closure", "module", "number"])
def test_an_input_may_hang_on_any_tensor(form):
    problem = pdespec.parse(NEUMANN, source="reaction.pde")
    model = tiny(problem, "gino")
    points = torch.rand(1, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))

    def given(amplitude: Tensor) -> object:
        if form == "number":
            return amplitude[0]
        network = nn.Linear(2, 1, dtype=torch.float64, bias=False)
        if form == "module":
            del network.weight
            network.weight = amplitude.expand(1, 2)
            return network
        return lambda x: amplitude * x.sum(-1, keepdim=True).sin()

    def value(amplitude: Tensor) -> Tensor:
        batch = compiler.instance(
            problem,
            inputs={"f": given(amplitude)},
            points=POINTS,
            generator=torch.Generator().manual_seed(1),
            dtype=torch.float64,
        )
        return weighted(model(batch.inputs)(points))[None]

    check(value, torch.tensor([0.7], dtype=torch.float64))


def test_a_defect_that_is_not_finite_leaves_the_gradient_finite():
    text = (
        "problem p\nspace x\nparam a ~ uniform(1, 2)\ndomain L = interval(0, 1)\nunknown u : scalar"
        " on L\n"
    )
    problem = pdespec.parse(
        text + "in L: dxx(u) + 1/u = a\non boundary(L): u = 0\n", source="p.pde"
    )
    own, model = knobs(problem), tiny(problem, "gino")
    points = queries(own)
    check(lambda values: weighted(model(own.batch(values).inputs)(points))[None], own.start)


VIOLATED = """
problem squeezed
space    X, Y
param    mu ~ uniform(1, 2), w ~ uniform(0.4, 0.6)
domain   body = rectangle([0, 0], [1, 1])
unknown  u : vector on body
J := det(I + grad(u))
psi := mu/2*(tr((I + grad(u))'*(I + grad(u)))/J - 2) + 3/2*(J - 1)^2
minimize integral(psi, body)
on side(body, Y = 0): u = [0, 0]
on side(body, Y = 1): u = [0, -3*w]
require J > w in body
"""


def test_an_energy_continued_beyond_a_requirement_that_a_param_moves_has_its_gradient():
    problem = pdespec.parse(VIOLATED, source="squeezed.pde")
    own, model, loss = knobs(problem), tiny(problem, "gino"), compiler.compile(problem).double()
    batch = own.batch(own.start)
    assert loss(model(batch.inputs), batch).violations["require1"] == 1

    def total(values: Tensor) -> Tensor:
        batch = own.batch(values)
        return loss(model(batch.inputs), batch).total[None]

    check(total, own.start)


def test_no_graph_is_kept_where_nothing_requires_grad():
    for problem in (PROBLEMS["nonlinear_poisson"], PROBLEMS["darcy"]):
        drawn = compiler.sample(problem, 2, POINTS, torch.Generator().manual_seed(0))
        own = knobs(problem)
        for batch in (drawn, own.batch(own.start)):
            assert not batch.inputs.values.requires_grad
            assert (
                batch.draws.residual_scale is None or not batch.draws.residual_scale.requires_grad
            )
            assert not batch.inputs.features(batch.inputs.points).requires_grad


def test_nodes_of_a_mesh_refuse_a_shape_that_requires_grad():
    own = knobs(PROBLEMS["nonlinear_poisson"])
    with pytest.raises(pdespec.ProblemError, match="B03.*no derivative in the shape's c1, c2"):
        own.batch(own.start.requires_grad_(), sampling="mesh")


def test_points_of_an_interface_follow_the_params_that_move_it():
    problem = pdespec.parse("""
problem joint
space x, y
param c ~ uniform(0.4, 0.6), r ~ uniform(0.3, 0.4)
domain Q = rectangle([0, 0], [1, 1])
unknown u : scalar on Q, v : scalar on Q
in Q: -div(if(x < c, 1, 3)*grad(u)) = 1
in Q: -div(if((x - 1/2)^2 + (y - 1/2)^2 < r^2, 1, 3)*grad(v)) = 1
on boundary(Q): u = 0; v = 0
""")

    def points(c, r):
        params = {"c": c, "r": r}
        counts = {"interior": 8, "boundary": 16}
        batch = compiler.instance(
            problem,
            params,
            points=counts,
            generator=torch.Generator().manual_seed(0),
            dtype=torch.float64,
        )
        return [each.points for key, each in batch.points.items() if key.startswith("interface")]

    c, r = (torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in (0.5, 0.35))
    flat, round_ = points(c, r)
    assert torch.autograd.grad(flat[..., 0].sum(), c)[0].item() == pytest.approx(flat.shape[1])
    distance = (round_ - 0.5).norm(dim=-1)
    assert torch.autograd.grad(distance.sum(), r)[0].item() == pytest.approx(round_.shape[1])
