"""Evaluation at arbitrary points: reference coordinates must lead back to the points."""

from __future__ import annotations

import numpy as np
import pytest

from compiler.fem.discrete.locate import Locator
from compiler.fem.meshing.mesh import mesh_domain
from pdespec import ball, box, disk, interval, rectangle, space

x, y, z = space("x y z")
X, Y = space("x y")
(s,) = space("s")

MESHES = {
    "interval": mesh_domain(interval(s, -1, 2), {}, 7),
    "triangles": mesh_domain(rectangle(X, Y, (0, 0), (2, 1)), {}, 6),
    "quadrilaterals": mesh_domain(rectangle(X, Y, (0, 0), (2, 1)), {}, 6, cell="brick"),
    "disk": mesh_domain(disk(X, Y), {}, 8, degree=2),
    "cubic disk": mesh_domain(disk(X, Y), {}, 8, degree=3),
    "tetrahedra": mesh_domain(box(x, y, z), {}, 3),
    "bricks": mesh_domain(box(x, y, z), {}, 3, cell="brick"),
    "ball": mesh_domain(ball(x, y, z), {}, 4, degree=2),
}


@pytest.mark.parametrize("name", MESHES)
def test_every_point_of_a_mesh_is_found_in_a_cell_that_holds_it(name):
    mesh = MESHES[name]
    generator = np.random.default_rng(3)
    reference = generator.dirichlet(np.ones(mesh.dim() + 1), 200).T[: mesh.dim(), :, None]
    cells = generator.integers(mesh.nelements, size=200)
    points = mesh.mapping().F(reference, tind=cells)[:, :, 0]
    found = Locator(mesh)(points)
    back = mesh.mapping().F(found.reference[:, :, None], tind=found.cells)[:, :, 0]
    assert found.depth.min() > -1e-9
    assert np.abs(back - points).max() < 1e-11


def test_points_just_outside_are_given_to_the_cell_they_miss_least():
    found = Locator(MESHES["disk"])(1.001 * np.array([[1.0, 0.0], [0.0, 1.0]]).T)
    assert np.all(found.depth < 0)
    assert np.all(found.depth > -0.05)
