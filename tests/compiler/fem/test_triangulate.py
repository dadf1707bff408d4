"""Meshes of CSG trees by netgen: measure and parts of the boundary, known in closed form."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from skfem import CellBasis, ElementTetP1, ElementTriP1, FacetBasis

from compiler.fem.errors import SolverError
from compiler.fem.meshing.facets import facets_of
from compiler.fem.meshing.mesh import mesh_domain
from compiler.fem.meshing.triangulate import ARC
from compiler.geometry.domain import Geometry
from pdespec import (
    ball,
    boundary,
    box,
    cylinder,
    disk,
    ellipse,
    extruded,
    inner,
    lattice,
    moved,
    outer,
    polygon,
    rectangle,
    rest,
    side,
    space,
    star,
)
from pdespec.domains import make_box, make_disk

pytest.importorskip("netgen.occ", reason="the mesher netgen is an optional extra")
x, y = space("x y")
a, b, c = space("a b c")


def measure(mesh) -> float:
    return CellBasis(
        mesh, ElementTriP1() if mesh.dim() == 2 else ElementTetP1(), intorder=6
    ).dx.sum()


def length(mesh, part) -> float:
    return FacetBasis(mesh, ElementTriP1(), facets=facets_of(part, mesh, {}), intorder=6).dx.sum()


PORES = rectangle(x, y) - lattice(disk(x, y, radius=sp.Rational(8, 100)), 5, 5)


@pytest.mark.parametrize(("degree", "least"), [(1, 1.8), (2, 3.6), (3, 3.6)])
def test_the_area_around_pores_converges_at_the_order_of_the_cells(degree, least):
    exact = 1 - 16 * np.pi * 0.08**2  # nine whole, twelve half and four quarter disks
    meshes = [mesh_domain(PORES, {}, n, degree) for n in (8, 24)]
    defects, arcs = (
        [abs(measure(mesh) - exact) for mesh in meshes],
        [len(facets_of(inner(PORES), mesh, {})) for mesh in meshes],
    )
    assert np.log(defects[0] / defects[1]) / np.log(arcs[1] / arcs[0]) > least


def test_cells_are_small_where_the_boundary_is_curved_and_nowhere_else():
    radius, resolution = 0.02, 16
    plate = rectangle(x, y) - disk(
        x, y, radius=sp.Rational(1, 50), center=(sp.Rational(1, 2), sp.Rational(1, 2))
    )
    mesh = mesh_domain(plate, {}, resolution)
    lengths = [
        np.linalg.norm(
            np.diff(mesh.p[:, mesh.facets[:, facets_of(part(plate), mesh, {})]], axis=1), axis=0
        )
        for part in (inner, outer)
    ]
    assert lengths[0].max() < 1.2 * radius * ARC / resolution
    assert lengths[1].min() > 0.5 / resolution


def test_the_parts_of_a_boundary_have_their_lengths():
    mesh = mesh_domain(PORES, {}, 24, degree=2)
    arcs = 16 * 2 * np.pi * 0.08
    assert length(mesh, side(PORES, y=0)) == pytest.approx(1 - 8 * 0.08, rel=1e-9)
    assert length(mesh, inner(PORES)) == pytest.approx(arcs, rel=1e-4)
    assert length(mesh, outer(PORES)) == pytest.approx(4 - 32 * 0.08, rel=1e-9)
    assert length(mesh, rest(PORES, side(PORES, y=0))) + length(
        mesh, side(PORES, y=0)
    ) == pytest.approx(length(mesh, boundary(PORES)))


def test_a_part_of_the_tree_names_its_own_boundary():
    hole = disk(x, y, radius=sp.Rational(1, 4), center=(1, sp.Rational(1, 2)))
    channel = rectangle(x, y, (0, 0), (3, 1)) - hole
    mesh = mesh_domain(channel, {}, 24, degree=2)
    assert length(mesh, boundary(channel, hole)) == pytest.approx(np.pi / 2, rel=1e-4)


@pytest.mark.parametrize(
    ("domain", "exact"),
    [
        (
            star(x, y, radius=lambda t: 1 + sp.cos(4 * t) / 5)
            - disk(x, y, radius=sp.Rational(3, 10)),
            np.pi * 1.02 - np.pi * 0.09,
        ),
        (polygon(x, y, [(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)]), 3.0),
        (
            rectangle(x, y) + disk(x, y, radius=sp.Rational(1, 2), center=(1, sp.Rational(1, 2))),
            1 + np.pi / 8,
        ),
        (rectangle(x, y, (-1, -1), (1, 1)) & disk(x, y, center=(1, 1)), np.pi / 4),
    ],
)
def test_combined_plane_shapes_have_their_area(domain, exact):
    assert measure(mesh_domain(domain, {}, 8, degree=2)) == pytest.approx(exact, rel=2e-4)


def test_a_box_without_an_eighth_of_a_ball_has_its_volume():
    domain = box(a, b, c) - ball(a, b, c, radius=sp.Rational(1, 2))
    assert measure(mesh_domain(domain, {}, 2, degree=2)) == pytest.approx(1 - np.pi / 48, rel=3e-3)


def test_an_empty_domain_is_refused():
    with pytest.raises(SolverError, match="empty"):
        mesh_domain(disk(x, y) - disk(x, y, radius=2), {}, 8)


TANK = cylinder(a, b, c, sp.S.Half, 2, (1, 1, 1), (1, 0, 0))
PLATE = extruded(
    a,
    b,
    c,
    make_box((0, 0), (1, 1), 2) - make_disk(sp.Rational(3, 10), (sp.S.Half, sp.S.Half)),
    sp.Rational(1, 5),
)
DRILLED = box(a, b, c) - cylinder(
    a, b, c, sp.Rational(3, 10), 2, (sp.S.Half, sp.S.Half, -sp.S.Half)
)
EYE = moved(rectangle(x, y), (1, 1)) - ellipse(
    x, y, (sp.Rational(3, 10), sp.Rational(1, 5)), (sp.Rational(3, 2), sp.Rational(3, 2)), 1
)
TEE = rectangle(x, y, (0, 0), (2, 1)) + rectangle(x, y, (0, 1), (1, 2))


@pytest.mark.parametrize(
    ("domain", "places"),
    [
        (TANK, [side(TANK, a=1), rest(TANK, side(TANK, a=1))]),
        (PLATE, [side(PLATE, c=0), inner(PLATE), side(PLATE, a=0)]),
        (DRILLED, [side(DRILLED, c=0), inner(DRILLED)]),
        (EYE, [outer(EYE), inner(EYE), side(EYE, x=2)]),
        (TEE, [side(TEE, y=1), side(TEE, x=0), side(TEE, y=2)]),
    ],
)
def test_meshes_have_the_measures_of_the_shapes_they_are_made_of(domain, places):
    mesh, shape = mesh_domain(domain, {}, 10, degree=2), Geometry(domain, {}, 1, torch.float64)
    element = ElementTriP1() if domain.dim == 2 else ElementTetP1()
    assert measure(mesh) == pytest.approx(shape.measure().item(), rel=1e-3)
    for place in (boundary(domain), *places):
        found = FacetBasis(mesh, element, facets=facets_of(place, mesh, {}), intorder=6).dx.sum()
        assert found == pytest.approx(shape.measure(place).item(), rel=1e-3)
