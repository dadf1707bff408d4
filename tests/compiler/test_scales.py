"""A problem and its copy in other units, or elsewhere, are computed with the same numbers; what
the user sees is in the user's."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.loss.blocks import StepEngine
from compiler.lowering.frame import decimal
from compiler.scales import component_sizes, scaled
from compiler.scales.sizes import start_of_decade
from compiler.training.runs import read_history
from operators import GINO, EncoderOptions
from operators.field import Ansatz

D = torch.float64
FEW = {"interior": 48, "boundary": 32, "initial": 32, "operator": 64}
# size in metres, distance from the origin
PLACES = [(1e-9, 0), (1e-3, 0), (1e3, 0), (1e6, 0), (1, 10**7), (1e3, 10**7)]
EXAMPLES = Path(__file__).parents[2] / "examples"


def disk(s: float, x0: float) -> str:
    """The same source at every size: u is of the order of the squared radius."""
    return f"""
problem disk
space x, y
domain Omega = disk(radius = {s!r}, center = [{x0!r}, {x0!r}])
unknown u : scalar on Omega
in Omega: -lap(u) = 1
on boundary(Omega): u = 0
"""


def stars(s: float, x0: float) -> str:
    """Shapes, coefficients, sources and boundary values are drawn."""
    return f"""
problem stars
space x, y
param c ~ uniform({-0.2 * s!r}, {0.2 * s!r}), k ~ uniform({1 / s!r}, {2 / s!r})
domain Omega = star(radius = {s!r} + c*cos(4*theta), center = [{x0!r}, {x0!r}])
boundary Gamma = boundary(Omega)
input f : scalar on Omega ~ gaussians(count = 2, width = 1)
input g : scalar on Gamma ~ fourier(modes = 2, amplitude = 0.25)
unknown u : scalar on Omega
in Omega: {s * s!r}*div((1 + u^2/10)*grad(u)) - {s!r}*k*u = f
on Gamma: u = g
"""


def heat(s: float, x0: float, seconds: float = 1.0) -> str:
    """Seconds or microseconds, from a late start where the rod is far."""
    return f"""
problem heat
space x
time t in [{x0!r}, {x0 + seconds!r}]
domain rod = interval({x0!r}, {x0 + s!r})
input u0 : scalar on rod ~ grf(length = {0.3 * s!r})
const kappa = {0.05 * s * s / seconds!r}
unknown u : scalar on rod
in rod: dt(u) = kappa*dxx(u)
on boundary(rod): dx(u) = 0
at t = {x0!r}: u = u0
"""


def beam(s: float, x0: float, stiffness: float = 2.1e11) -> str:
    """Steel in pascals: displacements of a millionth of the beam."""
    return f"""
problem beam
space x, y [m]
domain beam = rectangle([{x0!r}, {x0!r}], [{x0 + 4 * s!r}, {x0 + s!r}])
boundary wall = side(beam, x = {x0!r}), top = side(beam, y = {x0 + s!r}), free = rest(beam)
const E = {stiffness!r} [Pa], nu = 0.3
input load : vector on top [Pa] ~ grf(sigma = {stiffness * 1e-6!r}, length = {s!r})
unknown u : vector on beam [m]
lame := E*nu/((1 + nu)*(1 - 2*nu))
mu := E/(2*(1 + nu))
sigma := lame*tr(sym(grad(u)))*I + 2*mu*sym(grad(u))
in beam: div(sigma) = 0
on wall: u = 0
on top: sigma*n = load
on free: sigma*n = 0
"""


def film(s: float, x0: float) -> str:
    """An energy over a disk."""
    return f"""
problem film
space x, y
domain D = disk(radius = {s!r}, center = [{x0!r}, {x0!r}])
boundary wire = boundary(D)
input g : scalar on wire ~ fourier(modes = 3, amplitude = 0.3)
unknown h : scalar on D
minimize integral(sqrt(1 + dot(grad(h), grad(h))) + {1 / s!r}*h, D)
on wire: h = {s!r}*g
"""


COPIES = [disk, stars, heat, beam, film]


def seed(number: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def terms(text: str) -> dict[str, float]:
    """The loss of an untrained model in float32."""
    problem = pdespec.parse(text)
    batch = compiler.sample(problem, 2, FEW, seed())
    latent = (8,) * len(problem.variables)
    field = compiler.build(problem, "gino", latent=latent, hidden=8, layers=1)(batch.inputs)
    return {
        label: float(value.detach())
        for label, value in compiler.compile(problem)(field, batch, scaled=True).items()
    }


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.__name__)
def test_a_problem_and_its_copy_of_another_size_or_place_have_the_same_loss(copy):
    here = terms(copy(1.0, 0.0))
    assert max(map(abs, here.values())) > 1e-4
    for s, x0 in PLACES:
        assert terms(copy(float(s), float(x0))) == pytest.approx(here, rel=1e-4, abs=1e-9), (s, x0)


def test_so_do_its_copies_in_microseconds_and_in_megapascals():
    assert terms(heat(1.0, 0.0, seconds=1e-6)) == pytest.approx(
        terms(heat(1.0, 0.0)), rel=1e-4, abs=1e-9
    )
    assert terms(beam(1.0, 0.0, stiffness=2.1e5)) == pytest.approx(
        terms(beam(1.0, 0.0)), rel=1e-4, abs=1e-9
    )


@pytest.mark.parametrize("copy", COPIES, ids=lambda copy: copy.__name__)
def test_a_scaled_problem_is_computed_as_it_stands_and_is_about_one(copy):
    frame, local = scaled(pdespec.parse(copy(1e-6, 1e2)))
    assert not frame.trivial and frame.far
    again, same = scaled(local)
    assert again.trivial and same is local
    batch = compiler.sample(local, 2, FEW, seed(), dtype=D)
    for points in batch.points.values():
        assert 0.1 < points.points.abs().max() < 10


@pytest.mark.parametrize(
    "name",
    ["nonlinear_poisson", "heat", "wave", "burgers", "lid_cavity", "eikonal", "poisson_ball"],
)
def test_examples_written_in_numbers_of_about_one_are_computed_in_them(name):
    frame, _ = scaled(pdespec.load(EXAMPLES / f"{name}.pde"))
    assert (
        frame.length == 1
        and not any(frame.origin)
        and all(size == 1 for size in (*frame.fields.values(), *frame.statements.values()))
    )


def square(x0: float) -> str:
    return f"""
problem square
space x, y
domain Q = rectangle([{x0!r}, {x0!r}], [{x0 + 1!r}, {x0 + 1!r}])
boundary low = side(Q, y = {x0!r}), others = rest(Q)
unknown u : scalar on Q
in Q: -lap(u) = 1
on low: u = x - {x0!r}
on others: u = (x - {x0!r})*(1 + y - {x0!r})
"""


def test_float32_samples_far_from_the_origin_are_distinct_and_right():
    x0 = 1e7
    problem = pdespec.parse(square(x0))
    batch = compiler.sample(
        problem, 2, {"interior": 4000, "boundary": 200, "operator": 64}, seed(), dtype=torch.float32
    )
    near = compiler.sample(
        pdespec.parse(square(0.0)),
        2,
        {"interior": 4000, "boundary": 200, "operator": 64},
        seed(),
        dtype=D,
    )
    points, plain = batch.points["Q"].points, near.points["Q"].points
    assert len(points[0].unique(dim=0)) == 4000
    assert torch.allclose(points - x0, plain, atol=1e-6)
    geometry, there = batch.geometry["Q"], near.geometry["Q"]
    assert geometry.contains(points).all() and not geometry.contains(points + 1).any()
    assert torch.allclose(geometry.signed_distance(points), there.signed_distance(plain), atol=1e-6)
    side = batch.points["low"]
    assert torch.equal(side.normals, torch.tensor([0.0, -1.0], dtype=D).expand_as(side.normals))
    assert torch.allclose(
        geometry.normal(side.points - 1e-4 * side.normals), side.normals, atol=1e-6
    )
    whole = pdespec.geometry.boundary(geometry.domain)
    assert torch.allclose(
        geometry.factor(whole, points),
        there.factor(pdespec.geometry.boundary(there.domain), plain),
        atol=1e-6,
    )
    built, expected = batch.inputs.ansatz, near.inputs.ansatz
    for part in ("offset", "factor"):
        assert torch.allclose(
            getattr(built, part)(points), getattr(expected, part)(plain), atol=1e-5
        )
    assert torch.allclose(batch.points["low"].measure, torch.ones(2)) and torch.allclose(
        geometry.measure(), torch.ones(2)
    )


REACTION = """
problem reaction
space x, y [m]
time t in [20, 20.003]
param k ~ uniform(2e8, 5e8)
domain Q = rectangle([1e4, 2e4], [10000.001, 20000.002])
input f : scalar on Q over t ~ grf(length = 1e-3)
unknown v : vector on Q, p : scalar on Q
const mu = 3e-4
in Q:
    momentum: dt(v) + advect(v, v) = mu*lap(v) - grad(p)/1000
    mass: div(v) = k*f*1e-9*(x - 1e4)
on boundary(Q): v = 0
at t = 20: v = 0
require integral(p, Q) = 0
"""


def closed_form(problem: pdespec.Problem) -> dict[str, sp.Expr]:
    (x, y), t = problem.coordinates, problem.time
    X, Y, T = (x - 10000) * 1000, (y - 20000) * 1000, (t - 20) * 300
    return {
        "v.x": 3 * sp.sin(X + Y) * sp.exp(-T),
        "v.y": 2 * sp.cos(X * Y) + T,
        "p": 4000 * sp.sin(X - 2 * Y + T),
    }


def test_a_shape_moved_far_away_is_the_same_as_one_made_there():
    factors = []
    for shape in (
        "moved(disk(radius = 1), [10000000, 0])",
        "disk(radius = 1, center = [10000000, 0])",
    ):
        problem = pdespec.parse(
            f"problem far\nspace x, y\ndomain D = {shape}\nunknown u : scalar on D\nin D: lap(u) ="
            " 1\non boundary(D): u = 0\n"
        )
        batch = compiler.sample(
            problem,
            1,
            {"interior": 64, "boundary": 8, "operator": 16},
            generator=torch.Generator().manual_seed(0),
        )
        points = batch.points["D"].points
        factors.append(batch.geometry["D"].factor(pdespec.boundary(problem.domains["D"]), points))
    assert factors[0].min() > 0 and torch.equal(*factors)


def test_residuals_of_a_users_own_field_are_as_the_user_wrote_them():
    problem = pdespec.parse(REACTION)
    assert not scaled(problem)[0].trivial
    batch = compiler.sample(problem, 2, FEW, seed(), dtype=D)
    points, values = batch.points["Q"].points, closed_form(problem)
    functions = [sp.lambdify(problem.variables, value, "math") for value in values.values()]

    def field(x: torch.Tensor) -> torch.Tensor:
        X, Y, T = (x[..., 0] - 10000) * 1000, (x[..., 1] - 20000) * 1000, (x[..., 2] - 20) * 300
        return torch.stack(
            [3 * (X + Y).sin() * (-T).exp(), 2 * (X * Y).cos() + T, 4000 * (X - 2 * Y + T).sin()],
            -1,
        )

    at = points[0, 3].tolist()
    assert field(points)[0, 3].tolist() == pytest.approx([f(*at) for f in functions], rel=1e-9)
    found = compiler.compile(problem).residuals(
        field, points, {"f": lambda x: batch.evaluate("f", x)}, batch.params
    )
    known = {
        component: problem.unknowns["v"].symbol[k] for k, component in enumerate(("v.x", "v.y"))
    } | {"p": problem.unknowns["p"].symbol}
    (f,) = {
        field_
        for field_ in problem.residuals()["mass"].atoms(sp.Function)
        if field_.func.__name__ == "f"
    }
    mass = (
        sp.sympify(problem.residuals()["mass"])
        .subs({known[name]: value for name, value in values.items()})
        .doit()
    )
    momentum = [
        e.subs({known[name]: value for name, value in values.items()}).doit()
        for e in problem.residuals()["momentum"]
    ]
    k, mu = problem.params["k"].symbol, problem.constants["mu"]
    stands = {
        k: float(batch.params["k"][0]),
        mu.symbol: float(mu.value),
        f: float(batch.evaluate("f", points)[0, 3, 0]),
    }
    place = dict(zip(problem.variables, at, strict=True))
    expected = [float(e.subs(stands).subs(place)) for e in (*momentum, mass)]
    result = torch.cat([found["momentum"], found["mass"]], -1)[0, 3].tolist()
    assert result == pytest.approx(expected, rel=1e-6)


def test_terms_are_in_the_users_units_and_as_training_lowers_them_over_the_sizes():
    problem = pdespec.parse(disk(1e-3, 0.0))
    batch = compiler.sample(problem, 2, FEW, seed(), dtype=D)
    loss = compiler.compile(problem)

    def field(x: torch.Tensor) -> torch.Tensor:
        return x[..., :1].square() * 5

    residual = loss.residuals(field, batch.points["Omega"].points)["eq1"]
    assert torch.allclose(residual, torch.full_like(residual, -11.0))
    rim = field(batch.points["boundary(Omega)"].points).square().mean()
    plain = type(
        "Batch",
        (),
        {
            "params": {},
            "points": batch.points,
            "geometry": batch.geometry,
            "evaluate": batch.evaluate,
        },
    )()
    for terms in (loss(field, batch), loss(field, plain), StepEngine(loss, 16)(field, batch)):
        assert terms["eq1"].item() == pytest.approx(121.0)
        assert terms["boundary(Omega).u"].item() == pytest.approx(rim.item())
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1).double()(
        batch.inputs
    )
    residual = loss.residuals(model, batch.points["Omega"].points)["eq1"]
    assert loss(model, batch)["eq1"].item() == pytest.approx(residual.square().mean().item())
    found = (residual / loss.sizes["eq1"]).square().mean().item()
    for terms in (loss(model, batch, scaled=True), StepEngine(loss, 16)(model, batch, scaled=True)):
        assert terms["eq1"].item() == pytest.approx(found)


def test_the_euler_lagrange_residual_of_an_energy_is_in_the_users_units():
    problem = pdespec.parse(film(1e-3, 0.0))
    batch = compiler.sample(problem, 1, FEW, seed(), dtype=D)
    points = batch.points["D"].points
    found = compiler.compile(problem).residuals(lambda x: 1e3 * x[..., :1].square() / 2, points)[
        "stationarity"
    ][0, :, 0]
    slope = 1e3 * points[0, :, 0]  # d/du - d/dx (p / sqrt(1 + p^2)), p = h'
    assert torch.allclose(found, 1e3 - 1e3 * (1 + slope.square()) ** -1.5)


def test_a_field_takes_and_answers_in_the_users_units_also_in_float32():
    problem = pdespec.parse(heat(1e-6, 1e2, seconds=1e-3))
    batch = compiler.sample(problem, 2, FEW, seed())
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1)
    points = batch.points["rod"].points
    assert points.dtype == D and batch.inputs.values.dtype == torch.float32
    values = model(batch.inputs)(points)
    inner = model(batch.inputs).local(batch.local.points["rod"].points)
    assert values.dtype == D and torch.allclose(
        values,
        inner.double() * component_sizes(problem, scaled(problem)[0])[0],
        rtol=1e-4,
        atol=1e-5,
    )
    start = batch.points["rod@100"].points
    assert torch.allclose(
        model(batch.inputs)(start), batch.evaluate("u0", start[..., :1]), atol=1e-5
    )
    moved = batch.to(D).select([1])
    assert moved.inputs.local.points.dtype == D and torch.allclose(
        moved.points["rod"].points, points[1:]
    )


def test_blocks_give_the_same_terms_of_a_scaled_problem():
    problem = pdespec.parse(stars(1e-6, 0.0))
    batch = compiler.sample(problem, 2, FEW, seed(), dtype=D)
    field = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1).double()(
        batch.inputs
    )
    loss = compiler.compile(problem)
    blocks, whole = StepEngine(loss, 16)(field, batch), loss(field, batch)
    assert list(blocks) == list(whole)
    assert torch.allclose(torch.stack(list(blocks.values())), torch.stack(list(whole.values())))


def test_an_operator_made_by_hand_works_in_the_coordinates_it_was_made_for():
    problem = pdespec.parse(disk(1e-3, 0.0))
    batch = compiler.sample(problem, 1, FEW, seed(), dtype=D)
    box = ((-1.1e-3, -1.1e-3), (1.1e-3, 1.1e-3))
    model = GINO(
        batch.inputs.values.shape[-1],
        1,
        2,
        (8, 8),
        hidden=8,
        layers=1,
        modes=(3, 3),
        box=box,
        radius=6e-4,
    ).double()
    field = model(batch.inputs)
    rim = batch.points["boundary(Omega)"].points
    assert field(rim).abs().max() < 1e-12 * field(
        batch.points["Omega"].points
    ).abs().max().clamp_min(1e-6)
    assert compiler.compile(problem)(field, batch).total.isfinite()


@pytest.mark.parametrize("encoder", [{"radius": 6e-4}, EncoderOptions(radius=6e-4)])
def test_the_radius_of_an_encoder_is_a_length_of_the_user_as_that_of_the_decoder_is(encoder):
    small = {"latent": (8, 8), "hidden": 4, "layers": 1, "radius": 6e-4}
    model = compiler.build(pdespec.parse(disk(1e-3, 0.0)), "gino", encoder=encoder, **small)
    assert model.encoder.layer.radius == model.decoder.radius != (6e-4, 6e-4)


def test_what_the_user_replaces_in_an_input_counts():
    problem = pdespec.parse(disk(1e-3, 0.0))
    batch = compiler.sample(problem, 1, FEW, seed(), dtype=D)
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1).double()
    fixed = replace(batch.inputs, ansatz=Ansatz(lambda x: 7 * x[..., :1], lambda x: 0 * x[..., :1]))
    points = batch.points["Omega"].points
    for inputs in (fixed, fixed.to(D)):
        assert torch.allclose(model(inputs)(points), 7 * points[..., :1])


def test_an_instance_asks_its_functions_at_the_users_points_and_keeps_gradients():
    problem = pdespec.parse(stars(1.0, 1e7))
    strength = torch.ones((), dtype=D, requires_grad=True)
    seen = []

    def f(points: torch.Tensor) -> torch.Tensor:
        seen.append(points.detach())
        return strength * (points[..., :1] - 1e7)

    c = torch.tensor(0.1, dtype=D, requires_grad=True)
    batch = compiler.instance(
        problem, {"c": c, "k": 1.5}, {"f": f, "g": 0.25}, FEW, seed(), dtype=torch.float32
    )
    assert all(at.dtype == D and (at - 1e7).abs().max() < 3 for at in seen)
    assert batch.params["c"].item() == pytest.approx(0.1, abs=1e-6) and batch.params[
        "k"
    ].item() == pytest.approx(1.5)
    field = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1)(batch.inputs)
    values = field(batch.points["Omega"].points)
    slopes = torch.autograd.grad(values.sum(), [strength, c])
    assert all(slope.isfinite() and slope != 0 for slope in slopes)


@pytest.mark.parametrize(("s", "x0"), [(1e-9, 0.0), (1e6, 0.0), (1.0, 1e7)])
def test_the_reference_solver_meshes_in_scaled_coordinates(s, x0):
    def text(s: float, x0: float) -> str:
        return f"""
problem washer
space x, y
domain D = disk(radius = {s / 5!r}, center = [{x0 + s / 2!r}, {x0 + s / 2!r}])
domain Q = rectangle([{x0!r}, {x0!r}], [{x0 + s!r}, {x0 + s!r}]) - D
unknown u : scalar on Q
in Q: -lap(u) = {1 / s**2!r}
on boundary(Q): u = 0
"""

    values = []
    for problem in (pdespec.parse(text(1.0, 0.0)), pdespec.parse(text(s, x0))):
        batch = compiler.sample(problem, 1, FEW, seed(), dtype=D)
        values.append(compiler.solve(problem, batch, resolution=8)(batch.points["Q"].points))
    assert torch.allclose(values[0], values[1], rtol=1e-5, atol=1e-8)


def test_training_takes_the_same_steps_and_is_as_wrong_in_every_unit(tmp_path):
    histories, errors = [], []
    options = compiler.TrainOptions(steps=6, batch=2, validation=0, log_every=1, points=FEW)
    for k, (s, x0) in enumerate([(1.0, 0.0), (1e-6, 0.0), (1e3, 1e7)]):
        problem = pdespec.parse(disk(s, x0))
        model = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1)
        run = compiler.train(problem, model, options, tmp_path / str(k))
        histories.append([row["total"] for row in read_history(run.directory)])
        again = compiler.load_run(run.directory)
        batch = compiler.sample(problem, 1, FEW, seed())
        points = batch.points["Omega"].points
        truth = (s**2 - (points - x0).square().sum(-1, keepdim=True)) / 4
        with torch.no_grad():
            error = (again.model(batch.inputs)(points) - truth).norm() / truth.norm()
            assert torch.allclose(again.model(batch.inputs)(points), model(batch.inputs)(points))
        errors.append(float(error))
    assert histories[0][0] > histories[0][-1]
    for history, error in zip(histories[1:], errors[1:], strict=True):
        assert history == pytest.approx(histories[0], rel=1e-4) and error == pytest.approx(
            errors[0], rel=1e-3
        )


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_a_problem_that_its_lift_solves_trains(tmp_path, precision):
    problem = pdespec.parse("""
problem lifted
space x, y
domain Q = rectangle([0, 0], [1, 1])
unknown u : scalar on Q
in Q: lap(u) = 0
on boundary(Q): u = x
""")
    model = compiler.build(problem, "gino", latent=(8, 8), hidden=8, layers=1)
    options = compiler.TrainOptions(
        steps=3, batch=2, validation=0, log_every=1, points=FEW, precision=precision
    )
    run = compiler.train(problem, model, options, tmp_path / "run")
    batch = compiler.sample(problem, 2, FEW, seed(), dtype=getattr(torch, precision))
    points = batch.points["Q"].points
    assert all(0 < row["total"] < 1e-6 and row["gradient"] > 0 for row in run.history)
    assert torch.allclose(model(batch.inputs)(points), points[..., :1], atol=1e-5)


@pytest.mark.parametrize("lowest", [0.2, 0.71])
@pytest.mark.parametrize("size", [1e-9, 3.0, 0.2, 7.1, 1e6, 2.5e-300])
def test_a_decimal_size_is_the_power_of_ten_below(size, lowest):
    found = decimal(size, lowest)
    assert lowest * (1 - 1e-9) <= size / float(found) < 10 * lowest
    assert decimal(0.0, lowest) == 1 and decimal(math.inf, lowest) == 1


def test_no_decade_begins_between_sizes_that_are_close():
    for scale in (1.0, 1e-7, 1e5):
        sizes = [2.3 * scale, 1.8, 1.9 / scale]
        lowest = start_of_decade(sizes)
        assert [float(decimal(size, lowest)) for size in sizes] == pytest.approx(
            [scale, 1.0, 1 / scale]
        )


def test_a_bounded_term_says_nothing_of_the_size_of_what_it_holds():
    """No size of v makes cosh(sin(v)) as large as lap(w): a search for one went on to 1e157."""
    problem = pdespec.parse("""
problem bounded
space x, y
domain Omega = disk(radius = 6)
unknown v : scalar on Omega, w : scalar on Omega
in Omega: v - lap(v) = 0
in Omega: lap(w) = cosh(sin(v)) - w
on boundary(Omega): v = 1; w = y^2
""")
    frame, _ = scaled(problem)
    assert all(1 <= float(size) <= 100 for size in frame.fields.values()), frame
    assert compiler.compile(problem).residuals(
        lambda points: torch.cat([points.sin(), points.cos()], -1)[..., :2], torch.rand(1, 4, 2)
    )


def test_explain_says_in_what_a_problem_is_computed():
    text = compiler.compile(pdespec.parse(disk(1e-3, 0.0))).explain()
    assert "lengths in 0.001" in text and "u in 1e-06" in text
