"""Manufactured solutions of many kinds of problem: the fitted order of every element is what the
theory says."""

from __future__ import annotations

import pytest
import sympy as sp

from compiler import solve
from compiler.fem.forms.weak import weak_form
from pdespec import (
    Problem,
    advect,
    box,
    const,
    det,
    disk,
    div,
    dot,
    grad,
    identity,
    input_function,
    integral,
    interval,
    lap,
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
from pdespec import boundary as whole_boundary

from .cases import GivenBatch, errors, manufactured, orders, points_in

x, y = space("x y")
SQUARE = rectangle(x, y, (0, 0), (1, 1))
GAMMA = whole_boundary(SQUARE)
TOP, REST = side(SQUARE, y=1), rest(SQUARE, side(SQUARE, y=1))
SMOOTH = sp.sin(2 * x + 1) * sp.cos(3 * y) + x * y


def fitted(
    problem, exact, resolutions, lower=(0, 0), upper=(1, 1), params=None, **options
) -> dict[str, float]:
    batch, field = manufactured(problem, exact, params)
    """Order of convergence of every component."""
    found = orders(
        errors(problem, batch, field, points_in(lower, upper), resolutions, **options), resolutions
    )
    return dict(zip(problem.components, found, strict=True))


def poisson() -> Problem:
    u, f, g, h = (
        unknown("u", SQUARE),
        input_function("f", SQUARE),
        input_function("g", REST),
        input_function("h", TOP),
    )
    k = 1 + x * y + u**2
    conditions = [
        on(REST, sp.Eq(u, g)),
        on(TOP, sp.Eq(k * dot(grad(u), unit_normal(SQUARE)) + 3 * u, h)),
    ]
    return Problem("poisson", {"balance": sp.Eq(-div(k * grad(u)), f)}, conditions)


@pytest.mark.parametrize(
    ("degree", "cell", "resolutions"),
    [
        (1, "simplex", (8, 16, 24)),
        (2, "simplex", (6, 9, 14)),
        (3, "simplex", (4, 6, 9)),
        (1, "brick", (8, 16, 24)),
        (2, "brick", (6, 9, 14)),
    ],
)
def test_poisson_with_a_robin_side(degree, cell, resolutions):
    assert (
        fitted(poisson(), {"u": SMOOTH}, resolutions, degree=degree, cell=cell)["u"] > degree + 0.8
    )


@pytest.mark.parametrize(
    ("degree", "resolutions"), [(1, (10, 20, 40)), (2, (10, 20, 40)), (3, (6, 12, 24))]
)
def test_poisson_on_an_interval(degree, resolutions):
    (s,) = space("s")
    line = interval(s, 0, 2)
    u, f = unknown("u", line), input_function("f", line)
    g = input_function("g", whole_boundary(line))
    problem = Problem(
        "line",
        {"balance": sp.Eq(u - div((1 + s) * grad(u)), f)},
        [on(whole_boundary(line), sp.Eq(u, g))],
    )
    assert (
        fitted(problem, {"u": sp.sin(3 * s)}, resolutions, (0,), (2,), degree=degree)["u"]
        > degree + 0.8
    )


@pytest.mark.parametrize(
    ("degree", "cell", "resolutions"),
    [(1, "simplex", (3, 6, 9)), (2, "simplex", (2, 3, 5)), (2, "brick", (2, 3, 5))],
)
def test_poisson_in_a_box(degree, cell, resolutions):
    a, b, c = space("a b c")
    cube = box(a, b, c)
    u, f, g = (
        unknown("u", cube),
        input_function("f", cube),
        input_function("g", whole_boundary(cube)),
    )
    problem = Problem(
        "cube", {"balance": sp.Eq(-lap(u), f)}, [on(whole_boundary(cube), sp.Eq(u, g))]
    )
    exact = {"u": sp.sin(a + 1) * sp.cos(2 * b) * sp.exp(c)}
    assert (
        fitted(problem, exact, resolutions, (0, 0, 0), (1, 1, 1), degree=degree, cell=cell)["u"]
        > degree + 0.7
    )


def elasticity() -> Problem:
    v, f, g = (
        unknown("v", SQUARE, "vector"),
        input_function("f", SQUARE, rank="vector"),
        input_function("g", REST, rank="vector"),
    )
    h = input_function("h", TOP, rank="vector")
    lame = param("L", uniform(1, 2))
    sigma = 2 * sym(grad(v)) + lame * div(v) * identity(2)
    conditions = [on(REST, (v, g)), on(TOP, (sigma * unit_normal(SQUARE), h))]
    return Problem("elasticity", {"balance": (div(sigma), f)}, conditions)


@pytest.mark.parametrize(
    ("degree", "resolutions"), [(1, (8, 12, 18)), (2, (5, 8, 12)), (3, (3, 5, 8))]
)
def test_elasticity_with_traction(degree, resolutions):
    exact = {"v.x": sp.sin(2 * x) * y, "v.y": sp.cos(x + 2 * y)}
    assert (
        min(fitted(elasticity(), exact, resolutions, params={"L": 1.5}, degree=degree).values())
        > degree + 0.75
    )


def neo_hookean() -> Problem:
    v, f, g = (
        unknown("v", SQUARE, "vector"),
        input_function("f", SQUARE, rank="vector"),
        input_function("g", GAMMA, rank="vector"),
    )
    mu, lame = const("mu", 1), const("L", 2)
    F = identity(2) + grad(v)
    J = det(F)
    psi = mu / 2 * (tr(F.T * F) - 2 - 2 * sp.log(J)) + lame / 2 * sp.log(J) ** 2
    return Problem(
        "neo_hookean",
        conditions=[on(GAMMA, (v, g))],
        minimize=integral(psi - dot(f, v), SQUARE),
        require=[J > 0],
    )


@pytest.mark.parametrize(
    ("degree", "resolutions"), [(1, (8, 12, 18)), (2, (5, 8, 12)), (3, (3, 5, 8))]
)
def test_neo_hookean_from_its_energy(degree, resolutions):
    exact = {"v.x": sp.sin(2 * x) * y / 5, "v.y": sp.cos(x + 2 * y) / 8}
    assert min(fitted(neo_hookean(), exact, resolutions, degree=degree).values()) > degree + 0.75


def stokes(steady_inertia: int = 0) -> Problem:
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    f, g = input_function("f", SQUARE, rank="vector"), input_function("g", GAMMA, rank="vector")
    momentum = steady_inertia * advect(v, v) - lap(v) + grad(p)
    return Problem(
        "stokes",
        {"momentum": (momentum, f), "continuity": div(v)},
        [on(GAMMA, (v, g))],
        require=[sp.Eq(integral(p, SQUARE), 0)],
    )


@pytest.mark.parametrize(
    ("inertia", "degree", "resolutions"),
    [(0, 2, (4, 8, 12)), (0, 3, (6, 10, 14)), (10, 2, (4, 8, 12))],
)
def test_stokes_and_navier_stokes_with_taylor_hood(inertia, degree, resolutions):
    stream = sp.sin(2 * x) * sp.exp(y)
    exact = {"v.x": sp.diff(stream, y), "v.y": -sp.diff(stream, x), "p": sp.cos(sp.pi * x) * y**2}
    found = fitted(stokes(inertia), exact, resolutions, degree=degree)
    assert min(found["v.x"], found["v.y"]) > degree + 0.75
    assert found["p"] > degree - 0.25


def stationary_energy(density, multiplier) -> tuple[Problem, dict]:
    """`density(grad v, p) - f.v` made stationary, and an isochoric deformation with a pressure."""
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    f, g = input_function("f", SQUARE, rank="vector"), input_function("g", GAMMA, rank="vector")
    conditions = [on(GAMMA, (v, g))]
    energy = integral(density(grad(v)) + multiplier(grad(v), p) - dot(f, v), SQUARE)
    exact = {"v.x": sp.sin(2 * y) / 3, "v.y": sp.Integer(0), "p": sp.cos(sp.pi * x) * y**2}
    return Problem(
        "saddle", conditions=conditions, stationary=energy, require=[sp.Eq(integral(p, SQUARE), 0)]
    ), exact


def viscous(gradient):
    return sum(entry**2 for entry in gradient) / 2


def rubber(gradient):
    F = identity(2) + gradient
    return (tr(F.T * F) - 2) / 2


@pytest.mark.parametrize(
    ("density", "multiplier"),
    [(viscous, lambda G, p: -p * tr(G)), (rubber, lambda G, p: p * (det(identity(2) + G) - 1))],
    ids=["Stokes", "incompressible elasticity"],
)
def test_the_multiplier_of_an_energy_makes_a_taylor_hood_pair(density, multiplier):
    problem, exact = stationary_energy(density, multiplier)
    assert weak_form(problem).spaces["p"].below == 1
    found = fitted(problem, exact, (4, 6, 9))
    assert found["v.x"] > 2.75
    assert found["p"] > 1.75


def test_a_pressure_that_resists_changes_of_volume_does_not_lock():
    """p (J - 1) - p^2 / (2 kappa): the pair is stable for any kappa, so that the pressure stays
    of the size of the load."""
    kappa = 10**8
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    density = rubber(grad(v)) + p * (det(identity(2) + grad(v)) - 1) - p**2 / (2 * kappa)
    load = sp.Matrix([sp.sin(3 * y), sp.cos(4 * x)])
    problem = Problem(
        "block", conditions=[on(REST, (v, 0))], stationary=integral(density - dot(load, v), SQUARE)
    )
    points = points_in((0.02, 0.02), (0.98, 0.98))
    fine = solve(problem, GivenBatch(), resolution=24)(points)
    coarse, finer = errors(problem, GivenBatch(), lambda at: fine, points, (4, 8))
    assert coarse[2] < 0.1 * fine[..., 2].abs().max()
    assert finer[2] < 0.4 * coarse[2]
    assert finer[:2].max() < 0.01 * fine[..., :2].abs().max()


def darcy() -> Problem:
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    f, g, h = input_function("f", SQUARE), input_function("g", REST), input_function("h", TOP)
    k = 1 + x + y**2
    conditions = [on(REST, sp.Eq(p, g)), on(TOP, sp.Eq(dot(v, unit_normal(SQUARE)), h))]
    return Problem("darcy", {"law": (v, -k * grad(p)), "balance": sp.Eq(div(v), f)}, conditions)


@pytest.mark.parametrize(
    ("degree", "resolutions"), [(1, (8, 12, 18)), (2, (5, 8, 12)), (3, (3, 5, 8))]
)
def test_darcy_in_mixed_form(degree, resolutions):
    p = sp.sin(2 * x) * sp.cos(3 * y)
    k = 1 + x + y**2
    found = fitted(
        darcy(),
        {"v.x": -k * sp.diff(p, x), "v.y": -k * sp.diff(p, y), "p": p},
        resolutions,
        degree=degree,
    )
    assert found["p"] > degree + 0.75
    assert min(found["v.x"], found["v.y"]) > degree - 0.25


def test_sliding_on_a_curved_wall():
    """v = (x, y) in the unit disk: v . n = 1 on the rim, and its stress is isotropic, so the
    wall pulls along nothing."""
    round_ = disk(x, y)
    v, n = unknown("v", round_, "vector"), unit_normal(round_)
    problem = Problem(
        "slide",
        {"balance": (v - div(2 * sym(grad(v))), sp.Matrix([x, y]))},
        [on(whole_boundary(round_), (dot(v, n), 1))],
    )
    points = points_in((-0.7, -0.7), (0.7, 0.7))
    assert (solve(problem, GivenBatch(), resolution=6)(points) - points).abs().max() < 1e-10
