"""What the command line prints about a problem is true of it, and in its own words."""

from __future__ import annotations

from pathlib import Path

import pdespec
from pdespec.text.write.summary import (
    derivative_lines,
    explain,
    residual_lines,
    summary,
    template,
    variation_lines,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name):
    return pdespec.load(EXAMPLES / f"{name}.pde")


def test_the_template_is_a_problem_without_mistakes():
    problem = pdespec.parse(template("mine"), source="mine.pde")
    assert problem.name == "mine"
    assert problem.warnings == ()
    assert set(problem.inputs) == {"q"} and set(problem.params) == {"T_hot"}


def test_the_summary_shows_what_was_written():
    rows = dict(summary(load("lid_cavity")))
    assert rows["unknowns"] == ["v : vector on Omega", "p : scalar on Omega"]
    assert rows["equations"][0] == "in Omega: momentum: dt(v) + advect(v, v) = div(sigma)"
    assert rows["conditions"] == ["on lid: v = [1, 0]", "on walls: v = 0", "at t = 0: v = 0"]
    assert rows["time"] == ["t in [0, 10]"]
    assert "inputs" not in rows


def test_a_residual_line_can_be_read_back_as_an_equation():
    problem = load("burgers_2d")
    lines = residual_lines(problem)
    assert [line.split(":")[0] for line in lines] == ["eq1.x", "eq1.y"]
    text = problem.to_dsl().replace(
        "in Omega: dt(v) + advect(v, v) = nu*lap(v)",
        "in Omega:\n    " + "\n    ".join(line.split(": ")[1] for line in lines),
    )
    again = pdespec.parse(text)
    first, second = again.residuals().values()
    assert [first, second] == list(problem.residuals()["eq1"])


def test_coordinates_are_told_with_their_unit():
    text = MEMBRANE.replace("x, y", "x, y [mm]")
    assert dict(summary(pdespec.parse(text)))["space"] == ["x, y [mm]"]


def test_derivatives_are_listed_by_component():
    assert derivative_lines(load("burgers")) == ["u: u, dx(u), dt(u), dxx(u)"]


MEMBRANE = """problem p
space x, y
domain B = disk(radius = 1)
unknown u : scalar on B
minimize integral(dot(grad(u), grad(u))/2 - u, B)
require integral(u, B) = 0
"""


def test_the_variation_of_an_energy_shows_equation_and_natural_condition():
    lines = variation_lines(pdespec.parse(MEMBRANE))
    assert lines[0] == "stationarity in B: -lap(u) - 1 = 0"
    assert "n.x*dx(u) + n.y*dy(u) = 0" in lines[1]
    assert explain(load("heat"), "variation") == ["no energy is made minimal or stationary"]


def test_the_variation_of_an_elastic_energy_is_the_divergence_of_the_stress_that_the_user_named():
    lines = variation_lines(load("hyperelastic_pores"))
    assert lines[0] == "stationarity.X in body: -nudge.X - dX(P.XX) - dY(P.XY) = 0"
    assert lines[2].endswith(": n.X*P.XX + n.Y*P.XY = 0")
