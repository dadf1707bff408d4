"""Fluxes, smoothing and the free flow, each against a plain formula."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.finite_volume import transfer
from compiler.finite_volume.multigrid import Level
from compiler.finite_volume.stream import Stream

from .sections import polar

STREAM = Stream(1.0, (0.9, 0.2), 1.0, 1.4)


def test_a_free_flow_leaves_no_residual_away_from_the_section():
    level = Level(polar(32), STREAM)
    residual = level.residual(True)
    assert np.abs(residual[:, 1:]).max() < 1e-12 * np.abs(level.sj).max()
    assert np.abs(residual[:, 0]).max() > 1e-2  # which it goes through


def test_what_leaves_the_cells_leaves_through_the_boundaries():
    level = Level(polar(32), STREAM)
    rng = np.random.default_rng(0)
    level.cells[:] *= 1 + 0.05 * rng.normal(size=level.cells.shape)
    level.close()
    total = level.residual(True).sum(axis=(1, 2))
    rho, p = level.w[0, -2, 2:-2], level.p[-2, 2:-2]
    u, v, energy = (level.w[k, -2, 2:-2] / rho for k in (1, 2, 3))
    sx, sy = level.sj[:, -3, 2:-2]
    through = rho * (u * sx + v * sy)
    enthalpy = energy + p / rho
    outer = [through, through * u + p * sx, through * v + p * sy, through * enthalpy]
    expected = np.array([each.sum() for each in outer])
    expected[1:3] += level.force()
    assert np.allclose(total, expected, atol=1e-11 * np.abs(outer).sum())


def test_smoothing_inverts_its_matrix():
    rng = np.random.default_rng(0)
    nj, ni, strength = 5, 7, 2.0
    along, across = np.exp(rng.normal(size=(2, nj + 4, ni + 4)))
    r = rng.normal(size=(4, nj, ni))
    found, factors, lines = r.copy(), np.empty((7, nj, ni)), np.empty((2, nj))
    transfer.factors(along, across, strength, factors, lines)
    transfer.smooth(found, factors, lines)

    def e(ratio):
        return np.maximum(0, ((strength * (1 + np.sqrt(ratio)) / (1 + ratio)) ** 2 - 1) / 4)

    ratio = (along / across)[2:-2, 2:-2]
    expected = np.empty_like(r)
    for k in range(4):
        for i in range(ni):
            matrix = np.eye(nj)
            for j in range(nj):
                for other in {j - 1, j + 1} & set(range(nj)):
                    matrix[j, j] += e(ratio)[j, i]
                    matrix[j, other] -= e(ratio)[j, i]
            expected[k, :, i] = np.linalg.solve(matrix, r[k, :, i])
        for j in range(nj):
            matrix = np.eye(ni)
            for i in range(ni):
                for other in (i - 1, (i + 1) % ni):
                    matrix[i, i] += e(1 / ratio)[j, i]
                    matrix[i, other] -= e(1 / ratio)[j, i]
            expected[k, j] = np.linalg.solve(matrix, expected[k, j])
    assert np.allclose(found, expected, atol=1e-13)


def test_the_vortex_far_away_has_its_circulation_entropy_and_enthalpy():
    circulation = 0.3
    angle = np.linspace(0, 2 * np.pi, 2001)[:-1]
    points = np.array(STREAM.center) + 20 * np.stack([np.cos(angle), np.sin(angle)], -1)
    rho, u, v, p = STREAM.at(points, circulation)
    # the theory is linear: clockwise integral of the velocity along a circle
    round_ = np.sum(u * -np.sin(angle) + v * np.cos(angle)) * 20 * 2 * np.pi / 2000
    assert -round_ == pytest.approx(circulation, rel=1e-6)
    assert np.allclose(p / rho**1.4, 1, atol=1e-13)
    enthalpy = 3.5 * p / rho + (u * u + v * v) / 2
    assert np.allclose(enthalpy, 3.5 + (0.9**2 + 0.2**2) / 2, atol=1e-13)


def test_lift_and_circulation_follow_each_other():
    u, v = STREAM.velocity
    lift = 0.2 * np.array([-v, u]) / STREAM.speed  # square to the flow
    assert STREAM.circulation(lift) == pytest.approx(0.2 / (STREAM.rho * STREAM.speed))
    assert STREAM.circulation(np.array([u, v])) == pytest.approx(0)
