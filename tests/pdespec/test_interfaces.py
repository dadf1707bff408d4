"""Jumps of coefficients: where they are found, and what follows there."""

from __future__ import annotations

import pytest
import sympy as sp

import pdespec
from pdespec import (
    Problem,
    ProblemError,
    boundary,
    check,
    div,
    dot,
    grad,
    interface,
    interval,
    on,
    param,
    rectangle,
    side,
    space,
    sym,
    time,
    tr,
    uniform,
    unit_normal,
    unknown,
)
from pdespec.calculus import Minus, Plus
from pdespec.geometry import Domain
from pdespec.rules.subdomains import merged
from pdespec.statements.interfaces import flux_conditions, interfaces, levels, torn
from pdespec.statements.statements import inside
from pdespec.symbols import input_function

x, y = space("x y")
Omega = rectangle(x, y, [0, 0], [1, 2], name="Omega")
Gamma = boundary(Omega)
u = unknown("u", Omega)
n = unit_normal(Omega)
c = param("c", uniform(0.5, 1.5))
z = input_function("z", Omega, pdespec.grf(length=sp.Rational(1, 2)))


def stated(k, u=u, Gamma=Gamma) -> Problem:
    return Problem("p", {"heat": (div(k * grad(u)), 1)}, [on(Gamma, u)])


def places(problem: Problem) -> list[str]:
    return [region.name for region in interfaces(problem)]


@pytest.mark.parametrize(
    ("k", "expected"),
    [
        (sp.Piecewise((2, y < 1), (1, True)), ["interface(Omega, y - 1)"]),
        (sp.Piecewise((2, y <= 1), (1, True)), ["interface(Omega, y - 1)"]),
        (1 + sp.Heaviside(2 - 2 * y), ["interface(Omega, y - 1)"]),
        (2 + sp.sign(y - c), ["interface(Omega, y - c)"]),
        (
            sp.Piecewise((3, x**2 + y**2 < sp.Rational(1, 4)), (1, True)),
            ["interface(Omega, 4*x^2 + 4*y^2 - 1)"],
        ),
        (
            sp.Piecewise((3, y < sp.Rational(1, 2)), (2, y < 1), (1, True)),
            ["interface(Omega, 2*y - 1)", "interface(Omega, y - 1)"],
        ),
        (1 + sp.floor(2 * y), ["interface(Omega, sin(2*pi*y))"]),
        (sp.Piecewise((12, z > 0), (3, True)), ["interface(Omega, z)"]),
        (1 + sp.Abs(y - 1), []),
        (sp.Piecewise((2, c < 1), (1, True)), []),
    ],
)
def test_the_places_where_a_coefficient_jumps_are_found(k, expected):
    assert sorted(places(stated(k))) == sorted(expected)


def test_the_flux_is_continuous_where_its_coefficient_jumps():
    k = sp.Piecewise((sp.Rational(69, 50), y < 1), (400, True))
    condition = flux_conditions(stated(k))["heat.flux"]
    normal_flux = k * n[0] * sp.Derivative(u, x) + k * n[1] * sp.Derivative(u, y)
    assert (
        sp.expand(condition.lhs - (Plus(sp.expand(normal_flux)) - Minus(sp.expand(normal_flux))))
        == 0
    )
    assert condition.region == interface(Omega, y - 1)


def test_a_source_that_jumps_asks_for_nothing():
    assert not flux_conditions(
        Problem("p", {"a": (div(grad(u)), sp.Piecewise((1, y < 1), (0, True)))}, [on(Gamma, u)])
    )


def test_a_vector_equation_keeps_its_traction():
    v = unknown("v", Omega, rank="vector")
    mu = sp.Piecewise((1, y < 1), (5, True))
    strain = sym(grad(v))
    problem = Problem(
        "p", {"a": (div(2 * mu * strain + mu * tr(strain) * sp.eye(2)), 0)}, [on(Gamma, (v, 0))]
    )
    assert flux_conditions(problem)["a.flux"].lhs.shape == (2, 1)


def test_every_equation_of_the_system_is_kept_across_the_same_surface():
    v = unknown("v", Omega)
    k = sp.Piecewise((2, y < 1), (1, True))
    problem = Problem(
        "p", {"a": (div(k * grad(u)), v), "b": (div(grad(v)), u)}, [on(Gamma, u), on(Gamma, v)]
    )
    assert list(flux_conditions(problem)) == ["a.flux", "b.flux"]


def test_a_stated_flux_replaces_the_derived_one():
    k = sp.Piecewise((2, y < 1), (1, True))
    for region in (
        interface(Omega, y - 1),
        interface(Omega, 2 - 2 * y),
        boundary(rectangle(x, y, [0, 0], [1, 1], name="A")),
    ):
        jump = pdespec.jump(k * dot(grad(u), n))
        problem = Problem(
            "p", {"heat": (div(k * grad(u)), 0)}, [on(Gamma, u), on(region, (jump, 3))]
        )
        assert not flux_conditions(problem), region.name


def test_a_value_is_torn_only_by_a_condition_that_says_so():
    wall = interface(Omega, y - 1)
    k = sp.Piecewise((2, y < 1), (1, True))
    flux = pdespec.jump(k * dot(grad(u), n))
    resistance = (pdespec.jump(u), pdespec.avg(k * dot(grad(u), n)) / 10)
    kept = Problem(
        "p", {"heat": (div(k * grad(u)), 0)}, [on(Gamma, u), on(wall, (flux, 3), pdespec.jump(u))]
    )
    open_ = Problem(
        "p", {"heat": (div(k * grad(u)), 0)}, [on(Gamma, u), on(wall, (flux, 0), resistance)]
    )
    assert (torn(kept, wall), torn(open_, wall)) == (False, True)


def halves() -> tuple[Domain, Domain]:
    return rectangle(x, y, [0, 0], [1, 1], name="A"), rectangle(x, y, [0, 1], [1, 2], name="B")


def test_subdomains_share_a_flux_whatever_the_signs_of_their_equations():
    a, b = halves()
    lower = inside(a, (-div(2 * grad(u)), 0))
    plus = Problem("p", {"a": lower, "b": inside(b, (-div(5 * grad(u)), 0))}, [on(Gamma, u)])
    minus = Problem("p", {"a": lower, "b": inside(b, (div(5 * grad(u)), 0))}, [on(Gamma, u)])
    rows = [flux_conditions(each)["a.b.flux"].lhs for each in (plus, minus)]
    assert rows[0] == rows[1]
    assert [d.code for d in check(plus)] == ["J01"]


@pytest.mark.parametrize("swapped", [False, True])
def test_subdomains_of_two_unknowns_keep_the_flux_of_each(swapped):
    """Whatever order the equations are written in, and whatever they are coupled by."""
    a, b = halves()
    c = unknown("c", Omega)
    own = {"u": (-div(2 * grad(u)), c), "c": (-div(3 * grad(c)), u)}
    other = {"u": (-div(5 * grad(u)), c), "c": (-div(7 * grad(c)), u)}
    order = ("c", "u") if swapped else ("u", "c")
    equations = {f"a{name}": inside(a, own[name]) for name in "uc"}
    equations |= {f"b{name}": inside(b, other[name]) for name in order}
    problem = Problem("p", equations, [on(Gamma, u), on(Gamma, c)])
    assert set(flux_conditions(problem)) == {"au.bu.flux", "ac.bc.flux"}
    one = merged(problem).residuals()["au"]
    rows = one if isinstance(one, sp.MatrixBase) else [one]
    above = {x: sp.Rational(1, 3), y: sp.Rational(3, 2)}
    fields = {u: x**2, c: y**2}
    values = [row.subs(fields).doit().subs(above) for row in rows]
    assert values == [-2 * 5 - sp.Rational(9, 4), -2 * 7 - sp.Rational(1, 9)]


def test_subdomains_make_one_equation():
    a, b = halves()
    problem = Problem(
        "p",
        {"a": inside(a, (-div(2 * grad(u)), 1)), "b": inside(b, (div(5 * grad(u)), x))},
        [on(Gamma, u)],
    )
    k = sp.Piecewise((2, y < 1), (5, True))
    one = merged(problem)
    residual = one.residuals()["a"]
    for place in (
        {x: sp.Rational(1, 3), y: sp.Rational(1, 2)},
        {x: sp.Rational(1, 3), y: sp.Rational(3, 2)},
    ):
        bowl = (x**2 + x * y**2, x**3 * y)
        for field in bowl:
            found = residual.subs(u, field).doit().subs(place)
            expected = (
                -k * (field.diff(x, 2) + field.diff(y, 2)) + sp.Piecewise((-1, y < 1), (x, True))
            ).subs(place)
            assert sp.simplify(found - expected) == 0


def test_subdomains_that_overlap_or_leave_out_are_reported():
    def problem(top):
        a, b = (
            rectangle(x, y, [0, 0], [1, 1], name="A"),
            rectangle(x, y, [0, top], [1, 2], name="B"),
        )
        return Problem(
            "p",
            {"a": inside(a, (div(grad(u)), 0)), "b": inside(b, (div(3 * grad(u)), 0))},
            [on(Gamma, u)],
        )

    assert [(d.code, d.severity) for d in check(problem(1.3)) if d.code == "W06"] == [
        ("W06", "error")
    ]
    assert [(d.code, d.severity) for d in check(problem(0.8)) if d.code == "W06"] == [
        ("W06", "warning")
    ]


@pytest.mark.parametrize("meet", ["0", "1/2", "-1/4", "1/3"])
def test_subdomains_may_meet_at_a_round_part_of_the_domain(meet):
    parsed = pdespec.parse(
        "problem p\nspace x, y\ndomain Q = rectangle([-1, 0], [1, 2])\ndomain A = rectangle([-1,"
        f" 0], [{meet}, 2]), B = rectangle([{meet}, 0], [1, 2])\nunknown u : scalar on Q\nin A:"
        " lap(u) = 1\nin B: 2*lap(u) = 1\non boundary(Q): u = 0"
    )
    assert [each.code for each in parsed.warnings] == ["J01"]


def test_an_equation_outside_of_its_unknown_is_refused_still():
    outside = rectangle(x, y, [0, 1], [1, 3], name="outside")
    problem = Problem("p", {"a": inside(outside, (div(grad(u)), 0))}, [on(Gamma, u)])
    assert "W07" in [d.code for d in check(problem)]


def test_text_and_python_say_the_same():
    text = """
problem wall
space    x, y
param    c ~ uniform(0.5, 1.5)
domain   Omega = rectangle([0, 0], [1, 2])
boundary joint = interface(Omega, y - c)
unknown  u : scalar on Omega
k := if(y < c, 1.38, 400)
in Omega: div(k*grad(u)) = 0
on boundary(Omega): u = x
on joint: jump(u) = 0.1*avg(k*dot(grad(u), n)); jump(k*dot(grad(u), n)) = 0
"""
    parsed = pdespec.parse(text)
    k = sp.Piecewise((1.38, y < c), (400, True))
    flux = k * dot(grad(u), n)
    joint = interface(Omega, y - c, name="joint")
    built = Problem(
        "wall",
        {"eq1": (div(k * grad(u)), 0)},
        [
            on(Gamma, (u, x)),
            on(joint, (pdespec.jump(u), 0.1 * pdespec.avg(flux)), (pdespec.jump(flux), 0)),
        ],
    )
    assert parsed == built
    assert pdespec.parse(parsed.to_dsl()) == parsed == pdespec.parse(built.to_dsl())
    assert r"[\![ u ]\!]" in parsed.to_latex() and r"\mathrm{interface}" in parsed.to_latex()


def test_an_interface_is_between_domains_or_where_something_vanishes():
    a, b = halves()
    assert interface(a, b).name == "interface(A, B)"
    for other in (a, boundary(b), sp.Integer(1), c):
        with pytest.raises(ProblemError):
            interface(a, other)


def test_a_constant_does_not_jump():
    assert pdespec.jump(sp.Integer(3)) == 0 and pdespec.avg(sp.Integer(3)) == 3


def test_levels_have_one_form():
    assert len({levels(sp.Heaviside(each) * u) for each in (y - 1, 1 - y, 3 * y - 3)}) == 1


def test_a_moving_surface_that_stores_is_refused_and_one_that_does_not_is_kept():
    t, (s,) = time("t", 0, 1), space("s")
    line = interval(s, 0, 1, name="L")
    w = unknown("w", line, time=t)
    k = sp.Piecewise((2, s < (1 + t) / 4), (1, True))
    ends = [on(boundary(line), w), pdespec.at(t, 0, (w, 0))]
    stores = Problem("p", {"a": (pdespec.dt(k * w), div(k * grad(w)))}, ends)
    passes = Problem("p", {"a": (pdespec.dt(w), div(k * grad(w)))}, ends)
    assert "J02" in [d.code for d in check(stores)]
    assert [d.code for d in check(passes)] == ["J01"] and list(flux_conditions(passes)) == [
        "a.flux"
    ]


def test_a_side_beside_the_jump_states_nothing_of_it():
    k = sp.Piecewise((2, y < 1), (1, True))
    top = side(Omega, y=2)
    problem = Problem(
        "p",
        {"a": (div(k * grad(u)), 0)},
        [on(top, (k * dot(grad(u), n), 1)), on(pdespec.rest(Omega, top), u)],
    )
    assert list(flux_conditions(problem)) == ["a.flux"]


@pytest.mark.parametrize(
    "part",
    [
        lambda: pdespec.ellipse(x, y, radii=(0.4, 0.2), center=(0.5, 1), angle=0.6, name="A"),
        lambda: pdespec.moved(pdespec.disk(x, y, radius=0.3, name="A"), [0.5, 1]),
        lambda: pdespec.rotated(rectangle(x, y, [0.2, 0.8], [0.8, 1.2], name="A"), 0.5),
        lambda: pdespec.star(
            x,
            y,
            radius=lambda t: sp.Rational(3, 10) + sp.cos(3 * t) / 20,
            center=(0.5, 1),
            name="A",
        ),
        lambda: pdespec.polygon(x, y, [[0.2, 0.5], [0.8, 0.6], [0.5, 1.5]], name="A"),
    ],
)
def test_a_part_of_any_shape_is_told_alike_by_sampling_inequalities_and_by_its_distance(part):
    import torch

    from compiler.geometry.domain import Geometry
    from pdespec.statements import membership

    domain = part()
    points = list(membership.points(Omega, 400, {}))
    by_points = list(map(membership.bind(domain.shape, {}), points))
    condition = sp.lambdify((x, y), membership.inside(domain.shape, (x, y)), "math")
    tensor = torch.tensor([points], dtype=torch.float64)
    by_distance = (Geometry(domain, {}, 1, torch.float64).signed_distance(tensor)[0] < 0).tolist()
    assert (
        by_points == [bool(condition(*p)) for p in points] == by_distance
        and 10 < sum(by_points) < 200
    )
