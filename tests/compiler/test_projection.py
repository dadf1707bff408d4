"""Flows in closed rectangles by projection: recognised however they are written, and held to a
closed form, to published centre lines, and to finite elements."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import skfem
import torch

import compiler
import pdespec
from compiler.fem import SampleError, SolverError, SolverWarning
from compiler.fem.errors import WrongOption
from compiler.projection.equations import closed_flow
from compiler.projection.flow import Flow, Setting, Walls
from compiler.solvers import candidates

FLOW = """
problem f
space    x, y
time     t in [0, {end}]
domain   R = rectangle([{low}, 0], [{high}, {top}])
boundary lid = side(R, y = {top}), walls = rest(R)
param    Re = {reynolds}
const    rho = 2
unknown  v : vector on R, p : scalar on R
in R:
    {momentum}
    {continuity}
on lid:   {lid}
on walls: v = 0
at t = 0: v = {start}
{require}
"""
USUAL = {
    "end": 1,
    "low": 0,
    "high": 1,
    "top": 1,
    "reynolds": 100,
    "momentum": "dt(v) + advect(v, v) = -grad(p) + lap(v)/Re",
    "continuity": "div(v) = 0",
    "lid": "v = [1, 0]",
    "start": "0",
    "require": "require integral(p, R) = 0",
}
# u on the vertical and v on the horizontal centre line, by place: tables 1 and 2 of U. Ghia,
# K. N. Ghia and C. T. Shin (1982), J. Comput. Phys. 48, 387-411
GHIA = {
    100: (
        {0.0547: -0.03717, 0.2813: -0.15662, 0.5: -0.20581, 0.7344: 0.00332, 0.9531: 0.68717},
        {0.0625: 0.09233, 0.2344: 0.17527, 0.5: 0.05454, 0.8047: -0.24533, 0.9453: -0.10313},
    ),
    400: (
        {0.0547: -0.08186, 0.2813: -0.32726, 0.5: -0.11477, 0.7344: 0.16256, 0.9531: 0.55892},
        {0.0625: 0.18360, 0.2344: 0.30174, 0.5: 0.05186, 0.8047: -0.38598, 0.9453: -0.22847},
    ),
}


def flow(**changed):
    return pdespec.parse(FLOW.format(**{**USUAL, **changed}))


def fields(problem, points, **options):
    """(v.x, v.y, p) of the usual sample. Shapes: "n 3" -> "n 3"."""
    batch = compiler.sample(problem, 1, dtype=torch.float64)
    at = torch.as_tensor(np.asarray(points, float))[None]
    found = compiler.solve(problem, batch, **options)(at)[0].numpy()
    return found[:, [problem.components.index(name) for name in ("v.x", "v.y", "p")]]


@pytest.mark.parametrize(
    "momentum",
    [
        "dt(v) + advect(v, v) = -grad(p) + lap(v)/Re",
        "rho*(dt(v) + div(outer(v, v))) + grad(p) = 2/Re*div(2*rho/2*sym(grad(v)))",
        "-3*dt(v) = 3*advect(v, v) + grad(p) - 3/Re*lap(v)",
        "dt(v) = -grad(p) + lap(v)/Re",
    ],
)
def test_a_flow_is_recognised_however_it_is_written(momentum):
    problem = flow(momentum=momentum)
    found = closed_flow(problem)
    assert not isinstance(found, str), found
    assert candidates(problem)[0] == "projection"
    re = problem.params["Re"].symbol
    assert found.friction / found.inertia * re == 1
    assert found.steepening / found.inertia == (
        1 if "advect" in momentum or "outer" in momentum else 0
    )


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"momentum": "dt(v) + advect(v, v) = -grad(p) + lap(v)/Re + [x, 0]"}, "its equations"),
        ({"momentum": "dt(v) + advect(v, v) = -grad(p) + x*lap(v)"}, "depend on position"),
        ({"momentum": "dt(v) + advect(v, v) = -grad(p)"}, "lacks the rate"),
        ({"continuity": "div(v) = p"}, "its equations"),
        ({"lid": "v = [1, 1]"}, "flows through the top side"),
        ({"lid": "dy(v.x) = 0; v.y = 0"}, "the velocity on its top side"),
        ({"lid": "v = [if(p > 0, 1, 0), 0]"}, "the velocity on its top side"),
        ({"require": "require integral(p, R) = integral(dot(v, v), R)"}, "more than a mean"),
        ({"start": "[dx(p), 0]"}, "its initial velocity"),
    ],
)
def test_other_problems_are_left_to_finite_elements(changed, why):
    problem = flow(**changed)
    assert why in closed_flow(problem)
    assert candidates(problem) == ["finite_elements"]


def vortex(nu: float) -> Setting:
    """The decaying vortices of Taylor and Green (1937) in a cell of theirs, whose walls move with
    the flow: u = sin(pi x) cos(pi y) exp(-2 pi^2 nu t)."""

    def along(sign):
        return lambda s, t: sign * np.sin(np.pi * s) * np.exp(-2 * np.pi**2 * nu * t)

    def start(x, y):
        return np.stack(
            [np.sin(np.pi * x) * np.cos(np.pi * y), -np.cos(np.pi * x) * np.sin(np.pi * y)]
        )

    walls = Walls(along(-1), along(1), along(1), along(-1))
    return Setting((0.0, 0.0), (1.0, 1.0), nu, 1.0, walls, start, 0.0)


def after(cells: int, steps: int, nu: float = 0.05, end: float = 0.5) -> np.ndarray:
    """(u, v, p) on a grid. Shapes: "3 9 9"."""
    run = Flow(vortex(nu), (cells, cells))
    for _ in range(steps):
        run.step(end / steps)
    at = np.linspace(0.1, 0.9, 9)
    return run.state().on(at, at)


def test_the_order_in_space_is_two_for_a_vortex_in_closed_form():
    at = np.linspace(0.1, 0.9, 9)
    x, y = np.meshgrid(at, at, indexing="ij")
    decay = np.exp(-2 * np.pi**2 * 0.05 * 0.5)
    exact = np.stack(
        [
            decay * np.sin(np.pi * x) * np.cos(np.pi * y),
            -decay * np.cos(np.pi * x) * np.sin(np.pi * y),
            decay**2 / 4 * (np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y)),
        ]
    )
    errors = [np.abs(after(cells, 400) - exact).max(axis=(1, 2)) for cells in (16, 32, 64)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all(orders > 1.8) and errors[-1].max() < 1e-3


def test_the_order_in_time_is_two():
    fine = after(24, 640)
    errors = [np.abs(after(24, steps) - fine)[:2].max() for steps in (20, 40, 80)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    assert np.all((orders > 1.7) & (orders < 2.6))


def test_a_vortex_in_the_language_has_its_closed_form():
    """Walls that move in time, a rectangle that is no square, a pressure with a mean and another
    factor."""
    problem = pdespec.parse("""
problem vortices
space    x, y
time     t in [1, 2]
domain   R = rectangle([0, -1], [1, 1])
boundary left = side(R, x = 0), right = side(R, x = 1), ends = rest(R, left, right)
const    nu = 0.05, k = 4
unknown  v : vector on R, p : scalar on R
q := exp(-2*pi^2*nu*t)
in R:
    -dt(v) - advect(v, v) + nu*lap(v) = k*grad(p)
    2*div(v) = 0
on left:  v = [0, -sin(pi*y)*q]
on right: v.x = 0; v.y = sin(pi*y)*q
on ends:  v = [-sin(pi*x)*q, 0]
at t = 1: v = [sin(pi*x)*cos(pi*y), -cos(pi*x)*sin(pi*y)]*exp(-2*pi^2*nu)
require integral(p, R) = 6
""")
    assert candidates(problem)[0] == "projection"
    random = np.random.default_rng(0)
    points = random.uniform((0, -1, 1), (1, 1, 2), (200, 3))
    x, y, t = points.T
    decay = np.exp(-2 * np.pi**2 * 0.05 * t)
    found = fields(problem, points, resolution=64)
    assert np.abs(found[:, 0] - decay * np.sin(np.pi * x) * np.cos(np.pi * y)).max() < 1e-3
    assert np.abs(found[:, 1] + decay * np.cos(np.pi * x) * np.sin(np.pi * y)).max() < 1e-3
    p = 3 + decay**2 / 16 * (np.cos(2 * np.pi * x) + np.cos(2 * np.pi * y))
    assert np.abs(found[:, 2] - p).max() < 2e-3


@pytest.mark.parametrize(("reynolds", "end"), [(100, 15), (400, 30)])
def test_the_steady_limit_of_the_cavity_agrees_with_the_published_center_lines(reynolds, end):
    vertical, horizontal = GHIA[reynolds]
    points = [(0.5, y, end) for y in vertical] + [(x, 0.5, end) for x in horizontal]
    found = fields(flow(reynolds=reynolds, end=end), points, resolution=48)
    assert found[: len(vertical), 0] == pytest.approx(list(vertical.values()), abs=0.01)
    assert found[len(vertical) :, 1] == pytest.approx(list(horizontal.values()), abs=0.01)


def test_finite_elements_find_the_same_transient(paper):
    problem = flow(end=1)
    at = np.linspace(0.05, 0.95, 10)
    points = np.stack(np.meshgrid(at, at, [0.5, 1.0], indexing="ij"), -1).reshape(-1, 3)
    found = fields(problem, points, resolution=64)
    mesh = paper("cavity_truth").refined(10, 0.3)
    with pytest.warns(SolverWarning, match="is taken away"):
        other = fields(problem, points, mesh=mesh, steps=10)
    gap = np.linalg.norm(found - other, axis=0) / np.linalg.norm(other, axis=0)
    assert gap[:2].max() < 0.01 and gap[2] < 0.03


def test_the_error_is_estimated():
    problem = pdespec.load("examples/lid_cavity.pde")
    batch = compiler.sample(problem, 1, dtype=torch.float64)
    solution = compiler.solve(problem, batch, resolution=32)
    points = torch.rand(1, 500, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    points = points * 0.9 + 0.05
    points[..., 2] *= 10
    fine = compiler.solve(problem, batch, resolution=64)(points)[..., :2]
    error = float((solution(points)[..., :2] - fine).norm() / fine.norm())
    estimated = float(solution.error["v"].relative_l2[0])
    assert error / 2 < estimated < 10 * error


def test_what_cannot_be_solved_is_said():
    problem = flow()
    batch = compiler.sample(problem, 1, dtype=torch.float64)
    with pytest.raises(SolverError, match="8 to 1024"):
        compiler.solve(problem, batch, resolution=4, method="projection")
    with pytest.raises(SolverError, match="8 to 1024 cells, not '16'"):
        compiler.solve(problem, batch, resolution="16", method="projection")
    with pytest.raises(WrongOption, match="no option 'mesh'"):
        compiler.solve(problem, batch, mesh=skfem.MeshTri(), method="projection")
    with pytest.raises(SolverError, match="flows through"):
        compiler.solve(flow(lid="v = [1, 1]"), batch, method="projection")
    batch = compiler.instance(problem, params={"Re": -10.0})
    with pytest.raises(SampleError, match="positive viscosity"):
        compiler.solve(problem, batch, method="projection")


@pytest.mark.parametrize(
    ("changed", "params", "said"),
    [
        ({"lid": "v = [1/x, 0]"}, {}, "no number everywhere"),
        ({"start": "[1/(x - 1/2), 0]"}, {}, "no number everywhere"),
        ({}, {"Re": 0.0}, "not a real number"),
    ],
)
def test_speeds_and_coefficients_that_are_no_numbers_are_refused(changed, params, said):
    problem = flow(**changed)
    batch = compiler.instance(problem, params=params)
    with pytest.raises(SampleError, match=said):
        compiler.solve(problem, batch, resolution=16, method="projection")


@pytest.mark.parametrize(("frequency", "hasty"), [(20, False), (200, True), (2000, True)])
def test_walls_that_are_faster_than_the_steps_are_warned_of(frequency, hasty):
    problem = flow(lid=f"v = [sin({frequency}*t), 0]")
    with warnings.catch_warnings(record=True) as heard:
        warnings.simplefilter("always")
        truth = compiler.solve(problem, compiler.instance(problem), resolution=16)
    assert bool(truth.warnings) is hasty
    assert any("the top wall changes within a step" in str(e.message) for e in heard) is hasty
