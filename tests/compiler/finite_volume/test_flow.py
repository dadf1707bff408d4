"""Euler's equations are known by what they say, whatever their unknowns are called."""

from __future__ import annotations

import pytest
import sympy as sp

import pdespec
from compiler.finite_volume.flow import NotAFlow, flow

from .sections import TEXT


def test_the_example_is_a_flow():
    problem = pdespec.parse(TEXT)
    found = flow(problem)
    values = {each.symbol: each.value for each in problem.constants.values()}
    assert found.components == ("rho", "v.x", "v.y", "p")
    assert found.section == problem.boundaries["foil"]
    assert found.gamma.subs(values) == sp.Rational(7, 5)
    far = [float(each.subs(values)) for each in found.far]
    assert far == pytest.approx([1, 0.8 * 1.4**0.5, 0, 1])


@pytest.mark.parametrize(
    ("old", "new", "gamma"),
    (
        ("mass:     div(rho*v) = 0", "mass: -3*rho*div(v) - 3*dot(v, grad(rho)) = 0", 1.4),
        ("energy:   div((E + p)*v) = 0", "energy: (gamma - 1)*div((E + p)*v) = 0", 1.4),
        ("rho/2*dot(v, v)", "rho/3*dot(v, v)", 3 * 1.4 / 3.4),  # the same as of another gas
        ("gamma = 1.4", "gamma = 1.2", 1.2),
    ),
)
def test_the_same_equations_written_otherwise_are_taken(old, new, gamma):
    problem = pdespec.parse(TEXT.replace(old, new))
    values = {each.symbol: each.value for each in problem.constants.values()}
    assert float(flow(problem).gamma.subs(values)) == pytest.approx(gamma)


def test_names_do_not_matter():
    text = TEXT.replace("rho", "density").replace(" p ", " P ").replace("p = 1", "P = 1")
    text = text.replace("p/(gamma", "P/(gamma").replace("p*I", "P*I").replace("E + p", "E + P")
    text = text.replace("p*n", "P*n").replace(", p :", ", P :").replace("data   p", "data   P")
    assert flow(pdespec.parse(text)).components == ("density", "v.x", "v.y", "P")


@pytest.mark.parametrize(
    ("old", "new", "said"),
    (
        ("rho*outer(v, v) + p*I", "rho*outer(v, v) + 2*p*I", "div\\(rho\\*outer"),
        ("div((E + p)*v)", "div(p*v)", "div\\(rho\\*outer"),
        ("dot(v, n) = 0 ", "dot(v, n) = 0.1 ", "not dot\\(v, n\\) = 0"),
        ("rho = 1; ", "", "constants for density, velocity and pressure"),
        ("p = 1\n", "p = 1 + 0.1*x\n", "constants for density, velocity and pressure"),
        (
            "airfoil(naca(0, 0, 12), displacement = d)",
            "disk(radius = 0.5)",
            "outside of an airfoil",
        ),
        ("outer(Omega)", "outer(Omega, x < 0)", "a part of a boundary"),
        ("div(rho*v) = 0", "div(rho*v) = lap(rho)", "div\\(rho\\*outer"),
    ),
)
def test_what_is_no_such_flow_is_refused_with_its_reason(old, new, said):
    assert old in TEXT
    with pytest.raises(NotAFlow, match=said):
        flow(pdespec.parse(TEXT.replace(old, new)))
