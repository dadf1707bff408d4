"""Meshes as they are drawn: triangles that fill the domain, sides that bend with the cells."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

from compiler.fem.errors import SolverError
from compiler.fem.meshing.mesh import mesh_domain
from compiler.report.triangulation import plot_mesh
from pdespec import box, disk, rectangle, space

x, y = space("x y")
TRIANGLES = 2000
CASES = {
    "straight triangles": (rectangle(x, y), {}, 1),
    "curved triangles": (disk(x, y), {"degree": 2}, np.pi),
    "cubic triangles": (disk(x, y), {"degree": 3}, np.pi),
    "quadrilaterals": (rectangle(x, y), {"cell": "brick"}, 1),
}


@pytest.fixture(params=CASES)
def case(request):
    """A mesh and the area it covers."""
    domain, options, area = CASES[request.param]
    return mesh_domain(domain, {}, 6, **options), area


def test_the_triangles_fill_the_domain(case):
    mesh, area = case
    drawn = plot_mesh(mesh, TRIANGLES)
    a, b, c = np.moveaxis(drawn.points[drawn.triangles], 1, 0)
    areas = np.abs((b - a)[:, 0] * (c - a)[:, 1] - (b - a)[:, 1] * (c - a)[:, 0]) / 2
    assert areas.sum() == pytest.approx(area, rel=2e-3)
    assert TRIANGLES / 2 < len(areas) < 2 * TRIANGLES


def test_neighbours_share_the_points_of_their_side(case):
    drawn = plot_mesh(case[0], TRIANGLES)
    edges = {tuple(sorted((t[k], t[k - 1]))) for t in drawn.triangles.tolist() for k in range(3)}
    # Euler: one piece without a hole
    assert len(drawn.points) - len(edges) + len(drawn.triangles) == 1


def test_every_side_is_there_once_between_its_vertices(case):
    mesh, _ = case
    drawn = plot_mesh(mesh, TRIANGLES)
    assert len(drawn.sides) == mesh.nfacets and len(drawn.boundary) == len(mesh.boundary_facets())
    middles = drawn.points[drawn.sides[:, [0, -1]]].mean(axis=1)
    assert middles == pytest.approx(mesh.p[:, mesh.facets].mean(axis=1).T)


def test_the_rim_of_a_disk_is_round():
    mesh = plot_mesh(mesh_domain(disk(x, y), {}, 6, degree=2), TRIANGLES)
    radii = np.linalg.norm(mesh.points[mesh.boundary], axis=-1)
    assert np.abs(radii - 1).max() < 2e-3  # chords stay 3e-2 inside
    assert radii.shape[1] > 3


def test_values_are_shaded_and_sides_drawn_where_the_points_are_moved():
    drawn = plot_mesh(mesh_domain(rectangle(x, y), {}, 2), TRIANGLES).moved(np.array([[3.0, 4.0]]))
    axes = Figure().subplots()
    shades = drawn.shade(axes, drawn.points[:, 0])
    assert axes.dataLim.extents == pytest.approx([3, 4, 4, 5])
    assert shades.get_clim() == pytest.approx((3, 4))
    other = Figure().subplots()
    drawn.outline(other)
    assert other.dataLim.extents == pytest.approx([3, 4, 4, 5])


def test_a_solid_is_not_drawn():
    with pytest.raises(SolverError, match="a mesh in 3D cannot be drawn in the plane"):
        plot_mesh(mesh_domain(box(*space("a b c")), {}, 2))
