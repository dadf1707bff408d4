"""Words that users reach for: what they mean, and what is said of those that mean nothing here."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
import sympy as sp
import torch
from scipy.integrate import nquad

import pdespec
from compiler.geometry.domain import Geometry
from pdespec import (
    Problem,
    ProblemError,
    at,
    boundary,
    check,
    dirac,
    dn,
    dt,
    lap,
    on,
    rectangle,
    space,
    time,
    unknown,
)
from pdespec.beyond import MEANT
from pdespec.coordinates import Normal
from pdespec.units import PLAIN, PREFIXED, PREFIXES, UNITS

FOLDER = Path(__file__).parent / "diagnostics"
HEAD = (
    "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown u : scalar on Q, v :"
    " vector on Q\n"
)
REST = "in Q: lap(u) = 1; lap(v) = [1, 2]\n"


def parsed(conditions: str, before: str = "") -> Problem:
    problem = pdespec.parse(HEAD + before + REST + conditions)
    assert (
        pdespec.parse(problem.to_dsl())
        == problem
        == pdespec.parse(problem.revised(written=None).to_dsl())
    )
    return problem


# ---- the derivative along the normal


def test_dn_is_the_derivative_along_the_normal_of_scalars_and_vectors():
    problem = parsed(
        "on side(Q, x = 0): u = 0; v = 0\non rest(Q, side(Q, x = 0)): dn(u) = 2; dn(v) = [0, u]\n"
    )
    x, y = problem.coordinates
    u, v = problem.unknowns["u"].symbol, problem.unknowns["v"].symbol

    def along(field):
        return sp.Derivative(field, x) * Normal(x) + sp.Derivative(field, y) * Normal(y)

    _, _, scalar, vector = problem.conditions.values()
    assert scalar.lhs == along(u) == dn(u)
    assert vector.lhs == sp.ImmutableMatrix([along(v[0]), along(v[1])]) == dn(v)
    assert r"\partial \boldsymbol{n}" in problem.to_latex()


@pytest.mark.parametrize(
    ("written", "cure"),
    {
        "du/dx": "dx(u)",
        "2*du/dn": "dn(u)",
        "d2u/dx2": "dxx(u)",
        "∂u/∂y": "dy(u)",
        "x*dv/dy": "dy(v)",
    }.items(),
)
def test_a_derivative_spelled_as_a_fraction_is_told_how_to_be_written(written, cure):
    with pytest.raises(ProblemError) as caught:
        pdespec.parse(HEAD + REST + f"on boundary(Q): u = {written}; v = 0\n")
    assert caught.value.diagnostics[0].hint == f"write {cure}"


@pytest.mark.parametrize(
    ("written", "cure"),
    {
        "relu(u)": "max(s, 0)",
        "J0(u)": "besselj(0, s)",
        "clip(u, 0, 1)": "min(max(s, a), b)",
        "if(x != 0, 1, 2)": "not equal(a, b)",
        "if(x > 0 && y > 0, 1, 2)": "and, or, not",
        "x ? 1 : 2": "if(condition, value, otherwise)",
        "mod(u, 0)": "the divisor is zero everywhere",
        "(-8)^(1/3)*u": "-8^(1/3)",
    }.items(),
)
def test_what_other_languages_write_is_told_how_to_be_written(written, cure):
    with pytest.raises(ProblemError) as caught:
        pdespec.parse(
            HEAD + f"in Q: lap(u) = {written}; lap(v) = [1, 2]\non boundary(Q): u = 1; v = 0\n"
        )
    assert cure in caught.value.diagnostics[0].hint


# ---- point sources


ROUND = "unknown u : scalar on D\nin D: lap(u) = 1\non boundary(D): u = 0"


@pytest.mark.parametrize("written", ["disk([1, 2], 3)", "disk([1, 2], radius = 3)"])
def test_a_point_that_comes_first_is_the_center(written):
    problem = pdespec.parse(f"problem p\nspace x, y\ndomain D = {written}\n{ROUND}")
    assert problem == pdespec.parse(
        f"problem p\nspace x, y\ndomain D = disk(radius = 3, center = [1, 2])\n{ROUND}"
    )


@pytest.mark.parametrize(
    "written, cure",
    [
        ("rectangle((0, 0), (1, 1))", r"write [0, 0]"),
        ("ellipse([0, 0], [1, 2])", "write ellipse(radii, center, angle)"),
        ("rectangle(0, 0, 1, 1)", "write rectangle(lower = [..], upper = [..])"),
    ],
)
def test_the_arguments_of_a_shape_are_told(written, cure):
    with pytest.raises(ProblemError) as error:
        pdespec.parse(f"problem p\nspace x, y\ndomain D = {written}\n{ROUND}")
    assert cure in str(error.value)


@pytest.mark.parametrize("width", [0.02, 0.1])
def test_a_point_source_has_total_one_and_the_declared_width(width):
    x, y = space("x y")
    source = sp.lambdify((x, y), dirac(sp.Matrix([x - 0.5, y - 0.25]), width))
    box = [(0.5 - 8 * width, 0.5 + 8 * width), (0.25 - 8 * width, 0.25 + 8 * width)]
    assert nquad(source, box)[0] == pytest.approx(1, abs=1e-9)
    spread = nquad(lambda x, y: (x - 0.5) ** 2 * source(x, y), box)[0]
    assert spread == pytest.approx(width**2, rel=1e-9)


def test_a_point_source_reads_the_same_in_text_and_in_python():
    x, _ = space("x y")
    problem = parsed("on boundary(Q): u = dirac(x - 0.5, 0.05); v = 0\n")
    assert next(iter(problem.conditions.values())).rhs == dirac(x - sp.Rational(1, 2), 0.05)


# ---- numbers that come in several, marks in any order


def test_a_size_after_a_trainable_is_its_size():
    problem = parsed(
        "on boundary(Q): u = entry(c, 3) + entry(a, 1); v = 0\n",
        "trainable c = 0, size = 4\nparam a = 2, size = 3, b = 1\n",
    )
    assert problem.trainables["c"].size == 4 and problem.trainables["c"].value == 0
    assert problem.params["a"].size == 3 and list(problem.params) == ["a", "b"]


def test_a_number_may_still_be_called_size_in_a_statement_of_its_own():
    problem = parsed("on boundary(Q): u = size*k; v = 0\n", "param k = 1\nparam size = 4\n")
    assert problem.params["size"].value == 4 and problem.params["k"].size is None


@pytest.mark.parametrize(
    "marks",
    ["[K] > 0", "> 0 [K]", *map(" ".join, itertools.permutations(("steady", "> 0", "[K]")))],
)
def test_the_marks_of_an_unknown_stand_in_any_order(marks):
    text = (
        "problem p\nspace x [m]\ntime t in [0, 1]\ndomain L = interval(0, 1)\nunknown u : scalar"
        f" on L {marks}\n"
    )
    u = pdespec.parse(text + "in L: dxx(u) = 0\non boundary(L): u = 1\n").unknowns["u"]
    assert (u.unit, u.positive, u.time is None) == ("K", True, "steady" in marks)


@pytest.mark.parametrize("marks", [*itertools.permutations(("over t", "> 0", "[K]"))])
def test_so_do_those_of_functions_that_are_found_or_given(marks):
    given = " ".join(each for each in marks if each != "> 0")
    text = (
        "problem p\nspace x [m]\ntime t in [0, 1]\ndomain L = interval(0, 1)\ntrainable k = 1 :"
        f" scalar on L {' '.join(marks)} ~ grf(length = 1), modes = 2, q = 1\ninput f : scalar on L"
        f" {given} ~ grf(length = 1)\nunknown u : scalar on L\n"
    )
    problem = pdespec.parse(text + "in L: dxx(u) = k + f + q\non boundary(L): u = 1\n")
    k, f = problem.trainables["k"], problem.inputs["f"]
    assert (k.unit, k.positive, k.time.name, k.modes) == ("K", True, "t", 2)
    assert (f.unit, f.time.name) == ("K", "t") and list(problem.trainables) == ["k", "q"]


# ---- units

SI = {
    "S": "1/Ohm", "H": "Wb/A", "bar": "100000 Pa", "L": "1/1000 m^3", "day": "86400 s",
    "eV": "1.602176634e-19 J", "degC": "K",
    "J/(kg*K)": "m^2/s^2/K", "kWh": "3600000 J", "mM": "mol/m^3", "GHz": "1000000000/s",
    "daN": "10 N", "cP": "1/1000 Pa*s",
}  # fmt: skip


@pytest.mark.parametrize("unit", SI)
def test_a_unit_measures_what_the_si_brochure_says(unit):
    head = (
        f"problem p\nspace x [m]\ndomain L = interval(0, 1)\nconst a = 1 [{unit}]\nunknown u :"
        " scalar on L\n"
    )
    problem = pdespec.parse(head + "in L: dxx(u) = a\non boundary(L): u = 0\n")
    from pdespec.rules.dimensions import measure

    factor, _, name = (
        SI[unit].partition(" ")
        if SI[unit][0].isdigit() and " " in SI[unit]
        else ("1", "", SI[unit])
    )
    wanted = measure(name.replace("1000000000/s", "1/s"))
    found = measure(problem.constants["a"].unit)
    assert found.powers == wanted.powers
    scale = sp.Rational(factor) * (10**9 if unit == "GHz" else 1)
    assert sp.Rational(found.factor.numerator, found.factor.denominator) == scale * sp.Rational(
        *wanted.factor.as_integer_ratio()
    )
    assert pdespec.parse(problem.to_dsl()) == problem


def test_a_prefix_never_takes_the_place_of_a_unit():
    assert set(PLAIN).isdisjoint(PREFIXED)
    assert all(UNITS[name] == unit for table in (PLAIN, PREFIXED) for name, unit in table.items())
    assert all(
        UNITS[prefix + "W"].factor == sp.Integer(10) ** power for prefix, power in PREFIXES.items()
    )
    assert (
        str(UNITS["min"]) == "[60*s]"
        and str(UNITS["cd"]) == "[cd]"
        and str(UNITS["Pa"]) == "[kg/m/s^2]"
    )


# ---- what is refused by its name


@pytest.mark.parametrize("word", sorted(MEANT))
def test_what_is_out_of_scope_is_refused_by_its_name_and_stays_free_for_users(word):
    with pytest.raises(ProblemError) as caught:
        pdespec.parse(HEAD + REST + f"on boundary(Q): u = {word}(x); v = 0\n")
    (found,) = caught.value.diagnostics
    assert found.code == "N01" and MEANT[word][0] in found.message and found.hint
    assert parsed(f"on boundary(Q): u = {word}; v = 0\n", f"const {word} = 2\n")


def test_python_problems_are_refused_what_texts_are():
    x, y = space("x y")
    t, s = time("t", 0, 1), sp.Symbol("s")
    Q = rectangle(x, y, [0, 0], [1, 1])
    u = unknown("u", Q, time=t)
    ends = [on(boundary(Q), (u, 0)), at(t, 0, (u, 0))]
    for term in (
        sp.Integral(u.subs(x, s), (s, 0, 1)),
        sp.Sum(x**s * u, (s, 0, 3)),
        sp.Limit(sp.sin(s) / s, s, 0),
    ):
        with pytest.raises(ProblemError, match="T05.*binds a symbol"):
            Problem("p", {"a": (dt(u), lap(u) + term)}, ends)
    with pytest.raises(ProblemError, match="N01.*point source"):
        Problem("p", {"a": (dt(u), lap(u) + sp.DiracDelta(x - 1))}, ends)
    (delay,) = check(Problem("p", {"a": (dt(u), lap(u) + u.subs(t, t - 1))}, ends))
    assert delay.code == "N01" and "delay" in delay.message


# ---- cures


@pytest.mark.parametrize(
    "name",
    ["W02_uncovered_boundary", "W02_sides_written_in_place", "W05_pressure_up_to_a_constant"],
)
def test_the_statements_that_a_cure_offers_can_be_read_and_cure(name):
    """Each statement in backticks that a hint says to write or add, added: what it was offered
    for is gone, and nothing is new."""
    text = (FOLDER / f"{name}.pde").read_text(encoding="utf-8")
    with pytest.raises(ProblemError) as caught:
        pdespec.parse(text)
    cures = [
        each
        for found in caught.value.diagnostics
        for each in re.findall(r"(?:write|add) `((?:on|require) [^`]*)`", found.hint)
    ]
    assert cures
    cured = text + "".join(f"{each}\n" for each in dict.fromkeys(cures))
    # the value that is offered may not be that of a side it meets
    assert {each.code for each in diagnostics_of(cured)} <= {"W03"}


def diagnostics_of(text: str):
    try:
        return pdespec.parse(text).warnings
    except ProblemError as error:
        return error.diagnostics


BOXES = """
problem p
space    x, y
domain   A = rectangle([0, 0], [2, 1]), B = rectangle([0.5, 1], [3, 2])
boundary meet = interface(A, B)
unknown  a : scalar on A, b : scalar on B
in A:     lap(a) = 0
in B:     lap(b) = 0
on meet:  a = b; dn(a) = dn(b)
on rest(A): a = 0
on rest(B): b = 0
"""


def test_rest_leaves_out_what_is_shared_with_another_domain():
    """As far as the other domain reaches: of the side of A that ends at 2, what lies beyond 0.5,
    of that of B what lies before 2."""
    problem = pdespec.parse(BOXES)
    regions = {c.region.domain.name: c.region for c in problem.conditions.values()}
    for name, (start, stop), length in (("A", (0, 0.5), 4.5), ("B", (2, 3), 5.5)):
        region = regions[name]
        geometry = Geometry(region.domain, {}, 1, torch.float64)
        assert region.kind == "rest" and geometry.measure(region).item() == pytest.approx(length)
        points, _ = geometry.boundary(region, 400, torch.Generator().manual_seed(0))
        along = points[0, (points[0, :, 1] - 1).abs() < 1e-9, 0]
        assert len(along) and start - 1e-9 <= along.min() and along.max() <= stop + 1e-9
    assert pdespec.parse(problem.to_dsl()) == problem


def test_rest_leaves_out_a_hole_that_another_domain_fills():
    text = BOXES.replace("rectangle([0.5, 1], [3, 2])", "disk(radius = 1/4, center = [1, 1/2])")
    problem = pdespec.parse(
        text.replace(
            "A = rectangle([0, 0], [2, 1])",
            "A = rectangle([0, 0], [2, 1]) - disk(radius = 1/4, center = [1, 1/2])",
        ).replace("on rest(B): b = 0\n", "")
    )
    (region,) = (c.region for c in problem.conditions.values() if c.region.kind == "rest")
    assert Geometry(region.domain, {}, 1, torch.float64).measure(region).item() == pytest.approx(6)


def test_rest_without_declared_boundaries_leaves_out_those_that_conditions_name():
    text = """
problem p
space    x, y
domain   Q = rectangle([0, 0], [2, 1])
unknown  u : scalar on Q
in Q:      lap(u) = 1
on rest(Q): dn(u) = 0
on side(Q, x = 0): u = 0
on boundary(Q, x > 1): u = 1
"""
    named = text.replace("rest(Q)", "rest(Q, side(Q, x = 0), boundary(Q, x > 1))")
    assert pdespec.parse(text) == pdespec.parse(named)
    with pytest.raises(pdespec.ProblemError, match=r"write boundary\(Q\) for all of it"):
        pdespec.parse(
            text.replace("on side(Q, x = 0)", "on boundary(Q)").split("on boundary(Q, x")[0]
        )
