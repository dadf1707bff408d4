"""Problems in time, periodic ones, and ones of third and fourth order, against manufactured and
closed-form solutions."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

from compiler import solve
from compiler.fem.errors import NoWeakForm, SolverError
from compiler.fem.solvers.time_stepping import SCHEMES
from pdespec import (
    Problem,
    div,
    dot,
    dt,
    dtt,
    grad,
    input_function,
    interval,
    lap,
    on,
    periodic,
    rectangle,
    rest,
    side,
    space,
    unit_normal,
    unknown,
)
from pdespec import at as at_time
from pdespec import boundary as whole_boundary
from pdespec import time as time_axis

from .cases import GivenBatch, errors, manufactured, orders, points_in

x, y = space("x y")
(s,) = space("s")
t = time_axis("t", 0, 1)
SQUARE = rectangle(x, y, (0, 0), (1, 1))
GAMMA = whole_boundary(SQUARE)
RING = periodic(interval(s, 0, 2 * sp.pi))


def in_time(
    problem, exact, steps, resolution, lower=(0, 0, 0), upper=(1, 1, 1), **options
) -> float:
    """Order in the time step."""
    batch, field = manufactured(problem, exact)
    found = [
        errors(problem, batch, field, points_in(lower, upper), [resolution], steps=n, **options)[
            0, 0
        ]
        for n in steps
    ]
    return float(orders(np.array(found), steps))


def integrals(sample, component: str, domain) -> np.ndarray:
    """The integral of a component over the domain at every time level."""
    place = sample.spaces.places[domain]
    table = place.tables[component]
    return np.array(
        [
            np.sum(np.einsum("aeq,ae->eq", table.jets[0], v[table.dofs]) * place.weights)
            for v in sample.vectors
        ]
    )


def heat() -> Problem:
    u, f, g = (
        unknown("u", SQUARE, time=t),
        input_function("f", SQUARE, time=t),
        input_function("g", GAMMA, time=t),
    )
    start = input_function("u0", SQUARE)
    k = 1 + x / 2
    return Problem(
        "heat",
        {"balance": (dt(u) - div(k * grad(u)), f)},
        [on(GAMMA, (u, g)), at_time(t, 0, (u, start))],
    )


HEAT = sp.sin(2 * x + y) * sp.cos(3 * t)


@pytest.mark.parametrize(("scheme", "steps"), [("sdirk4", (2, 4, 8)), ("midpoint", (8, 16, 32))])
def test_every_scheme_has_its_order_for_an_ordinary_differential_equation(scheme, steps):
    u, f, start = (
        unknown("u", RING, time=t),
        input_function("f", RING, time=t),
        input_function("u0", RING),
    )
    problem = Problem("ode", {"growth": (dt(u) + u**2, f)}, [at_time(t, 0, (u, start))])
    assert (
        in_time(problem, {"u": sp.cos(3 * t) + 2}, steps, 2, (0, 0), (6.28, 1), scheme=scheme)
        > SCHEMES[scheme].order - 0.25
    )


@pytest.mark.parametrize(("scheme", "steps"), [("sdirk4", (2, 4, 8)), ("midpoint", (12, 24, 48))])
def test_every_scheme_has_its_order_for_an_oscillator(scheme, steps):
    u = unknown("u", RING, time=t)
    problem = Problem("spring", {"motion": dtt(u) + 9 * u}, [at_time(t, 0, (u, 1), (dt(u), 3))])
    assert (
        in_time(
            problem,
            {"u": sp.cos(3 * t) + sp.sin(3 * t)},
            steps,
            2,
            (0, 0),
            (6.28, 1),
            scheme=scheme,
        )
        > SCHEMES[scheme].order - 0.25
    )


@pytest.mark.parametrize(("scheme", "least"), [("sdirk4", 2.3), ("midpoint", 1.85)])
def test_moving_boundary_values_reduce_the_order_of_the_heat_equation_no_further_than_known(
    scheme, least
):
    assert in_time(heat(), {"u": HEAT}, (4, 8, 16), 8, degree=3, scheme=scheme) > least


@pytest.mark.parametrize(
    ("degree", "resolutions"), [(1, (4, 8, 12)), (2, (2, 4, 6)), (3, (2, 4, 6))]
)
def test_the_heat_equation_converges_in_space(degree, resolutions):
    """Linear in time, for which the march is exact: nothing hides the error in space."""
    batch, exact = manufactured(heat(), {"u": sp.sin(4 * x + y) * (1 + t)})
    found = errors(
        heat(), batch, exact, points_in((0, 0, 0), (1, 1, 1)), resolutions, degree=degree, steps=4
    )
    assert orders(found, resolutions)[0] > degree + 0.75


def test_a_rate_in_a_natural_condition_is_carried_by_the_boundary():
    """A wall with its own heat capacity: dt(u) + n . grad(u) = h."""
    top = side(SQUARE, y=1)
    u, f, start = (
        unknown("u", SQUARE, time=t),
        input_function("f", SQUARE, time=t),
        input_function("u0", SQUARE),
    )
    g, h = input_function("g", rest(SQUARE, top), time=t), input_function("h", top, time=t)
    wall = on(top, (dt(u) + dot(grad(u), unit_normal(SQUARE)), h))
    problem = Problem(
        "wall",
        {"balance": (dt(u) - lap(u), f)},
        [on(rest(SQUARE, top), (u, g)), wall, at_time(t, 0, (u, start))],
    )
    batch, exact = manufactured(problem, {"u": sp.sin(3 * x + 2 * y) * (1 + t + t**2)})
    found = errors(problem, batch, exact, points_in((0, 0, 0), (1, 1, 1)), (2, 4, 6), steps=10)
    assert orders(found, (2, 4, 6))[0] > 2.75


def test_a_wave_leaves_through_an_absorbing_end():
    """The incoming half of a pulse leaves unreflected through dx(u) + dt(u) = 0."""
    line = interval(s, 0, 4)
    u, start, rate = (
        unknown("u", line, time=t),
        input_function("u0", line),
        input_function("u1", line),
    )
    left, right = side(line, s=0), side(line, s=4)
    ends = [on(left, (u, 0)), on(right, (sp.Derivative(u, s) + dt(u), 0))]
    problem = Problem(
        "wave", {"motion": (dtt(u), lap(u))}, [*ends, at_time(t, 0, (u, start), (dt(u), rate))]
    )
    batch, exact = manufactured(problem, {"u": sp.exp(-8 * (s - 3 - t) ** 2)})
    found = errors(problem, batch, exact, points_in((0, 0), (4, 1)), (24, 48), degree=3)
    assert found[1, 0] < 1e-3
    assert found[1, 0] < 0.2 * found[0, 0]


def test_the_wave_equation_keeps_its_energy_and_its_speed():
    u, start, rate = (
        unknown("u", RING, time=t),
        input_function("u0", RING),
        input_function("u1", RING),
    )
    problem = Problem(
        "wave", {"motion": (dtt(u), lap(u))}, [at_time(t, 0, (u, start), (dt(u), rate))]
    )
    assert (
        in_time(
            problem,
            {"u": sp.sin(2 * s - 2 * t)},
            (10, 20, 40),
            24,
            (0, 0),
            (6.28, 1),
            degree=3,
            scheme="midpoint",
        )
        > 1.9
    )


def test_transport_is_carried_without_loss():
    u, start = unknown("u", RING, time=t), input_function("u0", RING)
    problem = Problem(
        "transport", {"flow": dt(u) + 2 * sp.Derivative(u, s)}, [at_time(t, 0, (u, start))]
    )
    batch, exact = manufactured(problem, {"u": sp.exp(sp.sin(s - 2 * t))})
    truth = solve(problem, batch, resolution=40, steps=20)
    points = points_in((0, 0), (6.28, 1))
    assert (truth(points) - exact(points)).abs().max() < 4e-3
    masses = integrals(truth.samples[0], "u", RING)
    assert np.ptp(masses) < 1e-12 * abs(masses[0])


def test_a_soliton_of_korteweg_and_de_vries_travels_as_it_should():
    line = periodic(interval(s, -12, 12))
    u, start = unknown("u", line, time=t), input_function("u0", line)
    problem = Problem(
        "kdv",
        {"wave": dt(u) + 6 * u * sp.Derivative(u, s) + sp.Derivative(u, (s, 3))},
        [at_time(t, 0, (u, start))],
    )
    soliton = 2 / sp.cosh(s - 4 * t) ** 2
    batch, exact = manufactured(problem, {"u": soliton})
    found = errors(problem, batch, exact, points_in((-8, 0), (8, 1)), [64], degree=3, steps=40)
    assert found[0, 0] < 1e-2


def test_a_double_periodic_square_has_no_boundary():
    torus = periodic(rectangle(x, y, (0, 0), (2 * sp.pi, 2 * sp.pi)))
    u, f = unknown("u", torus), input_function("f", torus)
    problem = Problem("torus", {"balance": (u - div((2 + sp.sin(x)) * grad(u)), f)})
    batch, exact = manufactured(problem, {"u": sp.exp(sp.sin(x)) * sp.cos(2 * y)})
    found = errors(problem, batch, exact, points_in((0, 0), (6.28, 6.28)), (8, 12, 18), degree=2)
    assert orders(found, (8, 12, 18))[0] > 2.75


@pytest.mark.parametrize(
    ("support", "degree", "resolutions", "least"),
    [
        ("simply supported", 1, (8, 16, 24), 1.8),
        ("simply supported", 2, (4, 8, 16), 2.75),
        ("simply supported", 3, (3, 5, 8), 3.75),
        ("clamped", 2, (4, 8, 16), 1.8),
    ],
)
def test_a_plate_through_its_laplacian(support, degree, resolutions, least):
    u, f, g, h = (
        unknown("u", SQUARE),
        input_function("f", SQUARE),
        input_function("g", GAMMA),
        input_function("h", GAMMA),
    )
    exact = sp.sin(2 * x) * sp.exp(y)
    if support == "clamped":
        edges = [side(SQUARE, **{axis: place}) for axis in "xy" for place in (0, 1)]
        slopes = [input_function(f"h{k}", edge) for k, edge in enumerate(edges)]
        second = [
            on(edge, (dot(grad(u), unit_normal(SQUARE)), slope))
            for edge, slope in zip(edges, slopes, strict=True)
        ]
    else:
        second = [on(GAMMA, (lap(u), h))]
    problem = Problem("plate", {"bending": (lap(lap(u)), f)}, [on(GAMMA, (u, g)), *second])
    batch, field = manufactured(problem, {"u": exact})
    found = errors(problem, batch, field, points_in((0, 0), (1, 1)), resolutions, degree=degree)
    assert orders(found, resolutions)[0] > least


def test_cahn_hilliard_keeps_its_mass():
    torus = periodic(rectangle(x, y, (0, 0), (1, 1)))
    u, start = unknown("u", torus, time=t), input_function("u0", torus)
    problem = Problem(
        "cahn_hilliard",
        {"flow": (dt(u), lap(u**3 - u - lap(u) / 100) / 10)},
        [at_time(t, 0, (u, start))],
    )

    def wave(points):
        return 0.3 * torch.cos(2 * torch.pi * points).prod(-1, keepdim=True)

    truth = solve(problem, GivenBatch(1, {}, {"u0": wave}), resolution=8, steps=10)
    assert np.ptp(integrals(truth.samples[0], "u", torus)) < 1e-9
    assert not np.allclose(truth.samples[0].vectors[0], truth.samples[0].vectors[-1])


def test_what_cannot_be_marched_is_refused_with_its_reason():
    u = unknown("u", SQUARE, time=t)
    with pytest.raises(NoWeakForm, match="no initial condition for u"):
        solve(Problem("p", {"e": dt(u) - lap(u)}, [on(GAMMA, (u, 0))]), GivenBatch(), resolution=2)
    start = [on(GAMMA, (u, 0)), at_time(t, 0, (u, 0), (dt(u), 0))]
    with pytest.raises(SolverError, match="scheme is one of"):
        solve(Problem("p", {"e": dtt(u) - lap(u)}, start), GivenBatch(), resolution=2, scheme="rk4")
