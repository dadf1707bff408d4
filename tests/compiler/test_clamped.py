"""Conditions of a fourth-order equation: values and normal derivatives built in, and outputs as
large as the solution."""

from __future__ import annotations

import math

import pytest
import torch

import compiler
import pdespec
from compiler.batches.ansatz_residual import OUTPUT, gain
from compiler.loss.hard_conditions import plan_hard_conditions
from compiler.lowering.terms import lower
from compiler.scales.sizes import balanced, measured

PLATE = """
problem plate
space    x, y
{time}
domain   Omega = {shape}
param    a ~ uniform(1, 2)
unknown  w : scalar on Omega
in Omega: {equation}
on {where}: {conditions}
"""


def plate(
    shape="disk(radius = 1)",
    where="boundary(Omega)",
    conditions="w = 0; dn(w) = 0",
    equation="lap(lap(w)) = 1",
    time="",
):
    return pdespec.parse(
        PLATE.format(shape=shape, where=where, conditions=conditions, equation=equation, time=time)
    )


def built_in(problem: pdespec.Problem):
    """A batch with a field of the ansatz on a fixed smooth network."""
    batch = compiler.sample(
        problem, 2, {"boundary": 32}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return batch, lambda x: batch.inputs.ansatz(x, torch.sin(3 * x[..., :1] + x[..., 1:2]))


@pytest.mark.parametrize(
    "shape", ["disk(radius = 1)", "star(radius = 1 + cos(3*theta)/5)", "rectangle([0, 0], [2, 1])"]
)
def test_values_and_normal_derivatives_hold_whatever_the_network(shape):
    problem = plate(shape, conditions="w = a*x*y; dn(w) = a + x")
    batch, field = built_in(problem)
    points = batch.points["boundary(Omega)"]
    at = points.points.clone().requires_grad_()
    values = field(at)[..., 0]
    (rise,) = torch.autograd.grad(values.sum(), at)
    a = batch.params["a"][:, None]
    assert torch.allclose(
        values.detach(), a * at[..., 0].detach() * at[..., 1].detach(), atol=1e-10
    )
    assert torch.allclose((rise * points.normals).sum(-1), a + points.points[..., 0], atol=1e-4)


def test_where_values_alone_are_given_the_slope_is_free():
    problem = plate(
        "rectangle([0, 0], [1, 1])",
        "side(Omega, x = 0)",
        "w = 0; dn(w) = 0\non rest(Omega, side(Omega, x = 0)): w = 0; lap(w) = 0",
    )
    batch, field = built_in(problem)
    for x, free in ((0.0, False), (1.0, True)):
        at = torch.tensor([[[x, 0.3], [x, 0.6]]] * 2, dtype=torch.float64, requires_grad=True)
        values = field(at)
        (rise,) = torch.autograd.grad(values.sum(), at)
        assert float(values.detach().abs().max()) < 1e-12
        assert bool((rise[..., 0].abs() > 1e-6).all()) == free


def test_a_start_that_is_not_clamped_stays_a_term_of_the_loss():
    conditions = "w = 0; dn(w) = 0\nat t = 0: w = {}"
    for start, labels in (("(1 - x^2 - y^2)^2", 3), ("1 - x^2 - y^2", 2)):
        problem = plate(
            conditions=conditions.format(start),
            equation="dt(w) + lap(lap(w)) = 1",
            time="time t in [0, 1]",
        )
        assert len(plan_hard_conditions(problem)["w"].labels) == labels, start


def test_the_gain_is_that_of_the_solution():
    """Of lap(lap(w)) = 1, clamped on the unit disk, (1 - r^2)^2/64; of -lap(w) = 1, (1 - r^2)/4:
    the network is a constant."""
    assert math.isclose(OUTPUT * gain(plate()), 1 / 64, rel_tol=1e-3)
    assert math.isclose(
        OUTPUT * gain(plate(conditions="w = 0", equation="-lap(w) = 1")), 1 / 4, rel_tol=1e-3
    )
    assert math.isclose(
        OUTPUT * gain(plate(conditions="w = 0", equation="-div((w^2 + 1e-9)*grad(w)) = 1")),
        1.0,
        rel_tol=1.0,
    )


@pytest.mark.parametrize("order", [1, 2, 3])
def test_the_size_of_an_unknown_is_that_of_its_solution_at_every_order(order):
    """(-lap)^m u = 1 on a square of side 2, u and its even derivatives zero on the rim: about
    16/pi^2 (2 (pi/2)^2)^-m in the middle."""
    operators, conditions = ["w"], []
    for _ in range(order):
        conditions.append(f"{operators[-1]} = 0")
        operators.append(f"-lap({operators[-1]})")
    problem = plate(
        "rectangle([0, 0], [2, 2])",
        conditions="; ".join(conditions),
        equation=f"{operators[-1]} = 1",
    )
    found = balanced(measured(problem, lower(problem)))["w"]
    expected = 16 / math.pi**2 * (2 * (math.pi / 2) ** 2) ** -order
    assert 0.3 < found / expected < 3


SOUND = """
problem sound
space    x, y
time     t in [0, 1]
domain   Q = rectangle([0, 0], [2, 1])
unknown  v : vector on Q, p : scalar on Q
in Q:
    dt(v) = -grad(p)
    dt(p) = -div(v)
on boundary(Q): dot(v, n) = 0
at t = 0: v = 0; p = x
"""


@pytest.mark.parametrize("name", ["sound", "light"])
def test_along_the_sides_of_a_box_conditions_on_normal_and_tangent_are_conditions_on_components(
    name,
):
    light = (
        SOUND.replace("-grad(p)", "curl(p)")
        .replace("-div(v)", "-curl(v)")
        .replace("dot(v, n) = 0", "cross(n, v) = 0")
    )
    problem = pdespec.parse(SOUND if name == "sound" else light)
    batch = compiler.sample(
        problem, 1, {"boundary": 200}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    points = batch.points["boundary(Q)"]
    n = points.normals
    values = batch.inputs.ansatz(points.points, torch.ones(1, 200, 3, dtype=torch.float64))
    normal, tangential = (
        (values[..., :2] * n).sum(-1).abs(),
        (values[..., 1] * n[..., 0] - values[..., 0] * n[..., 1]).abs(),
    )
    zero, free = (normal, tangential) if name == "sound" else (tangential, normal)
    assert float(zero.max()) < 1e-12 and float(free.mean()) > 1e-3


def test_on_a_slanted_side_they_stay_terms_of_the_loss():
    problem = pdespec.parse(
        SOUND.replace("rectangle([0, 0], [2, 1])", "polygon([0, 0], [2, 0], [0, 1])")
    )
    assert "boundary(Q).v" not in [
        label for each in plan_hard_conditions(problem).values() for label in each.labels
    ]
