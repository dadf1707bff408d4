"""Problems that repeat in time: no start, fields and inputs that wrap around exactly, a
reference solver that says it cannot."""

from __future__ import annotations

import math

import pytest
import torch

import compiler
import pdespec
from compiler.fem.errors import NoWeakForm
from pdespec import ProblemError

TEXT = """problem seasons
space x
time t in [1, 3]
periodic t
domain L = interval(0, 1)
input q : scalar on L over t ~ grf(length = 0.3)
unknown u : scalar on L
in L: dt(u) = dxx(u) + q
on side(L, x = 0): u = cos(pi*t)
on side(L, x = 1): dx(u) = 0
"""
PROBLEM = pdespec.parse(TEXT)


def test_a_problem_periodic_in_time_has_no_start():
    assert PROBLEM.time.periodic and PROBLEM.warnings == ()
    assert (
        pdespec.parse(PROBLEM.to_dsl())
        == PROBLEM
        == pdespec.parse(PROBLEM.revised(written=None).to_dsl())
    )
    with pytest.raises(ProblemError, match="W04.*periodic in t"):
        pdespec.parse(TEXT + "at t = 1: u = 0\n")
    with pytest.raises(ProblemError, match="W01"):
        pdespec.parse(TEXT.replace("periodic t\n", ""))
    with pytest.raises(ProblemError, match="W05"):  # a constant, which a start would have pinned
        pdespec.parse(TEXT.replace("u = cos(pi*t)", "dx(u) = 0"))


FIXED = pdespec.parse(
    TEXT.replace("input q : scalar on L over t ~ grf(length = 0.3)", "q := x*sin(2*pi*t)")
)


@pytest.mark.parametrize(
    ("operator", "problem", "options"),
    [("pinn", FIXED, {"hidden": (8, 8)}), ("gino", PROBLEM, {"latent": (8, 8)})],
)
def test_fields_and_inputs_repeat_with_their_derivatives(operator, problem, options):
    counts = {"interior": 32, "boundary": 16, "operator": 64}
    batch = compiler.sample(
        problem, 2, counts, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    x = torch.rand(2, 9, 1, dtype=torch.float64)
    first, last = (torch.cat([x, torch.full_like(x, t)], -1).requires_grad_() for t in (1.0, 3.0))
    if problem.inputs:
        assert torch.allclose(batch.evaluate("q", first), batch.evaluate("q", last), atol=1e-10)
    field = compiler.build(problem, operator, **options).double()(batch.inputs)
    values = [field(points) for points in (first, last)]
    assert torch.allclose(*values, atol=1e-8)
    slopes = [
        torch.autograd.grad(value.sum(), points)[0]
        for value, points in zip(values, (first, last), strict=True)
    ]
    assert torch.allclose(*slopes, atol=1e-7) and slopes[0].abs().max() > 1e-3


def test_the_loss_is_that_of_the_equation():
    batch = compiler.instance(PROBLEM, inputs={"q": 0.0}, dtype=torch.float64)
    loss = compiler.compile(PROBLEM)
    wave = loss.residuals(
        lambda p: torch.cos(math.pi * p[..., 1:]) * p[..., :1],
        batch.points["L"].points,
        {"q": lambda p: 0 * p[..., :1]},
    )
    p = batch.points["L"].points
    assert torch.allclose(
        wave["eq1"], -math.pi * torch.sin(math.pi * p[..., 1:]) * p[..., :1], atol=1e-12
    )


def test_the_reference_solver_says_why_it_cannot():
    with pytest.raises(NoWeakForm, match="periodic in t"):
        compiler.solve(PROBLEM, compiler.instance(PROBLEM, inputs={"q": 0.0}))
