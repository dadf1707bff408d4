"""VTK files, read back by meshio, an independent reader."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp

from compiler import solve
from compiler.fem.errors import SolverError
from compiler.fem.export.vtk import VTK, field_values, save_vtk
from pdespec import (
    Problem,
    at,
    boundary,
    box,
    disk,
    dt,
    grad,
    integral,
    interval,
    lap,
    on,
    rectangle,
    space,
    unknown,
)
from pdespec import time as time_axis

from .cases import GivenBatch

meshio = pytest.importorskip("meshio")
(s,), (x, y), (a, b, c) = space("s"), space("x y"), space("a b c")


def quadratic(domain, exact: sp.Expr) -> Problem:
    """A Poisson problem whose solution the elements hold."""
    u = unknown("u", domain)
    return Problem(
        "p",
        {"balance": (lap(u), sum(sp.diff(exact, v, 2) for v in domain.coordinates))},
        [on(boundary(domain), (u, exact))],
    )


@pytest.mark.parametrize(
    ("domain", "exact", "options"),
    [
        (interval(s), s**2, {}),
        (rectangle(x, y), x**2 + x * y, {}),
        (rectangle(x, y), x * y + x, {"degree": 1}),
        (rectangle(x, y), x**2 * y, {"cell": "brick"}),
        (disk(x, y), x**2 - y**2 / 2, {"degree": 3}),
        (box(a, b, c), a**2 + b * c, {}),
        (box(a, b, c), a * b + c, {"cell": "brick"}),
    ],
)
def test_values_stand_at_the_places_they_belong_to(tmp_path, domain, exact, options):
    truth = solve(quadratic(domain, exact), GivenBatch(), resolution=3, **options)
    (path,) = save_vtk(truth, tmp_path / "deep" / "u")
    read = meshio.read(path)
    value = sp.lambdify(domain.coordinates, exact)(*read.points.T[: domain.dim])
    # a bilinear function is not in P1, nor any polynomial in the space of a curved disk
    held = options.get("degree", 2) == 2
    assert np.abs(read.point_data["u"].ravel() - value).max() < (1e-8 if held else 0.05)
    assert read.cells[0].data.shape[0] == truth.samples[0].spaces.mesh.nelements


def test_no_digit_is_lost(tmp_path):
    truth = solve(quadratic(disk(x, y), x / 3), GivenBatch(), resolution=3)
    (path,) = save_vtk(truth, tmp_path / "u")
    sample = truth.samples[0]
    _, nodes = VTK["triangle", 2]
    assert np.array_equal(meshio.read(path).point_data["u"], field_values(sample, 0, ("u",), nodes))


def test_a_plane_vector_gets_a_third_component_and_time_a_collection(tmp_path):
    t = time_axis("t", 0, 1)
    square = rectangle(x, y)
    v = unknown("v", square, "vector", time=t)
    problem = Problem(
        "p", {"flow": dt(v) - lap(v)}, [on(boundary(square), (v, 0)), at(t, 0, (v, 0))]
    )
    files = save_vtk(solve(problem, GivenBatch(), resolution=2, steps=3), tmp_path / "v")
    assert [f.name for f in files] == [
        "v_0000.vtu",
        "v_0001.vtu",
        "v_0002.vtu",
        "v_0003.vtu",
        "v.pvd",
    ]
    assert meshio.read(files[0]).point_data["v"].shape[1] == 3
    assert 'timestep="1"' in files[-1].read_text()


def test_a_sample_that_is_not_there_is_named():
    u = unknown("u", rectangle(x, y))
    problem = Problem(
        "p",
        conditions=[on(boundary(rectangle(x, y)), (u, 0))],
        minimize=integral(grad(u).dot(grad(u)) - u, rectangle(x, y)),
    )
    with pytest.raises(SolverError, match="samples 0 to 0, not 4"):
        save_vtk(solve(problem, GivenBatch(), resolution=2), "nowhere", sample=4)
