import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import pdespec
from pdespec import (
    Problem,
    ProblemError,
    at,
    boundary,
    disk,
    div,
    dot,
    dt,
    grad,
    input_function,
    integral,
    lap,
    manufacture,
    natural_conditions,
    on,
    rectangle,
    side,
    space,
    time,
    trainable,
    unit_normal,
    unknown,
)

from .closed_form import closed, same
from .zoo import ZOO

x, y = space("x y")
Omega = rectangle(x, y)
Gamma = boundary(Omega)
u, v = unknown("u", Omega), unknown("v", Omega, "vector")
f, a = input_function("f", Omega), input_function("a", Omega)


def exact_fields(problem):
    return {problem.unknowns[name].symbol: value for name, value in problem.references.items()}


def assert_solved(problem):
    """Every statement holds at the reference solution, put in by SymPy's own substitution."""
    fields = exact_fields(problem)
    variables = problem.variables
    for residual in problem.residuals().values():
        assert same(closed(residual, fields), sp.sympify(residual) * 0, variables)
    for condition in problem.conditions.values():
        place = {} if condition.at is None else {problem.time: condition.at}
        if getattr(condition.region, "kind", None) == "side":
            place = {
                s: condition.region.value
                for s in problem.coordinates
                if s.name == condition.region.coordinate
            }
        remainder = closed(condition.lhs - condition.rhs, fields).subs(place)
        assert same(remainder, remainder * 0, variables)
    for condition in natural_conditions(problem).values():
        unit = {
            1: [1],
            2: [sp.Rational(3, 5), sp.Rational(4, 5)],
            3: [sp.Rational(1, 3), sp.Rational(2, 3), sp.Rational(2, 3)],
        }
        n = dict(zip(unit_normal(condition.region), unit[len(problem.coordinates)], strict=True))
        remainder = closed(condition.lhs, fields).subs(n)
        assert same(remainder, remainder * 0, variables)


SOLUTIONS = {
    "nonlinear_poisson": lambda x, y: {"u": sp.sin(x) * sp.exp(y)},
    "burgers": lambda x, t: {"u": sp.sin(2 * sp.pi * x) * sp.exp(-t)},
    "lid_cavity": lambda x, y, t: {
        "v": [sp.sin(x) * t, x * sp.cos(y)],
        "p": x * y - sp.Rational(1, 4),
    },
    "hyperelastic_pores": lambda X, Y: {"u": [X * Y / 9, -X / 8 + Y**2 / 7]},
    "airfoil_euler": lambda x, y: {"rho": 2 + sp.sin(x), "v": [y, x * y], "p": 1 + x**2},
    "allen_cahn": lambda x, y, t: {"u": sp.cos(x) * sp.sin(y) * t},
    "wave": lambda x, y, t: {"u": x * y * sp.cos(3 * t)},
    "darcy": lambda x, y: {"u": x * (1 - y)},
    "darcy_mixed": lambda x, y: {"u": x * y, "q": [x**2, y]},
    "plate_energy": lambda x, y: {"u": x**3 * y**2 + sp.sin(x * y)},
    "elasticity": lambda x, y: {"u": [x * y, x - y**2]},
    "elasticity_energy": lambda x, y, z: {"u": [x * y, z**2, x * z]},
    "cahn_hilliard": lambda x, y, t: {"c": sp.cos(sp.pi * x) * t, "mu": x * y + t},
    "maxwell_te": lambda x, y, t: {
        "E": [sp.sin(2 * sp.pi * y) * t, sp.cos(2 * sp.pi * x)],
        "H": sp.sin(2 * sp.pi * (x + y)) * t,
    },
    "schroedinger": lambda x, t: {
        "p": sp.exp(-(x**2)) * sp.cos(t),
        "q": sp.exp(-(x**2)) * sp.sin(t),
    },
}


@pytest.mark.parametrize("name", SOLUTIONS)
def test_every_statement_holds_at_the_manufactured_solution(name):
    problem = ZOO[name]()
    made = manufacture(problem, SOLUTIONS[name](*problem.variables))
    assert_solved(made)
    assert set(made.unknowns) == set(problem.unknowns) == set(made.references)
    assert [d for d in pdespec.check(made) if d.code not in ("V03", "S03")] == []


@pytest.mark.parametrize("name", ["nonlinear_poisson", "hyperelastic_pores", "elasticity_energy"])
def test_a_manufactured_problem_is_read_back_from_its_text(name):
    problem = ZOO[name]()
    made = manufacture(problem, SOLUTIONS[name](*problem.variables))
    assert pdespec.parse(made.to_dsl()) == made


def test_a_source_input_is_replaced_by_its_closed_form():
    problem = Problem("p", [sp.Eq(lap(u), f)], [on(Gamma, (u, input_function("g", Gamma)))])
    made = manufacture(problem, {u: x**2 * y})
    assert made.equations["eq1"].rhs == 2 * y
    assert next(iter(made.conditions.values())).rhs == x**2 * y
    assert dict(made.inputs) == {}


def test_a_coefficient_input_stays_an_input():
    made = manufacture(Problem("p", [(div(a * grad(u)), f)], [on(Gamma, u)]), {u: x})
    assert list(made.inputs) == ["a"]
    assert made.equations["eq1"].rhs == sp.Derivative(a, x)


def test_an_input_in_two_statements_stays_an_input():
    made = manufacture(
        Problem("p", {"one": (lap(u), f), "two": (lap(v[0]), f), "three": lap(v[1])}, []),
        {u: x, v: [y, x]},
    )
    assert list(made.inputs) == ["f"]
    assert_solved(made)


def test_a_source_is_added_where_there_is_none():
    made = manufacture(Problem("p", [lap(u) + u**3], [on(Gamma, u)]), {"u": x * y})
    assert made.equations["eq1"].lhs == lap(u) + u**3
    assert made.equations["eq1"].rhs == x**3 * y**3


def test_flux_data_are_derived():
    n = unit_normal(Omega)
    made = manufacture(Problem("p", [(lap(u), f)], [on(Gamma, dot(grad(u), n))]), {u: x**2 + y})
    assert next(iter(made.conditions.values())).rhs == 2 * x * n[0] + n[1]


def test_data_on_a_side_and_at_a_time_are_taken_there():
    t = time("t", 0, 1)
    w = unknown("w", Omega, time=t)
    w0 = input_function("w0", Omega)
    made = manufacture(
        Problem("p", [(dt(w), lap(w))], [on(side(Omega, x=1), w), at(t, 0, (w, w0), dt(w))]),
        {w: x * y * (1 + t)},
    )
    assert [c.rhs for c in made.conditions.values()] == [y * (t + 1), x * y, x * y]


def test_an_energy_gets_body_and_surface_loads():
    problem = Problem(
        "p",
        minimize=integral(dot(grad(u), grad(u)) / 2, Omega),
        conditions=[on(side(Omega, x=0), u)],
    )
    made = manufacture(problem, {u: x + y**2})
    terms = made.functionals[0].terms
    n = unit_normal(Omega)
    assert terms[0] == (dot(grad(u), grad(u)) / 2 + 2 * u, Omega)
    assert sp.expand(terms[1][0] + (n[0] + 2 * y * n[1]) * u) == 0
    assert_solved(made)


def test_the_integral_of_the_gauge_is_computed():
    problem = Problem(
        "p",
        [(lap(u), f)],
        [on(Gamma, dot(grad(u), unit_normal(Omega)))],
        require=[(integral(u, Omega), 0)],
    )
    assert manufacture(problem, {u: x * sp.sin(sp.pi * y)}).requirements[0].value == 1 / sp.pi
    D = disk(x, y, name="D")
    w = unknown("w", D)
    made = manufacture(Problem("p", [lap(w)], require=[(integral(w, D), 0)]), {w: x**2})
    assert made.requirements[0].value == sp.pi / 4
    made = manufacture(Problem("p", [lap(w)], require=[(integral(w, D), 0)]), {w: sp.cosh(x)})
    bessel = 2 * sp.pi * sp.besseli(1, 1)
    assert float(made.requirements[0].value) == pytest.approx(float(bessel), rel=1e-12)


def test_a_replaced_input_is_replaced_in_outputs_and_requirements_too():
    problem = Problem(
        "p",
        [(lap(u), f)],
        [on(Gamma, u)],
        output={"load": integral(f * u, Omega)},
        require=[f + u > -100],
    )
    made = manufacture(problem, {u: x**2 * y})
    assert dict(made.inputs) == {}
    assert made.outputs["load"].value == integral(2 * y * u, Omega)
    assert made.requirements[0].lhs - made.requirements[0].rhs == 2 * y + u + 100


@pytest.mark.parametrize("broken", ["declared", "required"])
def test_a_solution_that_breaks_a_requirement_is_refused(broken):
    c = unknown("c", Omega, positive=broken == "declared")
    problem = Problem(
        "p", [lap(c)], [on(Gamma, c)], require=[] if broken == "declared" else [c > 0]
    )
    with pytest.raises(ProblemError, match="V03"):
        manufacture(problem, {c: x - sp.Rational(1, 2)})
    manufacture(problem, {c: x + sp.Rational(1, 2)})


def test_a_periodic_solution_is_as_smooth_as_its_equation_is_high():
    """B_4(x) has a jump in its third derivative where the period ends, which lap(lap(u)) sees."""
    text = "problem p\nspace x\ndomain L = interval(0, 1)\nperiodic x\nunknown u : scalar on L\n"
    (x,) = pdespec.parse(text + "in L: -dxx(u) + u = 0\n").coordinates
    bernoulli = x**4 - 2 * x**3 + x**2
    manufacture(pdespec.parse(text + "in L: -dxx(u) + u = 0\n"), {"u": bernoulli})
    for statement in ("in L: dxxxx(u) + u = 0", "minimize integral(dxx(u)^2 + u^2, L)"):
        with pytest.raises(ProblemError, match="W04"):
            manufacture(pdespec.parse(text + statement + "\n"), {"u": bernoulli})


def test_a_trainable_may_be_given_its_true_value():
    k = trainable("k", 1)
    made = manufacture(Problem("p", [(div(k * grad(u)), f)], [on(Gamma, u)]), {u: x**2, k: 3})
    assert made.equations["eq1"].rhs == 6
    assert made.trainables["k"].value == 1


@pytest.mark.parametrize(
    ("solution", "code"),
    [
        ({}, "S01"),
        ({"w": x}, "S01"),
        ({u: [x, y]}, "T01"),
        ({u: v[0]}, "T05"),
        ({f: x}, "S01"),
        ({unknown("w", Omega): x}, "S01"),
    ],
)
def test_a_solution_that_does_not_fit_is_refused(solution, code):
    problem = Problem("p", [(lap(u), f)], [on(Gamma, u)])
    with pytest.raises(ProblemError) as caught:
        manufacture(problem, solution)
    assert caught.value.diagnostics[0].code == code


@pytest.mark.parametrize("wrong", ["x", "x*(1 - x)"])
def test_a_solution_on_a_periodic_domain_is_periodic_with_its_slope(wrong):
    problem = ZOO["burgers"]()
    (x,) = problem.coordinates
    with pytest.raises(ProblemError, match="W04"):
        manufacture(problem, {"u": x if wrong == "x" else x * (1 - x)})


polynomials = st.lists(st.integers(-3, 3), min_size=6, max_size=6).map(
    lambda c: c[0] + c[1] * x + c[2] * y + c[3] * x * y + c[4] * x**2 + c[5] * y**3
)


@settings(max_examples=15, deadline=None)
@given(polynomials, polynomials)
def test_any_polynomial_solves_its_problem(first, second):
    problem = Problem(
        "p", {"one": (div((1 + u**2) * grad(u)), f), "two": lap(v) + u * v}, [on(Gamma, u, (v, 0))]
    )
    assert_solved(manufacture(problem, {u: first, v: [second, first * second]}))
