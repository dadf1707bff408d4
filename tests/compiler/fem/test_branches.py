"""Steps, branches and special functions in the reference solver, against closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.fem.export.ufl import to_ufl
from compiler.fem.forms.weak import weak_form

HEAD = "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
x = np.linspace(0.02, 0.98, 33)

CASES = {
    "a source that jumps": (
        "-dxx(u) = if(x < 1/2, 1, 0)",
        np.where(x < 0.5, 3 * x / 8 - x**2 / 2, (1 - x) / 8),
    ),
    "a step": ("-dxx(u) = 1 - step(x - 1/2)", np.where(x < 0.5, 3 * x / 8 - x**2 / 2, (1 - x) / 8)),
    "a root of the unknown under a mask": (
        "-dxx(u) + if(u > 0, sqrt(u), 0) = pi^2*sin(pi*x) + sqrt(sin(pi*x))",
        np.sin(math.pi * x),
    ),
    "a sign of the unknown": ("-dxx(u) + sign(u) = pi^2*sin(pi*x) + 1", np.sin(math.pi * x)),
    "sinc at the origin": (
        "-dxx(u) + u = sinc(pi*x) + u - sin(pi*x)/max(pi*x, 1/1000) + pi^2*sin(pi*x)",
        np.sin(math.pi * x),
    ),
}


def solved(text: str, points: np.ndarray, resolution: int = 64) -> np.ndarray:
    problem = pdespec.parse(text)
    counts = {"interior": 8, "boundary": 2, "initial": 8, "operator": 8}
    batch = compiler.sample(
        problem, size=1, points=counts, generator=torch.Generator().manual_seed(0)
    )
    return compiler.solve(problem, batch, resolution=resolution)(
        torch.from_numpy(points)[None]
    ).numpy()[0, :, 0]


@pytest.mark.parametrize("name", CASES)
def test_a_problem_with_branches_is_solved(name):
    equation, exact = CASES[name]
    found = solved(HEAD + f"in L: {equation}\non boundary(L): u = 0", x[:, None])
    np.testing.assert_allclose(found, exact, atol=2e-4)


def test_a_condition_may_compare_position_and_time():
    """u' = 1 while t < 1/2 where x < 1/2: no diffusion to speak of."""
    text = (
        HEAD.replace("space x\n", "space x\ntime t in [0, 1]\n")
        + "in L: dt(u) = dxx(u)/1000000 + if(x < 1/2 and t < 1/2, 1, 0)\non boundary(L): dx(u) ="
        " 0\nat t = 0: u = 0"
    )
    found = solved(text, np.array([[0.25, 1.0], [0.75, 1.0]]), resolution=16)
    np.testing.assert_allclose(found, [0.5, 0.0], atol=0.02)


def test_branches_are_written_in_ufl():
    text = to_ufl(
        weak_form(
            pdespec.parse(
                HEAD + "in L: -dxx(u) = if(x < 1/4 or u > 1 and not equal(x, 1/2), sech(u), 2)\non"
                " boundary(L): u = 0"
            )
        )
    )
    assert (
        "conditional(Or(And(gt(u, 1), ne(X[0], (1/2))), lt(X[0], (1/4))), ((cosh(u))**(-1)), 2)"
        in text
    )
