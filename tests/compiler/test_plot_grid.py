"""What samples are drawn on: meshes in their place and moved, images, curves."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import sympy as sp
import torch
from matplotlib.figure import Figure

import compiler
import pdespec
from compiler.batches.sample import sample
from compiler.report.plot_grid import PlaneMesh, Raster, plot_grid, raster
from compiler.report.triangulation import TRIANGLES
from pdespec import Problem, at, boundary, dt, lap, on, rectangle, space, unknown
from pdespec import time as time_axis

EXAMPLES = Path(__file__).parents[2] / "examples"
x, y = space("x y")
SQUARE = rectangle(x, y)


def drawn(problem: Problem, **options):
    batch = sample(
        problem, 1, {"interior": 16}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    return batch, compiler.solve(problem, batch, resolution=3, **options)


def stretched() -> Problem:
    """A square that is pulled to twice its width."""
    u = unknown("u", SQUARE, "vector")
    return Problem("pull", {"balance": lap(u)}, [on(boundary(SQUARE), (u, sp.Matrix([x, 0])))])


def test_a_body_is_where_its_displacement_takes_it():
    problem = stretched()
    batch, truth = drawn(problem)
    rest = plot_grid(problem, batch, truth)
    assert (
        isinstance(rest, PlaneMesh)
        and rest.rows == {"|u|": [0, 1]}
        and rest.note == "deformed body, true scale"
    )
    moved = rest.placed(truth(rest.points)[0].numpy())
    assert moved.mesh.points == pytest.approx(rest.mesh.points * [2, 1])
    assert moved.rest is rest.mesh
    assert (rest.ratio, moved.ratio) == pytest.approx((1, 0.5))


def test_a_moved_body_shows_where_it_was():
    problem = stretched()
    batch, truth = drawn(problem)
    rest = plot_grid(problem, batch, truth)
    half = rest.placed(-0.5 * truth(rest.points)[0].numpy())
    widths = []
    for plane_mesh in (rest, half):
        axes = Figure().subplots()
        plane_mesh.shade(axes, np.zeros(len(plane_mesh.mesh.points)))
        widths.append(axes.dataLim.width)
    assert half.mesh.points[:, 0].max() == pytest.approx(0.5)
    assert widths == pytest.approx([1, 1])


def test_a_field_that_moves_nothing_stays_where_it_is():
    problem = pdespec.load(EXAMPLES / "stokes.pde")
    batch, truth = drawn(problem)
    rest = plot_grid(problem, batch, truth)
    assert list(rest.rows) == ["v.x", "v.y", "p"] and rest.note == ""
    assert rest.placed(np.ones((len(rest.mesh.points), 3))) is rest


def test_a_mesh_is_drawn_at_the_last_time():
    t = time_axis("t", 0, 3)
    v = unknown("v", SQUARE, time=t)
    problem = Problem(
        "p", {"flow": dt(v) - lap(v)}, [on(boundary(SQUARE), (v, 0)), at(t, 0, (v, 0))]
    )
    grid = plot_grid(problem, *drawn(problem, steps=2))
    assert set(grid.points[0, :, 2].tolist()) == {3.0} and grid.note == "t = 3"


def test_a_truth_without_a_mesh_is_drawn_as_an_image():
    problem = stretched()
    batch, truth = drawn(problem)
    assert isinstance(plot_grid(problem, batch, lambda points: truth(points)), Raster)


def test_a_quarter_of_the_resolution_is_a_sixteenth_of_the_triangles():
    problem = pdespec.load(EXAMPLES / "nonlinear_poisson.pde")
    assert len(plot_grid(problem, *drawn(problem), share=0.25).mesh.triangles) == pytest.approx(
        TRIANGLES / 16, rel=0.15
    )


def test_an_image_has_x_to_the_right_and_y_upward():
    problem = pdespec.load(EXAMPLES / "nonlinear_poisson.pde")
    batch = sample(
        problem, 1, {"interior": 512}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grid = raster(problem, batch, resolution=40)
    rows, columns = np.nonzero(grid.inside)
    x, y = (grid.fill(grid.points[0, :, k].numpy()) for k in (0, 1))
    across, upward = np.polyfit(columns, x[grid.inside], 1), np.polyfit(rows, y[grid.inside], 1)
    assert across[0] > 0 and upward[0] > 0
    assert np.allclose(x[grid.inside], np.polyval(across, columns)) and np.allclose(
        y[grid.inside], np.polyval(upward, rows)
    )
    assert grid.aspect == "equal" and grid.axes == ("x", "y")


def test_an_image_shows_the_true_domain():
    problem = pdespec.load(EXAMPLES / "nonlinear_poisson.pde")
    batch = sample(
        problem, 1, {"interior": 2048}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grid = raster(problem, batch, resolution=200)
    left, right, bottom, top = grid.extent
    share = grid.inside.mean() * (right - left) * (top - bottom)
    c1, c2 = (float(batch.params[name]) for name in ("c1", "c2"))
    assert share == pytest.approx(math.pi * (1 + (c1**2 + c2**2) / 2), rel=0.02)  # area of the star


def test_one_coordinate_and_time_make_a_space_time_image():
    problem = pdespec.load(EXAMPLES / "burgers.pde")
    batch = sample(
        problem, 1, {"interior": 256}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grid = raster(problem, batch, resolution=20)
    assert grid.axes == ("x", "t") and grid.aspect == "auto" and grid.note == ""
    assert grid.points.shape[-1] == 2 and grid.inside.shape == (20, 20)
    assert float(grid.points[..., 1].max()) == 1.0


SPHERE = """
problem sphere
space    x, y, z
time     t in [0, 2]
domain   B = ball(radius = 1)
unknown  u : scalar on B
in B: dt(u) = lap(u)
on boundary(B): u = 0
at t = 0: u = 1
"""


def test_three_dimensions_are_cut_in_the_middle_at_the_last_time():
    problem = pdespec.parse(SPHERE)
    batch = sample(
        problem, 1, {"interior": 512}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    grid = raster(problem, batch, resolution=30)
    assert grid.points.shape[-1] == 4
    assert set(grid.points[0, :, 3].tolist()) == {2.0}
    assert len(set(grid.points[0, :, 2].tolist())) == 1 and abs(float(grid.points[0, 0, 2])) < 0.1
    assert grid.note.startswith("z = ") and grid.note.endswith("t = 2")
