"""Meshes of simple shapes: measure, sides and their order of approximation, known in closed
form."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
from skfem import CellBasis, ElementTetP1, ElementTriP1, FacetBasis

from compiler.fem.errors import SolverError
from compiler.fem.meshing.facets import facets_of
from compiler.fem.meshing.mesh import mesh_domain, shaken
from compiler.fem.meshing.patterns import bricks, octants, rings
from pdespec import (
    ball,
    box,
    disk,
    ellipse,
    ellipsoid,
    interval,
    moved,
    param,
    rectangle,
    rest,
    rotated,
    scaled,
    side,
    space,
    star,
    uniform,
)

x, y, z = space("x y z")
X, Y = space("x y")
(S,) = space("x")


def area(mesh) -> float:
    return CellBasis(mesh, ElementTriP1(), intorder=8).dx.sum()


@pytest.mark.parametrize(("degree", "least"), [(1, 1.95), (2, 3.9), (3, 3.9)])
def test_the_area_of_a_curved_disk_converges_at_the_order_of_its_cells(degree, least):
    defects = [
        abs(area(mesh_domain(disk(X, Y, radius=2, center=(1, -3)), {}, n, degree)) - 4 * np.pi)
        for n in (8, 16, 32)
    ]
    assert np.log2(defects[1] / defects[2]) > least
    assert defects[2] < {1: 1e-1, 2: 1e-5, 3: 1e-5}[degree]


def test_the_area_of_a_star_agrees_with_its_polar_integral():
    c = param("c", uniform(-0.2, 0.2))
    theta = sp.Symbol("theta")
    domain = star(X, Y, radius=lambda angle: 1 + c * sp.cos(4 * angle))
    exact = float(
        sp.integrate((1 + sp.Rational(1, 5) * sp.cos(4 * theta)) ** 2 / 2, (theta, 0, 2 * sp.pi))
    )
    assert area(mesh_domain(domain, {c: 0.2}, 40, degree=2)) == pytest.approx(exact, abs=2e-6)


def test_normals_of_a_curved_disk_point_outward():
    basis = FacetBasis(mesh_domain(disk(X, Y), {}, 32, degree=2), ElementTriP1(), intorder=4)
    assert np.abs(np.asarray(basis.normals) - np.asarray(basis.global_coordinates())).max() < 1e-5


def test_the_volume_of_a_ball_converges_with_curved_cells():
    volumes = [
        CellBasis(mesh_domain(ball(x, y, z), {}, n, degree=2), ElementTetP1(), intorder=4).dx.sum()
        for n in (4, 8)
    ]
    defects = np.abs(np.array(volumes) - 4 * np.pi / 3)
    assert np.log2(defects[0] / defects[1]) > 3.5


def test_rings_make_no_sliver_and_no_fold():
    mesh = rings(7)
    corners = mesh.p[:, mesh.t]
    edges = corners[:, [1, 2, 0]] - corners
    turns = edges[0, 0] * edges[1, 1] - edges[1, 0] * edges[0, 1]
    units = edges / np.linalg.norm(edges, axis=0)
    cosines = -np.sum(units * np.roll(units, 1, axis=1), axis=0)
    assert mesh.t.shape[1] == 6 * 49
    assert np.abs(turns).min() > 0
    assert np.degrees(np.arccos(cosines.max())) > 30


@pytest.mark.parametrize("divisions", [(4, 4), (5, 2), (1, 3)])
def test_no_triangle_of_a_rectangle_has_all_vertices_on_the_boundary_in_even_meshes(divisions):
    mesh = bricks((0, 0), (2, 1), divisions)
    on_boundary = np.bincount(mesh.f2t[0, mesh.boundary_facets()], minlength=mesh.nelements)
    assert CellBasis(mesh, ElementTriP1()).dx.sum() == pytest.approx(2)
    assert on_boundary.max() == 1 or min(divisions) == 1


def test_octants_fill_the_octahedrons_image_without_holes():
    mesh = octants(3)
    assert mesh.t.shape[1] == 8 * 27
    assert np.allclose(
        np.linalg.norm(mesh.p[:, np.unique(mesh.facets[:, mesh.boundary_facets()])], axis=0), 1
    )


def test_resolution_counts_cells_along_the_longest_side():
    assert mesh_domain(rectangle(X, Y, (0, 0), (2, 1)), {}, 6).p[0].tolist().count(0.0) == 4
    assert mesh_domain(interval(space("s")[0], 0, 3), {}, 9).nelements == 9
    assert mesh_domain(box(x, y, z), {}, 2, cell="brick").nelements == 8


def test_a_disk_of_bricks_and_a_shape_without_numbers_are_refused():
    with pytest.raises(SolverError, match="simplex"):
        mesh_domain(disk(X, Y), {}, 8, cell="brick")
    with pytest.raises(SolverError, match="value of r"):
        mesh_domain(disk(X, Y, radius=param("r", uniform(1, 2))), {}, 8)
    with pytest.raises(SolverError, match="at least 1"):
        mesh_domain(disk(X, Y), {}, 0)


def test_images_of_mapped_meshes_keep_their_curved_cells_and_their_sides():
    oval = ellipse(X, Y, (2, sp.Rational(7, 10)), center=(1, 2), angle=sp.Rational(2, 5))
    assert area(mesh_domain(oval, {}, 24, degree=2)) == pytest.approx(1.4 * np.pi, rel=1e-6)
    egg = CellBasis(
        mesh_domain(ellipsoid(x, y, z, (2, 1, sp.S.Half)), {}, 12, degree=2),
        ElementTetP1(),
        intorder=4,
    ).dx.sum()
    assert egg == pytest.approx(4 / 3 * np.pi, rel=1e-3)
    turn = rotated(scaled(moved(rectangle(X, Y, (0, 0), (2, 1)), (1, 0)), 2), sp.pi / 2)
    mesh = mesh_domain(turn, {}, 8)
    assert area(mesh) == pytest.approx(8)
    for place, length in (
        (side(turn, x=-2), 4),
        (side(turn, y=2), 2),
        (rest(turn, side(turn, x=-2)), 8),
    ):
        assert FacetBasis(
            mesh, ElementTriP1(), facets=facets_of(place, mesh, {})
        ).dx.sum() == pytest.approx(length)


@pytest.mark.parametrize(
    "domain",
    [
        interval(S),
        rectangle(X, Y),
        disk(X, Y),
        rectangle(X, Y) - disk(X, Y, radius=sp.Rational(1, 4), center=(sp.S.Half, sp.S.Half)),
        ball(x, y, z),
    ],
    ids=["interval", "rectangle", "disk", "hole", "ball"],
)
def test_a_mesh_that_is_shaken_has_the_same_boundary_and_measure(domain):
    mesh = mesh_domain(domain, {}, 5, 2 if domain.dim == 2 else 1)
    inner = np.flatnonzero(np.all(mesh.f2t >= 0, axis=0))[:2]
    other = shaken(mesh, np.random.default_rng(0), [inner])
    assert type(other) is type(mesh) and np.array_equal(other.t, mesh.t)
    boundary = mesh.boundary_nodes()
    assert np.array_equal(other.p[:, boundary], mesh.p[:, boundary])
    assert np.array_equal(other.p[:, mesh.facets[:, inner]], mesh.p[:, mesh.facets[:, inner]])
    stay = np.union1d(boundary, mesh.facets[:, inner])
    others = np.setdiff1d(np.arange(mesh.nvertices), stay)
    if len(others):
        assert np.all(np.any(other.p[:, others] != mesh.p[:, others], axis=0))

    bases = [CellBasis(of, of.elem(), intorder=6) for of in (mesh, other)]
    turns = [np.sign(basis.mapping.detDF(basis.X)) for basis in bases]
    assert np.array_equal(*turns) and np.all(turns[0] != 0)  # no cell turned over
    assert np.isclose(*(basis.dx.sum() for basis in bases), rtol=1e-12)
