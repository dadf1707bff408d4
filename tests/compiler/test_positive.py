"""Conditions built into unknowns that are declared positive: u = softplus(z), and z has them."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec
from compiler.batches.ansatz_residual import ansatz_residual
from compiler.loss.hard_conditions import plan_hard_conditions

ROD = """
problem rod
space    x
time     t in [0, 2]
domain   L = interval(0, 1)
boundary left = side(L, x = 0), right = side(L, x = 1)
param    a ~ uniform(1, 3)
input    f : scalar on L ~ grf(length = 0.3)
unknown  u : scalar on L > 0
in L: {equation}
on left: {left}
on right: {right}
at t = 0: {start}
"""
STATED = {
    "equation": "dt(u) = dxx(u) + f",
    "left": "u = a",
    "right": "u = a*(1 + t)",
    "start": "u = a",
}


def rod(**stated: str) -> pdespec.Problem:
    return pdespec.parse(ROD.format(**{**STATED, "right": "u = a", **stated}))


def with_network(problem: pdespec.Problem, count: int = 32):
    """A batch, and a field of the ansatz on a fixed smooth network."""
    points = {"interior": count, "boundary": count, "initial": count}
    batch = compiler.sample(
        problem, 2, points, torch.Generator().manual_seed(0), dtype=torch.double
    )
    return batch, lambda x: batch.inputs.ansatz(x, 3 * torch.sin(3 * x[..., :1] + x[..., 1:2]))


@pytest.mark.parametrize("size", [1, 300])
def test_values_at_sides_and_start_hold_whatever_the_network(size):
    """Also where the problem is computed in other units than it is written in."""
    own = {"left": f"u = {size}*a", "right": f"u = {size}*a*(1 + t)", "start": f"u = {size}*a"}
    batch, field = with_network(rod(**own))
    a = batch.params["a"][:, None]
    for place, factor in (("left", 1), ("right", None), ("L@0", 1)):
        at = batch.points[place].points
        wanted = size * a * (1 + at[..., 1] if factor is None else factor)
        torch.testing.assert_close(
            field(at)[..., 0], wanted.expand(at.shape[:2]), rtol=1e-9, atol=0
        )
    inside = field(batch.points["L"].points)
    assert (inside > 0).all() and inside.std() > 0.1 * size


def test_a_rate_at_the_start_holds_whatever_the_network():
    problem = rod(
        equation="dtt(u) = dxx(u) + f",
        left="dn(u) = 0",
        right="dn(u) = 0",
        start="u = a + x; dt(u) = -a*x",
    )
    batch, field = with_network(problem)
    at = batch.points["L@0"].points.clone().requires_grad_()
    values = field(at)[..., 0]
    (slope,) = torch.autograd.grad(values.sum(), at)
    a, x = batch.params["a"][:, None], at[..., 0].detach()
    torch.testing.assert_close(values.detach(), a + x)
    torch.testing.assert_close(slope[..., 1], -a * x)


def test_a_normal_derivative_beside_a_value_holds_whatever_the_network():
    text = """
problem plate
space   x, y
domain  D = disk(radius = 1)
param   a ~ uniform(1, 2)
unknown w : scalar on D > 0
in D: lap(lap(w)) = 1
on boundary(D): w = a*(2 + x); dn(w) = a + x
"""
    batch, field = with_network(pdespec.parse(text))
    rim = batch.points["boundary(D)"]
    at = rim.points.clone().requires_grad_()
    values = field(at)[..., 0]
    (slope,) = torch.autograd.grad(values.sum(), at)
    a, x = batch.params["a"][:, None], rim.points[..., 0]
    torch.testing.assert_close(values.detach(), a * (2 + x), rtol=1e-9, atol=0)
    torch.testing.assert_close((slope * rim.normals).sum(-1), a + x, rtol=0, atol=1e-4)


def test_the_residual_that_is_left_is_that_of_the_positive_field():
    """Where the lift is constant, dt(u) - dxx(u) - f at it is -f."""
    batch, _ = with_network(rod())
    points = batch.points["L"].points
    found = ansatz_residual(batch.draws, points)
    torch.testing.assert_close(found, -batch.evaluate("f", points[..., :1]))


@pytest.mark.parametrize(
    "stated",
    [
        {"start": "u = a*x*(1 - x)", "left": "u = 0", "right": "u = 0"},
        {"start": "u = exp(f)", "left": "dn(u) = 0", "right": "dn(u) = 0"},
    ],
    ids=["down to zero", "an input"],
)
def test_data_that_may_not_be_positive_are_left_to_the_loss(stated):
    assert plan_hard_conditions(rod(**stated))["u"].labels == ()
