"""Laws of the two printers: what is printed is read back as the same tree, and as the same
problem."""

from __future__ import annotations

import keyword
from pathlib import Path

import sympy as sp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import pdespec
from pdespec import Problem, calculus, domains, geometry, laws, on
from pdespec.coordinates import space, time
from pdespec.errors import Source
from pdespec.symbols import const, input_function, param, trainable, unknown
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.parser import read
from pdespec.text.syntax.printer import document, text
from pdespec.words import BUILTINS, RESERVED

QUICK = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True
)

# ---- trees: any tree the grammar can build, printed and read again


names = st.sampled_from(["u", "v", "Omega", "x", "alpha_1", "`n`", "`data`", "`in`"]).map(t.Name)
numbers = st.sampled_from(["0", "1", "2.50", "1e-3", "12"]).map(t.Number)


def composite(inner):
    pairs = st.lists(st.tuples(st.sampled_from("+-"), inner), min_size=1, max_size=3).map(tuple)
    factors = st.lists(st.tuples(st.sampled_from("*/"), inner), min_size=1, max_size=3).map(tuple)
    keywords = st.lists(
        st.builds(t.Keyword, st.sampled_from(["radius", "size"]), inner), max_size=2
    ).map(tuple)
    return st.one_of(
        st.builds(t.Sum, inner, pairs),
        st.builds(t.Product, inner, factors),
        st.builds(t.Negative, inner),
        st.builds(t.Transpose, inner),
        st.builds(t.Power, inner, inner),
        st.builds(t.Component, inner, st.sampled_from(["x", "xy"])),
        st.builds(
            t.Call,
            st.sampled_from(["grad", "k", "boundary"]),
            st.lists(inner, max_size=3).map(tuple),
            keywords,
        ),
        st.lists(inner, min_size=1, max_size=3).map(lambda items: t.Bracket(tuple(items))),
        st.builds(t.Intersection, inner, inner),
    )


expressions = st.recursive(st.one_of(names, numbers), composite, max_leaves=12)


@given(st.lists(st.tuples(expressions, expressions), min_size=1, max_size=3))
@QUICK
def test_a_printed_tree_is_read_back(sides):
    members = tuple(t.Equality(None, left, right) for left, right in sides)
    statements = (
        t.Block(t.Head("in", t.Name("Omega")), members),
        t.Definition(t.Name("q"), (t.Name("w"),), sides[0][0]),
    )
    report = []
    found = read(Source("printed", document(statements)), report)
    assert report == []
    assert found.statements == statements


@given(expressions)
@QUICK
def test_printing_puts_no_bracket_that_changes_nothing_twice(expression):
    once = text(expression)
    report = []
    (definition,) = read(Source("printed", f"q := {once}\n"), report).statements
    assert text(definition.body) == once


# ---- problems built in Python


@st.composite
def problems(draw):
    """A well-posed stationary system of a scalar and a vector with random lower-order terms."""
    x, y = space("x y")
    c = param("c", laws.uniform(0, 1))
    k = const(
        draw(st.sampled_from(["k", "mu", "d", "theta"])),
        sp.Rational(draw(st.integers(1, 99)), draw(st.sampled_from([1, 3, 10]))),
    )
    radius = 1 + c / draw(st.integers(2, 5))
    shapes = [
        domains.disk(x, y, radius=radius),
        domains.rectangle(x, y, (0, 0), (2, radius)),
        domains.rectangle(x, y, (0, 0), (1, 1))
        - domains.disk(x, y, radius=c / 4, center=(sp.Rational(1, 2), sp.Rational(1, 2))),
        domains.star(x, y, radius=lambda theta: 1 + c * sp.cos(3 * theta) / 4),
        pdespec.ellipse(x, y, (2, 1), (1, 0), sp.pi / 6),
        pdespec.moved(pdespec.disk(x, y), (1, sp.Rational(1, 3)))
        & pdespec.rectangle(x, y, (0, 0), (5, 5)),
        pdespec.rotated(pdespec.rectangle(x, y), sp.pi / 4, (1, 0))
        - pdespec.scaled(pdespec.disk(x, y), sp.Rational(1, 10), (0, 1)),
    ]
    Omega = draw(st.sampled_from(shapes))
    name = draw(st.sampled_from(["u", "n", "E", "I", "S", "rho_0"]))
    u, v = unknown(name, Omega), unknown("v", Omega, "vector")
    f = input_function("f", Omega, laws.grf(length=sp.Rational(1, draw(st.integers(2, 7)))))
    kappa = trainable("kappa", 2)
    atoms = [
        u,
        v[0],
        v[1],
        f,
        x,
        y,
        c,
        k,
        kappa,
        sp.pi,
        calculus.d(u, x),
        calculus.d(v[1], y),
        sp.Integer(2),
        sp.Rational(-7, 3),
    ]
    scalars = st.recursive(st.sampled_from(atoms), _terms, max_leaves=6)
    known = st.recursive(
        st.sampled_from([x, y, c, k, sp.Integer(3), sp.Rational(1, 7)]), _terms, max_leaves=4
    )
    scalar = sp.Eq(
        calculus.div((2 + draw(known) ** 2) * calculus.grad(u)), draw(scalars), evaluate=False
    )
    vector = (k * calculus.lap(v), sp.ImmutableMatrix([draw(scalars), draw(scalars)]))
    Gamma = geometry.boundary(Omega)
    labels = draw(
        st.sampled_from([("balance", "momentum"), ("mass balance", "in"), ("eq2", "eq1")])
    )
    conditions = [
        on(Gamma, sp.Eq(u, draw(known), evaluate=False)),
        on(Gamma, (v, draw(st.sampled_from([0, sp.ImmutableMatrix([x * c, 1])])))),
    ]
    outputs = {"total": calculus.integral(draw(scalars), Omega)}
    return Problem(
        "generated", dict(zip(labels, (scalar, vector), strict=True)), conditions, output=outputs
    )


def settled(expression):
    """The expression rebuilt from its parts: SymPy leaves Abs(Abs(u))/10 behind, which it would
    not build from Abs(u)."""
    if not expression.args or expression.has(sp.Derivative):
        return expression
    return expression.func(*(settled(each) for each in expression.args))


def _terms(inner):
    return st.one_of(
        st.tuples(inner, inner).map(lambda pair: pair[0] + pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] * pair[1]),
        st.tuples(inner, inner).map(lambda pair: pair[0] / (3 + pair[1] ** 2)),
        st.tuples(inner, st.sampled_from([2, 3, sp.Rational(1, 2)])).map(
            lambda pair: (1 + pair[0] ** 2) ** pair[1]
        ),
        st.tuples(inner, st.sampled_from([sp.sin, sp.exp, sp.tanh, sp.Abs])).map(
            lambda pair: pair[1](pair[0] / 10)
        ),
        st.tuples(inner, inner).map(lambda pair: sp.Max(*pair)),
        inner.map(lambda each: -each),
    ).map(settled)


@given(problems())
@settings(QUICK, max_examples=25)
def test_a_problem_built_in_python_is_read_back_from_its_text(problem):
    assert pdespec.parse(problem.to_dsl()) == problem


@given(problems())
@settings(QUICK, max_examples=8)
def test_a_problem_built_in_python_can_be_typeset(problem):
    latex = problem.to_latex()
    assert latex.count("{") == latex.count("}")


# ---- single cases


def test_the_time_of_a_problem_survives():
    (x,) = space("x", unit="m")
    clock = time("t", 0, sp.Rational(1, 3), unit="s")
    L = geometry.periodic(domains.interval(x, 0, 2 * sp.pi, name="L"), x)
    u = unknown("u", L, time=clock, unit="m/s")
    steady = input_function("f", L, laws.grf(length=1))
    moving = input_function("g", L, time=clock, source="forcing.h5")
    nu = const("nu", 0.1, unit="m^2/s")
    problem = Problem(
        "p",
        [(calculus.dt(u), nu * calculus.d(u, x, x) + steady + moving)],
        [pdespec.at(clock, 0, (u, 0))],
    )
    assert pdespec.parse(problem.to_dsl()) == problem


def test_a_revised_problem_is_printed_as_it_is_now():
    problem = pdespec.load(Path(__file__).parents[2] / "examples" / "heat.pde")
    revised = problem.revised(name="cold")
    assert revised.to_dsl().startswith("problem cold")
    assert pdespec.parse(revised.to_dsl()) == revised


def test_every_reserved_word_and_operator_can_name_a_field_in_backticks():
    for word in sorted((RESERVED | BUILTINS | {"dx", "dt", "lambda"}) - {"problem"}):
        assert not keyword.iskeyword(word) or word in ("in", "from", "lambda", "and", "or", "not")
        source = (
            f"problem p\nspace x\ndomain L = interval(0, 1)\nunknown `{word}` : scalar on"
            f" L\n`{word}`_ := 2\n"
        )
        report = []
        read(Source("words", source.replace(f"`{word}`_ := 2\n", f"a := `{word}` + 2\n")), report)
        assert report == [], word


def test_every_reserved_word_and_operator_can_name_anything_in_backticks():
    names = [f"`{name}`" for name in sorted((BUILTINS | RESERVED) - {"d"})]
    for own, other in zip(names, names[1:] + names[:1], strict=True):
        parsed = pdespec.parse(
            f"problem p\nspace x, y\nparam {own} = 2\ndomain Q = disk(radius = 1)\n"
            f"boundary {other} = boundary(Q)\nunknown u : scalar on Q\n"
            f"in Q: lap(u) = {own}*u + 1\non {other}: u = {own}"
        )
        assert pdespec.parse(parsed.to_dsl()) == parsed


def test_a_time_of_another_name_is_printed_as_it_is_called():
    x, y = space("x y")
    tau = time("tau", 0, 1)
    Omega = domains.rectangle(x, y)
    v = unknown("v", Omega, "vector", time=tau)
    stated = [(calculus.dt(v, 2), calculus.lap(v))]
    problem = Problem(
        "p",
        stated,
        [on(geometry.boundary(Omega), (v, 0)), pdespec.at(tau, 0, (v, 0), (calculus.dt(v), 0))],
    )
    assert "dtautau(v)" in problem.to_dsl()
    assert pdespec.parse(problem.to_dsl()) == problem


def test_a_choice_inside_of_a_condition_is_read_back():
    head = "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
    problem = pdespec.parse(head + "in L: u = if(x < 0.9 and if(u > 1, u, x) > 0.2, x, 1)\n")
    assert not problem.equations["eq1"].rhs.has(sp.ITE)
    bare = problem.revised(written=None)
    assert pdespec.parse(bare.to_dsl()) == problem


def test_numbers_that_sympy_makes_of_functions_are_written_as_functions():
    """EulerGamma, zeta(3) and pi^2 of polygamma; the smallest of numbers, an exponential of a
    large one."""
    problem = pdespec.parse("""
problem numbers
space x
domain L = interval(0, 1)
unknown u : scalar on L
a := polygamma(0, 3/2)*x + polygamma(2, 1)*u
in L: dxx(u) = a + polygamma(4, 2) + polygamma(1, 1/4) + exp(-4465)/2
on boundary(L): u = 0
""")
    assert {sp.EulerGamma, sp.zeta(3), sp.zeta(5)} <= problem.equations["eq1"].rhs.atoms(
        sp.NumberSymbol, sp.zeta
    )
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem
