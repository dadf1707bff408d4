"""Pictures: that they are written, and that what is shaded stands where it belongs."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from compiler import solve
from compiler.fem.draw import draw, sampled
from compiler.fem.failure import SolverError
from pdespec import Problem, boundary, box, lap, on, rectangle, space, unknown

from .cases import GivenBatch

x, y = space("x y")


@pytest.mark.parametrize("cell", ["simplex", "brick"])
def test_the_shaded_triangles_fill_the_domain_and_hold_the_field(tmp_path, cell):
    square = rectangle(x, y)
    v = unknown("v", square, "vector")
    exact = sp.Matrix([x**2 / 5, -x * y / 5])
    problem = Problem("p", {"e": (lap(v), sp.Matrix([sp.Rational(2, 5), 0]))}, [on(boundary(square), (v, exact))])
    truth = solve(problem, GivenBatch(), resolution=3, cell=cell)
    points, triangles, values = sampled(truth.samples[0], ("v.x", "v.y"), -1)
    corners = points[triangles]
    turns = np.cross(np.pad(corners[:, 1] - corners[:, 0], ((0, 0), (0, 1))), np.pad(corners[:, 2] - corners[:, 0], ((0, 0), (0, 1))))[:, 2]
    assert np.abs(turns).sum() / 2 == pytest.approx(1)
    assert np.abs(values[:, 0] - points[:, 0] ** 2 / 5).max() < 1e-9
    path = draw(truth, tmp_path / "v.png", deformed=True, against=truth)
    assert path.stat().st_size > 5000


def test_what_cannot_be_drawn_is_named(tmp_path):
    square = rectangle(x, y)
    u = unknown("u", square)
    plane = solve(Problem("p", {"e": (lap(u), 1)}, [on(boundary(square), (u, 0))]), GivenBatch(), resolution=2)
    with pytest.raises(SolverError, match="no unknown 'w'; there are u"):
        draw(plane, tmp_path / "w.png", field="w")
    cube = box(*space("a b c"))
    w = unknown("w", cube)
    solid = solve(Problem("p", {"e": (lap(w), 1)}, [on(boundary(cube), (w, 0))]), GivenBatch(), resolution=2)
    with pytest.raises(SolverError, match="plane problems"):
        draw(solid, tmp_path / "w.png")
