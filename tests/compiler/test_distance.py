"""Errors that can be worked out by hand: units, levels, signs and samples of no size must not
decide."""

from __future__ import annotations

import math

import pytest
import torch

import pdespec
from compiler.geometry.metrics import FLOOR, misfit, slope_misfit
from pdespec.rules.freedom import gauges, signs
from tests.texts import GROUND, floating_plate

D = torch.float64
STOKES = """
problem stokes
space    x, y
domain   Omega = rectangle([0, 0], [1, 1])
unknown  v : vector on Omega, p : scalar on Omega
in Omega:
    momentum:   lap(v) = grad(p)
    continuity: div(v) = 0
on boundary(Omega): v = [y, 0]
"""
GAUGE = "require integral(p, Omega) = 0\n"
FLOW = """
problem flow
space    x, y
time     t in [0, 2]
domain   Omega = rectangle([0, 0], [1, 1])
unknown  v : vector on Omega, p : scalar on Omega
in Omega:
    momentum:   dt(v) + advect(v, v) = lap(v) - grad(p)
    continuity: div(v) = 0
on boundary(Omega): v = 0
at t = 0: v = [y*(1 - y), 0]
require integral(p, Omega) = 0
"""


def points(count: int = 500, dim: int = 2) -> torch.Tensor:
    return torch.rand(2, count, dim, dtype=D, generator=torch.Generator().manual_seed(0))


def relative(problem, at, found, expected) -> list[list[float]]:
    return misfit(problem, at, found, expected).squared().sqrt().tolist()


def test_unknowns_of_different_units_are_not_mixed():
    problem = pdespec.parse(STOKES + "require integral(p^2, Omega) = 1\n")
    expected = torch.randn(
        2, 500, 3, dtype=D, generator=torch.Generator().manual_seed(1)
    ) * torch.tensor([1e-6, 1e-6, 1e5], dtype=D)
    found = expected * torch.tensor([0.1, 0.1, 1.01], dtype=D)
    assert relative(problem, points(), found, expected) == [pytest.approx([0.9, 0.01])] * 2


def test_the_level_of_a_pressure_does_not_count():
    problem, at = pdespec.parse(STOKES + GAUGE), points()
    assert [(mode.unknown.name, mode.name) for mode in gauges(problem)] == [("p", "a constant")]
    expected = torch.stack([at[..., 1], 0 * at[..., 1], at[..., 0]], -1)
    found = expected + torch.tensor([0, 0, 7.0], dtype=D)
    assert relative(problem, at, found, expected) == [pytest.approx([0, 0], abs=1e-12)] * 2
    halved = expected * torch.tensor([1, 1, 0.5], dtype=D) + torch.tensor([0, 0, 3.0], dtype=D)
    assert relative(problem, at, halved, expected) == [pytest.approx([0, 0.5], abs=1e-9)] * 2
    shifted = expected + torch.tensor([0.3, 0, 0], dtype=D)
    assert relative(problem, at, shifted, expected)[0][0] > 0.3  # that of a velocity does


def test_the_level_of_a_pressure_may_change_in_time():
    problem, at = pdespec.parse(FLOW), points(800, 3) * torch.tensor([1, 1, 2.0], dtype=D)
    expected = torch.stack([at[..., 1], at[..., 0], (3 * at[..., 0]).sin()], -1)
    level = 5 * (at[..., 2] ** 3 - at[..., 2])
    found = expected + torch.stack([0 * level, 0 * level, level], -1)
    assert relative(problem, at, found, expected) == [pytest.approx([0, 0], abs=1e-9)] * 2


def test_a_level_that_a_condition_fixes_counts():
    assert not gauges(pdespec.parse(STOKES + "require integral(p, Omega) = 2\n"))
    assert not gauges(pdespec.parse(STOKES + "on side(Omega, x = 1): p = 0\n"))


def test_the_sign_of_a_ground_state_does_not_count():
    problem, at = pdespec.parse(GROUND), points(300, 1)
    assert signs(problem) == (frozenset({"psi"}),)
    expected = 2**0.5 * (math.pi * at).sin()
    found = torch.stack([-1.02 * expected[0], 0.97 * expected[1]])
    assert relative(problem, at, found, expected) == [[pytest.approx(0.02)], [pytest.approx(0.03)]]


@pytest.mark.parametrize(
    "change",
    [("dx(psi)^2", "dx(psi)^2 - psi"), ("psi = 0", "psi = x"), ("psi^2, L) = 1", "psi, L) = 1")],
)
def test_the_sign_counts_where_something_stated_turns_with_it(change):
    assert signs(pdespec.parse(GROUND.replace(*change))) == ()


def test_samples_of_no_size_do_not_decide():
    problem, at = pdespec.parse(GROUND.replace("psi = 0", "psi = x")), points(300, 1)
    expected = torch.stack([at[0], 1e-9 * at[1]])
    errors = relative(problem, at, expected + 0.01 * at, expected)
    own = math.sqrt(float(expected[0].square().mean()) / 2)  # root mean square over both samples
    assert errors[0] == [pytest.approx(0.01)]
    assert errors[1] == [
        pytest.approx(0.01 * math.sqrt(float(at[1].square().mean())) / (FLOOR * own))
    ]
    nothing = torch.zeros(2, 300, 1, dtype=D)
    # absolute where all is zero
    assert relative(problem, at, nothing + 0.25, nothing) == [[pytest.approx(0.25)]] * 2


def test_points_where_nothing_is_expected_do_not_count():
    problem, at = pdespec.parse(STOKES + GAUGE), points()
    expected = torch.stack([at[..., 1], 0 * at[..., 1], at[..., 0]], -1)
    known = expected.clone()
    known[:, :50] = math.nan
    found = 1.1 * expected
    found[:, :50] = 1e3
    assert relative(problem, at, found, known) == [pytest.approx([0.1, 0.1], rel=1e-6)] * 2


def test_the_misfit_is_differentiable_without_what_is_open():
    problem, at = pdespec.parse(STOKES + GAUGE), points()
    expected = torch.stack([at[..., 1], at[..., 0], at[..., 0]], -1)
    found = (1.1 * expected).requires_grad_()
    (slope,) = torch.autograd.grad(misfit(problem, at, found, expected).squared().sum(), found)
    assert slope.isfinite().all() and slope[..., 0].abs().max() > 0
    assert slope[..., 2].sum(1).abs().max() < 1e-12  # no change of level changes it


def test_the_gradient_is_measured_without_a_rotation_that_is_left_open():
    problem, at = pdespec.parse(floating_plate()), points()
    assert len(gauges(problem)) == 3
    expected = torch.randn(2, 500, 2, 2, dtype=D, generator=torch.Generator().manual_seed(1))
    turn = torch.tensor([[0, 1.0], [-1.0, 0]], dtype=D)
    (own, other) = slope_misfit(problem, at, 1.1 * expected + 3 * turn, expected).squared().sqrt()
    # what is expected has a little of the rotation too, which does not count either
    assert own.item() == pytest.approx(0.1) and other.item() == pytest.approx(0.1)
    stretched = expected + torch.eye(2, dtype=D)
    assert (slope_misfit(problem, at, stretched, expected).squared().sqrt() > 0.5).all()
