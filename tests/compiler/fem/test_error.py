"""The estimated error of a reference solution against the true one."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
import torch

import compiler
import pdespec
from compiler.fem.error_estimate import error_of, quadrature
from compiler.fem.errors import SolverError

from .cases import solved

POISSON = (
    "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown u : scalar on Q\n"
    "in Q: -lap(u) = 2*pi^2*sin(pi*x)*sin(pi*y)\non boundary(Q): u = 0\n"
)
HEAT = (
    "problem p\nspace x\ntime t in [0, 1]\ndomain L = interval(0, 1)\nunknown q : scalar on L\nin"
    " L: dt(q) = dxx(q) + (3*cos(3*t) + pi^2*sin(3*t))*sin(pi*x)\non boundary(L): q = 0\nat t = 0:"
    " q = 0\n"
)


def sine(p: np.ndarray) -> np.ndarray:
    return np.prod(np.sin(np.pi * p), axis=1)


def true_error(truth, exact, time: float | None = None) -> float:
    points, weights = quadrature(truth.samples[0])
    at = points if time is None else np.column_stack((points, np.full(len(points), time)))
    return float(
        np.sqrt(np.sum(weights * (truth.samples[0].evaluate(at)[:, 0] - exact(points)) ** 2))
    )


@pytest.mark.parametrize(("resolution", "degree"), [(4, 1), (16, 1), (4, 2), (8, 2), (8, 3)])
def test_the_estimate_is_about_the_error(resolution, degree):
    truth = solved(POISSON, resolution=resolution, degree=degree)
    estimate = truth.error["u"]
    assert 0.9 < float(estimate.l2) / true_error(truth, sine) < 12
    assert float(estimate.relative_l2) == pytest.approx(float(estimate.l2) / 0.5, rel=0.2)
    assert estimate.energy > estimate.l2


@pytest.mark.parametrize("steps", [1, 2, 4])
def test_the_error_in_time_is_seen(steps):
    truth = solved(HEAT, resolution=16, steps=steps)
    gaps = [
        true_error(truth, lambda p, t=t: np.sin(3 * t) * sine(p), t)
        for t in truth.samples[0].times[1:]
    ]
    assert float(truth.error["q"].l2) > 0.3 * np.sqrt(np.mean(np.square(gaps)))


def test_a_tolerance_is_kept():
    truth = solved(POISSON, resolution=4, tolerance=1e-4)
    assert true_error(truth, sine) < 1e-4 * 0.5
    assert float(truth.relative_error.max()) < 1e-4


def test_a_tolerance_is_kept_in_time():
    truth = solved(HEAT, resolution=4, tolerance=1e-3)
    for time in (0.3, 0.7, 1.0):
        assert true_error(truth, lambda p, t=time: np.sin(3 * t) * sine(p), time) < 2e-3 * 0.71


def test_a_layer_in_time_gets_short_steps():
    fast = HEAT.replace(
        "(3*cos(3*t) + pi^2*sin(3*t))", "(pi^2*tanh(40*(t - 1/2)) + 40/cosh(40*(t - 1/2))^2)"
    ).replace("at t = 0: q = 0", "at t = 0: q = -tanh(20)*sin(pi*x)")
    truth = solved(fast, resolution=16, step_tolerance=1e-5)
    steps, times = np.diff(truth.samples[0].times), truth.samples[0].times
    assert steps.max() > 5 * steps[np.abs(times[1:] - 0.5) < 0.05].max()
    assert true_error(truth, lambda p: np.tanh(20) * sine(p), 1.0) < 1e-3


def test_a_tolerance_out_of_reach_says_what_was_reached():
    with pytest.raises(SolverError, match="relative error is about"):
        solved(POISSON, resolution=4, degree=1, tolerance=1e-12)


def test_a_mesh_of_ones_own_is_compared_with_a_lower_degree():
    mesh = skfem.MeshTri.init_tensor(np.linspace(0, 1, 5), np.linspace(0, 1, 5))
    truth = solved(POISSON, mesh=mesh)
    assert float(truth.error["u"].l2) > true_error(truth, sine)


def test_every_sample_has_its_own():
    problem = pdespec.parse(
        POISSON.replace("unknown", "param k ~ uniform(1, 3)\nunknown", 1).replace(
            "sin(pi*x)", "sin(k*pi*x)"
        )
    )
    batch = compiler.sample(
        problem, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    assert compiler.solve(problem, batch, resolution=8).error["u"].l2.shape == (2,)


def test_orders_above_that_of_the_elements_are_not_believed():
    assert error_of(1.0, 100.0, 2, 2.0, False) == pytest.approx(1.25 / 3)
    assert error_of(1.0, float("nan"), 3, 2.0, False) == pytest.approx(1.25)


CORNER = (
    "problem corner\nspace x, y\n"
    "domain D = polygon([0, 0], [1, 0], [1, 1], [-1, 1], [-1, -1], [0, -1])\n"
    "unknown u : scalar on D\nin D: -lap(u) = 0\n"
    "on boundary(D): u = (x^2 + y^2)^(1/3)*sin(2/3*(atan2(-x - y, y - x) + 3*pi/4))\n"
)


def test_a_singular_corner_is_refined_where_it_is():
    """r^(2/3) sin(2 a / 3): the L2 error of uniform meshes falls with the power -3/4 of their
    unknowns; here five times as many divide it by 25 at least, not by 3."""

    def exact(p: np.ndarray) -> np.ndarray:
        x, y = p.T
        return np.hypot(x, y) ** (2 / 3) * np.sin(
            2 / 3 * (np.arctan2(-x - y, y - x) + 3 * np.pi / 4)
        )

    size = true_error(solved(CORNER, resolution=2), lambda p: 0 * p[:, 0])
    truth = solved(CORNER, resolution=4, tolerance=1e-4)
    assert true_error(truth, exact) < 1e-4 * size
    assert float(truth.relative_error.max()) < 1e-4
    uniform = solved(CORNER, resolution=16)
    assert true_error(truth, exact) < true_error(uniform, exact) / 25
    assert truth.samples[0].spaces.size < 5 * uniform.samples[0].spaces.size


def test_curved_triangles_of_a_user_in_any_order_carry_cubic_elements():
    plain = skfem.MeshTri2.from_mesh(skfem.MeshTri.init_tensor(*[np.linspace(0, 1, 5)] * 2))
    turned = plain.t.copy()
    turned[:, ::2] = turned[[2, 0, 1], ::2]
    mesh = skfem.MeshTri2(plain.doflocs, turned)
    assert true_error(solved(POISSON, mesh=mesh, degree=3), sine) < 5e-4
