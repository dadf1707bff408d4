"""The example problems: each parses without complaint, comes back from both printers, and its known
solution is one.

The known solutions are checked against the statements as written, by SymPy's own `doit` and
floating-point evaluation at random points: nothing of the project's way of carrying out derivatives
is used.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import sympy as sp

import pdespec
from pdespec.coordinates import Normal
from pdespec.geometry import Ball, Box, Disk, Interval, Rectangle
from pdespec.symbols import Scalar

EXAMPLES = Path(__file__).parents[2] / "examples"
PATHS = sorted(EXAMPLES.glob("*.pde"))
PROBLEMS = {path.stem: pdespec.load(path) for path in PATHS}
SOLVED = [name for name, problem in PROBLEMS.items() if problem.references]


def test_there_are_at_least_twenty_examples():
    assert len(PATHS) >= 20


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_raises_no_alarm(name):
    assert PROBLEMS[name].warnings == ()
    assert PROBLEMS[name].name == name


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_comes_back_from_its_own_text(name):
    assert pdespec.parse(PROBLEMS[name].to_dsl()) == PROBLEMS[name]


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_comes_back_from_its_meaning_alone(name):
    stripped = PROBLEMS[name].revised(written=None)
    assert pdespec.parse(stripped.to_dsl()) == PROBLEMS[name]


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_keeps_its_own_notation(name):
    """Printing what was parsed from a print changes nothing, and definitions are still there by
    name."""
    text = PROBLEMS[name].to_dsl()
    assert pdespec.parse(text).to_dsl() == text
    written = (EXAMPLES / f"{name}.pde").read_text(encoding="utf-8")
    defined = [
        line.split(":=")[0].split("(")[0].split()[-1]
        for line in written.splitlines()
        if ":=" in line.split("#")[0]
    ]
    assert all(f"{each} :=" in text or f"{each}(" in text for each in defined)


@pytest.mark.parametrize("name", PROBLEMS)
def test_an_example_is_typeset_with_balanced_brackets(name):
    latex = PROBLEMS[name].to_latex()
    assert latex.count(r"\left") == latex.count(r"\right")
    assert latex.count("{") == latex.count("}")
    assert latex.startswith(r"\begin{aligned}")


@pytest.mark.parametrize("name", SOLVED)
def test_the_known_solution_satisfies_the_equations(name):
    problem = PROBLEMS[name]
    values = known(problem)
    draw = random.Random(1)
    for equation in problem.equations.values():
        for _ in range(3):
            point = {**inside(problem, draw), **parameters(problem, draw)}
            assert residual(equation, values, point) < 1e-9


@pytest.mark.parametrize("name", SOLVED)
def test_the_known_solution_satisfies_the_conditions(name):
    problem = PROBLEMS[name]
    values = known(problem)
    draw = random.Random(2)
    for condition in problem.conditions.values():
        for _ in range(3):
            point = {**inside(problem, draw), **parameters(problem, draw)}
            if condition.kind == "initial":
                point[problem.time] = condition.at
            else:
                point.update(on_boundary(condition.region.domain, draw))
            assert residual(condition, values, point) < 1e-9


# ---- evaluation


def known(problem):
    """Component functions of the unknowns to their known expressions."""
    values = {}
    for name, value in problem.references.items():
        symbol = problem.unknowns[name].symbol
        pairs = (
            zip(symbol, value, strict=True)
            if isinstance(symbol, sp.MatrixBase)
            else [(symbol, value)]
        )
        values.update(pairs)
    return values


def residual(statement, values, point):
    """|lhs - rhs| of a statement at a point, relative to the size of its terms or 1."""
    difference = (
        sp.Matrix([statement.lhs - statement.rhs])
        if not isinstance(statement.lhs, sp.MatrixBase)
        else sp.Matrix(statement.lhs - statement.rhs)
    )
    exact = difference.subs(values).doit().subs(point)
    return max(abs(complex(entry.evalf(30))) for entry in exact)


def parameters(problem, draw):
    """A value for every param and constant: drawn within the law's support, or as given."""
    values = {}
    for param in (*problem.params.values(), *problem.constants.values()):
        if param.law is not None:
            low, high = param.law.support
            values[Scalar(param)] = low + (high - low) * number(draw)
        else:
            values[Scalar(param)] = param.value
    return values


def number(draw):
    return sp.Rational(draw.randint(1, 999), 1000)


def box(shape):
    if isinstance(shape, (Disk, Ball)):
        half = shape.radius / 2
        return [(c - half, c + half) for c in shape.center]
    return list(zip(shape.lower, shape.upper, strict=True))


def inside(problem, draw):
    (domain,) = problem.domains.values()
    point = {
        x: low + (high - low) * number(draw)
        for x, (low, high) in zip(domain.coordinates, box(domain.shape), strict=True)
    }
    if problem.time is not None:
        point[problem.time] = problem.time.start + (problem.time.end - problem.time.start) * number(
            draw
        )
    return point


def on_boundary(domain, draw):
    """A point of the boundary, by the definition of the shape, and the outward normal there."""
    shape, coordinates = domain.shape, domain.coordinates
    if isinstance(shape, (Interval, Rectangle, Box)):
        axis, upper = draw.randrange(len(coordinates)), draw.randrange(2)
        point = {
            x: low + (high - low) * number(draw)
            for x, (low, high) in zip(coordinates, box(shape), strict=True)
        }
        point[coordinates[axis]] = box(shape)[axis][upper]
        normal = [0] * len(coordinates)
        normal[axis] = 1 if upper else -1
    else:
        direction = sp.Matrix([draw.gauss(0, 1) for _ in coordinates])
        normal = list(direction / direction.norm())
        point = {
            x: c + shape.radius * n
            for x, c, n in zip(coordinates, shape.center, normal, strict=True)
        }
    return {**point, **{Normal(x): n for x, n in zip(coordinates, normal, strict=True)}}
