"""What time stepping begins with, and data that jump in time."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

import compiler
from compiler.fem.errors import SampleError
from compiler.fem.solution import interpolation

from .cases import solved

RING = (
    "problem p\nspace x\ntime t in [0, 1]\ndomain L = interval(0, 1)\nperiodic x\nunknown q :"
    " scalar on L\n"
)
VORTEX = (
    "problem p\nspace x, y\ntime t in [0, 0.5]\ndomain B = rectangle([0, 0], [2*pi,"
    " 2*pi])\nperiodic x, y\nunknown v : vector on B, p : scalar on B\nin B:\n    momentum: dt(v) +"
    " advect(v, v) + grad(p) = lap(v)\n    continuity: div(v) = 0\nat t = 0: v = [cos(x)*sin(y),"
    " -sin(x)*cos(y)]\nrequire integral(p, B) = 0\n"
)


def values(truth, points: np.ndarray, time: float) -> np.ndarray:
    return truth(torch.tensor(np.column_stack((points, np.full(len(points), time))))[None])[
        0
    ].numpy()


@pytest.mark.parametrize(
    "source", ["if(t > 0.2, if(t < 0.4, 10, 0), 0)", "10*step(t - 0.2)*step(0.4 - t)"]
)
def test_a_source_that_jumps_in_time_is_met_at_its_jumps(source):
    truth = solved(RING + f"in L: dt(q) = {source}\nat t = 0: q = 0\n", resolution=2)
    for time, right in ((0.1, 0.0), (0.19, 0.0), (0.3, 1.0), (0.41, 2.0), (1.0, 2.0)):
        assert values(truth, np.array([[0.5]]), time)[0, 0] == pytest.approx(right, abs=1e-7)
    assert {0.2, 0.4} <= set(np.round(truth.samples[0].times, 12))


def test_a_kink_of_a_boundary_value_is_met_too():
    text = (
        "problem p\nspace x\ntime t in [0, 1]\ndomain L = interval(0, 1)\nunknown u : scalar on"
        " L\nin L: dt(u) = dxx(u) + step(t - 1/3)\n"
    )
    truth = solved(
        text + "on boundary(L): u = max(t - 1/3, 0)\nat t = 0: u = 0\n", resolution=2, steps=6
    )
    assert np.allclose(values(truth, np.array([[0.3]]), 0.8), 0.8 - 1 / 3, atol=1e-8)


def test_interpolation_in_time_does_not_reach_across_a_jump():
    times = np.linspace(0, 1, 9)
    numbers, _ = interpolation(times, np.array([0.45, 0.55]), breaks=(4,))
    assert numbers[:, 0].max() == 4
    assert numbers[:, 1].min() == 4


def test_unknowns_without_a_time_derivative_start_where_their_equation_puts_them():
    """w = u^2 + 1 at every time, in space-time."""
    text = (
        "problem p\nspace x\ntime t in [0, 1]\ndomain L = interval(0, 1)\nunknown u : scalar on L,"
        " w : scalar on L\n"
    )
    text += (
        "in L:\n    dt(u) = dxx(u)\n    w = u^2 + 1\non boundary(L): u = 0\nat t = 0: u ="
        " sin(pi*x)\n"
    )
    places, found = np.linspace(0.05, 0.95, 19)[:, None], []
    for resolution in (8, 16):
        truth = solved(text, resolution=resolution)
        right = [
            1 + (np.exp(-(np.pi**2) * time) * np.sin(np.pi * places[:, 0])) ** 2
            for time in (0.0, 0.011, 0.04, 0.4)
        ]
        gaps = [
            values(truth, places, time)[:, 1] - r
            for time, r in zip((0.0, 0.011, 0.04, 0.4), right, strict=True)
        ]
        found.append(float(np.sqrt(np.mean(np.square(gaps)))))
    assert found[1] < 2e-3
    assert np.log2(found[0] / found[1]) > 2.5


def test_a_pressure_is_right_from_the_start():
    """Taylor and Green's vortex: p = -(cos 2x + cos 2y) e^(-4 t) / 4."""
    truth = solved(VORTEX, resolution=8, steps=8)
    points = np.random.default_rng(0).uniform(0, 2 * np.pi, (200, 2))
    errors = []
    for time in (0.0, 0.02, 0.5):
        right = -(np.cos(2 * points[:, 0]) + np.cos(2 * points[:, 1])) / 4 * np.exp(-4 * time)
        errors.append(
            np.linalg.norm(values(truth, points, time)[:, 2] - right) / np.linalg.norm(right)
        )
    assert errors[2] < 0.15
    assert max(errors[:2]) < 1.3 * errors[2]


def test_initial_values_off_their_constraint_are_brought_onto_it_with_a_warning():
    with pytest.warns(compiler.fem.SolverWarning, match="the initial values break `continuity`"):
        truth = solved(
            VORTEX.replace("cos(x)*sin(y),", "cos(x)*sin(y) + sin(x)/2,"), resolution=8, steps=1
        )
    points = np.random.default_rng(1).uniform(0, 2 * np.pi, (300, 2))
    gap = values(truth, points, 0.0)[:, 0] - np.cos(points[:, 0]) * np.sin(points[:, 1])
    assert np.sqrt(np.mean(gap**2)) < 0.1  # the part that is a gradient, sin(x)/2, was 0.35


def test_a_nonlinear_failure_says_where_to_begin():
    text = RING.replace("time t in [0, 1]\n", "").replace("periodic x\n", "").replace("q", "u")
    with pytest.raises(SampleError, match=r"solve\(.., start=\{'u': 1\}\)"):
        solved(text + "in L: -dxx(u) = 60*exp(u)\non boundary(L): u = 0\n", resolution=4)


def test_a_film_between_two_rings_from_a_start_of_the_users():
    """The catenoid between two rings: u = c cosh(x/c) with u(1/2) = 1."""
    text = (
        "problem film\nspace x\ndomain L = interval(-1/2, 1/2)\nunknown u : scalar on L\nminimize"
        " integral(u*sqrt(1 + dx(u)^2), L)\non boundary(L): u = 1\n"
    )
    truth = solved(text, resolution=8, start={"u": 1})
    waist = brentq(lambda c: c * np.cosh(0.5 / c) - 1, 0.6, 1)
    middle = truth(torch.zeros(1, 1, 1, dtype=torch.float64))[0, 0, 0]
    assert float(middle) == pytest.approx(waist, rel=1e-5)
