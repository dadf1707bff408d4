"""Batches: their shapes, their points, what holds by construction, and every mistake a caller
can make."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.batches.features import channel_names
from compiler.batches.sample import POINTS, instance, sample
from compiler.loss.hard_conditions import plan_hard_conditions
from compiler.loss.physics import compile as compile_loss
from compiler.lowering.regions import regions
from pdespec import (
    Problem,
    at,
    boundary,
    disk,
    div,
    dt,
    dtt,
    fourier,
    gaussians,
    grad,
    grf,
    input_function,
    interval,
    lap,
    on,
    param,
    periodic,
    rectangle,
    rest,
    side,
    space,
    star,
    trainable,
    uniform,
    unknown,
)
from pdespec import time as time_axis
from pdespec.symbols import Scalar

from .problems import seed

D = torch.float64
EXAMPLES = sorted((Path(pdespec.__file__).parent.parent / "examples").glob("*.pde"))
FEW = {"interior": 24, "boundary": 12, "initial": 10, "operator": 40}


def nonlinear_poisson() -> Problem:
    x, y = space("x y")
    c1, c2 = param("c1", uniform(-0.2, 0.2)), param("c2", uniform(-0.2, 0.2))
    omega = star(x, y, radius=lambda theta: 1 + c1 * sp.cos(4 * theta) + c2 * sp.cos(8 * theta))
    u, f = unknown("u", omega), input_function("f", omega, gaussians(count=2))
    gamma = boundary(omega, name="Gamma")
    g = input_function("g", gamma, fourier(modes=2, amplitude=0.25))
    return Problem(
        "nonlinear_poisson",
        {"balance": sp.Eq(div((1 + u**2 / 10) * grad(u)), f)},
        [on(gamma, sp.Eq(u, g))],
    )


def burgers() -> Problem:
    (x,) = space("x")
    t = time_axis("t", 0, 1)
    line = periodic(interval(x, 0, 1, name="L"))
    u, u0 = unknown("u", line, time=t), input_function("u0", line, grf(sigma=625, tau=5, alpha=4))
    nu = param("nu", uniform(0.01, 0.1))
    return Problem(
        "burgers",
        {"flow": sp.Eq(dt(u) + u * sp.Derivative(u, x), nu * lap(u))},
        [at(t, 0, sp.Eq(u, u0))],
    )


def cavity() -> Problem:
    x, y = space("x y")
    t = time_axis("t", 0, 10)
    omega = rectangle(x, y)
    v = unknown("v", omega, "vector", time=t)
    lid = side(omega, y=1, name="lid")
    conditions = [
        on(lid, sp.Eq(v, sp.ImmutableMatrix([1, 0]))),
        on(rest(omega, lid, name="walls"), (v, 0)),
        at(t, 0, (v, 0)),
    ]
    return Problem("cavity", {"momentum": (dt(v), lap(v))}, conditions)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_gives_the_points_its_loss_asks_for(path):
    problem = pdespec.load(path)
    if any(declaration.law is None for declaration in problem.inputs.values()):
        with pytest.raises(pdespec.ProblemError, match="B03"):
            sample(problem, 2, FEW, seed())
        return
    batch = sample(problem, 2, FEW, seed())
    assert {term.points for term in compile_loss(problem).terms} <= set(batch.points)
    dimension = len(problem.variables)
    for key, points in batch.points.items():
        assert (
            points.points.shape[0] == 2
            and points.points.shape[2] == dimension
            and torch.isfinite(points.points).all()
        ), key
        assert points.measure.shape == (2,) and (points.measure > 0).all()
        assert (points.normals is not None) == (regions(problem)[key][0] == "boundary")
    values = batch.inputs
    assert values.points.shape == (2, 40, dimension) and values.values.shape == (
        2,
        40,
        len(channel_names(problem)),
    )
    features = values.features(values.points)
    assert features.shape[-1] == len(channel_names(problem)) + len(problem.variables)
    assert torch.isfinite(features).all()


@pytest.mark.parametrize("sampling", ["sobol", "uniform"])
@pytest.mark.parametrize(
    "make", [lambda: nonlinear_poisson(), lambda: burgers(), lambda: cut_out()]
)
def test_sample_k_of_a_seed_is_the_same_in_a_batch_of_any_size(make, sampling):
    problem = make()
    few, many = (sample(problem, size, FEW, seed(3), dtype=D, sampling=sampling) for size in (3, 8))
    first = many.select(range(3))
    for name, value in few.params.items():
        assert torch.equal(value, first.params[name])
    for key, points in few.points.items():
        assert torch.allclose(points.points, first.points[key].points, rtol=1e-13, atol=1e-13), key
        for name in few.functions:
            at = points.points if key != "L" else points.points[..., :1]
            assert torch.allclose(
                few.evaluate(name, at), first.evaluate(name, at), rtol=1e-12, atol=1e-12
            ), name
    assert torch.allclose(few.inputs.points, first.inputs.points, rtol=1e-13, atol=1e-13)
    assert torch.allclose(few.inputs.values, first.inputs.values, rtol=1e-9, atol=1e-9)
    assert len(torch.unique(many.inputs.points[:, 0, 0])) == 8  # and no two samples are the same


def cut_out() -> Problem:
    """Points by rejection, in a shape that differs between samples."""
    x, y = space("x y")
    r = param("r", uniform(0.1, 0.3))
    omega = rectangle(x, y) - disk(x, y, radius=r, center=(0.5, 0.5))
    u, f = unknown("u", omega), input_function("f", omega, grf(length=0.3))
    return Problem("cut_out", {"balance": (lap(u), f)}, [on(boundary(omega), (u, 0))])


def test_a_shape_without_an_inside_is_refused_when_it_is_drawn_or_given():
    x, y = space("x y")
    r = param("r", 1)
    omega = disk(x, y, radius=r - 1, name="Omega")
    u = unknown("u", omega)
    problem = Problem("thin", {"a": (lap(u), 1)}, [on(boundary(omega), (u, 0))])
    with pytest.raises(
        pdespec.ProblemError, match=r"W08.*radius in `Omega` is -0.5 in sample 0, where r = 0.5"
    ):
        instance(problem, {"r": 0.5})
    drawn = problem.revised(
        params={"r": next(iter(param("r", uniform(0.9, 3)).atoms(Scalar))).declaration}
    )
    with pytest.raises(pdespec.ProblemError, match=r"W08.*in sample \d+, where r = 0.9"):
        sample(drawn, 60, FEW, seed())


def test_points_lie_where_they_should_and_carry_time_last():
    batch = sample(cavity(), 3, {"interior": 200, "lid": 30}, seed(), dtype=D)
    inside, lid, walls, start = (batch.points[key] for key in ("Omega", "lid", "walls", "Omega@0"))
    assert (
        inside.points.shape == (3, 200, 3)
        and lid.points.shape == (3, 30, 3)
        and start.points.shape == (3, POINTS["initial"], 3)
    )
    assert ((inside.points[..., :2] > 0) & (inside.points[..., :2] < 1)).all()
    assert ((inside.points[..., 2] >= 0) & (inside.points[..., 2] <= 10)).all() and inside.points[
        ..., 2
    ].std() > 2
    assert (lid.points[..., 1] == 1).all() and torch.equal(
        lid.normals, torch.tensor([0.0, 1.0], dtype=D).expand(3, 30, 2)
    )
    assert (
        (walls.points[..., 1] < 1).all()
        and (start.points[..., 2] == 0).all()
        and start.normals is None
    )
    assert torch.equal(lid.measure, torch.ones(3, dtype=D)) and torch.equal(
        walls.measure, torch.full((3,), 3.0, dtype=D)
    )


def test_time_is_even_and_independent_of_place():
    points = sample(cavity(), 1, {"interior": 4096}, seed(), dtype=D).points["Omega"].points[0]
    counts = torch.histc(points[:, 2], 16, 0, 10)
    assert (counts - 256).abs().max() <= 1
    assert torch.corrcoef(points.T)[2, :2].abs().max() < 0.05
    corner = points[(points[:, :2] < 0.25).all(-1)]
    assert (torch.histc(corner[:, 2], 4, 0, 10) - 64).abs().max() < 35


def test_equal_generators_give_equal_batches_and_calls_give_fresh_ones():
    problem = nonlinear_poisson()
    torch.manual_seed(0)
    state = torch.get_rng_state()
    a, b = (sample(problem, 2, FEW, seed(5)) for _ in range(2))
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(a.params["c1"], b.params["c1"]) and torch.equal(
        a.inputs.values, b.inputs.values
    )
    assert all(torch.equal(a.points[key].points, b.points[key].points) for key in a.points)
    generator = seed(5)
    first, second = sample(problem, 2, FEW, generator), sample(problem, 2, FEW, generator)
    assert not torch.equal(
        first.points["Omega"].points, second.points["Omega"].points
    ) and not torch.equal(first.params["c1"], second.params["c1"])
    assert not torch.equal(
        sample(problem, 1, FEW).params["c1"], sample(problem, 1, FEW).params["c1"]
    )
    probe = torch.rand(2, 5, 2, generator=seed(1))
    for name in ("f", "g"):
        assert not torch.equal(first.evaluate(name, probe), second.evaluate(name, probe))
        assert not torch.equal(
            first.evaluate(name, probe[:1].expand(2, -1, -1))[0],
            first.evaluate(name, probe[:1].expand(2, -1, -1))[1],
        )


def test_inputs_are_the_stated_channels_at_points_of_the_domain():
    batch = sample(nonlinear_poisson(), 3, FEW, seed(), dtype=D)
    names = channel_names(batch.problem)
    assert names[:2] == ("f", "g") and names[-1] == "factor"
    points, values = batch.inputs.points, batch.inputs.values
    assert batch.geometry["Omega"].contains(points).all()
    assert torch.equal(values[..., :1], batch.evaluate("f", points))
    assert torch.allclose(values[..., 1:2], batch.inputs.ansatz.offset(points))
    assert (values[..., -1] > 0).all() and batch.geometry["Omega"].factor(
        boundary_of(batch), points
    ).allclose(values[..., -1])
    assert torch.allclose(batch.inputs.measure.sum(-1), batch.geometry["Omega"].measure())
    burger = sample(burgers(), 2, FEW, seed(), dtype=D)
    # a ring has no boundary
    assert channel_names(burger.problem)[:2] == ("u0", "nu") and "factor" not in channel_names(
        burger.problem
    )
    # in its size, 1/10
    assert torch.equal(
        burger.inputs.values[..., 1], burger.local.params["nu"][:, None].expand(-1, 40)
    )
    assert torch.allclose(burger.inputs.values[..., 1] / 10, burger.params["nu"][:, None])
    assert torch.equal(
        burger.inputs.values[..., :1], burger.evaluate("u0", burger.inputs.points[..., :1])
    )
    assert torch.allclose(
        burger.inputs.features(burger.inputs.points)[..., -2:], 2 * burger.inputs.points - 1
    )


def boundary_of(batch):
    return next(iter(batch.problem.boundaries.values()))


def test_features_are_the_callers_when_given():
    mine = lambda drawn: lambda points: drawn.evaluate("f", points) ** 2  # noqa: E731
    batch = sample(nonlinear_poisson(), 2, FEW, seed(), features=mine)
    assert torch.equal(
        batch.inputs.features(batch.inputs.points), batch.evaluate("f", batch.inputs.points) ** 2
    )
    assert batch.to(D).inputs.features(batch.inputs.points.double()).dtype == D


def test_features_are_finite_on_a_latent_grid_beyond_the_domain():
    batch = sample(nonlinear_poisson(), 16, FEW, seed())
    axis = torch.linspace(-2, 2, 33)
    grid = (
        torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)
        .reshape(1, -1, 2)
        .expand(16, -1, -1)
    )
    features = batch.inputs.features(grid)
    assert torch.isfinite(features).all() and features[..., 1:].abs().max() < 10


# --------------------------------------------------------------------------------------------------
# built-in conditions


def test_boundary_data_hold_whatever_the_network_says():
    batch = sample(nonlinear_poisson(), 4, FEW, seed(), dtype=D)
    gamma = batch.points["Gamma"].points
    answer = batch.inputs.ansatz(gamma, 100 * torch.randn(4, 12, 1, dtype=D, generator=seed(1)))
    assert torch.allclose(answer, batch.evaluate("g", gamma), atol=1e-10)
    assert plan_hard_conditions(batch.problem)["u"].labels == tuple(batch.problem.conditions)
    inside = batch.inputs.ansatz.factor(batch.points["Omega"].points)
    assert (inside > 0).all()
    assert sample(nonlinear_poisson(), 1, FEW, seed(), hard_conditions=False).inputs.ansatz is None


def test_initial_data_hold_and_their_derivatives_are_those_of_the_law():
    batch = sample(burgers(), 2, FEW, seed(), dtype=D)
    start = batch.points["L@0"].points
    assert torch.equal(
        batch.inputs.ansatz(start, torch.ones(2, 10, 1, dtype=D)),
        batch.evaluate("u0", start[..., :1]),
    )
    later = batch.points["L"].points
    share = batch.inputs.ansatz.factor(later)[..., 0] / later[..., 1]
    # the time since the start, in a unit for each sample
    assert torch.allclose(share, share[:, :1].expand_as(share)) and (share > 0).all()


def test_data_that_jump_where_regions_meet_stay_terms_of_the_loss():
    imposed = plan_hard_conditions(cavity())
    assert imposed["v.x"].labels == ()  # lid 1, walls 0, start 0: no continuous lift
    assert (
        imposed["v.y"].boundaries == tuple(cavity().boundaries.values())
        and imposed["v.y"].start == 0
    )


def test_start_and_boundary_that_agree_are_both_built_in():
    (x,) = space("x")
    t = time_axis("t", 0, 2)
    line = interval(x, 0, 1)
    u = unknown("u", line, time=t)
    conditions = {
        "ends": on(boundary(line), sp.Eq(u, 1 + t * x)),
        "start": at(t, 0, sp.Eq(u, 1 + sp.sin(sp.pi * x))),
    }
    problem = Problem("heat", {"heat": (dt(u), lap(u))}, conditions)
    batch = sample(problem, 1, FEW, seed(), dtype=D)
    for key, points in batch.points.items():
        values = batch.inputs.ansatz(
            points.points, torch.full((1, points.points.shape[1], 1), 7.0, dtype=D)
        )[..., 0]
        place, time = points.points[..., 0], points.points[..., 1]
        if key == "Omega@0":
            assert torch.allclose(values, 1 + (math.pi * place).sin(), atol=1e-12)
        elif points.normals is not None:
            assert torch.allclose(values, 1 + time * place, atol=1e-12)


def test_value_and_rate_at_the_start_are_built_in_together():
    (x,) = space("x")
    t = time_axis("t", 1, 2)
    line = periodic(interval(x, 0, 1))
    u, a = unknown("u", line, time=t), input_function("a", line, grf(length=0.2))
    problem = Problem(
        "wave",
        {"wave": (dtt(u), lap(u))},
        [at(t, 1, sp.Eq(u, a), sp.Eq(dt(u), sp.cos(2 * sp.pi * x)))],
    )
    batch = sample(problem, 2, FEW, seed(), dtype=D)
    start = next(iter(v for k, v in batch.points.items() if "@" in k)).points.requires_grad_()
    value = batch.inputs.ansatz(start, start.sum(-1, keepdim=True).sin())
    assert torch.allclose(value, batch.evaluate("a", start[..., :1]))
    (slope,) = torch.autograd.grad(value.sum(), start)
    assert torch.allclose(slope[..., 1], (2 * math.pi * start[..., 0]).cos())


def test_what_is_no_plain_value_of_one_component_is_left_to_the_loss():
    x, y = space("x y")
    omega = disk(x, y)
    gamma = boundary(omega)
    u, w = unknown("u", omega), unknown("w", omega)
    k = trainable("k", 2)
    conditions = [on(gamma, (3 * u, 6 + u)), on(gamma, (w, k))]
    problem = Problem("mixed", {"a": (lap(u), 0), "b": (lap(w), u)}, conditions)
    imposed = plan_hard_conditions(problem)
    assert imposed["u"].sides[0][0] == 3 and imposed["w"].labels == ()
    flux = Problem("flux", {"a": (lap(u), 0)}, [on(gamma, (sp.Derivative(u, x), 0))])
    assert sample(flux, 1, FEW, seed()).inputs.ansatz is None


# --------------------------------------------------------------------------------------------------
# moving, selecting


def test_a_batch_moves_between_precisions_as_a_whole():
    batch = sample(nonlinear_poisson(), 2, FEW, seed(), dtype=D)
    single = batch.to(torch.float32)
    points = single.points["Omega"].points
    assert single.params["c1"].dtype == points.dtype == single.inputs.values.dtype == torch.float32
    for function in (
        lambda b, p: b.evaluate("f", p),
        lambda b, p: b.inputs.ansatz.offset(p),
        lambda b, p: b.inputs.features(p),
    ):
        assert function(single, points).dtype == torch.float32
        assert torch.allclose(
            function(single, points).double(), function(batch, points.double()), atol=1e-5
        )
    assert (
        sample(nonlinear_poisson(), 1, FEW, seed()).params["c1"].dtype == torch.get_default_dtype()
    )


def test_selected_samples_keep_their_values():
    batch = sample(nonlinear_poisson(), 4, FEW, seed(), dtype=D)
    part = batch.select([2, 0])
    points = batch.points["Omega"].points
    assert part.size == 2 and torch.equal(part.points["Omega"].points, points[[2, 0]])
    assert torch.equal(part.evaluate("f", points[[2, 0]]), batch.evaluate("f", points)[[2, 0]])
    assert torch.allclose(
        part.inputs.ansatz.factor(points[[2, 0]]), batch.inputs.ansatz.factor(points)[[2, 0]]
    )


# --------------------------------------------------------------------------------------------------
# one's own sample


def test_an_instance_takes_callables_expressions_and_numbers():
    x, y = nonlinear_poisson().coordinates
    inputs = {"f": lambda p: p.square().sum(-1, keepdim=True), "g": sp.sin(x) * y}
    batch = instance(
        nonlinear_poisson(), {"c1": 0.1, "c2": sp.Rational(-1, 5)}, inputs, FEW, dtype=D
    )
    points = batch.points["Gamma"].points
    assert batch.size == 1 and batch.params["c2"].item() == -0.2
    assert torch.equal(batch.evaluate("f", points)[..., 0], points.square().sum(-1))
    assert torch.allclose(
        batch.evaluate("g", points)[..., 0], points[..., 0].sin() * points[..., 1]
    )
    assert torch.allclose(batch.inputs.ansatz.offset(points), batch.evaluate("g", points))
    assert (
        instance(nonlinear_poisson(), {"c1": 0, "c2": 0}, {"f": 1, "g": 0}, FEW).evaluate(
            "f", points.float()
        )
        == 1
    ).all()


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda p: sample(p, 2, {"interor": 3}), r"S01.*'interor'[\s\S]*did you mean 'interior'"),
        (lambda p: sample(p, 2, {"interior": 0}), r"B01.*a count is|B01.*= 0"),
        (lambda p: sample(p, 0), "B01.*0 samples"),
        (
            lambda p: instance(p, {"c1": 0, "c3": 0}, {}),
            r"S01.*no param `c3`[\s\S]*did you mean `c1`|S01.*no param `c3`",
        ),
        (lambda p: instance(p, {"c1": 0}, {}), "B03.*param `c2` was not given"),
        (lambda p: instance(p, {"c1": 0, "c2": 0}, {"f": 1}), "B03.*input `g` was not given"),
        (
            lambda p: instance(p, {"c1": [0, 1], "c2": 0}, {"f": 1, "g": 1}),
            r"B01.*`c1` has shape \(2,\)",
        ),
        (
            lambda p: instance(p, {"c1": 0, "c2": 0}, {"f": torch.zeros(1, 5, 1), "g": 1}),
            "B03.*without the points",
        ),
        (
            lambda p: instance(p, {"c1": 0, "c2": 0}, {"f": lambda q: q[..., 0], "g": 1}),
            r"B01.*returned[\s\S]*values\[\.\.\., None\]",
        ),
        (
            lambda p: instance(p, {"c1": 0, "c2": 0}, {"f": lambda q: q[..., :1].double(), "g": 1}),
            "B02.*float64",
        ),
        (
            lambda p: instance(p, {"c1": 0, "c2": 0}, {"f": sp.Symbol("z"), "g": 1}),
            "S01.*depends on `z`",
        ),
        (
            lambda p: sample(p, 2, FEW, seed()).evaluate("h", torch.zeros(2, 3, 2)),
            "S01.*no input `h`",
        ),
        (
            lambda p: sample(p, 2, FEW, seed()).evaluate("f", torch.zeros(3, 2)),
            r"B01.*\(3, 2\).*needs \(2, n, 2\)",
        ),
    ],
)
def test_mistakes_are_explained(call, message):
    with pytest.raises(pdespec.ProblemError) as caught:
        call(nonlinear_poisson())
    assert re.search(message, str(caught.value)), str(caught.value)


def test_an_input_from_a_file_is_asked_for():
    x, y = space("x y")
    omega = rectangle(x, y)
    u, f = unknown("u", omega), input_function("f", omega, source="loads.h5")
    problem = Problem("loads", {"a": (lap(u), f)}, [on(boundary(omega), (u, f))])
    with pytest.raises(pdespec.ProblemError, match="D01: there is no file loads.h5"):
        sample(problem, 2, FEW, seed())
    batch = instance(problem, inputs={"f": lambda p: p[..., :1]}, points=FEW)
    assert batch.inputs.ansatz is not None


def test_the_public_names_are_these():
    assert compiler.sample is sample and compiler.instance is instance


def test_a_source_that_vanishes_leaves_channels_and_loss_finite_in_single_precision():
    import pdespec

    problem = pdespec.parse(
        "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\ninput f : scalar on Q ~"
        " gaussians(count = 2)\nunknown u : scalar on Q\nin Q: -lap(u) = if(f > 0, f, 0)\non"
        " boundary(Q): u = 0"
    )
    counts = {"interior": 32, "boundary": 8, "operator": 32}
    batch = compiler.sample(
        problem, size=8, points=counts, generator=torch.Generator().manual_seed(3)
    )
    sizes = batch.inputs.values[..., 2].amax(1)  # the logarithm of the unit
    assert sizes.min() >= -45 and sizes.max() > -5
    single = batch.to(torch.float32)
    total = compiler.compile(problem)(
        compiler.build(problem, "gino", latent=(12, 12))(single.inputs), single
    ).total
    assert total.isfinite()


@pytest.mark.parametrize("power", [1.5, 2.0, 3.5])
def test_the_amplitude_follows_the_power_of_the_unknown(power):
    """A(s phi) goes as s^(m - 1): of a source f the output has to go as f^(1/(m - 1)), in any
    batch, and not by the points that are drawn."""
    problem = pdespec.parse(
        f"problem power\nspace x, y\nconst m = {power}\nparam f ~ loguniform(0.01, 100)\ndomain D ="
        " disk(radius = 1)\nunknown u : scalar on D\nslope := 1e-12 + dot(grad(u), grad(u))\nin D:"
        " -div(slope^((m - 2)/2)*grad(u)) = f\non boundary(D): u = 0\n"
    )
    f = torch.logspace(-2, 2, 5, dtype=torch.float64)
    found = []
    for number in (0, 1):
        batch = compiler.instance(
            problem, {"f": f}, generator=seed(number), dtype=torch.float64, size=5
        )
        found.append((batch.local or batch).draws.amplitude)
    assert torch.equal(*found)
    expected = (f / f[2]) ** (1 / (power - 1))
    assert torch.allclose(found[0] / found[0][2], expected, rtol=1e-4)
    alone = compiler.instance(problem, {"f": f[3]}, dtype=torch.float64)
    assert float((alone.local or alone).draws.amplitude) == pytest.approx(float(found[0][3]))


@pytest.mark.parametrize("name", ["eikonal", "darcy"])
def test_samples_of_one_size_have_one_amplitude_over_their_residual(name):
    """All travel times are of about one size, and |grad T|^2 changes with the square of T; a linear
    equation has one whatever its coefficients: one that jumps would give it by chance."""
    problem = pdespec.load(Path(__file__).parents[2] / "examples" / f"{name}.pde")
    batch = sample(problem, 8, {"operator": 64}, torch.Generator().manual_seed(0))
    draws = (batch.local or batch).draws
    ratio = draws.amplitude / draws.residual_scale
    assert torch.allclose(ratio, ratio[0])
