"""Interfaces in the loss, the samples, the fields and the reference: against closed forms of
layered media and inclusions."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.data.interfaces import channels
from compiler.loss.blocks import StepEngine
from compiler.training.variational import energy_form
from pdespec import (
    Problem,
    ProblemError,
    boundary,
    div,
    dot,
    grad,
    interface,
    interval,
    on,
    param,
    rectangle,
    rest,
    side,
    space,
    sym,
    tr,
    uniform,
    unit_normal,
    unknown,
)

x, y = space("x y")
WALL = """
problem wall
space    x, y
domain   Omega = rectangle([0, 0], [1, 2])
boundary bottom = side(Omega, y = 0), top = side(Omega, y = 2), sides = rest(Omega)
unknown  u : scalar on Omega
k := if(y < 1, 1.38, 400)
in Omega:  div(k*grad(u)) = 0
on bottom: u = 293.15
on top:    k*dot(grad(u), n) = 200
on sides:  dot(grad(u), n) = 0
"""
SPLIT = WALL.replace("k := if(y < 1, 1.38, 400)\n",
"domain A = rectangle([0, 0], [1, 1]), B = rectangle([0, 1], [1, 2])\n").replace(
    "in Omega:  div(k*grad(u)) = 0\n", "in A: -div(1.38*grad(u)) = 0\nin B: -div(400*grad(u)) = 0\n"
).replace("on top:    k", "on top:    400")  # fmt: skip


def wall_truth(points):
    h = points[..., 1:2]
    return 293.15 + torch.where(h < 1, 200 * h / 1.38, 200 / 1.38 + (h - 1) / 2)


def inclusion() -> Problem:
    """A disk of conductivity 10 in a plate of 1, in the gradient e_x far away; on the plate's
    sides the exact solution."""
    plate = rectangle(x, y, [-1, -1], [1, 1], name="plate")
    u = unknown("u", plate)
    square = x**2 + y**2
    k = sp.Piecewise((10, square < sp.Rational(1, 4)), (1, True))
    return Problem(
        "inclusion",
        {"a": (div(k * grad(u)), 0)},
        [on(boundary(plate), (u, x - sp.Rational(9, 44) * x / square))],
    )


def inclusion_truth(points):
    """u = 2/(1 + k) x inside, x - (k - 1)/(k + 1) R^2 x/r^2 outside (Milton, The Theory of
    Composites, 7.2, in the plane)."""
    a, square = points[..., :1], points.square().sum(-1, keepdim=True)
    return torch.where(square < 0.25, 2 / 11 * a, a - 9 / 11 * 0.25 * a / square)


def draw(problem, size=2, dtype=torch.float64, **points):
    return compiler.sample(
        problem,
        size,
        {"interior": 64, "boundary": 48, **points},
        torch.Generator().manual_seed(0),
        dtype=dtype,
    )


@pytest.mark.parametrize("text", [WALL, SPLIT])
def test_the_loss_tells_the_solution_from_one_slope_everywhere(text):
    problem = pdespec.parse(text)
    loss, batch = compiler.compile(problem), draw(problem)
    wrong = loss(lambda p: 293.15 + p[..., 1:2] / 2, batch)
    assert float(wrong.total) == pytest.approx((400 - 1.38) ** 2 / 4, rel=1e-9)
    assert float(loss(wall_truth, batch).total) < 1e-20


def test_text_and_python_give_the_same_loss():
    parsed = pdespec.parse(WALL)
    omega = rectangle(x, y, [0, 0], [1, 2], name="Omega")
    u, n = unknown("u", omega), unit_normal(omega)
    bottom, top = side(omega, y=0, name="bottom"), side(omega, y=2, name="top")
    k = sp.Piecewise((1.38, y < 1), (400, True))
    sides = rest(omega, bottom, top, name="sides")
    ends = [
        on(bottom, (u, 293.15)),
        on(top, (k * dot(grad(u), n), 200)),
        on(sides, (dot(grad(u), n), 0)),
    ]
    built = Problem("wall", {"eq1": (div(k * grad(u)), 0)}, ends)
    assert built == parsed
    field = lambda p: torch.sin(p[..., :1]) * torch.exp(p[..., 1:2])  # noqa: E731
    values = [dict(compiler.compile(each)(field, draw(each))) for each in (built, parsed)]
    assert values[0].keys() == values[1].keys() and all(
        values[0][k] == values[1][k] for k in values[0]
    )


def test_an_inclusion_in_a_uniform_gradient_has_loss_zero():
    problem = inclusion()
    loss, batch = compiler.compile(problem), draw(problem, boundary=200)
    points = batch.points["interface(plate, 4*x^2 + 4*y^2 - 1)"]
    assert torch.allclose(
        points.points.norm(dim=-1), torch.tensor(0.5, dtype=torch.float64), atol=1e-12
    )
    assert torch.allclose(points.normals, 2 * points.points, atol=1e-12)
    angle = torch.atan2(points.points[..., 1], points.points[..., 0])
    counts = torch.stack([torch.histc(each, 8, -math.pi, math.pi) for each in angle])
    assert counts.min() > 15 and counts.max() < 35  # 25 expected
    assert torch.allclose(points.measure, torch.tensor(math.pi, dtype=torch.float64), rtol=0.1)
    found = loss(inclusion_truth, batch)
    assert float(found["a.flux"]) < 1e-20 and float(found.total) < 1e-20
    smooth = loss(
        lambda p: p[..., :1] - 9 / 44 * p[..., :1] / p.square().sum(-1, keepdim=True), batch
    )
    assert float(smooth["a.flux"]) > 1


def test_layers_in_one_and_three_dimensions_and_several_materials():
    (s,) = space("s")
    line = interval(s, 0, 3, name="L")
    u = unknown("u", line)
    k = sp.Piecewise((1, s < 1), (2, s < 2), (5, True))
    bar = Problem(
        "bar",
        {"a": (div(k * grad(u)), 0)},
        [on(side(line, s=0), (u, 0)), on(side(line, s=3), (u, sp.Rational(17, 10)))],
    )
    rod = lambda p: torch.where(p < 1, p, torch.where(p < 2, 1 + (p - 1) / 2, 1.5 + (p - 2) / 5))  # noqa: E731
    assert float(compiler.compile(bar)(rod, draw(bar)).total) < 1e-20
    assert {"a.flux", "a.flux2"} <= set(compiler.compile(bar).labels)
    a, b, c = space("a b c")
    cube = pdespec.box(a, b, c, [0, 0, 0], [1, 1, 1], name="Q")
    v = unknown("v", cube)
    kv = 1 + 3 * sp.Heaviside(c - sp.Rational(1, 2))
    block = Problem(
        "block",
        {"a": (div(kv * grad(v)), 0)},
        [on(boundary(cube), (v, sp.Piecewise((c, c < 0.5), (0.375 + c / 4, True))))],
    )
    exact = lambda p: torch.where(p[..., 2:] < 0.5, p[..., 2:], 0.375 + p[..., 2:] / 4)  # noqa: E731
    loss, batch = compiler.compile(block), draw(block)
    assert float(loss(exact, batch).total) < 1e-20
    assert float(loss(lambda p: p[..., 2:], batch)["a.flux"]) == pytest.approx(9)


def test_elasticity_of_two_materials_keeps_its_traction():
    omega = rectangle(x, y, [0, 0], [1, 2], name="Omega")
    v, n = unknown("v", omega, rank="vector"), unit_normal(omega)
    mu = sp.Piecewise((1, y < 1), (4, True))
    stress = 2 * mu * sym(grad(v)) + mu * tr(grad(v)) * sp.eye(2)
    bottom, top = side(omega, y=0), side(omega, y=2)
    ends = [
        on(bottom, (v, 0)),
        on(top, (stress * n, sp.Matrix([1, 3]))),
        on(rest(omega, bottom, top), (v[0], v[0])),
    ][:2]
    problem = Problem("layers", {"balance": (div(stress), 0)}, ends)
    loss, batch = compiler.compile(problem), draw(problem)

    def exact(p):  # sheared by 1/mu and stretched by 1/mu: stress (1, 3) everywhere
        slope = torch.where(p[..., 1:2] < 1, p[..., 1:2], 1 + (p[..., 1:2] - 1) / 4)
        return torch.cat([slope, slope], -1)

    assert float(loss(exact, batch)["balance.flux"]) < 1e-20
    assert float(
        loss(lambda p: p[..., 1:2].expand(*p.shape), batch)["balance.flux"]
    ) == pytest.approx(9 + 81)


def test_an_interface_moved_by_a_param_is_sampled_where_it_is_and_not_outside():
    omega = rectangle(x, y, [0, 0], [1, 1], name="Omega")
    c = param("c", uniform(0.2, 1.8))
    u = unknown("u", omega)
    k = sp.Piecewise((2, y < c), (1, True))
    problem = Problem("p", {"a": (div(k * grad(u)), 0)}, [on(boundary(omega), u)])
    batch = draw(problem, size=12)
    points = batch.points["interface(Omega, y - c)"]
    inside = batch.params["c"] < 1
    assert 0 < int(inside.sum()) < 12
    assert torch.allclose(
        points.points[inside][..., 1], batch.params["c"][inside, None], atol=1e-12
    )
    assert torch.equal(points.weights[~inside], torch.zeros_like(points.weights[~inside]))
    assert torch.allclose(points.weights[inside].sum(1), torch.tensor(48.0, dtype=torch.float64))


def test_time_dependent_diffusion_through_layers():
    t, (s,) = pdespec.time("t", 0, 1), space("s")
    line = interval(s, 0, 2, name="L")
    u = unknown("u", line, time=t)
    k = sp.Piecewise((1, s < 1), (3, True))
    profile = sp.Piecewise((s, s < 1), (1 + (s - 1) / 3, True))
    ends = [on(boundary(line), (u, t * profile)), pdespec.at(t, 0, (u, 0))]
    problem = Problem("heat", {"a": (pdespec.dt(u), div(k * grad(u)) + profile)}, ends)
    batch = draw(problem, initial=16)
    field = lambda p: p[..., 1:] * torch.where(p[..., :1] < 1, p[..., :1], 1 + (p[..., :1] - 1) / 3)  # noqa: E731
    assert float(compiler.compile(problem)(field, batch).total) < 1e-20
    assert float(
        compiler.compile(problem)(lambda p: p[..., 1:] * p[..., :1], batch)["a.flux"]
    ) == pytest.approx(4 / 3, rel=0.05)


def test_jumps_and_averages_are_one_sided_values():
    omega = rectangle(x, y, [0, 0], [1, 2], name="Omega")
    u, n = unknown("u", omega), unit_normal(omega)
    wall = interface(omega, y - 1)
    conditions = [
        on(boundary(omega), u),
        on(wall, (pdespec.jump(u**2), 0), (pdespec.avg(u), 0), (pdespec.jump(dot(grad(u), n)), u)),
    ]
    problem = Problem("p", {"a": (div(grad(u)), 0)}, conditions)
    batch = draw(problem)
    field = lambda p: torch.where(p[..., 1:] < 1, 2 + p[..., 1:], 5 * p[..., 1:] + p[..., :1])  # noqa: E731
    found = dict(compiler.compile(problem)(field, batch))
    across = batch.points[wall.name].points[..., 0]
    plus, minus = 5 + across, torch.full_like(across, 3)
    labels = [label for label in found if label.startswith(wall.name)]
    expected = [(plus**2 - minus**2), (plus + minus) / 2, 5 - 1 - plus]
    for label, values in zip(labels[:2], expected, strict=False):
        assert float(found[label]) == pytest.approx(float(values.square().mean()), rel=1e-9)
    # what is not two-sided is taken at the point itself
    here = torch.where(batch.points[wall.name].points[..., 1] < 1, minus, plus)
    assert float(found[labels[2]]) == pytest.approx(float((4 - here).square().mean()), rel=1e-9)


def test_a_contact_resistance_opens_the_field():
    text = WALL.replace(
        "on sides:",
        "on interface(Omega, y - 1): jump(u) = 0.1*avg(k*dot(grad(u), n)); jump(k*dot(grad(u), n))"
        " = 0\non sides:",
    )
    problem = pdespec.parse(text)
    assert [each.code for each in problem.warnings] == ["J04"] and channels(problem) == 3

    def exact(p):
        h = p[..., 1:2]
        return 293.15 + torch.where(h < 1, 200 * h / 1.38, 200 / 1.38 + 20 + (h - 1) / 2)

    batch = draw(problem)
    assert float(compiler.compile(problem)(exact, batch).total) < 1e-18
    field = compiler.build(problem, "pinn").double()(batch.inputs)
    values = field(
        torch.tensor([[[0.3, 1 - 1e-9], [0.3, 1 + 1e-9]]], dtype=torch.float64).expand(2, -1, -1)
    )
    assert (values[:, 1] - values[:, 0]).abs().min() > 1e-6


@pytest.mark.parametrize("kind", ["pinn", "gino", "fno"])
def test_built_fields_are_continuous_with_a_kink_and_the_engine_agrees(kind):
    problem = pdespec.parse(WALL)
    batch = draw(problem, operator=64)
    small = {
        "pinn": {"hidden": (16, 16)},
        "gino": {"latent": (8, 8), "modes": 3},
        "fno": {"grid": (8, 8), "modes": 3},
    }[kind]
    model = compiler.build(problem, kind, **small).double()
    points = (
        torch.tensor([[[0.3, 1 - 1e-9], [0.3, 1 + 1e-9]]], dtype=torch.float64)
        .expand(2, -1, -1)
        .clone()
        .requires_grad_()
    )
    values = model(batch.inputs)(points)
    (slopes,) = torch.autograd.grad(values.sum(), points)
    assert torch.allclose(values[:, 0], values[:, 1], atol=1e-4)
    assert (slopes[:, 0, 1] - slopes[:, 1, 1]).abs().min() > 1e-3
    loss = compiler.compile(problem)
    plain = loss(model(batch.inputs), batch)
    blocks = StepEngine(loss, 16)(model(batch.inputs), batch)
    exact = compiler.compile(problem, "autograd")(model(batch.inputs), batch)
    for label in plain:
        assert (
            float(plain[label])
            == pytest.approx(float(blocks[label]), rel=1e-9)
            == pytest.approx(float(exact[label]), rel=1e-9)
        )
    plain.total.backward()
    assert all(
        each.grad is not None and each.grad.isfinite().all()
        for each in model.parameters()
        if each.requires_grad
    )


def test_the_flux_of_the_kink_is_continuous_by_itself():
    problem = pdespec.parse(WALL)
    batch = draw(problem)
    kinks = batch.inputs.ansatz.kinks
    assert kinks is not None
    points = (
        torch.tensor([[[0.3, 1 - 1e-9], [0.3, 1 + 1e-9]]], dtype=torch.float64)
        .expand(2, -1, -1)
        .clone()
        .requires_grad_()
    )
    (slopes,) = torch.autograd.grad(kinks(points).sum(), points)
    assert torch.allclose(1.38 * slopes[:, 0, 1], 400 * slopes[:, 1, 1])


def test_a_model_without_kinks_is_refused():
    problem = pdespec.parse(WALL)
    model = (
        compiler.operators.PINN(1, 2)
        if hasattr(compiler, "operators")
        else __import__("operators").PINN(1, 2)
    )
    batch = draw(problem, dtype=torch.float32)
    with pytest.raises(ValueError, match="kinks on 1 interface"):
        model(batch.inputs)(batch.points["Omega"].points)


@pytest.mark.parametrize("backend", ["finite_difference", "least_squares", "fourier_continuation"])
def test_backends_that_reach_across_are_refused(backend):
    problem = pdespec.parse(WALL)
    with pytest.raises(ProblemError, match="P08"):
        compiler.compile(problem, backend)(wall_truth, draw(problem))


def test_single_precision_sees_the_jump_too():
    problem = pdespec.parse(WALL)
    batch = draw(problem, dtype=torch.float32)
    loss = compiler.compile(problem)
    assert float(loss(lambda p: 293.15 + p[..., 1:2] / 2, batch)["eq1.flux"]) == pytest.approx(
        39724.476, rel=1e-4
    )
    assert float(loss(wall_truth, batch)["eq1.flux"]) < 1e-4  # 200 with seven digits


def test_the_energy_of_a_problem_is_found_where_it_has_a_minimum():
    energy = energy_form(pdespec.parse(WALL))
    (functional,) = energy.functionals
    assert [region.name for _, region in functional.terms] == ["Omega", "top"]
    (u,) = [each.symbol for each in energy.unknowns.values()]
    k = sp.Piecewise((sp.Rational(69, 50), y < 1), (400, True))
    density = k * (sp.Derivative(u, x) ** 2 + sp.Derivative(u, y) ** 2) / 2
    assert sp.simplify(functional.terms[0][0] - density) == 0 and functional.terms[1][0] == -200 * u
    assert list(energy.conditions) == ["bottom.u"]
    for equation in (
        "div(k*grad(u)) + 9*u = 0",
        "div(k*grad(u)) = dx(u)",
        "div((k + u^2)*grad(u)) = 1",
    ):
        assert energy_form(pdespec.parse(WALL.replace("div(k*grad(u)) = 0", equation))) is None, (
            equation
        )


def test_training_on_the_energy_reaches_the_solution(tmp_path):
    (s,) = space("s")
    line = interval(s, 0, 2, name="L")
    u, n = unknown("u", line), unit_normal(line)
    k = sp.Piecewise((1, s < 1), (50, True))
    ends = [on(side(line, s=0), (u, 0)), on(side(line, s=2), (k * dot(grad(u), n), 10))]
    problem = Problem("bar", {"a": (div(k * grad(u)), 0)}, ends)
    model = compiler.build(problem, "pinn", hidden=(16, 16))
    options = compiler.TrainOptions(
        steps=150,
        batch=1,
        validation=0,
        optimizer="soap",
        lr=1e-2,
        points={"interior": 64, "boundary": 4, "operator": 32},
    )
    compiler.train(problem, model, options, tmp_path / "run")
    batch = compiler.sample(problem, 1, {"interior": 1000}, torch.Generator().manual_seed(1))
    p = batch.points["L"].points
    exact = torch.where(p < 1, 10 * p, 10 + (p - 1) / 5)
    with torch.no_grad():
        assert float((model(batch.inputs)(p) - exact).norm() / exact.norm()) < 0.02


def test_the_reference_fits_its_mesh_to_the_interface():
    problem = inclusion()
    batch = draw(problem, size=1, interior=2000)
    points = batch.points["plate"].points
    exact = inclusion_truth(points)
    errors = []
    for resolution in (8, 16, 32):
        found = compiler.solve(problem, batch, resolution=resolution)(points)
        errors.append(float((found - exact).norm() / exact.norm()))
    assert errors[-1] < 6e-4
    assert np.polyfit(np.log([8, 16, 32]), np.log(errors), 1)[0] < -1.7


@pytest.mark.parametrize(
    "text",
    [
        WALL.replace("y < 1,", "y < 1.03,"),
        SPLIT.replace(", 1]", ", 1.03]").replace("[0, 1]", "[0, 1.03]"),
    ],
)
def test_the_reference_is_exact_for_layers(text):
    problem = pdespec.parse(text.replace("[1, 1.03])", "[1, 1.03])"))
    batch = draw(problem, size=1)
    points = batch.points["Omega"].points
    h = points[..., 1:2]
    exact = 293.15 + torch.where(h < 1.03, 200 * h / 1.38, 200 / 1.38 * 1.03 + (h - 1.03) / 2)
    assert torch.allclose(compiler.solve(problem, batch, resolution=6)(points), exact, atol=1e-7)


def test_the_reference_refuses_conditions_on_an_interface():
    text = WALL.replace("on sides:", "on interface(Omega, y - 1): jump(u) = 1\non sides:")
    problem = pdespec.parse(text)
    with pytest.raises(compiler.fem.NoWeakForm, match="interface"):
        compiler.solve(problem, draw(problem, size=1))


def test_the_field_depends_on_the_place_of_the_interface_as_differences_say():
    text = WALL.replace(
        "space    x, y\n", "space    x, y\nparam joint ~ uniform(0.8, 1.2), hot ~ uniform(5, 400)\n"
    )
    problem = pdespec.parse(text.replace("y < 1, 1.38, 400", "y < joint, 1.38, hot"))
    model = compiler.build(
        problem, "gino", latent=(8, 8), modes=2, hidden=4, layers=1, weight="bump"
    ).double()
    points = torch.tensor([[[0.3, 0.7], [0.6, 1.3], [0.2, 1.9]]], dtype=torch.float64)

    def value(joint, hot):
        generator = torch.Generator().manual_seed(0)
        batch = compiler.instance(
            problem,
            {"joint": joint, "hot": hot},
            generator=generator,
            points={"operator": 64},
            dtype=torch.float64,
        )
        return model(batch.inputs)(points).square().sum()

    at = [torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.01, 100.0)]
    slopes = torch.autograd.grad(value(*at), at)
    with torch.no_grad():
        for k, step in enumerate((1e-5, 1e-3)):
            move = [step * (i == k) for i in range(2)]
            ahead, behind = (
                value(*(float(v) + sign * m for v, m in zip(at, move, strict=True)))
                for sign in (1, -1)
            )
            assert float(slopes[k]) == pytest.approx(float((ahead - behind) / (2 * step)), rel=1e-6)


CONTACT = """
problem contact
space    x, y
domain   A = rectangle([0, 0], [1, 1]), B = rectangle([1, 0], [3, 1])
boundary meet = side(A, x = 1), left = side(A, x = 0), right = side(B, x = 3)
boundary above = rest(A, meet, left), below = rest(B, right, side(B, x = 1))
param    q ~ uniform(1, 2)
unknown  a : scalar on A, b : scalar on B
in A: div(2*grad(a)) = 0
in B: div(5*grad(b)) = 0
on left:  a = 0
on right: 5*dot(grad(b), n) = q
on above: dot(grad(a), n) = 0
on below: dot(grad(b), n) = 0
on meet:  a = b; 2*dot(grad(a), n) = 5*dot(grad(b), n)
"""


def test_two_unknowns_on_two_domains_meet_at_their_interface(tmp_path):
    for text in (CONTACT, CONTACT.replace("on meet:", "on interface(A, B):")):
        problem = pdespec.parse(text)
        assert pdespec.parse(problem.to_dsl()) == problem
        batch = draw(problem, operator=64)
        q = batch.params["q"][:, None, None]
        exact = lambda p, q=q: torch.cat([q * p[..., :1] / 2, q / 2 + q * (p[..., :1] - 1) / 5], -1)  # noqa: E731
        loss = compiler.compile(problem)
        assert float(loss(exact, batch).total) < 1e-20
        apart = loss(lambda p: torch.cat([p[..., :1], 2 * p[..., :1]], -1), batch)
        labels = list(apart)[-2:]
        assert [float(apart[label]) for label in labels] == pytest.approx([1, 64])
        assert batch.inputs.points[..., 0].max() > 2 and torch.allclose(
            batch.inputs.measure.sum(1), torch.tensor(3.0, dtype=torch.float64)
        )
    model = compiler.build(problem, "gino", latent=(8, 8), modes=3)
    options = compiler.TrainOptions(
        steps=2, batch=2, validation=2, points={"interior": 16, "boundary": 16, "operator": 32}
    )
    run = compiler.train(problem, model, options, tmp_path / "run")
    assert run.step == 2
    found = compiler.evaluate(run.directory, samples=1, resolution=4, report=False)
    assert set(found.samples[0].unknowns) == {"a", "b"}


@pytest.mark.parametrize("text", [WALL, SPLIT])
def test_a_kink_on_an_interface_is_no_fault_of_the_field_and_one_beside_it_is(text, caplog):
    problem = pdespec.parse(text)
    with caplog.at_level(logging.WARNING):
        compiler.compile(problem)(wall_truth, draw(problem))
    assert "P0" not in caplog.text
    # both are straight on either side
    with pytest.raises(ProblemError, match=r"P09.* dy\(u\) jumps by 144 at .*y = 0.9\n"):
        compiler.compile(problem)(lambda p: wall_truth(p + 0.1), draw(problem))
