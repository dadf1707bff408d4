"""Declared outputs against integrals worked out by SymPy and by hand, their derivatives against
closed forms."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import sympy as sp
import torch
from scipy.integrate import dblquad, quad

import compiler
import pdespec
from compiler.batches.sample import instance, sample
from compiler.functionals.outputs import FieldOutput, output
from pdespec import (
    Problem,
    ball,
    boundary,
    box,
    disk,
    integral,
    lap,
    on,
    param,
    rectangle,
    side,
    space,
    star,
    unit_normal,
    unknown,
)

D = torch.float64
EXAMPLES = sorted((Path(pdespec.__file__).parent.parent / "examples").glob("*.pde"))
x, y = space("x y")


def problem_of(domain, made, **keywords) -> Problem:
    u = unknown("u", domain)
    return Problem(
        "p", {"a": (lap(u), 1)}, [on(boundary(domain), (u, 0))], output=made(u), **keywords
    )


def value(made, field, domain=None, params=None) -> torch.Tensor:
    problem = problem_of(domain or rectangle(x, y, (0, 0), (2, 1)), lambda u: {"q": made(u)})
    return compiler.outputs(problem, field, instance(problem, params or {}, dtype=D))["q"]


def wave(points: torch.Tensor) -> torch.Tensor:
    return (points[..., :1] * points[..., 1:]).sin() + points[..., :1].exp()


SHAPE = sp.sin(x * y) + sp.exp(x)


def exact(density: sp.Expr) -> float:
    """The integral over [0, 2] x [0, 1], by SciPy."""
    return dblquad(sp.lambdify((y, x), density, "math"), 0, 2, 0, 1, epsabs=1e-12, epsrel=1e-12)[0]


def test_integrals_over_a_domain_and_a_side_equal_those_of_sympy():
    omega = rectangle(x, y, (0, 0), (2, 1))
    right = side(omega, x=2)
    n = unit_normal(omega)
    cases = {
        "mean square": (lambda u: integral(u**2, omega), exact(SHAPE**2)),
        "energy": (
            lambda u: integral(u.diff(x) ** 2 + u.diff(y) ** 2, omega),
            exact(SHAPE.diff(x) ** 2 + SHAPE.diff(y) ** 2),
        ),
        "flux": (
            lambda u: integral(u.diff(x) * n[0] + u.diff(y) * n[1], right),
            exact(SHAPE.diff(x).subs(x, 2)) / 2,
        ),
        "curvature": (
            lambda u: integral(lap(u), omega),
            exact(SHAPE.diff(x, 2) + SHAPE.diff(y, 2)),
        ),
    }
    for name, (made, expected) in cases.items():
        found = value(made, wave, omega)
        assert found.shape == (1,) and found.item() == pytest.approx(expected, rel=1e-9), name


def test_values_at_points_ratios_and_integrals_of_integrals():
    omega = rectangle(x, y, (0, 0), (2, 1))
    at = {x: sp.Rational(1, 2), y: 1}
    assert value(lambda u: u.subs(at), wave).item() == pytest.approx(
        float(SHAPE.subs(at)), rel=1e-12
    )
    assert value(lambda u: u.diff(x).subs(at), wave).item() == pytest.approx(
        float(SHAPE.diff(x).subs(at)), rel=1e-12
    )
    total, square = (exact(e) for e in (SHAPE, SHAPE**2))
    variance = value(
        lambda u: integral((u - integral(u, omega) / integral(1, omega)) ** 2, omega) / 2, wave
    )
    assert variance.item() == pytest.approx(square / 2 - (total / 2) ** 2, rel=1e-9)
    vector = value(
        lambda u: sp.ImmutableMatrix([integral(u, omega), sp.sqrt(integral(u**2, omega))]), wave
    )
    assert vector.shape == (1, 2) and vector[0].tolist() == pytest.approx(
        [total, math.sqrt(square)], rel=1e-9
    )


def test_an_output_that_varies_in_space_is_a_function_of_points():
    found = value(lambda u: pdespec.grad(u) * 2, wave)
    assert isinstance(found, FieldOutput)
    points = torch.rand(1, 5, 2, dtype=D)
    slopes = sp.lambdify((x, y), [2 * SHAPE.diff(x), 2 * SHAPE.diff(y)], "math")
    expected = torch.tensor([slopes(*row) for row in points[0].tolist()], dtype=D)
    assert found(points).shape == (1, 5, 2) and torch.allclose(
        found(points)[0], expected, rtol=1e-12
    )


R = param("r", 0.7)
DOMAINS = {
    "disk": (
        disk(x, y, radius=R),
        lambda r: math.pi * r**4 / 2,
        lambda r: 2 * math.pi * r**3,
        lambda r: 2 * math.pi * r**3,
    ),
    "star": (
        star(x, y, radius=lambda theta: R),
        lambda r: math.pi * r**4 / 2,
        lambda r: 2 * math.pi * r**3,
        lambda r: 2 * math.pi * r**3,
    ),
    "hole": (
        rectangle(x, y, (-1, -1), (1, 1)) - disk(x, y, radius=R),
        lambda r: 8 / 3 - math.pi * r**4 / 2,
        lambda r: -2 * math.pi * r**3,
        lambda r: 4 * 8 / 3 + 2 * math.pi * r**3,
    ),
}


@pytest.mark.parametrize("name", DOMAINS)
def test_integrals_follow_the_shape(name):
    """Of r^2 over the domain and its boundary: values and derivatives in the radius of the
    shape, by hand."""
    domain, inside, slope, around = DOMAINS[name]
    problem = problem_of(
        domain, lambda u: {"in": integral(u, domain), "on": integral(u, boundary(domain))}
    )
    radius = torch.tensor([0.6], dtype=D, requires_grad=True)
    batch = instance(problem, {"r": 0.6}, dtype=D, hard_conditions=False)
    batch = batch.map(
        lambda tensor: radius if tensor.shape == (1,) and float(tensor) == 0.6 else tensor
    )
    found = compiler.outputs(problem, lambda points: points.square().sum(-1, keepdim=True), batch)
    assert found["in"].item() == pytest.approx(inside(0.6), rel=2e-6) and found[
        "on"
    ].item() == pytest.approx(around(0.6), rel=1e-8)
    (d_in,) = torch.autograd.grad(found["in"], radius, retain_graph=True)
    (d_on,) = torch.autograd.grad(found["on"], radius)
    h = 1e-5
    assert d_in.item() == pytest.approx(slope(0.6), rel=1e-5)
    assert d_on.item() == pytest.approx((around(0.6 + h) - around(0.6 - h)) / (2 * h), rel=1e-5)


a, b, c = space("a b c")
SURFACES = {
    "ball": (ball(a, b, c, radius=R), lambda r: 4 * math.pi * r**4),
    "a box with a hole": (
        box(a, b, c, (-1, -1, -1), (1, 1, 1)) - ball(a, b, c, radius=R),
        lambda r: 6 * (4 + 8 / 3) + 4 * math.pi * r**4,
    ),
    "half a ball": (
        ball(a, b, c, radius=R) & box(a, b, c, (-2, -2, 0), (2, 2, 2)),
        lambda r: 2 * math.pi * r**4 + math.pi * r**4 / 2,
    ),
}


@pytest.mark.parametrize("name", SURFACES)
def test_integrals_over_surfaces_follow_the_shape(name):
    domain, around = SURFACES[name]
    u = unknown("u", domain)
    problem = Problem(
        "p",
        {"a": (lap(u), 1)},
        [on(boundary(domain), (u, 0))],
        output={"on": integral(u, boundary(domain))},
    )
    radius = torch.tensor([0.6], dtype=D, requires_grad=True)
    batch = instance(problem, {"r": 0.6}, dtype=D, hard_conditions=False)
    batch = batch.map(
        lambda tensor: radius if tensor.shape == (1,) and float(tensor) == 0.6 else tensor
    )
    found = compiler.outputs(problem, lambda points: points.square().sum(-1, keepdim=True), batch)[
        "on"
    ]
    (slope,) = torch.autograd.grad(found, radius)
    assert found.item() == pytest.approx(around(0.6), rel=1e-5)
    assert slope.item() == pytest.approx((around(0.6 + 1e-5) - around(0.6 - 1e-5)) / 2e-5, rel=1e-4)


def test_an_integral_over_cut_curves_of_any_speed():
    """Half a star: the part of its edge above the axis, and the side that cuts it."""
    wavy = star(x, y, radius=lambda theta: 1 + sp.cos(4 * theta) / 5)
    half = wavy & rectangle(x, y, (-2, 0), (2, 2))
    theta = sp.Symbol("theta")
    r = 1 + sp.cos(4 * theta) / 5
    arc = quad(
        sp.lambdify(theta, r**2 * sp.sqrt(r**2 + r.diff(theta) ** 2), "math"),
        0,
        math.pi,
        epsabs=1e-11,
    )[0]
    found = value(
        lambda u: integral(u, boundary(half)),
        lambda points: points.square().sum(-1, keepdim=True),
        half,
    )
    assert found.item() == pytest.approx(arc + 2 * 1.2**3 / 3, rel=1e-6)


def wavy_square() -> float:
    """x^2 over r < 1 + cos(4 theta)/5."""
    return quad(
        lambda t: (1 + math.cos(4 * t) / 5) ** 4 / 4 * math.cos(t) ** 2,
        0,
        2 * math.pi,
        epsabs=1e-13,
    )[0]


def on_ellipsoid() -> float:
    """x^2 over the surface of half axes 1, 1/2, 3/10, by height h and angle t."""

    def density(t: float, h: float) -> float:
        w = 1 - h * h
        area = w * ((0.15 * math.cos(t)) ** 2 + (0.3 * math.sin(t)) ** 2) + (0.5 * h) ** 2
        return w * math.cos(t) ** 2 * math.sqrt(area)

    return dblquad(density, -1, 1, 0, 2 * math.pi, epsabs=1e-12)[0]


ELLIPSOID = "ellipsoid(radii = [1, 0.5, 0.3])"
SECOND_MOMENTS = {
    "extruded(star(radius = 1 + 0.2*cos(4*theta)), 2)": (2 * wavy_square(), None, 1e-10),
    ELLIPSOID: (4 / 3 * math.pi * 0.15 / 5, on_ellipsoid(), 1e-10),
    f"scaled({ELLIPSOID}, 3)": (3**5 * 4 / 3 * math.pi * 0.15 / 5, 81 * on_ellipsoid(), 1e-10),
    "ball(radius = 1)": (4 / 15 * math.pi, 4 / 3 * math.pi, 1e-10),
    "rotated(cylinder(radius = 1, height = 2), pi/7)": (math.pi / 2, 5 / 2 * math.pi, 1e-6),
    # whose coarsest mesh has more nodes than would do for most
    f"exterior({ELLIPSOID}, farfield = ball(radius = 3))": (
        4 / 15 * math.pi * (3**5 - 0.15),
        4 / 3 * math.pi * 3**4 + on_ellipsoid(),
        1e-2,
    ),
}


@pytest.mark.parametrize("shape", SECOND_MOMENTS)
def test_second_moments_of_solids_and_their_surfaces(shape):
    within, around, tolerance = SECOND_MOMENTS[shape]
    problem = pdespec.parse(
        f"problem p\nspace x, y, z\ndomain B = {shape}\nunknown u : scalar on B\nin B: lap(u) ="
        " 1\non boundary(B): u = 0\noutput within := integral(x^2, B)\noutput around :="
        " integral(x^2, boundary(B))"
    )
    found = compiler.outputs(problem, lambda p: p[..., :1], instance(problem, {}, dtype=D))
    assert found["within"].item() == pytest.approx(within, rel=tolerance)
    if around is not None:
        assert found["around"].item() == pytest.approx(around, rel=min(1e-6, 10 * tolerance))


def test_outputs_are_differentiable_in_the_field():
    weight = torch.tensor(0.3, dtype=D, requires_grad=True)
    omega = rectangle(x, y, (0, 0), (2, 1))
    found = value(
        lambda u: integral(u.diff(x) ** 2, omega),
        lambda points: weight * points[..., :1] ** 2 + 0 * points[..., 1:],
        omega,
    )
    (slope,) = torch.autograd.grad(found.sum(), weight)
    assert found.item() == pytest.approx(0.09 * 4 * 8 / 3) and slope.item() == pytest.approx(
        0.6 * 4 * 8 / 3
    )


def test_in_time_an_integral_is_that_at_the_end_or_at_the_times_asked_for():
    problem = pdespec.load(EXAMPLES[0].parent / "kdv.pde")
    batch = sample(problem, 2, generator=torch.Generator().manual_seed(0), dtype=D)
    (low,), (high,) = (each.tolist() for each in batch.geometry["L"].box())
    end = float(problem.time.end)
    field = lambda points: points[..., 1:] * (1 + 0 * points[..., :1])  # noqa: E731 - u = t
    found = compiler.outputs(problem, field, batch)
    assert found["mass"].tolist() == pytest.approx([end * (high - low)] * 2)
    several = compiler.outputs(problem, field, batch, times=[0.0, end / 2])
    assert several["mass"].shape == (2, 2) and several["mass"][0].tolist() == pytest.approx(
        [0, end * (high - low) / 2]
    )
    assert several["energy"][1].tolist() == pytest.approx([0, -((end / 2) ** 3) * (high - low)])


def test_values_at_points_are_written_in_texts():
    text = """
problem probe
space    x
time     t in [0, 2]
domain   L = interval(0, 1)
param    a = 0.5
unknown  u : scalar on L
in L: dt(u) = dxx(u)
on boundary(L): u = 0
at t = 0: u = x
output middle := u(a)
output early  := u(0.25, 1)
"""
    problem = pdespec.parse(text)
    found = compiler.outputs(
        problem,
        lambda points: points[..., :1] + 10 * points[..., 1:],
        instance(problem, {"a": 0.125}, dtype=D),
    )
    assert found["middle"].tolist() == [20.125] and found["early"].tolist() == [10.25]


def test_expressions_at_a_point_are_written_in_texts():
    """Derivatives, gradients, coordinates and params at a point of space and of space and time."""
    text = """
problem p
space x, y
time t in [0, 2]
param a = 1/2
domain Q = rectangle([0, 0], [2, 1])
unknown u : scalar on Q
in Q: dt(u) = lap(u)
on boundary(Q): u = 0
at t = 0: u = 0
output slope := at(x*dx(u)^2 + a*dxy(u), [1, a])
output rise := at(grad(u), [1, 1/4, 1/2])
output balance := at(div((1 + u^2)*grad(u)), [1, a]) - 2*at(u, [1, a])
"""
    problem = pdespec.parse(text)
    assert (t := problem.time) is not None
    a = problem.params["a"].symbol
    u = problem.unknowns["u"].symbol
    here = {x: 1, y: a}
    built = Problem(
        "p",
        {"eq1": (u.diff(t), lap(u))},
        [*problem.conditions.values()],
        output={
            "slope": pdespec.value_at(x * u.diff(x) ** 2 + a * u.diff(x, y), here),
            "rise": pdespec.value_at(pdespec.grad(u), {x: 1, y: 0.25, t: 0.5}),
            "balance": pdespec.value_at(pdespec.div((1 + u**2) * pdespec.grad(u)), here)
            - 2 * pdespec.value_at(u, here),
        },
    )
    assert dict(built.outputs) == {n: replace(o, span=None) for n, o in problem.outputs.items()}
    assert pdespec.parse(problem.to_dsl()) == problem
    assert pdespec.parse(built.to_dsl()).outputs == problem.outputs
    assert r"\right|_{(1, a)}" in problem.to_latex()

    form = sp.sin(x * y) * sp.exp(-t) + x**2
    found = compiler.outputs(
        problem,
        lambda p: (p[..., :1] * p[..., 1:2]).sin() * (-p[..., 2:]).exp() + p[..., :1] ** 2,
        instance(problem, {"a": 0.5}, dtype=D),
    )
    place = {x: 1, y: sp.Rational(1, 2), t: 2, a: sp.Rational(1, 2)}

    def of(expression: sp.Expr, at: dict = place) -> float:
        return float(expression.doit().subs(at))

    assert found["slope"].item() == pytest.approx(
        of(x * form.diff(x) ** 2 + a * form.diff(x, y)), rel=1e-12
    )
    moment = {x: 1, y: sp.Rational(1, 4), t: sp.Rational(1, 2)}
    assert found["rise"][0].tolist() == pytest.approx(
        [of(form.diff(each), moment) for each in (x, y)], rel=1e-12
    )
    flux = [(1 + form**2) * form.diff(each) for each in (x, y)]
    assert found["balance"].item() == pytest.approx(
        of(flux[0].diff(x) + flux[1].diff(y) - 2 * form), rel=1e-12
    )


def test_a_reference_solution_has_outputs_with_its_own_gradients():
    """-lap u = 1 on the unit disk: u = (1 - r^2)/4, its integral pi/8, its flux -pi, its energy
    pi/8."""
    omega = disk(x, y)
    n = unit_normal(omega)
    u = unknown("u", omega)
    flux = integral(u.diff(x) * n[0] + u.diff(y) * n[1], boundary(omega))
    stated = {
        "total": integral(u, omega),
        "flux": flux,
        "energy": integral(u.diff(x) ** 2 + u.diff(y) ** 2, omega),
        "q": u.diff(x),
    }
    problem = Problem("p", {"a": (-lap(u), 1)}, [on(boundary(omega), (u, 0))], output=stated)
    batch = sample(problem, 2, generator=torch.Generator().manual_seed(0), dtype=D)
    truth = compiler.solve(problem, batch, resolution=16)
    found = compiler.outputs(problem, truth, batch)
    assert found["total"].tolist() == pytest.approx([math.pi / 8] * 2, rel=1e-4)
    assert found["flux"].tolist() == pytest.approx([-math.pi] * 2, rel=1e-3)
    assert found["energy"].tolist() == pytest.approx([math.pi / 8] * 2, rel=1e-3)
    points = torch.rand(2, 7, 2, dtype=D) / 2
    assert torch.allclose(found["q"](points), -points[..., 0] / 2, atol=1e-3)


@pytest.mark.parametrize(
    "path",
    [each for each in EXAMPLES if "\noutput " in each.read_text()],
    ids=lambda path: path.stem,
)
def test_the_outputs_of_every_example_are_numbers_or_functions(path):
    problem = pdespec.load(path)
    if any(declaration.law is None for declaration in problem.inputs.values()):
        pytest.skip("its inputs are read from files")
    few = {"interior": 8, "boundary": 8, "initial": 8, "operator": 8}
    batch = sample(problem, 2, few, generator=torch.Generator().manual_seed(0), dtype=D)
    count = len(problem.components)
    powers = torch.arange(1, count + 1, dtype=D)
    found = compiler.outputs(
        problem, lambda points: 1 + 0.1 * (points.sum(-1, keepdim=True) * powers / 50).sin(), batch
    )
    assert set(found) == set(problem.outputs)
    for name, value in found.items():
        rank = getattr(problem.outputs[name].value, "shape", ())
        shape = () if not rank else rank[:1] if rank[1] == 1 else rank
        result = (
            value(next(iter(batch.points.values())).points)
            if isinstance(value, FieldOutput)
            else value
        )
        assert (
            result.shape == ((2, 8, *shape) if isinstance(value, FieldOutput) else (2, *shape))
            and result.isfinite().all()
        )


@pytest.mark.parametrize(
    ("shape", "length", "first", "ends"),
    [
        ("interval(0, 3) - interval(1, 2)", 2, 3, 6),
        ("interval(0, 1) + interval(1, 2)", 2, 2, 4),
        ("interval(0, 2) & interval(1, 3)", 1, 1.5, 3),
    ],
)
def test_combined_intervals_are_integrated_and_solved_on(shape, length, first, ends):
    problem = pdespec.parse(f"""
problem gap
space x
domain L = {shape}
unknown u : scalar on L
in L: dxx(u) = 1
on boundary(L): u = 0
output length := integral(1, L)
output first  := integral(x, L)
output ends   := integral(u*n.x + 1, boundary(L))
""")
    batch = sample(problem, 1, dtype=D)
    found = compiler.outputs(problem, lambda points: points, batch)
    assert [float(found[name]) for name in problem.outputs] == pytest.approx([length, first, ends])
    x = batch.points["L"].points
    # every part is one unit long, but for that of the union
    low, high = torch.floor(x), torch.ceil(x)
    if "+" in shape:
        low, high = 0 * x, 0 * x + 2
    assert torch.allclose(
        compiler.solve(problem, batch, resolution=4)(x), (x - low) * (x - high) / 2, atol=1e-12
    )


def test_a_name_that_is_no_output_is_refused():
    problem = problem_of(rectangle(x, y), lambda u: {"lift": u})
    with pytest.raises(
        pdespec.ProblemError, match=r"S01.*no output `lft`[\s\S]*did you mean `lift`"
    ):
        output(problem, "lft", wave, instance(problem, {}, dtype=D))
