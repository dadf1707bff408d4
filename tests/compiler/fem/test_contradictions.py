"""What contradicts itself is refused with its size and the statements at fault; what is
determined comes out as it is stated."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.fem.errors import Contradiction, IllPosed, SolverError

LINE = (
    "problem p\nspace x\ndomain L = interval(0, 1)\nboundary a = side(L, x = 0), b = side(L, x ="
    " 1)\nunknown u : scalar on L\n"
)
HEATED = (
    "problem p\nspace x\ntime t in [0, 0.1]\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
)
SQUARE = "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\n"
STOKES = (
    SQUARE
    + "boundary left = side(Q, x = 0), right = side(Q, x = 1), walls = rest(Q)\nunknown v : vector"
    " on Q, p : scalar on Q\n"
    + "in Q:\n    momentum: -lap(v) + grad(p) = 0\n    continuity: div(v) = 0\non left: v = [y*(1 -"
    " y), 0]\non walls: v = 0\n" + "require integral(p, Q) = 0\n"
)


def solved(text: str, **options) -> compiler.fem.Solution:
    problem = pdespec.parse(text)
    return compiler.solve(problem, compiler.instance(problem), **{"resolution": 6, **options})


def at(truth, *points: tuple[float, ...]) -> np.ndarray:
    return truth(torch.tensor([points], dtype=torch.float64))[0].numpy()


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (
            SQUARE + "unknown u : scalar on Q\nin Q: -lap(u) = 1\non boundary(Q): dot(grad(u), n) ="
            " 0\nrequire integral(u, Q) = 0\n",
            "`eq1` .* 1 times",
        ),
        (
            LINE + "in L: -dxx(u) = 1\non boundary(L): u = 0\nrequire integral(u, L) = 1\n",
            r"integral\(u, L\) = 1` contradicts `eq1` .* -11 times",
        ),
        (
            HEATED + "in L: dt(u) = dxx(u)\non boundary(L): u = 0\nat t = 0: u = sin(pi*x)\nrequire"
            " integral(u, L) = 2/pi\n",
            "F02: .* `eq1`",
        ),
        (STOKES + "on right: v = 0\n", "`continuity` .* 0.167 times"),
    ],
)
def test_a_multiplier_that_changes_the_equations(text, pattern):
    """The defects by hand: the mean of the load, 12 (1/12 - 1) = -11, and the inflow 1/6."""
    with pytest.raises(Contradiction, match=pattern):
        solved(text)


def test_a_pressure_level_changes_nothing():
    truth = solved(STOKES + "on right: v = [y*(1 - y), 0]\n")
    # p = 1 - 2 x
    assert np.allclose(at(truth, (0.5, 0.5), (0.25, 0.5))[:, 2], [0.0, 0.5], atol=1e-8)
    assert truth.warnings == ()


def test_a_load_that_balances_has_its_mean_as_required():
    text = (
        SQUARE
        + "unknown u : scalar on Q\nin Q: -lap(u) = pi^2*cos(pi*x)\non boundary(Q): dot(grad(u), n)"
        " = 0\nrequire integral(u, Q) = 2\n"
    )
    assert np.allclose(
        at(solved(text, resolution=12), (0.25, 0.5)), 2 + np.cos(np.pi / 4), atol=1e-3
    )


def test_a_constrained_minimum_has_a_multiplier():
    """u'' = const with u = 0 at the ends and integral 1: 6 x (1 - x)."""
    text = (
        LINE
        + "minimize integral(dx(u)^2/2 - u, L)\non boundary(L): u = 0\nrequire integral(u, L) = 1\n"
    )
    assert np.allclose(at(solved(text), (0.5,)), 1.5)


def test_value_and_flux_at_one_place():
    with pytest.raises(
        Contradiction, match="F01: conditions `a.u` and `a.u.2` both bear on u on a"
    ):
        solved(LINE + "in L: -dxx(u) = 1\non a: u = 1; dx(u) = 7\non b: u = 0\n")


def test_an_unknown_without_derivative_is_one_number():
    """-u'' + m = 1 with m the mean of u: u = (1 - m) x (1 - x)/2, m = (1 - m)/12 = 1/13."""
    text = LINE.replace("u : scalar on L", "u : scalar on L, m : scalar on L")
    truth = solved(
        text
        + "in L:\n    -dxx(u) + m = 1\n    dx(m) = 0\non boundary(L): u = 0\nrequire integral(u -"
        " m, L) = 0\n"
    )
    assert np.allclose(at(truth, (0.1,), (0.5,), (0.9,))[:, 1], 1 / 13)
    assert np.allclose(at(truth, (0.5,))[0, 0], (12 / 13) / 8)


@pytest.mark.parametrize("sign", ["", "-"])
def test_reactions_hold_the_boundary_however_the_equation_is_written(sign):
    """A square pulled by 0.1 with stress 2 sym(grad(u)): twice the strain, on a side of length
    1."""
    text = (
        SQUARE
        + "boundary bottom = side(Q, y = 0), top = side(Q, y = 1), sides = rest(Q)\nunknown u :"
        " vector on Q\n"
    )
    text += (
        f"in Q: {sign}div(2*sym(grad(u))) = 0\non bottom: u = 0\non top: u = [0, 0.1]\non sides:"
        " sym(grad(u))*n = 0\n"
    )
    held = solved(text, resolution=2).samples[0].reactions
    assert held["top", "u.y"] == pytest.approx(0.2)
    assert held["bottom", "u.y"] == pytest.approx(-0.2)


@pytest.mark.parametrize(
    "equation",
    ["dt(u) = -dxx(u)", "dt(u) = dxx(u) + d(u, x, x, x, x)/100", "dt(u) = div((1 - 2*x)*grad(u))"],
)
def test_heat_backwards_in_time(equation):
    ends = "on boundary(L): u = 0" + ("; dxx(u) = 0" if "x, x, x" in equation else "")
    with pytest.raises(IllPosed, match="F03: .* not well-posed forwards in t"):
        solved(HEATED + f"in L: {equation}\n{ends}\nat t = 0: u = sin(pi*x)\n")


def test_an_elliptic_equation_marched_in_time():
    with pytest.raises(IllPosed, match="not well-posed"):
        solved(
            HEATED
            + "in L: d(u, t, t) = -dxx(u)\non boundary(L): u = 0\nat t = 0: u = sin(pi*x); dt(u)"
            " = 0\n"
        )


@pytest.mark.parametrize(
    "equation",
    ["dt(u) = -dxx(u) - d(u, x, x, x, x)/100", "dt(u) = dxx(u)/1000 + 50*u", "d(u, t, t) = dxx(u)"],
)
def test_what_grows_within_bounds_is_solved(equation):
    ends = "on boundary(L): u = 0" + ("; dxx(u) = 0" if "x, x, x" in equation else "")
    rate = "; dt(u) = 0" if "t, t" in equation else ""
    solved(
        HEATED + f"in L: {equation}\n{ends}\nat t = 0: u = sin(pi*x){rate}\n", resolution=4, steps=2
    )


def test_an_error_cannot_be_asked_of_a_bare_solution():
    truth = solved(LINE + "in L: -dxx(u) = 1\non boundary(L): u = 0\n")
    with pytest.raises(SolverError, match=r"not made by `compiler.solve`"):
        _ = compiler.fem.Solution(truth.samples, 0.0, None).error
