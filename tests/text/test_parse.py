"""The text form builds the same value as the Python form."""

from __future__ import annotations

from pathlib import Path

import pytest
import sympy as sp

import pdespec
from pdespec import (
    boundary,
    div,
    fourier,
    gaussians,
    grad,
    input_function,
    on,
    param,
    space,
    star,
    uniform,
    unknown,
)

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_the_text_of_nonlinear_poisson_is_the_problem_built_in_python():
    x, y = space("x y")
    c1, c2 = param("c1", uniform(-0.2, 0.2)), param("c2", uniform(-0.2, 0.2))
    Omega = star(x, y, radius=lambda theta: 1 + c1 * sp.cos(4 * theta) + c2 * sp.cos(8 * theta))
    Gamma = boundary(Omega, name="Gamma")
    u = unknown("u", Omega)
    f = input_function("f", Omega, gaussians(count=2, spread=1))
    g = input_function("g", Gamma, fourier(modes=2, amplitude=0.25))
    built = pdespec.Problem(
        "nonlinear_poisson",
        equations=[sp.Eq(div((1 + u**2 / 10) * grad(u)), f)],
        conditions=[on(Gamma, sp.Eq(u, g))],
    )
    assert pdespec.load(EXAMPLES / "nonlinear_poisson.pde") == built


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.pde")), ids=lambda path: path.stem)
def test_an_example_comes_back_from_its_own_text(path):
    problem = pdespec.load(path)
    assert pdespec.parse(problem.to_dsl()) == problem


@pytest.mark.parametrize("shape", ["cylinder([0, 0], 1)", "annulus([0, 0], 1/2, 1)"])
def test_a_point_in_place_of_a_number_is_told_to_be_named(shape):
    text = f"problem p\nspace x, y\ndomain D = {shape}\nunknown u : scalar on D\n"
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.parse(f"{text}in D: lap(u) = 1\non boundary(D): u = 0\n")
    (found,) = caught.value.diagnostics
    assert "[0, 0] is not a number" in found.message and "center = [0, 0]" in found.hint
