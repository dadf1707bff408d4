"""Conditions at a point: their term of the loss, training with them, and the reference solution."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec
from compiler.fem.errors import NoWeakForm, SolverError
from compiler.loss.physics import PhysicsLoss
from pdespec import ProblemError

from .problems import seed

DOUBLE = {"dtype": torch.float64}
STRING = """problem string
space x
param a ~ uniform(0.2, 0.8)
domain L = interval(0, 1)
unknown u : scalar on L
in L: dxx(u) = 1
on boundary(L): u = 0
at x = a: u = 0
"""
FLOW = """problem flow
space x, y
domain Q = rectangle([0, 0], [1, 1])
unknown v : vector on Q, p : scalar on Q
in Q: -lap(v) + {k}*advect(v, v) + grad(p) = [40*x*y, x^2]; div(v) = 0
on boundary(Q): v = 0
"""
HEAT = """problem heat
space x
time t in [1, 3]
param a ~ uniform(0.2, 0.8)
domain L = interval(0, 1)
unknown u : scalar on L
in L: dt(u) = dxx(u)
at t = 1: u = 0
on boundary(L): dx(u) = 0
"""


def held(problem, points, a):
    """u'' = 1 between the ends of an interval and a support at a, all at zero."""
    return torch.where(points < a, points * (points - a), (points - a) * (points - 1)) / 2


# ---- the loss


@pytest.mark.parametrize("derivatives", ["auto", "autograd"])
def test_a_term_is_the_mean_square_of_the_residual_at_the_point_of_each_sample(derivatives):
    text = (
        "problem p\nspace x, y\nparam a ~ uniform(0.2, 0.8)\ndomain Q = rectangle([0, 0], [1,"
        " 1])\nunknown u : vector on Q\n"
    )
    text += (
        "in Q: lap(u) = [0, 0]\non boundary(Q): dn(u) = [0, 0]\nat (a, 1/4): spot: u = [a, 2];"
        " slope: dx(u.y) = y\n"
    )
    problem = pdespec.parse(text)
    batch = compiler.sample(problem, 5, generator=seed(), **DOUBLE)
    a = batch.params["a"]
    points = batch.points["Q(a, 1/4)"]
    assert (
        torch.equal(points.points, torch.stack([a, torch.full_like(a, 0.25)], -1)[:, None])
        and points.normals is None
    )
    loss = PhysicsLoss(problem, derivatives, weights={"point": 3.0})
    terms = loss(
        lambda x: torch.stack([x[..., 0] ** 2 + x[..., 1], x[..., 0] ** 2 * x[..., 1]], -1), batch
    )
    expected = {"spot": (a**2 + 0.25 - a) ** 2 + (a**2 / 4 - 2) ** 2, "slope": (a / 2 - 0.25) ** 2}
    for label, value in expected.items():
        torch.testing.assert_close(terms[label], value.mean())
    assert terms.weights == {"spot": 3.0, "slope": 3.0}
    assert set(loss.residuals(lambda x: x, torch.rand(1, 4, 2), params={"a": 0.5})) == {"eq1"}


def test_a_condition_holds_at_many_times_or_at_one():
    problem = pdespec.parse(HEAT + "at x = 1/2: always: u = t\nat (a, 1 + a): once: u = 2\n")
    batch = compiler.sample(problem, 3, {"point": 50, "interior": 8}, seed(), **DOUBLE)
    a, always, once = (
        batch.params["a"],
        batch.points["L(1/2)"].points,
        batch.points["L(a)@a + 1"].points,
    )
    assert torch.equal(once[:, 0], torch.stack([a, a + 1], -1)) and once.shape[1] == 1
    assert always.shape == (3, 50, 2) and (always[..., 0] == 0.5).all()
    share = (always[..., 1] - 1) / 2 * 50
    assert (share.floor() == torch.arange(50)).all()  # one time in each fiftieth
    terms = PhysicsLoss(problem)(lambda x: x[..., :1] * x[..., 1:] ** 2, batch)
    torch.testing.assert_close(
        terms["always"], (always[..., 1] ** 2 / 2 - always[..., 1]).square().mean()
    )
    torch.testing.assert_close(terms["once"], (a * (1 + a) ** 2 - 2).square().mean())


def test_the_gradient_of_a_moving_point_is_that_of_differences():
    problem = pdespec.parse(STRING)
    loss = PhysicsLoss(problem)

    def value(a):
        return loss(
            lambda x: torch.sin(3 * x),
            compiler.instance(problem, {"a": a}, generator=seed(), **DOUBLE),
        )["point.u"]

    a = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(value(a), a)
    h = 1e-6
    assert abs(slope.item() - (value(0.3 + h) - value(0.3 - h)).item() / (2 * h)) < 1e-8


def test_values_at_points_are_read_of_fields_on_grids_too():
    problem = pdespec.parse(STRING)
    model = compiler.build(problem, "fno").double()
    batch = compiler.sample(problem, 2, generator=seed(), **DOUBLE)
    terms = PhysicsLoss(problem)(model(batch.inputs), batch)
    assert terms["point.u"].isfinite() and terms["point.u"] > 0


# 1.6 without a kink
@pytest.mark.parametrize(("form", "steps", "wrong"), [("strong", 100, 0.3), ("energy", 80, 0.3)])
def test_a_string_on_a_support_trains_resumes_and_bends_there(form, steps, wrong, tmp_path):
    problem = pdespec.parse(STRING.replace("param a ~ uniform(0.2, 0.8)", "const a = 0.3"))
    model = compiler.build(problem, "pinn", hidden=(16, 16))
    options = {
        "batch": 1,
        "validation": 0,
        "optimizer": "soap",
        "lr": 1e-2,
        "form": form,
        "weights": {"point": 100.0},
    }
    options |= {"points": {"interior": 48, "boundary": 2, "operator": 16}, "schedule": "constant"}
    compiler.train(problem, model, compiler.TrainOptions(steps=1, **options), tmp_path)
    run = compiler.train(
        problem, model, compiler.TrainOptions(steps=steps, **options), tmp_path, resume=True
    )
    assert run.finished and run.history[-1]["point.u"] < 2e-3  # 0.011 without the support
    x = torch.linspace(0, 1, 101)[None, :, None]
    expected = held(problem, x[0, :, 0], 0.3)
    error = (
        model(compiler.instance(problem).inputs)(x)[0, :, 0] - expected
    ).norm() / expected.norm()
    assert error < wrong


# ---- the reference solver


@pytest.mark.parametrize("k", [0, 1])
@pytest.mark.parametrize("point", ["(0, 0)", "(0.37, 0.41)", "(1, 0.3)"])
def test_a_pinned_pressure_is_the_one_of_zero_mean_up_to_a_constant(k, point):
    pinned, level = (
        pdespec.parse(FLOW.format(k=k) + end)
        for end in (f"at {point}: p = 3\n", "require integral(p, Q) = 0\n")
    )
    assert pinned.warnings == ()
    points = torch.rand(1, 200, 2, generator=seed(), **DOUBLE)
    found, expected = (
        compiler.solve(each, compiler.instance(each), resolution=6) for each in (pinned, level)
    )
    difference = found(points) - expected(points)
    assert difference[..., :2].abs().max() < 1e-9
    assert (difference[..., 2] - difference[..., 2].mean()).abs().max() < 1e-8 and difference[
        ..., 2
    ].abs().min() > 0.1
    there = torch.tensor([[eval(point)]], **DOUBLE)
    assert abs(found(there)[0, 0, 2].item() - 3) < 1e-10


@pytest.mark.parametrize("equation", ["in L: dxx(u) = 1", "minimize integral(dx(u)^2/2 + u, L)"])
def test_a_string_on_a_support_has_its_closed_form(equation):
    problem = pdespec.parse(STRING.replace("in L: dxx(u) = 1", equation))
    batch = compiler.sample(problem, 3, generator=seed(1), **DOUBLE)
    x = torch.linspace(0, 1, 101, **DOUBLE).expand(3, -1)
    found = compiler.solve(problem, batch, resolution=7)(x[..., None])[..., 0]
    assert (found - held(problem, x, batch.params["a"][:, None])).abs().max() < 1e-12


def test_a_beam_on_three_supports_converges_to_its_closed_form():
    problem = pdespec.parse(
        "problem beam\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\nin L: dxxxx(u)"
        " = 1\non boundary(L): u = 0; dxx(u) = 0\nat x = 1/2: u = 0\n"
    )
    x = torch.linspace(0, 1, 101, **DOUBLE)
    s = torch.minimum(x, 1 - x)
    # each half is held at one end and clamped, by symmetry, at the other
    expected = (s / 8 - 3 * s**3 / 2 + 2 * s**4) / 48
    errors = []
    for resolution in (6, 12):
        found = compiler.solve(problem, compiler.instance(problem), resolution=resolution)(
            x[None, :, None]
        )[0, :, 0]
        errors.append((found - expected).abs().max().item())
    assert errors[0] < 0.03 * expected.max() and errors[1] < errors[0] / 6


def test_a_support_that_moves_in_time_carries_the_heat():
    problem = pdespec.parse(HEAT.replace("dx(u) = 0", "u = 0") + "at x = 1/4: u = t - 1\n")
    solution = compiler.solve(problem, compiler.instance(problem, {"a": 0.5}), resolution=8)
    t = torch.tensor([1.2, 2.0, 3.0], **DOUBLE)
    found = solution(torch.stack([torch.full_like(t, 0.25), t], -1)[None])[0, :, 0]
    torch.testing.assert_close(found, t - 1, atol=1e-9, rtol=0)
    x = torch.linspace(0, 0.25, 5, **DOUBLE)  # nodes
    late = solution(torch.stack([x, torch.full_like(x, 3.0)], -1)[None])[0, :, 0]
    # u_t = 4 x when all else has died out
    torch.testing.assert_close(late, 8 * x + (2 * x**3 - x / 8) / 3, atol=1e-6, rtol=0)


def test_a_pinned_body_is_the_free_one_moved():
    body = "problem body\nspace x, y\ndomain Q = disk(radius = 1)\nunknown u : vector on Q\n"
    body += (
        "in Q: div(2*sym(grad(u)) + div(u)*I) = [x, 0]\non boundary(Q): (2*sym(grad(u)) +"
        " div(u)*I)*n = [x^2*0, 0]\n"
    )
    pins = pdespec.parse(body + "at (0, 0): u = 0\nat (1, 0): u.y = 0\n")
    levels = pdespec.parse(
        body
        + "require integral(u.x, Q) = 0\nrequire integral(u.y, Q) = 0\nrequire integral(dy(u.x) -"
        " dx(u.y), Q) = 0\n"
    )
    assert pins.warnings == () and levels.warnings == ()
    points = 0.9 * torch.rand(1, 100, 2, generator=seed(), **DOUBLE) - 0.45
    found, free = (
        compiler.solve(each, compiler.instance(each), resolution=6)(points)
        for each in (pins, levels)
    )
    rigid = torch.stack([torch.ones(200), *torch.zeros(2, 200)]).to(torch.float64)
    rigid[0, 1::2], rigid[1, 1::2] = 0, 1
    rigid[2] = torch.stack([-points[0, :, 1], points[0, :, 0]], -1).flatten()
    left = (found - free).flatten()
    left = left - rigid.T @ torch.linalg.lstsq(rigid.T, left[:, None]).solution[:, 0]
    assert left.abs().max() < 1e-10 < 1e-3 < free.abs().max()


def test_what_the_solver_cannot_hold_at_a_point_it_refuses():
    def solve(problem, **params):
        return compiler.solve(problem, compiler.instance(problem, params), resolution=4)

    with pytest.raises(
        NoWeakForm, match="at a point, where the reference solver fixes values only"
    ):
        solve(pdespec.parse(STRING.replace("at x = a: u = 0", "at x = a: dx(u) = 0")), a=0.5)
    with pytest.raises(NoWeakForm, match="holds at one time only"):
        solve(pdespec.parse(HEAT + "at (a, 2): u = 2\n"), a=0.5)
    with pytest.raises(SolverError, match=r"the point \(1.7\) .* outside of the mesh"):
        solve(pdespec.parse(STRING), a=1.7)
    flow = pdespec.parse(
        FLOW.format(k=0).replace("v = 0\n", "v = 0\nrequire integral(p, Q) = 0\n")
        + "at (1, 1/4): v = [0, 0]\n"
    )
    # says again what the boundary says
    assert solve(flow)(torch.rand(1, 3, 2, **DOUBLE)).isfinite().all()
    with pytest.raises((SolverError, ProblemError), match="where others have fixed 0"):
        solve(
            pdespec.parse(
                FLOW.format(k=0)
                .replace("v = 0\n", "v = [0*x, 0]\nrequire integral(p, Q) = 0\n")
                .replace("rectangle([0, 0], [1, 1])", "disk(radius = 1)")
                + "at (1, 0): v = [1, 0]\n"
            )
        )
