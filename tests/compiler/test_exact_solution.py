"""Closed forms as fields."""

from __future__ import annotations

import pytest
import sympy as sp
import torch

from compiler.lowering.exact_solution import exact_solution
from pdespec import ProblemError

from .problems import biharmonic, navier_stokes, poisson


def test_values_and_derivatives_are_those_of_the_expression():
    problem = poisson()
    x, y = problem.coordinates
    field = exact_solution(problem, {"u": sp.sin(3 * x) * y**2})
    points = torch.rand(2, 5, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    a, b = points.unbind(-1)
    torch.testing.assert_close(field(points), (torch.sin(3 * a) * b**2)[..., None])
    torch.testing.assert_close(field.derivative(points, 0, (1, 1)), 6 * torch.cos(3 * a) * b)
    torch.testing.assert_close(field.derivative(points, 0, (0, 2)), 2 * torch.sin(3 * a))
    torch.testing.assert_close(field.derivative(points, 0, (0, 3)), torch.zeros_like(a))


def test_vectors_are_given_whole_or_by_component_and_params_have_values():
    problem = navier_stokes()
    x, y = problem.coordinates
    re = problem.params["Re"].symbol
    params = {"Re": torch.tensor([100.0, 200.0], dtype=torch.float64)}
    whole = exact_solution(problem, {"v": sp.Matrix([y, -x / re]), "p": 0}, params)
    split = exact_solution(problem, {"v.x": y, "v.y": -x / re, "p": 0}, params)
    points = torch.rand(2, 4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(whole(points), split(points))
    values = dict(zip(problem.components, whole(points).unbind(-1), strict=True))
    torch.testing.assert_close(values["v.y"][1], -points[1, :, 0] / 200)
    assert whole(points).shape == (2, 4, 3)


def test_constants_of_the_problem_have_their_values():
    problem = biharmonic()  # D = 2
    x, _ = problem.coordinates
    field = exact_solution(problem, {"u": x / problem.constants["D"].symbol})
    points = torch.rand(1, 3, 2, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(field(points)[..., 0], points[..., 0] / 2)


@pytest.mark.parametrize(
    ("given", "code", "text"),
    [
        ({"w": 0}, "S01", "`w` is not an unknown of `navier_stokes`"),
        ({"v": sp.Matrix([0, 0])}, "B03", "the closed form gives no `p`"),
        ({"v": sp.Matrix([0, 0]), "p": sp.Symbol("q")}, "B03", "holds `q`, which has no value"),
    ],
)
def test_what_does_not_fit_the_problem_is_refused(given, code, text):
    with pytest.raises(ProblemError, match=text) as error:
        exact_solution(navier_stokes(), given)
    assert error.value.diagnostics[0].code == code
