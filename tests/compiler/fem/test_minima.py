"""Energies with kinks, bounds, a degenerate state of rest, no minimum or several: against closed
forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.fem.errors import SolverError, Unbounded

LINE = (
    "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\non boundary(L): u"
    " = 0\n"
)
DISK = (
    "problem p\nspace x, y\ndomain D = disk(radius = 1)\nunknown u : scalar on D\non boundary(D): u"
    " = 0\n"
)


def solved(text: str, **options):
    problem = pdespec.parse(text)
    return compiler.solve(problem, compiler.instance(problem), **{"resolution": 16, **options})


def at(truth, *points: tuple[float, ...]) -> np.ndarray:
    return truth(torch.tensor([points], dtype=torch.float64))[0, :, 0].numpy()


def test_a_power_of_an_absolute_value():
    """(|u'| u')' = -1: u' = sqrt(1/2 - x) on the left half."""
    found = at(
        solved(LINE + "minimize integral(abs(dx(u))^3/3 - u, L)\n", resolution=32), (0.25,), (0.5,)
    )
    assert np.allclose(found, [0.152369, 0.235702], atol=1e-4)


def test_a_kink_that_the_solution_only_touches():
    """u > 0 inside: -u'' = 3 - 1."""
    assert np.allclose(
        at(solved(LINE + "minimize integral(dx(u)^2/2 + abs(u) - 3*u, L)\n"), (0.25,), (0.5,)),
        [0.1875, 0.25],
        atol=1e-6,
    )


def test_a_kink_that_holds_the_solution():
    """-u'' = 14 up to u = 0.1, where it stays: the force 4 is less than 10."""
    found = at(
        solved(LINE + "minimize integral(dx(u)^2/2 + 10*abs(u - 0.1) - 4*u, L)\n", resolution=32),
        (0.06,),
        (0.3,),
        (0.5,),
    )
    edge = np.sqrt(0.1 / 7)
    assert np.allclose(found, [0.1 - 7 * (0.06 - edge) ** 2, 0.1, 0.1], atol=1e-3)


def test_the_positive_part():
    """-u'' + u = 1 where u > 0, which is everywhere."""
    found = at(solved(LINE + "minimize integral(dx(u)^2/2 + max(u, 0)^2/2 - u, L)\n"), (0.5,))
    assert np.allclose(found, 1 - 1 / np.cosh(0.5), atol=1e-6)


def test_an_obstacle_and_the_force_it_exerts():
    """A string under the load 4 on a floor at -1/4: u = 2 (x - a)^2 - 1/4 up to the contact at a
    = 1/sqrt(8)."""
    edge = np.sqrt(1 / 8)
    for degree, close in ((1, 2e-3), (2, 5e-4)):
        truth = solved(
            LINE + "minimize integral(dx(u)^2/2 + 4*u, L)\nrequire u > -0.25 in L\n",
            resolution=32,
            degree=degree,
        )
        assert np.allclose(
            at(truth, (0.25,), (0.5,)), [2 * (0.25 - edge) ** 2 - 0.25, -0.25], atol=close
        )
        assert at(truth, *((x,) for x in np.linspace(0, 1, 101))).min() > -0.25 - 1e-12
        (contact,) = truth.samples[0].contact.values()
        assert contact.force == pytest.approx(4 * (1 - 2 * edge), rel=0.05)
        assert contact.share == pytest.approx(1 - 2 * edge, abs=0.08)
        assert contact.complementarity < 1e-8
        assert contact.gap < 1e-12


def test_a_membrane_over_a_ball():
    """A bound from below that is curved, u >= 1/2 - r^2: u = a + b log r outside of the contact,
    C1 where it begins."""
    truth = solved(
        DISK + "minimize integral(dot(grad(u), grad(u))/2, D)\nrequire u > 1/2 - x^2 - y^2 in D\n"
    )
    lower, upper = 0.05, 0.7  # 1/2 - s^2 = 2 s^2 log(1/s) at the edge of the contact s
    for _ in range(60):
        middle = (lower + upper) / 2
        lower, upper = (
            (middle, upper)
            if 0.5 - middle**2 - 2 * middle**2 * np.log(1 / middle) > 0
            else (lower, middle)
        )
    assert np.allclose(
        at(truth, (0.7, 0.0), (0.0, 0.0)), [-2 * lower**2 * np.log(0.7), 0.5], atol=5e-3
    )


def test_a_ceiling_and_a_floor():
    found = at(
        solved(
            LINE
            + "minimize integral(dx(u)^2/2 - 30*sin(2*pi*x)*u, L)\nrequire u > -0.2 in L\nrequire u"
            " < 0.1 in L\n"
        ),
        (0.25,),
        (0.75,),
    )
    assert np.allclose(found, [0.1, -0.2])


def test_boundary_values_below_an_obstacle():
    with pytest.raises(SolverError, match="conditions on the boundary break `require u > 0.1`"):
        solved(LINE + "minimize integral(dx(u)^2/2 + 4*u, L)\nrequire u > 0.1 in L\n", resolution=4)


@pytest.mark.parametrize(
    "statement",
    [
        "minimize integral(dot(grad(u), grad(u))^(3/4)/1.5 - u, D)",
        "in D: -div(dot(grad(u), grad(u))^(-1/4)*grad(u)) = 1",
    ],
)
def test_a_p_laplacian_below_two(statement):
    """p = 3/2 in the unit disk: |u'|^(1/2) = r/2, so u = (1 - r^3)/12."""
    assert np.allclose(
        at(solved(DISK + statement + "\n", resolution=6), (0.0, 0.0), (0.5, 0.0)),
        [1 / 12, 0.875 / 12],
        atol=1e-3,
    )


def test_a_reaction_that_is_singular_at_rest():
    text = (
        "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown u : scalar on Q\nin"
        " Q: lap(u) = u^3 - 8\n"
    )
    assert np.allclose(
        at(solved(text + "on boundary(Q): dot(grad(u), n) = 0\n", resolution=4), (0.3, 0.6)), 2.0
    )


@pytest.mark.parametrize(
    "density", ["dx(u)^2/2 - 20*u^2 - u", "dx(u)^2/2 - u^4 - 20*u", "-dx(u)^2/2 - u"]
)
def test_an_energy_without_a_minimum(density):
    with pytest.raises(Unbounded, match="F04: the energy has no minimum"):
        solved(LINE + f"minimize integral({density}, L)\n")


def test_a_catenoid_from_a_state_of_ones_own():
    """u = c cosh(x/c) with c cosh(1/(2 c)) = 1; at u = 0 the energy is flat."""
    text = "problem p\nspace x\ndomain L = interval(-1/2, 1/2)\nunknown u : scalar on L\n"
    text += "minimize integral(u*sqrt(1 + dx(u)^2), L)\non boundary(L): u = 1\n"
    for start in (
        {"u": 1},
        {"u": lambda points: 1 + 0 * points[:, 0]},
        {"u": pdespec.space("x")[0] ** 2 + 0.75},
    ):
        assert np.allclose(at(solved(text, start=start), (0.0,)), 0.848338, atol=1e-5)


def test_a_start_from_another_solution_and_those_that_make_no_sense():
    text = LINE + "in L: -dxx(u) = exp(u)/2\n"
    coarse = solved(text, resolution=4)
    assert solved(text, start=coarse).samples[0].steps < coarse.samples[0].steps
    upper = solved(text, start={"u": lambda points: 16 * 5 * points[:, 0] * (1 - points[:, 0]) / 4})
    assert at(upper, (0.5,))[0] > at(coarse, (0.5,))[0] + 1  # Bratu's problem has two solutions
    with pytest.raises(SolverError, match="start gives w, and the unknowns are u"):
        solved(text, start={"w": 1})
    with pytest.raises(SolverError, match="values of shape"):
        solved(text, start={"u": lambda points: points[:3, 0]})
