from dataclasses import replace

import numpy as np
import pytest
import sympy as sp

import pdespec
from pdespec import (
    Problem,
    at,
    ball,
    boundary,
    check,
    const,
    curl,
    det,
    disk,
    div,
    dot,
    dt,
    dtt,
    exterior,
    grad,
    identity,
    inner,
    input_function,
    integral,
    interval,
    lap,
    normal,
    on,
    outer,
    param,
    periodic,
    rectangle,
    rest,
    side,
    space,
    star,
    sym,
    time,
    tr,
    trainable,
    uniform,
    unit_normal,
    unknown,
)
from pdespec.jets import jet_form
from pdespec.rules.check import RULES
from pdespec.rules.functions import covers
from tests.texts import floating_plate

from .zoo import ZOO

x, y = space("x y")
t = time("t", 0, 1)
Omega = rectangle(x, y)
Torus = periodic(rectangle(x, y, name="Torus"))
Gamma = boundary(Omega, name="Gamma")
left, right = side(Omega, x=0, name="left"), side(Omega, x=1, name="right")
others = rest(Omega, left, right, name="others")
n = unit_normal(Omega)
u, p, w = unknown("u", Omega), unknown("p", Omega), unknown("w", Omega, time=t)
v, vt = unknown("v", Omega, "vector"), unknown("vt", Omega, "vector", time=t)
f, g = input_function("f", Omega), input_function("g", Gamma)
heat = {"heat": (dt(w), lap(w))}
poisson = {"poisson": (lap(u), f)}
strain = sym(grad(v))
HALF = sp.Rational(1, 2)


def found(problem):
    return [(diagnostic.code, diagnostic.label) for diagnostic in check(problem)]


@pytest.mark.parametrize("name", ZOO)
def test_no_rule_raises_a_false_alarm(name):
    found = [each for each in check(ZOO[name]()) if each.code != "J04"]  # says what is done
    assert [str(diagnostic) for diagnostic in found] == []


def drilled(law) -> Problem:
    r = param("r", law)
    plate = disk(x, y, radius=r, name="plate")
    p = unknown("p", plate)
    return Problem("p", {"a": (lap(p), 1)}, [on(boundary(plate), (p, 0))])


@pytest.mark.parametrize("law", [uniform(0, 1), normal(1, 0.2), 1, None])
def test_a_radius_that_no_draw_makes_negative_is_no_mistake(law):
    assert not check(drilled(law))


@pytest.mark.parametrize(
    "shape",
    [
        star(x, y, radius=lambda theta: 2 + sp.besselj(0, theta)),
        disk(x, y, radius=1 + sp.besselk(0, 2)),
        disk(x, y, radius=sp.erfinv(sp.S.Half) + sp.polygamma(1, 2) + sp.jn(0, 1)),
    ],
)
def test_sizes_may_hold_special_functions(shape):
    p = unknown("p", shape)
    assert not check(Problem("p", {"a": (lap(p), 1)}, [on(boundary(shape), (p, 0))]))


def cut_from() -> Problem:
    """A condition on the boundary of the domain from which that of the unknown was cut."""
    square = rectangle(x, y, name="Q")
    pierced = replace(
        square - disk(x, y, radius=sp.Rational(1, 5), center=(sp.S.Half, sp.S.Half)), name="body"
    )
    v = unknown("v", pierced)
    return Problem(
        "p", {"a": (lap(v), 1)}, {"b": on(boundary(square), v), "c": on(boundary(pierced), v)}
    )


film = rectangle(x, y, (0, 0), (1, sp.Rational(1, 10000)), name="film")
thin = unknown("thin", film)

MALFORMED = {
    # name: (problem, codes with labels, what some message says)
    "a number to be found that stands nowhere": (
        lambda: Problem("p", {"a": (lap(u), 1)}, [on(Gamma, u)], params=[trainable("k", 1)]),
        [("W11", "k")],
        "appears in no statement",
    ),
    "root of what is negative in the domain": (
        lambda: Problem("p", {"a": sp.Eq(lap(u), sp.sqrt(x - 5))}, [on(Gamma, u)]),
        [("V07", "a")],
        "a root of `x - 5`",
    ),
    "number beyond those of a computer": (
        lambda: Problem("p", {"a": sp.Eq(lap(u), sp.Integer(10) ** 400 * x)}, [on(Gamma, u)]),
        [("V07", "a")],
        "beyond the numbers of a computer",
    ),
    "condition on another domain": (cut_from, [("T06", "b")], "boundary(body, Q)"),
    "field named as a coordinate": (
        lambda: Problem("p", {"a": lap(unknown("x", Omega))}, [on(Gamma, unknown("x", Omega))]),
        [("S03", "x")],
        "a coordinate",
    ),
    "units that disagree": (
        lambda: (
            lambda q: Problem("p", {"a": (lap(q), q)}, [on(boundary(q.func.declaration.region), q)])
        )(unknown("q", rectangle(*space("X Y", unit="m"), name="Plate"), unit="K")),
        [("T04", "a")],
        "left is [K/m^2], right is [K]",
    ),
    "no initial condition": (
        lambda: Problem("p", heat, [on(Gamma, w)]),
        [("W01", "heat")],
        "1 initial condition needed, 0 given",
    ),
    "one initial condition of two": (
        lambda: Problem("p", {"wave": (dtt(w), lap(w))}, [on(Gamma, w), at(t, 0, w)]),
        [("W01", "wave")],
        "`w` is of second order in time: 2 initial conditions needed, 1 given",
    ),
    "the same initial condition twice counts once": (
        lambda: Problem("p", {"wave": (dtt(w), lap(w))}, [on(Gamma, w), at(t, 0, w, w)]),
        [("W01", "wave")],
        "state dt(w)",
    ),
    "a condition after the end": (
        lambda: Problem("p", heat, [on(Gamma, w), at(t, 2, w)]),
        [("W01", "initial.w")],
        "outside of [0, 1]",
    ),
    "two initial conditions for one": (
        lambda: Problem("p", heat, [on(Gamma, w), at(t, 0, w, dt(w))]),
        [("W01", "initial.w.2")],
        "leave out 1 condition",
    ),
    "an initial condition for a pressure": (
        lambda: Problem(
            "p",
            {"momentum": (dt(vt) + grad(w), lap(vt)), "continuity": div(vt)},
            [on(Gamma, (vt, 0)), at(t, 0, (vt, 0), w)],
            require=[(integral(w, Omega), 0)],
        ),
        [("W01", "initial.w")],
        "`w` is without time derivative: 0 initial conditions needed, 1 given",
    ),
    "one component without initial condition": (
        lambda: Problem("p", {"flow": (dt(vt), lap(vt))}, [on(Gamma, (vt, 0)), at(t, 0, vt[0])]),
        [("W01", "flow")],
        "1 initial condition needed, 0 given",
    ),
    "a side without condition": (
        lambda: Problem("p", poisson, [on(left, u), on(others, u)]),
        [("W02", "poisson")],
        "no condition on `u`: x = 1",
    ),
    "a hole without condition": (
        lambda: (
            lambda D: (lambda q: Problem("p", {"a": lap(q)}, [on(outer(D), q)]))(unknown("q", D))
        )(rectangle(x, y) - disk(x, y, radius=0.1, center=(0.5, 0.5))),
        [("W02", "a")],
        "the boundary of the disk",
    ),
    "a far field without condition": (
        lambda: (
            lambda D: (lambda q: Problem("p", {"a": lap(q)}, [on(inner(D), q)]))(unknown("q", D))
        )(exterior(disk(x, y), disk(x, y, radius=9))),
        [("W02", "a")],
        "write `on rest(Omega, inner(Omega)): q = 0`",
    ),
    "a body on both sides of its axis": (
        lambda: (
            lambda r, z: (
                lambda Q: (lambda q: Problem("p", {"a": lap(q)}, [on(boundary(Q), q)]))(
                    unknown("q", Q)
                )
            )(rectangle(r, z, [-1, 0], [1, 1]))
        )(*space("r z", system="axisymmetric")),
        [("T06", "Omega")],
        "r is the distance from the axis",
    ),
    "no condition at all": (
        lambda: Problem("p", {"a": lap(u) - u}),
        [("W02", "a")],
        "x = 0, x = 1, y = 0, y = 1",
    ),
    "half the conditions of a plate": (
        lambda: Problem("p", {"plate": (lap(lap(u)), f)}, [on(Gamma, u)]),
        [("W02", "plate")],
        "1 of 2 conditions on `u`",
    ),
    "one component without boundary condition": (
        lambda: Problem("p", {"a": (lap(v), v)}, [on(Gamma, v[0])]),
        [("W02", "a")],
        "1 of 2 conditions on `v`",
    ),
    "an open end in one dimension": (
        lambda: (
            lambda L: (lambda q: Problem("p", {"a": (lap(q), q)}, [on(side(L, s=0), q)]))(
                unknown("q", L)
            )
        )(interval(*space("s"))),
        [("W02", "a")],
        "s = 1",
    ),
    "two values on one side": (
        lambda: Problem("p", poisson, [on(Gamma, u), on(left, (u, 1))]),
        [("W03", "left.u")],
        "`u` has two values at x = 0: `0` by `Gamma.u` and `1` by `left.u`",
    ),
    "two values of an input and a number": (
        lambda: Problem("p", poisson, [on(Gamma, (u, g), (u, 0))]),
        [("W03", "Gamma.u.2")],
        "`g`",
    ),
    "two scaled values": (
        lambda: Problem("p", poisson, [on(Gamma, (2 * u, 2), (-u, 1))]),
        [("W03", "Gamma.u.2")],
        "two values",
    ),
    "two fluxes": (
        lambda: Problem(
            "p", {"a": (lap(u), u)}, [on(Gamma, dot(grad(u), n)), on(right, (dot(grad(u), n), 1))]
        ),
        [("W03", "right.u")],
        "two values at x = 1",
    ),
    "two values at one point": (
        lambda: Problem(
            "p", {"a": (lap(lap(u)), 1)}, [on(Gamma, u, lap(u)), at((HALF, HALF), u, (u, 1))]
        ),
        [("W03", "point.u.2")],
        "`u` has two values at the point (0.5, 0.5)",
    ),
    "a value at a point beside those on the boundary": (
        lambda: Problem("p", poisson, [on(Gamma, u), at((HALF, HALF), (u, 1))]),
        [("W09", "point.u")],
        "a peak at one point",
    ),
    "two initial values": (
        lambda: Problem("p", heat, [on(Gamma, w), at(t, 0, w, (w, 1))]),
        [("W03", "initial.w.2")],
        "at the time 0",
    ),
    "a condition on a periodic side": (
        lambda: (lambda q: Problem("p", {"a": lap(q) - q}, [on(side(Torus, x=0), q)]))(
            unknown("q", Torus)
        ),
        [("W04", "side(Torus, x = 0).q")],
        "`Torus` is periodic in x, y",
    ),
    "a condition on the boundary of a torus": (
        lambda: (lambda q: Problem("p", {"a": lap(q) - q}, [on(boundary(Torus), q)]))(
            unknown("q", Torus)
        ),
        [("W04", "boundary(Torus).q")],
        "is not a boundary",
    ),
    "a side that does not exist": (
        lambda: Problem("p", poisson, [on(Gamma, u), on(side(Omega, x=2), u)]),
        [("S01", "side(Omega, x = 2).u")],
        "consists of x = 0, x = 1, y = 0, y = 1",
    ),
    "an inner boundary without holes": (
        lambda: Problem("p", poisson, [on(Gamma, u), on(inner(Omega), u)]),
        [("S01", "inner(Omega).u")],
        "is empty",
    ),
    "a pressure without gauge": (
        lambda: Problem(
            "p", {"momentum": (lap(v), grad(p)), "continuity": div(v)}, [on(Gamma, (v, 0))]
        ),
        [("W05", "momentum")],
        "add `require integral(p, Omega) = 0`",
    ),
    "a pressure without gauge in time": (
        lambda: Problem(
            "p",
            {"momentum": (dt(vt) + grad(w), lap(vt)), "continuity": div(vt)},
            [on(Gamma, (vt, 0)), at(t, 0, (vt, 0))],
        ),
        [("W05", "momentum")],
        "`w` is determined only up to a constant",
    ),
    "pure Neumann": (
        lambda: Problem("p", poisson, [on(Gamma, dot(grad(u), n))]),
        [("W05", "poisson")],
        "integral(u, Omega)",
    ),
    "a torus without gauge": (
        lambda: (lambda q: Problem("p", {"a": (lap(q), sp.sin(2 * sp.pi * x))}))(
            unknown("q", Torus)
        ),
        [("W05", "a")],
        "integral(q, Torus)",
    ),
    "an energy of the gradient alone": (
        lambda: Problem("p", minimize=integral(dot(grad(u), grad(u)) / 2, Omega)),
        [("W05", "stationarity")],
        "up to a constant",
    ),
    "a body that may turn": (
        lambda: Problem(
            "p",
            minimize=integral(tr(strain) ** 2 + inner(strain, strain), Omega),
            require=[(integral(v[0], Omega), 0), (integral(v[1], Omega), 0)],
        ),
        [("W05", "stationarity")],
        "up to a rotation",
    ),
    "a free plate": (
        lambda: Problem(
            "p", minimize=integral(lap(u) ** 2, Omega), require=[(integral(u, Omega), 0)]
        ),
        [("W05", "stationarity")],
        "up to a linear function",
    ),
    "a coefficient that jumps": (
        lambda: Problem(
            "p", {"a": div(sp.Piecewise((2, x < 1), (1, True)) * grad(u))}, [on(Gamma, u)]
        ),
        [("J01", "a")],
        "the flux is kept continuous there by the term `a.flux`",
    ),
    "a jump that moves and stores": (
        lambda: (
            lambda k: Problem(
                "p", {"a": (dt(k * w), div(k * grad(w)))}, [on(Gamma, w), at(t, 0, w)]
            )
        )(sp.Piecewise((2, x < t), (1, True))),
        [("J01", "a"), ("J02", "a")],
        "it moves",
    ),
    "a jump at the end of the domain": (
        lambda: Problem("p", {"a": lap(u)}, [on(Gamma, pdespec.jump(u))]),
        [("J03", "Gamma.u"), ("J04", "Gamma.u")],
        "one side only",
    ),
    "a contact resistance": (
        lambda: Problem(
            "p",
            {"a": lap(u)},
            [
                on(Gamma, u),
                on(
                    pdespec.interface(Omega, x - HALF),
                    (pdespec.jump(u), pdespec.avg(u.diff(x))),
                    pdespec.jump(u.diff(x)),
                ),
            ],
        ),
        [("J04", "interface(Omega, x - 0.5).u")],
        "has no reference solution",
    ),
    "an unknown without equation": (
        lambda: Problem("p", poisson, [on(Gamma, u)], unknowns=[u, p]),
        [("W06", "poisson")],
        "2 unknown components (u, p), 1 equation",
    ),
    "fewer equations than unknowns": (
        lambda: Problem(
            "p",
            {"momentum": (lap(v), grad(p))},
            [on(Gamma, (v, 0))],
            require=[(integral(p, Omega), 0)],
        ),
        [("W06", "momentum")],
        "3 unknown components (v.x, v.y, p), 2 equations",
    ),
    "more equations than unknowns": (
        lambda: Problem("p", {"a": lap(u), "b": u - f}, [on(Gamma, u)]),
        [("W06", "b")],
        "overdetermined",
    ),
    "a value at a point": (
        lambda: Problem("p", {"a": (lap(u), u.subs(x, 0))}, [on(Gamma, u)]),
        [("W07", "a")],
        "u(0, y) is a value at a point",
    ),
    "a radius that its law makes negative": (
        lambda: drilled(uniform(-0.1, 0.2)),
        [("W08", "plate")],
        "-0.1 at r = -0.1",
    ),
    "a radius in the tail of its law": (
        lambda: drilled(normal(1, 0.3)),
        [("W08", "plate")],
        "restrict the law of `r`",
    ),
    "a radius that is never positive": (lambda: drilled(-1), [("W08", "plate")], "is -1 at r = -1"),
    "the normal inside": (
        lambda: Problem("p", {"a": lap(u) - u * n[0]}, [on(Gamma, u)]),
        [("W07", "a")],
        "unit normal",
    ),
    "a jump inside": (
        lambda: Problem("p", {"a": lap(u) - pdespec.jump(u)}, [on(Gamma, u)]),
        [("W07", "a")],
        "on interface",
    ),
    "a boundary input inside": (
        lambda: Problem("p", {"a": (lap(u), g)}, [on(Gamma, u)]),
        [("W07", "a")],
        "`g` lives on the boundary `Gamma`, the equation holds in `Omega`",
    ),
    "an energy without unknown": (
        lambda: Problem("p", poisson, [on(Gamma, u)], minimize=integral(f**2, Omega)),
        [("V01", "minimize")],
        "holds no unknown",
    ),
    "a natural condition given twice": (
        lambda: Problem(
            "p",
            minimize=integral(dot(grad(u), grad(u)), Omega),
            conditions=[on(left, u), on(right, dot(grad(u), n))],
        ),
        [("V02", "right.u")],
        "natural condition of `u` on `right`",
    ),
    "a traction beside its energy": (
        lambda: Problem(
            "p",
            minimize=integral(inner(strain, strain) - v[0], Omega),
            conditions=[on(left, (v, 0)), on(right, ((strain + identity(2)) * n, 0))],
        ),
        [("V02", "right.v")] * 2,
        "leave it out",
    ),
    "a logarithm of an unknown": (
        lambda: Problem("p", {"a": (lap(u), sp.log(u))}, [on(Gamma, (u, 1))]),
        [("V03", "a")],
        "add `require u > 0 in Omega`, or declare `u > 0`",
    ),
    "a division by a determinant": (
        lambda: Problem(
            "p",
            minimize=integral(1 / det(identity(2) + grad(v)), Omega),
            conditions=[on(Gamma, (v, 0))],
        ),
        [("V03", "minimize")],
        "a division of",
    ),
    "a root of an unknown": (
        lambda: Problem("p", {"a": (lap(u), sp.sqrt(u - 1))}, [on(Gamma, (u, 1))]),
        [("V03", "a")],
        "require u - 1 >= 0 in Omega",
    ),
    "a quantity required to be not negative, in a logarithm": (
        lambda: Problem(
            "p",
            {"a": (lap(u), sp.log(u) + sp.log(-1 - u**2))},
            [on(Gamma, (u, 1))],
            require=[(u >= 0, Omega)],
        ),
        [("V03", "a")],
        "log of `u`",
    ),
    "a logarithm of what is negative": (
        lambda: Problem(
            "p", {"a": (lap(u), sp.log(-1 - u**2) + 1 / (-1 - u**2))}, [on(Gamma, (u, 1))]
        ),
        [("V03", "a")],
        "log of `-u^2 - 1`",
    ),
    "the derivative of a step": (
        lambda: Problem(
            "p",
            {"a": (lap(u), pdespec.calculus.d(sp.Heaviside(x - sp.Rational(1, 2)), x))},
            [on(Gamma, u)],
        ),
        [("V04", "a")],
        "jumps where",
    ),
    "the second derivative of a modulus": (
        lambda: Problem("p", {"a": lap(sp.Abs(u))}, [on(Gamma, u)]),
        [("V04", "a")],
        "`sign(u)*dx(u)`, which jumps where `u` is 0",
    ),
    "branches with a gap": (
        lambda: Problem("p", {"a": (lap(u), sp.Piecewise((1, x < 0), (2, x > 1)))}, [on(Gamma, u)]),
        [("V05", "a")],
        "(value, True)",
    ),
    "a function without a rule": (
        lambda: Problem(
            "p",
            {"a": (lap(u), sp.LambertW(1 + x) + sp.zeta(2 + y))},
            [on(Gamma, (u, sp.expint(1, 1 + x)))],
        ),
        [("V06", "Gamma.u"), ("V06", "a")],
        "`LambertW` has no rule",
    ),
    "a thin shape": (
        lambda: Problem("p", {"a": (lap(thin), 1)}, [on(boundary(film), thin)]),
        [("W10", "film")],
        "thin by a factor of",
    ),
    "the derivative of data": (
        lambda: Problem(
            "p", {"a": div(input_function("k", Omega, source="k.h5") * grad(u))}, [on(Gamma, u)]
        ),
        [("B03", "a")],
        "data from 'k.h5'",
    ),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_a_malformed_problem_is_diagnosed(name):
    make, expected, says = MALFORMED[name]
    diagnostics = check(make())
    assert sorted(dict.fromkeys((d.code, d.label) for d in diagnostics)) == sorted(set(expected))
    assert any(says in text for d in diagnostics for text in (d.message, d.hint, d.cause))
    assert all(d.hint for d in diagnostics)


def test_every_rule_has_a_malformed_example():
    seen = {code for _, codes, _ in MALFORMED.values() for code, _ in codes}
    assert set(RULES) <= seen


def test_errors_come_first_and_doubts_are_warnings():
    problem = Problem("p", {"a": (dt(w), lap(w) + sp.log(w))}, [on(Gamma, w)])
    diagnostics = check(problem)
    assert [(d.code, d.severity) for d in diagnostics] == [("W01", "error"), ("V03", "warning")]


def test_all_mistakes_are_found_at_once():
    problem = Problem(
        "p",
        {"one": (dt(w), lap(w) + 1 / w), "two": (lap(u), g)},
        [on(left, w), on(Gamma, u), on(left, (u, 1))],
    )
    assert {code for code, _ in found(problem)} == {"W01", "W02", "W03", "W07", "V03"}


def test_a_point_value_hides_no_other_mistake():
    problem = Problem(
        "p", {"one": (lap(u), u.subs(x, 0)), "two": (lap(p), 1 / p)}, [on(Gamma, p, (u, 0), (u, 1))]
    )
    assert [code for code, _ in found(problem)] == ["W07", "W03", "V03"]


# ---- what looks like a mistake and is none


def no_alarm(problem):
    assert [str(diagnostic) for diagnostic in check(problem)] == []


def test_a_condition_on_one_unknown_may_stand_in_for_another():
    no_alarm(ZOO["vorticity"]())


def test_first_order_equations_need_conditions_only_where_something_enters():
    no_alarm(
        Problem("p", {"a": pdespec.dx(u) + pdespec.dy(u)}, [on(left, u), on(side(Omega, y=0), u)])
    )


def test_diffusion_across_one_direction_needs_conditions_across_it_only():
    no_alarm(
        Problem(
            "p",
            {"a": (pdespec.dy(u), pdespec.dxx(u))},
            [on(left, u), on(right, u), on(side(Omega, y=0), u)],
        )
    )


def test_equal_values_may_overlap():
    no_alarm(
        Problem("p", poisson, [on(Gamma, (u, x * y)), on(left, (u, 0)), on(right, (2 * u, 2 * y))])
    )


def test_corners_are_no_overlap():
    no_alarm(Problem("p", poisson, [on(left, u), on(right, (u, 1)), on(others, (u, 2))]))


def test_measurements_replace_conditions():
    no_alarm(Problem("p", {"a": (dt(w), lap(w))}, data=[(w, Omega, "w.h5")]))


def test_a_measurement_pins_a_pressure():
    no_alarm(
        Problem(
            "p",
            {"m": (lap(v), grad(p)), "c": div(v)},
            [on(Gamma, (v, 0))],
            data=[(p, left, "p.h5")],
        )
    )


def test_an_open_end_pins_a_pressure():
    no_alarm(ZOO["channel_stokes"]())


def test_a_moment_of_the_displacement_pins_its_rotation():
    for moment in ("u.x*y - u.y*x", "dx(u.y) - dy(u.x)"):
        pdespec.parse(floating_plate(moment))


def test_a_lagrangian_needs_a_pressure_gauge_unless_an_end_is_open():
    lagrangian = integral(inner(grad(v), grad(v)) / 2 - p * div(v), Omega)
    closed = Problem("p", stationary=lagrangian, conditions=[on(Gamma, (v, 0))])
    assert found(closed) == [("W05", "stationarity.v")]
    no_alarm(Problem("p", stationary=lagrangian, conditions=[on(left, (v, 0)), on(others, (v, 0))]))


def test_the_same_value_at_two_times_is_two_conditions():
    no_alarm(Problem("p", {"wave": (dtt(w), lap(w))}, [on(Gamma, w), at(t, 0, w), at(t, 1, w)]))


def test_nothing_turns_or_tilts_on_a_torus():
    q, r = unknown("q", Torus), unknown("r", Torus, "vector")
    gauges = [(integral(each, Torus), 0) for each in (q, *r)]
    no_alarm(Problem("p", {"a": lap(q), "b": div(sym(grad(r)))}, require=gauges))


def test_a_value_that_cancels_a_mode_is_looked_at():
    no_alarm(Problem("p", {"a": (lap(u), 0), "b": (lap(v), 0)}, [on(Gamma, (u, x), (v, [y, -x]))]))


def test_a_helmholtz_term_pins_a_neumann_problem():
    no_alarm(Problem("p", {"a": (lap(u) + u, f)}, [on(Gamma, dot(grad(u), n))]))


def test_a_rotation_is_no_null_mode_of_a_clamped_body():
    eps = sym(grad(v))
    no_alarm(Problem("p", minimize=integral(inner(eps, eps), Omega), conditions=[on(left, (v, 0))]))


def test_a_nonlinear_energy_is_no_false_null_mode():
    F = identity(2) + grad(v)
    no_alarm(Problem("p", minimize=integral(inner(F, F) + dot(v, v), Omega)))


@pytest.mark.parametrize(
    "density",
    [
        sp.sqrt(1 + dot(grad(u), grad(u))),
        dot(grad(u), grad(u)) ** sp.Rational(3, 2),
        1 / (1 + u**2),
        sp.log(2 + u**2),
        sp.log(1 + sp.exp(u)),
        sp.sqrt(sp.exp(u)),
        1 / (2 + sp.Abs(u)),
        sp.Abs(u) ** sp.Rational(5, 2),
    ],
)
def test_arguments_positive_by_their_form_need_no_requirement(density):
    no_alarm(Problem("p", minimize=integral(density + u**2, Omega)))


def test_a_requirement_proves_multiples_and_parts_of_its_quantity():
    J = det(identity(2) + grad(v))
    k = const("k", 2)
    psi = sp.log(J) ** 2 + inner(grad(v), grad(v)) / J + 1 / (1 + J) + sp.sqrt(k * J) + dot(v, v)
    no_alarm(Problem("p", minimize=integral(psi, Omega), require=[(J > 0.1, Omega)]))
    no_alarm(Problem("p", minimize=integral(psi, Omega), require=[(J > 0, Omega)]))


def test_a_positive_unknown_needs_no_requirement():
    rho = unknown("rho", Omega, positive=True)
    no_alarm(
        Problem("p", {"a": (lap(rho), sp.log(rho) + 1 / rho + sp.sqrt(rho))}, [on(Gamma, (rho, 1))])
    )


def test_the_derivative_of_a_drawn_field_is_known():
    no_alarm(ZOO["darcy"]())


def test_a_ball_is_covered_by_its_boundary():
    a, b, c = space("a b c")
    B = ball(a, b, c)
    q = unknown("q", B, "vector")
    no_alarm(Problem("p", {"a": (curl(curl(q)) - grad(div(q)) + q, 0)}, [on(boundary(B), (q, 0))]))


def test_unused_declarations_are_no_mistake():
    no_alarm(
        Problem("p", poisson, [on(Gamma, u)], params=[param("spare", uniform(0, 1))], inputs=[g])
    )


def test_what_a_condition_keeps_in_its_domain_is_not_doubted():
    right_side = sp.Piecewise((sp.sqrt(u) + sp.log(u), u > 0), (0, True)) + sp.Piecewise(
        (0, u <= 1), (1 / (u - 1), True)
    )
    problem = Problem("p", {"a": (lap(u), right_side)}, [on(Gamma, (u, 1))])
    assert check(problem) == ()
    doubted = Problem(
        "p", {"a": (lap(u), sp.Piecewise((sp.sqrt(u - 2), u > 0), (0, True)))}, [on(Gamma, (u, 1))]
    )
    assert [d.code for d in check(doubted)] == ["V03"]


@pytest.mark.parametrize(
    ("branches", "covered"),
    [
        ([(1, x < 0), (2, x >= 0)], True),
        ([(1, x < 0), (2, sp.And(x >= 0, x < 1)), (3, x >= 1)], True),
        ([(1, sp.And(x > 0, y > 0)), (2, x <= 0), (3, y <= 0)], True),
        ([(1, u > 0), (2, u < 0)], False),
        ([(1, sp.And(x > 0, y > 0)), (2, x <= 0)], False),
        ([(1, x < 0), (2, x > 0)], False),
        ([(1, sp.Ne(x, 0)), (2, sp.Eq(x, 0))], True),
    ],
    ids=str,
)
def test_branches_cover_all_points_or_not(branches, covered):
    assert covers(jet_form(sp.Piecewise(*branches))) == covered


def test_smooth_uses_of_steps_and_moduli_are_let_through():
    moduli = [div(sp.Abs(u) * grad(u)), lap(u * sp.Abs(u)), lap(sp.Max(u, 0) ** 2)]
    for term in (*moduli, sp.Heaviside(x - y) * u, div(sp.Heaviside(x) * grad(u))):
        problem = Problem("p", {"a": term + lap(u)}, [on(Gamma, u)])
        assert [d.code for d in check(problem) if d.code == "V04"] == []


@pytest.mark.parametrize("factor", [1, -1, 2])
def test_a_robin_condition_pins_the_solution(factor):
    from pdespec import dn

    assert check(Problem("p", {"a": (lap(u), 1)}, [on(Gamma, (dn(u), factor * u))])) == ()


def test_an_enclosure_holds_every_value_and_knows_what_it_cannot_enclose():
    from mpmath import iv

    from pdespec.rules.admissible import enclosure

    a, b, c = sp.symbols("a b c")
    ranges = {a: (-0.3, 0.2), b: (0.0, 7.0), c: (1.5, 2.0)}
    held = {symbol: iv.mpf(each) for symbol, each in ranges.items()}
    each = sp.Rational(1, 3) + a * sp.cos(4 * b) - a**2 * c**3 + sp.sin(b) * sp.exp(a * c)
    found = enclosure(each, held)
    random = np.random.default_rng(0)
    drawn = [random.uniform(*ranges[symbol], 2000) for symbol in (a, b, c)]
    values = sp.lambdify((a, b, c), each, "numpy")(*drawn)
    assert found.a <= values.min() and values.max() <= found.b
    assert found.delta < 3 * (values.max() - values.min())
    for beyond in (sp.sqrt(a), 1 / a, sp.Abs(a) + b, sp.Piecewise((a, b > 1), (b, True))):
        assert enclosure(beyond, held) is None
