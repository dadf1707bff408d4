"""Conditions at a point: in text and in Python, what is said of them, and back to text."""

from __future__ import annotations

import pytest
import sympy as sp

import pdespec
from pdespec import (
    Condition,
    Problem,
    ProblemError,
    at,
    boundary,
    check,
    div,
    grad,
    interval,
    lap,
    on,
    param,
    rectangle,
    space,
    time,
    uniform,
    unknown,
)
from pdespec.rules.null_space import all_modes
from pdespec.rules.registry import Analysis
from pdespec.text.syntax.printer import document
from pdespec.text.write.unparse import recover

STOKES = """problem stokes
space x, y
domain Q = rectangle([0, 0], [1, 1])
unknown v : vector on Q, p : scalar on Q
in Q: -lap(v) + grad(p) = [y, 0]; div(v) = 0
on boundary(Q): v = 0
"""
HEAT = """problem heat
space x, y
time t in [0, 2]
domain Q = rectangle([0, 0], [1, 1])
param a ~ uniform(0.2, 0.8)
unknown u : scalar on Q
in Q: dt(u) = lap(u)
at t = 0: u = 0
on boundary(Q): u = 0
"""
LINE = (
    "problem line\nspace x\nparam a ~ uniform(0.2, 0.8)\ndomain L = interval(0, 1)\nunknown u :"
    " scalar on L\nin L: dxx(u) = 1\n"
)


def codes(text: str) -> list[str]:
    try:
        return [each.code for each in pdespec.parse(text).warnings]
    except ProblemError as error:
        return [each.code for each in error.diagnostics]


def point(problem: Problem) -> Condition:
    (found,) = [each for each in problem.conditions.values() if each.kind == "point"]
    return found


def test_text_and_python_state_the_same_problem():
    x, y = space("x y")
    Q = rectangle(x, y, [0, 0], [1, 1], name="Q")
    v, p = unknown("v", Q, rank="vector"), unknown("p", Q)
    equations = [sp.Eq(-lap(v) + grad(p), sp.ImmutableMatrix([y, 0])), sp.Eq(div(v), 0)]
    stated = Problem(
        "stokes",
        equations,
        [on(boundary(Q), sp.Eq(v, sp.zeros(2, 1))), at((0, sp.Rational(1, 4)), sp.Eq(p, 1))],
        unknowns=[v, p],
    )
    assert (
        stated
        == pdespec.parse(STOKES + "at (0, 1/4): p = 1\n")
        == pdespec.parse(STOKES + "at y = 0.25, x = 0: p = 1\n")
    )
    assert point(stated).place == (0, sp.Rational(1, 4)) and check(stated) == ()


@pytest.mark.parametrize(
    "head",
    [
        "(a, 0.5)",
        "[a, 1/2]",
        "(2*a - 1/4, 0.5, 1)",
        "x = a, y = 1/3",
        "x = a, y = 1/3, t = 3/2",
        "(0.1, 0.2) in Q",
    ],
)
@pytest.mark.parametrize("member", ["u = t + a", "dx(u) = 0", "\n    u = 1\n    kept: dy(u) = x"])
def test_conditions_at_points_come_back_from_text_and_from_their_meaning(head, member):
    problem = pdespec.parse(HEAT + f"at {head}: {member}\n")
    assert pdespec.parse(problem.to_dsl()) == problem == pdespec.parse(document(recover(problem)))
    assert (
        problem.to_latex().count(r"\text{at }")
        == len(problem.conditions) - 1
        == 1 + max(1, member.count("\n"))
    )


def test_a_point_may_have_a_time():
    problem = pdespec.parse(HEAT + "at (1/2, a, 1): u = 1\nat (1/2, a): u = t\n")
    once, always = (each for each in problem.conditions.values() if each.kind == "point")
    assert (once.at, once.place[1]) == (1, problem.params["a"].symbol) and always.at is None
    assert list(problem.conditions)[-2:] == ["point.u", "point.u.2"]


def test_at_the_end_of_an_interval_a_condition_is_one_on_the_boundary():
    ends = pdespec.parse(LINE + "at x = 0: u = 2\nat (1): dx(u) = 0\n")
    sides = pdespec.parse(LINE + "on side(L, x = 0): u = 2\non side(L, x = 1): dx(u) = 0\n")
    assert ends == sides and ends.warnings == ()
    inside = pdespec.parse(LINE + "on boundary(L): u = 0\nat x = a: u = 0\n")
    assert point(inside).place == (inside.params["a"].symbol,)
    x = inside.coordinates[0]
    a, L = param("a", uniform(0.2, 0.8)), interval(x, 0, 1, name="L")
    u = unknown("u", L)
    assert inside == Problem(
        "line", [sp.Eq(u.diff(x, 2), 1)], [on(boundary(L), sp.Eq(u, 0)), at(x, a, sp.Eq(u, 0))]
    )


def test_a_value_at_a_point_pins_what_nothing_else_does():
    assert codes(STOKES) == ["W05"]
    assert codes(STOKES + "at (0, 0): p = 0\n") == []
    assert codes(STOKES + "at (0, 0): dx(p) = 0\n") == ["W05"]
    assert codes(STOKES + "at (0, 0): p = 0; dx(p) = 0\n") == ["W09"]
    body = (
        "problem body\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown u : vector on Q\n"
    )
    body += "in Q: div(sym(grad(u))) = 0\non boundary(Q): sym(grad(u))*n = [0, 0]\n"
    assert len(all_modes(Analysis(pdespec.parse(body + "at (0, 0): u = 0; dx(u.y) = 0\n")))) == 3
    assert codes(body + "at (0, 0): u = 0\n") == ["W05"]
    # it still turns about the origin
    assert codes(body + "at (0, 0): u = 0\nat (1, 0): u.x = 0\n") == ["W05"]
    assert codes(body + "at (0, 0): u = 0\nat (1, 0): u.y = 0\n") == []
    assert codes(body + "at (0, 0): u = 0; dx(u.y) = 0\n") == []


def test_a_condition_on_a_side_notices_a_rotation_as_far_as_it_moves_that_side():
    body = (
        "problem body\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nboundary left = side(Q, x"
        " = 0)\nunknown u : vector on Q\n"
    )
    body += "in Q: div(sym(grad(u))) = 0\non rest(Q, left): sym(grad(u))*n = [0, 0]\n"
    rolls = "on left: u.y = 0; sym(grad(u)).xx = 0\nat (1, 1): u.x = 0\n"
    # turned about the origin, the left side moves across only; with a shift the corner stays
    assert codes(body + rolls) == ["W05"]
    assert codes(body + rolls + "at (0, 0): u.x = 0\n") == []


@pytest.mark.parametrize(
    ("dim", "equation", "member", "expected"),
    [
        (1, "dxx(u) = 1", "u = 0", []),
        (2, "lap(u) = 1", "u = 0", ["W09"]),
        (2, "lap(lap(u)) = 1", "u = 0", []),
        (2, "lap(lap(u)) = 1", "dx(u) = 0", ["W09"]),
        (3, "lap(u) = 1", "u = 0", ["W09"]),
        (3, "lap(lap(u)) = 1", "u = 0", []),
    ],
)
def test_a_point_is_noticed_where_the_order_exceeds_the_dimension(dim, equation, member, expected):
    shape = {
        1: "interval(0, 1)",
        2: "disk(radius = 1, center = [1, 1])",
        3: "ball(radius = 1, center = [1, 1, 1])",
    }[dim]
    text = (
        f"problem p\nspace {', '.join('xyz'[:dim])}\ndomain Q = {shape}\nunknown u : scalar on"
        f" Q\nin Q: {equation}\n"
    )
    text += "on boundary(Q): u = 0" + "; lap(u) = 0" * ("lap(lap" in equation)
    assert codes(text + f"\nat ({', '.join(['1/2'] * dim)}): {member}\n") == expected


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("at (2, 1/2): u = 0", ["T06"]),
        ("at (1, 1/2): u = 0", ["W09"]),
        ("at (1.001, 1/2): u = 0", ["T06"]),
        ("at (a, 1/2): u = 0\nat (a, 1/2): u = 1", ["W03", "W09", "W09"]),
        ("at (a, 1/2): u = x\nat (a, 1/2): u = a", ["W09", "W09"]),
        ("at (a, 0): u = 1", ["W03", "W09"]),
        ("at (a, 1/2, 0): u = 1", ["W03", "W09"]),
        ("at (a, 1/2, 1): u = 1\nat (a, 1/2): u = t", ["W09", "W09"]),
        ("at (a, 1/2, 1): u = 1\nat (a, 1/2): u = 2*t", ["W03", "W09", "W09"]),
        ("at (a, 1/2, 3): u = 1", ["W01", "W09"]),
        ("at (a, 1/2): dn(u) = 1", ["W07", "W09"]),
        ("at (a, 1/2): jump(u) = 1", ["J03", "W09"]),
        ("at (a): u = 1", ["T01"]),
        ("at (a, 1, 1, 1): u = 1", ["T01"]),
        ("at (a, t): u = 1", ["T05"]),
        ("at (a, [1, 2]): u = 1", ["T05"]),
        ("at x = 1, x = 2: u = 1", ["T01"]),
        ("at (a, 1): a = 1", ["W06"]),
        ("at (a, b): u = 1", ["S01"]),
        ("at (a, 1)", ["S02"]),
        ("at (): u = 1", ["S02"]),
    ],
)
def test_what_is_wrong_with_a_point_is_said(line, expected):
    assert sorted(codes(HEAT + line + "\n")) == expected


def test_python_points_are_refused_what_texts_are():
    x, y = space("x y")
    t = time("t", 0, 1)
    Q = rectangle(x, y)
    u = unknown("u", Q, time=t)
    for stated, code in ((at((0,), (u, 0)), "T01"), (at((0, x), (u, 0)), "T05")):
        with pytest.raises(ProblemError, match=code):
            Problem("p", [(u.diff(t), lap(u))], [stated])
    with pytest.raises(ProblemError, match=r"(?s)T05.*at\(\(0, 0\)"):
        on((0, 0), sp.Eq(u, 0))
    with pytest.raises(ProblemError, match="T05.*needs the time or a point"):
        at(Q, 0, sp.Eq(u, 0))
    with pytest.raises(ProblemError, match="T05.*needs the time or a point"):
        at(x, 0, sp.Eq(u, 0))


def test_a_manufactured_solution_is_the_value_at_the_point():
    problem = pdespec.parse(
        STOKES.replace("[y, 0]", "f").replace("unknown", "input f : vector on Q\nunknown")
        + "at (0, 1/2): p = 0\n"
    )
    x, y = problem.coordinates
    made = pdespec.manufacture(
        problem, {"v": sp.ImmutableMatrix([y * (1 - y) * x * (1 - x), 0]), "p": x + y**2}
    )
    condition = point(made)
    assert condition.lhs == problem.unknowns["p"].symbol and condition.rhs.subs(
        {x: 0, y: sp.Rational(1, 2)}
    ) == sp.Rational(1, 4)
