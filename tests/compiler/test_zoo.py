"""Every example problem, compiled: its residuals on closed-form fields, and jets against nested
autograd through whole operators."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.data.samples import probed
from compiler.loss.hard_conditions import ansatz, plan_hard_conditions
from compiler.scales import scaled
from compiler.trainable_fields import expanded
from operators import GINO, WEIGHTS, OperatorInput
from operators.field import nested
from operators.jets.forward import forward
from operators.jets.jet import JetSpace
from tests.compiler.oracle import exact_residuals, torch_field

PATHS = sorted((Path(__file__).parents[2] / "examples").glob("*.pde"))
PROBLEMS = {path.stem: pdespec.load(path) for path in PATHS}


def points_of(problem, n: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(3)
    return 0.2 + 0.6 * torch.rand(
        2, n, len(problem.variables), dtype=torch.float64, generator=generator
    )


def numbers(problem) -> dict[str, float]:
    return {
        name: [0.3 + 0.1 * i for i in range(p.size)] if p.size else 1.7
        for name, p in {**problem.params, **problem.trainables}.items()
    }


def waves(problem, count: int, shift: float) -> list[sp.Expr]:
    """Smooth positive functions, small enough that J = det(I + grad u) stays positive."""
    direction = sum((i + 2) * v / 3 for i, v in enumerate(problem.variables))
    return [
        2
        + sp.sin(direction + shift + k) / 9
        + problem.variables[-1] ** 2 * problem.variables[0] / (20 + k)
        for k in range(count)
    ]


def given(problem):
    """Inputs as closed forms: SymPy expressions for the oracle and callables for the loss."""
    forms, callables = {}, {}
    for k, (name, declared) in enumerate(problem.inputs.items()):
        space = declared.region.coordinates
        variables = (*space, declared.time) if declared.time is not None else tuple(space)
        own = [sp.cos(sum(variables) + k + i) + 3 for i in range(len(declared.components))]
        forms |= dict(zip(declared.components, own, strict=True))
        callables[name] = torch_field(own, variables)
    return forms, callables


@pytest.mark.parametrize("name", PROBLEMS)
def test_compiled_residuals_equal_lambdified_ones(name):
    problem = PROBLEMS[name]
    points = points_of(problem, 6)
    forms = waves(problem, len(problem.components), 0.4)
    inputs, callables = given(problem)
    values = numbers(problem)
    loss = compiler.compile(problem)
    flat = {
        f"{k}[{i}]": v
        for k, row in values.items()
        if isinstance(row, list)
        for i, v in enumerate(row)
    }
    with torch.no_grad():
        for parameter in problem.trainables:
            loss.trainables[parameter].fill_(values[parameter])
    drawn = {
        k: torch.tensor([v], dtype=torch.float64) for k, v in values.items() if k in problem.params
    }
    ours = loss.residuals(torch_field(forms, problem.variables), points, callables, drawn)
    theirs = exact_residuals(problem, forms, points, {**values, **flat}, inputs)
    assert set(ours) == set(theirs) and ours
    for label, exact in theirs.items():
        # a trainable is stored in float32: that alone limits the inverse problem
        tolerance = 1e-7 if problem.trainables else 1e-12
        np.testing.assert_allclose(
            ours[label].detach().numpy(),
            exact,
            rtol=0,
            atol=tolerance * max(1, np.abs(exact).max()),
        )


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
@pytest.mark.parametrize("name", PROBLEMS)
def test_jets_equal_nested_autograd_through_an_operator(name, kernel):
    problem = PROBLEMS[name]
    dim = len(problem.variables)
    generator = torch.Generator().manual_seed(1)
    box, nodes = ((0.0,) * dim, (1.0,) * dim), {1: 12, 2: 10, 3: 7, 4: 6}[dim]
    model = GINO(
        1,
        len(problem.components),
        dim,
        (nodes,) * dim,
        box,
        weight="bump",
        kernel=kernel,
        radius_in_spacings=1.5,
        hidden=4,
        modes=2,
        layers=1,
        projection=4,
        generator=generator,
    ).double()
    with torch.no_grad():
        # away from u = 0, where some equations divide by the unknown
        model.projection.layers[-1].bias.add_(2.0)
    g = torch.Generator().manual_seed(2)
    seen = torch.rand(2, 12, dim, generator=g, dtype=torch.float64)
    inputs = OperatorInput(seen, torch.randn(2, 12, 1, generator=g, dtype=torch.float64))
    points, callables = points_of(problem, 4), given(problem)[1]
    drawn = {
        k: torch.tensor([v, v], dtype=torch.float64)
        for k, v in numbers(problem).items()
        if k in problem.params
    }
    found = []
    for backend in ("taylor", "autograd"):
        residuals = compiler.compile(problem, derivatives=backend).residuals(
            model(inputs), points, callables, drawn
        )
        loss = sum(r.square().mean() for r in residuals.values())
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        found.append(
            (
                torch.cat([r.flatten() for r in residuals.values()]),
                torch.cat([v.flatten() for v in gradients if v is not None]),
            )
        )
    for ours, reference in zip(*found, strict=True):
        assert torch.isfinite(reference).all() and reference.norm() > 0
        assert (ours - reference).norm() <= 1e-10 * reference.norm()


def weight_for(problem, k: int) -> str:
    """One of the weights that are smooth enough for every derivative of a problem, in turn."""
    order = max(sum(index) for found in problem.derivatives().values() for index in found)
    names = sorted(name for name, weight in WEIGHTS.items() if weight.smoothness >= order)
    return names[k % len(names)]


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
@pytest.mark.parametrize(("k", "name"), enumerate(PROBLEMS), ids=list(PROBLEMS))
def test_every_term_and_its_gradient_by_jets_equals_that_by_autograd_with_conditions_built_in(
    k, name, kernel
):
    """Two samples of different geometries, inputs and params; boundary and initial terms too;
    weights in turn."""
    problem = PROBLEMS[name]
    model = compiler.build(
        problem,
        "gino",
        latent={1: (12,), 2: (9, 9), 3: (7, 7, 7), 4: (6, 6, 6, 6)}[len(problem.variables)],
        weight=weight_for(problem, k + len(kernel)),
        modes=2,
        hidden=4,
        layers=1,
        projection=5,
        kernel=kernel,
        kernel_options={"mlp": {"hidden": (5, 5)}, "polynomial": {"degree": 2}}[kernel],
        radius_in_spacings=1.6,
    ).double()
    points = {"interior": 6, "boundary": 4, "initial": 4, "operator": 40}
    batch = compiler.sample(
        problem,
        2,
        points,
        torch.Generator().manual_seed(0),
        dtype=torch.float64,
        hard_conditions=True,
    )
    values, gradients = [], []
    for backend in ("taylor", "autograd"):
        loss = compiler.compile(problem, backend).double()
        terms = loss(model(batch.inputs), batch)
        parameters = [*model.parameters(), *loss.parameters()]
        found = torch.autograd.grad(
            terms.total, parameters, allow_unused=True, materialize_grads=True
        )
        values.append(torch.stack(list(terms.values())).detach())
        gradients.append(torch.cat([each.flatten() for each in found]))
    for ours, theirs in (values, gradients):
        assert theirs.norm() > 0
        assert (ours - theirs).norm() <= 1e-10 * theirs.norm()


@pytest.mark.parametrize("name", PROBLEMS)
def test_jets_of_what_is_built_in_are_followed_forward(name):
    problem = scaled(expanded(PROBLEMS[name]))[1]
    drawn = probed(problem, 3)
    built = ansatz(drawn, plan_hard_conditions(problem))
    if built is None:
        assert name == "poisson_ball"
        return
    points = next(iter(drawn.geometry.values())).interior(40, torch.Generator().manual_seed(3))
    if problem.time is not None:
        share = torch.linspace(0.05, 0.9, 40, dtype=points.dtype)[:, None].expand(3, -1, -1)
        points = torch.cat([points, drawn.start + drawn.duration * share], -1)
    order = max(sum(each) for index in problem.derivatives().values() for each in index)
    axes = range(points.shape[-1])
    space = JetSpace.closure([tuple(order * (i == k) for i in axes) for k in axes])
    assert points.dtype == torch.float64
    followed = 0
    for function in (built.offset, built.factor):
        expected, found = nested(function, points, space), forward(function, points, space)
        if found is None:  # a constant
            assert all(not expected[key].any() for key in space.lower if any(key))
            continue
        followed += 1
        size = max(expected[key].abs().amax() for key in space.lower)
        for key in space.streams:
            assert (found[key] - expected[key]).abs().amax() < 1e-12 * size, key
    assert followed
