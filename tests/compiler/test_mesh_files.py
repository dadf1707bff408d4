"""Mesh files and closed surfaces as domains: points, distances, factors, reference solutions and
runs, held to what is known of them."""

from __future__ import annotations

import math

import meshio
import numpy as np
import pytest
import skfem
import sympy
import torch

import compiler
import pdespec
from compiler.batches.recipe import Recipe
from compiler.fem.meshing.given import ascii_stl
from compiler.fem.meshing.mesh_report import report, warnings
from compiler.geometry.domain import Geometry
from compiler.geometry.shapes import meshfile
from compiler.geometry.shapes.mesh import Facets, boundary_function
from compiler.geometry.shapes.meshfile import flattened
from compiler.training.runs import RunError

TETRAHEDRON = (
    np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]]),
    np.array([[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]),
)


def surface(path, points, triangles):
    meshio.write_points_cells(path, points, [("triangle", triangles)])


def cube_surface(path, size=1.0, shift=0.0, turned=False):
    mesh = skfem.MeshTet().refined(1)
    facets = meshfile._facets(mesh.p.T, mesh.t.T.astype(np.int64), "cube")
    surface(path, size * mesh.p.T + shift, facets[:, ::-1] if turned else facets)


@pytest.fixture
def folder(tmp_path, capfd):
    """Meshes of known shapes: an L, a disk, a cube, and the surfaces of a cube and a
    tetrahedron."""
    sides = {"left": lambda x: x[0] == -1, "bottom": lambda x: x[1] == -1}
    skfem.MeshTri.init_lshaped().refined(2).with_boundaries(sides).save(tmp_path / "l.msh")
    skfem.MeshTri.init_circle(4).save(tmp_path / "disk.msh")
    skfem.MeshTet().refined(2).with_boundaries({"left": lambda x: x[0] == 0}).save(
        tmp_path / "cube.msh"
    )
    cube_surface(tmp_path / "cube.stl")
    surface(tmp_path / "tetrahedron.stl", *TETRAHEDRON)
    return tmp_path


def domain(folder, name, **options):
    coordinates = pdespec.space("x y" if name in ("l.msh", "disk.msh") else "x y z")
    return pdespec.mesh(*coordinates, path=name, folder=str(folder), **options)


def geometry(folder, name, size=1, dtype=torch.float64):
    return Geometry(domain(folder, name), {}, size, dtype)


def chance():
    return torch.Generator().manual_seed(0)


SIDE = 2 * math.sin(math.pi / 64)  # of the regular polygon of 64 corners
SHAPES = {
    "l.msh": (3.0, 8.0, (-1 / 6, -1 / 6)),
    "disk.msh": (32 * math.sin(math.pi / 32), 64 * SIDE, (0.0, 0.0)),
    "cube.msh": (1.0, 6.0, (0.5, 0.5, 0.5)),
    "cube.stl": (1.0, 6.0, (0.5, 0.5, 0.5)),
    "tetrahedron.stl": (1 / 6, 1.5 + math.sqrt(3) / 2, (0.25, 0.25, 0.25)),
}


@pytest.mark.parametrize("name", SHAPES)
def test_measures_centroids_and_points_are_those_of_the_shape(folder, name):
    area, around, middle = SHAPES[name]
    found = geometry(folder, name, 2)
    whole = pdespec.boundary(found.domain)
    assert found.measure().tolist() == pytest.approx([area] * 2, rel=1e-12)
    assert found.measure(whole).tolist() == pytest.approx([around] * 2, rel=1e-12)
    assert found.body.center()[0].tolist() == pytest.approx(middle, abs=1e-12)
    points = found.interior(2000, chance())
    assert found.contains(points).all()
    assert points.mean((0, 1)).tolist() == pytest.approx(middle, abs=6e-3)
    at, normals = found.boundary(whole, 500, chance())
    assert found.signed_distance(at).abs().max() < 1e-12
    assert normals.norm(dim=-1).sub(1).abs().max() < 1e-12
    assert (
        found.contains(at - 1e-6 * normals).all() and not found.contains(at + 1e-6 * normals).any()
    )
    # the divergence theorem for the position: the mean of x . n over the boundary is d times the
    # measure
    flux = (around * (at * normals).sum(-1).mean(1)).tolist()
    assert flux == pytest.approx([at.shape[-1] * area] * 2, rel=0.05)


def test_points_fill_cells_of_unequal_size_evenly(tmp_path):
    points = np.array([[0, 0], [1, 0], [0, 1], [1, 1], [1.2, 1.1]])
    meshio.write_points_cells(
        tmp_path / "uneven.vtk",
        np.pad(points, ((0, 0), (0, 1))),
        [("triangle", np.array([[0, 1, 2], [1, 3, 2], [1, 4, 3]]))],
    )
    found = geometry_of(tmp_path / "uneven.vtk")
    drawn = found.interior(4096, chance())[0]
    first = (drawn[:, 0] + drawn[:, 1] < 1).double().mean()
    assert float(first) == pytest.approx(0.5 / float(found.measure()), abs=2e-3)
    low = drawn[drawn[:, 0] + drawn[:, 1] < 1]
    assert low.mean(0).tolist() == pytest.approx([1 / 3, 1 / 3], abs=3e-3)
    assert (low[:, 0] * low[:, 1]).mean().item() == pytest.approx(1 / 12, abs=2e-3)


def geometry_of(path, dim=2):
    coordinates = pdespec.space("x y" if dim == 2 else "x y z")
    return Geometry(
        pdespec.mesh(*coordinates, path=path.name, folder=str(path.parent)), {}, 1, torch.float64
    )


def test_the_distance_is_that_of_the_same_polygon(folder):
    x, y = pdespec.space("x y")
    found = geometry(folder, "l.msh")
    corners = [(-1, -1), (1, -1), (1, 0), (0, 0), (0, 1), (-1, 1)]
    other = Geometry(pdespec.polygon(x, y, corners), {}, 1, torch.float64)
    points = 3 * torch.rand(1, 500, 2, dtype=torch.float64, generator=chance()) - 1.5
    assert torch.equal(found.contains(points), other.contains(points))
    assert (found.signed_distance(points) - other.signed_distance(points)).abs().max() < 1e-12
    at = points.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(found.signed_distance(at).sum(), at)
    assert slope.norm(dim=-1).sub(1).abs().max() < 1e-10


def test_the_distance_in_space_is_that_of_the_same_box(folder):
    x, y, z = pdespec.space("x y z")
    found, other = (
        geometry(folder, "cube.stl"),
        Geometry(pdespec.box(x, y, z), {}, 1, torch.float64),
    )
    points = 2 * torch.rand(1, 500, 3, dtype=torch.float64, generator=chance()) - 0.5
    assert torch.equal(found.contains(points), other.contains(points))
    assert (found.signed_distance(points) - other.signed_distance(points)).abs().max() < 1e-12


@pytest.mark.parametrize("name", SHAPES)
def test_the_factor_vanishes_on_the_boundary_with_slope_one_and_is_smooth_and_positive_inside(
    folder, name
):
    found = geometry(folder, name)
    whole = pdespec.boundary(found.domain)
    points = found.interior(400, chance()).requires_grad_(True)
    value = found.factor(whole, points)
    assert (value > 0).all()
    (slope,) = torch.autograd.grad(value.sum(), points, create_graph=True)
    deep = (found.signed_distance(points) < -0.03)[0]
    for axis in range(points.shape[-1]):
        step = 1e-5 * torch.eye(points.shape[-1], dtype=torch.float64)[axis]
        ahead, behind = (found.factor(whole, points.detach() + sign * step) for sign in (1, -1))
        assert ((ahead - behind) / 2e-5 - slope[..., axis])[0, deep].abs().max() < 1e-7
        (second,) = torch.autograd.grad(slope[..., axis].sum(), points, retain_graph=True)
        assert second.isfinite().all()
        assert ((ahead - 2 * value + behind) / 1e-10 - second[..., axis])[
            0, deep
        ].abs().max() < 2e-4
    at, normals = found.boundary(whole, 300, chance())
    at = at.requires_grad_(True)
    value = found.factor(whole, at)
    (slope,) = torch.autograd.grad(value.sum(), at, create_graph=True)
    assert value.abs().max() < 1e-12
    assert ((slope * normals).sum(-1) + 1).abs().max() < 1e-9
    (second,) = torch.autograd.grad(slope[..., 0].sum(), at)
    assert second.isfinite().all()


def test_the_factor_is_an_integral_over_the_boundary(folder):
    """Against Gauss quadrature of the integrals themselves."""
    nodes, weights = np.polynomial.legendre.leggauss(200)
    nodes, weights = (nodes + 1) / 2, weights / 2
    found = geometry(folder, "tetrahedron.stl")
    at = np.array([0.2, 0.15, 0.3])
    total = 0.0
    for a, b, c in TETRAHEDRON[0][TETRAHEDRON[1]]:
        s, t = np.meshgrid(nodes, nodes, indexing="ij")
        places = a + s[..., None] * (b - a) + (t * (1 - s))[..., None] * (c - a)
        area = np.linalg.norm(np.cross(b - a, c - a)) * (1 - s) * weights[:, None] * weights
        total += (area / np.linalg.norm(places - at, axis=-1) ** 3).sum() / 2
    value = found.factor(pdespec.boundary(found.domain), torch.tensor(at).view(1, 1, 3))
    assert value.item() == pytest.approx(math.pi / total, rel=1e-10)


def test_the_factor_does_not_depend_on_how_flat_sides_are_divided(folder, tmp_path):
    skfem.MeshTet().refined(1).save(tmp_path / "coarse.msh")
    points = torch.rand(1, 50, 3, dtype=torch.float64, generator=chance())
    values = []
    for name in ("cube.msh", "coarse.msh"):
        found = geometry_of(tmp_path / name, 3)
        values.append(found.factor(pdespec.boundary(found.domain), points))
        data = found.body.data
        assert len(found.body.sides) == 12 and len(data.facets) > 12
        raw = Facets(found.body.tensor(data.points), torch.as_tensor(data.facets))
        values.append(boundary_function(raw, points[0], torch.ones(50, dtype=torch.bool))[None])
    assert all((value - values[0]).abs().max() < 1e-12 for value in values)


def test_corners_edges_and_midpoints_of_the_boundary_are_zeros(folder):
    for name in ("l.msh", "cube.msh"):
        found = geometry(folder, name)
        data = found.body.data
        corners = data.points[np.unique(data.facets)]
        middles = (data.points[data.facets[:, 0]] + data.points[data.facets[:, 1]]) / 2
        at = torch.tensor(np.concatenate([corners, middles]))[None].requires_grad_(True)
        value = found.factor(pdespec.boundary(found.domain), at)
        assert value.abs().max() < 1e-10
        (slope,) = torch.autograd.grad(value.sum(), at)
        assert slope.isfinite().all()


def test_a_group_is_its_facets_and_the_rest_is_what_is_left(folder):
    found = geometry(folder, "l.msh")
    left = pdespec.group(found.domain, "left")
    assert found.measure(left).item() == pytest.approx(2)
    assert found.measure(pdespec.rest(found.domain, left)).item() == pytest.approx(6)
    at, normals = found.boundary(left, 50, chance())
    assert (at[..., 0] == -1).all() and torch.allclose(normals, torch.tensor([-1.0, 0]).double())
    inside = found.interior(200, chance())
    assert found.factor(left, at).abs().max() < 1e-12
    assert (found.factor(left, inside) > 0).all()
    others, _ = found.boundary(pdespec.rest(found.domain, left), 200, chance())
    away = others[0][others[0, :, 0] > -0.9]
    assert (found.factor(left, away[None]) > 0.05).all()


def test_inequalities_take_whole_facets(folder):
    found = geometry(folder, "cube.stl")
    x = found.domain.coordinates[0]
    low = pdespec.boundary(found.domain, where=x < 0.001)
    assert found.measure(low).item() == pytest.approx(1)
    assert found.measure(pdespec.rest(found.domain, low)).item() == pytest.approx(5)
    at, normals = found.boundary(low, 20, chance())
    assert (at[..., 0].abs() < 1e-12).all()
    assert found.factor(low, at).abs().max() < 1e-12


def test_single_precision_and_blocks_of_points_change_nothing(folder, monkeypatch):
    found, single = geometry(folder, "disk.msh"), geometry(folder, "disk.msh", dtype=torch.float32)
    whole = pdespec.boundary(found.domain)
    points = found.interior(300, chance())
    value, distance = found.factor(whole, points), found.signed_distance(points)
    assert (single.factor(whole, points.float()) - value).abs().max() < 1e-5
    monkeypatch.setattr("compiler.geometry.shapes.mesh.BLOCK", 1000)
    assert torch.equal(found.signed_distance(points), distance)


def test_a_mesh_is_scaled_moved_and_turned(folder):
    x, y = pdespec.space("x y")
    grown = Geometry(domain(folder, "l.msh", scale=2), {}, 1, torch.float64)
    assert grown.measure().item() == pytest.approx(12)
    laid = pdespec.moved(pdespec.rotated(domain(folder, "l.msh"), 0.3), (5, 0))
    found = Geometry(laid, {}, 1, torch.float64)
    left = pdespec.group(laid, "left")
    at, normals = found.boundary(left, 50, chance())
    assert found.signed_distance(at).abs().max() < 1e-12
    assert found.measure(left).item() == pytest.approx(2)
    assert found.measure(pdespec.group(laid, "left", where=y > 0)).item() == pytest.approx(
        1, abs=0.26
    )
    # at once, when the file is read
    again = pdespec.scaled(pdespec.moved(domain(folder, "l.msh"), (1, 0)), 2, center=(1, 1))
    assert (again.shape.scale, again.shape.shift) == (2, (1, -1))
    assert pdespec.scaled(again, sympy.Rational(1, 2), center=(1, 1)) == pdespec.moved(
        domain(folder, "l.msh"), (1, 0)
    )
    assert Geometry(again, {}, 1, torch.float64).box()[0].tolist() == [-1, -3]
    assert torch.allclose(normals[0, 0], torch.tensor([-math.cos(0.3), -math.sin(0.3)]).double())


@pytest.mark.parametrize("size, shift", [(1e-6, 0.0), (1e4, 0.0), (1.0, 1e7)])
def test_small_large_and_far_meshes_are_computed_in_their_own_coordinates(folder, size, shift):
    """The Poisson problem of the L, its load of the size that keeps u; against the same at its
    place."""
    values, factors = [], []
    for scale, by, name in ((1.0, 0.0, "here"), (size, shift, "there")):
        text = f"""problem {name}
space    x, y
domain   Omega = moved(mesh("l.msh", scale = {scale!r}), [{by!r}, 0])
boundary left = group(Omega, "left"), others = rest(Omega)
unknown  u : scalar on Omega
in Omega:  -lap(u) = {1 / scale**2!r}
on left:   u = 0
on others: dot(grad(u), n) = 0
"""
        problem = pdespec.parse(text, source=str(folder / "part.pde"))
        batch = compiler.sample(
            problem, 1, points={"interior": 64, "boundary": 16, "operator": 64}, generator=chance()
        )
        geometry, points = batch.geometry["Omega"], batch.points["Omega"].points
        assert geometry.contains(points).all()
        assert len(points[0].unique(dim=0)) == 64
        factors.append(geometry.factor(problem.boundaries["left"], points).double() / scale)
        unit = torch.tensor([[[-0.5, -0.5], [0.5, -0.25], [-0.9, 0.8]]], dtype=torch.float64)
        at = scale * unit + torch.tensor([by, 0.0], dtype=torch.float64)
        values.append(compiler.solve(problem, batch, resolution=8)(at))
    assert (values[0] - values[1]).abs().max() < 1e-6
    assert (factors[0] - factors[1]).abs().max() < 1e-4


POISSON = """problem part
space    {axes}
domain   Omega = {shape}
boundary part = {part}, others = rest(Omega, part)
unknown  u : scalar on Omega
in Omega:  -lap(u) = {load}
on part:   dot(grad(u), n) = {flux}
on others: u = {exact}
"""
PLANE = {
    "axes": "x, y",
    "load": "2*sin(x)*sin(y)",
    "flux": "-cos(x)*sin(y)",
    "exact": "sin(x)*sin(y)",
}
SPACE = {
    "axes": "x, y, z",
    "load": "3*sin(x)*sin(y)*cos(z)",
    "flux": "-cos(x)*sin(y)*cos(z)",
    "exact": "sin(x)*sin(y)*cos(z)",
}


@pytest.mark.parametrize(
    "shape, part, words, resolution, bound",
    [
        ('mesh("l.msh")', 'group(Omega, "left")', PLANE, 8, 8e-4),
        # refined once: by the third power of the edges
        ('mesh("l.msh")', 'group(Omega, "left")', PLANE, 16, 1e-4),
        ('mesh("cube.msh")', 'group(Omega, "left")', SPACE, 4, 2e-4),
        ('mesh("cube.stl")', "boundary(Omega, x < 0.001)", SPACE, 4, 2e-3),
        ('mesh("tetrahedron.stl")', "boundary(Omega, x < 0.001)", SPACE, 4, 4e-3),
    ],
)
def test_the_reference_solver_solves_on_the_mesh(folder, shape, part, words, resolution, bound):
    problem = pdespec.parse(
        POISSON.format(shape=shape, part=part, **words), source=str(folder / "part.pde")
    )
    batch = compiler.instance(problem)
    points = batch.geometry["Omega"].interior(500, chance()).double()
    x, y, *z = points.unbind(-1)
    exact = x.sin() * y.sin() * (z[0].cos() if z else 1)
    truth = compiler.solve(problem, batch, resolution=resolution)(points)[..., 0]
    assert float((truth - exact).norm() / exact.norm()) < bound


def test_a_mesh_that_is_finer_than_asked_for_is_taken_as_it_is(folder):
    problem = pdespec.parse(
        POISSON.format(shape='mesh("l.msh")', part='group(Omega, "left")', **PLANE),
        source=str(folder / "p.pde"),
    )
    truth = compiler.solve(problem, compiler.instance(problem), resolution=2)
    assert truth.samples[0].spaces.mesh.t.shape[1] == 96


def test_text_and_python_give_one_problem_wherever_the_text_lies(folder):
    text = POISSON.format(shape='mesh("l.msh", scale = 0.5)', part='group(Omega, "left")', **PLANE)
    here, there = (
        pdespec.parse(text, source=source) for source in (str(folder / "p.pde"), "elsewhere/p.pde")
    )
    assert (
        here
        == there
        == pdespec.parse(here.to_dsl())
        == pdespec.parse(here.revised(written=None).to_dsl())
    )
    x, y = here.coordinates
    made = pdespec.mesh(x, y, path="l.msh", scale=0.5)
    assert (
        made == here.domains["Omega"]
        and pdespec.group(made, "left", "part") == here.boundaries["part"]
    )
    assert Geometry(here.domains["Omega"], {}, 1, torch.float64).measure().item() == pytest.approx(
        0.75
    )
    with pytest.raises(pdespec.ProblemError, match="M01"):
        Geometry(there.domains["Omega"], {}, 1, torch.float64).measure()


def test_a_file_that_changes_is_read_anew(tmp_path):
    skfem.MeshTri.init_circle(2).save(tmp_path / "part.msh")
    first = geometry_of(tmp_path / "part.msh").measure().item()
    skfem.MeshTri.init_circle(3).save(tmp_path / "part.msh")
    assert geometry_of(tmp_path / "part.msh").measure().item() > first


def test_names_of_gmsh_of_cell_sets_and_numbers_are_groups(tmp_path):
    points = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], dtype=float)
    edges, cells = np.array([[0, 1], [1, 2], [2, 3], [3, 0]]), np.array([[0, 1, 2, 3]])
    tags = {
        "gmsh:physical": [np.array([1, 1, 2, 7]), np.array([9])],
        "gmsh:geometrical": [np.array([1, 1, 2, 7]), np.array([9])],
    }
    raw = meshio.Mesh(
        points,
        [("line", edges), ("quad", cells)],
        cell_data=tags,
        field_data={"wall": np.array([1, 1]), "in": np.array([2, 1])},
    )
    meshio.write(tmp_path / "named.msh", raw, file_format="gmsh22", binary=False)
    found = geometry_of(tmp_path / "named.msh")
    assert {name: len(own) for name, own in found.body.data.groups.items()} == {
        "wall": 2,
        "in": 1,
        "7": 1,
    }
    assert len(found.body.data.cells) == 2 and found.measure().item() == pytest.approx(1)
    raw = meshio.Mesh(
        points[:, :2],
        [("line", edges), ("quad", cells)],
        cell_sets={"top": [np.array([2]), np.array([], dtype=int)]},
    )
    meshio.write(tmp_path / "sets.xdmf", raw)
    sets = meshfile._groups(raw, np.arange(4), np.array([[0, 1], [1, 2], [2, 3], [3, 0]]))
    assert {name: own.tolist() for name, own in sets.items()} == {"top": [2]}


def test_facets_in_one_plane_are_joined_where_they_are_convex():
    points = np.array([[0, 0], [1, 0], [2, 0], [2, 1], [0, 1.0]])
    chain = np.array([[0, 1], [1, 2], [2, 3], [3, 4], [4, 0]])
    assert sorted(map(tuple, flattened(points, chain).tolist())) == [(0, 2), (2, 3), (3, 4), (4, 0)]
    raised = np.pad(
        np.array([[0, 0], [1, 0], [1, 1], [0, 1], [0.5, 0.5], [0.5, 0.1]]), ((0, 0), (0, 1))
    )
    fan = np.array([[0, 1, 4], [1, 2, 4], [2, 3, 4], [3, 0, 4]])
    assert len(flattened(raised, fan)) == 2
    assert len(flattened(raised, fan[1:])) == 3  # an L is not convex


def test_a_cavity_and_a_surface_turned_inside_out(tmp_path):
    cube_surface(tmp_path / "turned.stl", turned=True)
    found = geometry_of(tmp_path / "turned.stl", 3)
    assert found.measure().item() == pytest.approx(1)
    assert found.contains(torch.full((1, 1, 3), 0.5, dtype=torch.float64)).all()
    outer, inner = skfem.MeshTet(), skfem.MeshTet()
    facets = meshfile._facets(outer.p.T, outer.t.T.astype(np.int64), "cube")
    points = np.concatenate([outer.p.T, 0.25 + 0.5 * inner.p.T])
    surface(
        tmp_path / "hollow.stl", points, np.concatenate([facets, facets[:, ::-1] + len(outer.p.T)])
    )
    hollow = geometry_of(tmp_path / "hollow.stl", 3)
    assert hollow.measure().item() == pytest.approx(1 - 1 / 8)
    assert not hollow.contains(torch.full((1, 1, 3), 0.5, dtype=torch.float64)).any()
    assert hollow.contains(hollow.interior(200, chance())).all()


def test_solids_of_an_stl_in_text_are_groups(tmp_path):
    points, triangles = TETRAHEDRON
    solids = [
        f"solid {name}\n"
        + "".join(ascii_stl(points[own]).partition("surface\n")[2].partition("endsolid")[0])
        + f"endsolid {name}\n"
        for name, own in (("floor", triangles[:1]), ("slope", triangles[3:]), ("", triangles[1:3]))
    ]
    (tmp_path / "named.stl").write_text("".join(solids))
    found = geometry_of(tmp_path / "named.stl", 3)
    assert {name: len(own) for name, own in found.body.data.groups.items()} == {
        "floor": 1,
        "slope": 1,
    }
    assert found.measure(pdespec.group(found.domain, "floor")).item() == pytest.approx(0.5)
    at, _ = found.boundary(pdespec.group(found.domain, "floor"), 20, chance())
    assert at[..., 2].abs().max() == 0


def code_of(path, dim=2):
    with pytest.raises(pdespec.ProblemError) as caught:
        geometry_of(path, dim).measure()
    return caught.value.diagnostics[0].code


def test_what_is_wrong_with_a_file_has_a_code(tmp_path, monkeypatch):
    square = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0], [0.9, 0.5, 0]], dtype=float)
    cells = np.array([[0, 1, 2], [0, 2, 3]])

    def written(name, points=square[:4], **blocks):
        meshio.write_points_cells(
            tmp_path / name, points, [(kind, np.array(data)) for kind, data in blocks.items()]
        )
        return tmp_path / name

    assert code_of(tmp_path / "none.msh") == "M01"
    (tmp_path / "broken.vtk").write_text("nothing")
    (tmp_path / "broken.unknown").write_text("nothing")
    assert code_of(tmp_path / "broken.vtk") == code_of(tmp_path / "broken.unknown") == "M02"
    assert code_of(written("lines.vtk", line=[[0, 1]])) == "M03"
    assert (
        code_of(
            written("second.vtk", np.pad(square, ((0, 1), (0, 0))), triangle6=[[0, 1, 2, 3, 4, 5]])
        )
        == "M03"
    )
    assert code_of(written("flat.vtk", triangle=cells), 3) == "M03"
    assert (
        code_of(
            written(
                "raised.vtk",
                square[:4] + np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0], [0, 0, 0]]),
                triangle=cells,
            )
        )
        == "M03"
    )
    surface(tmp_path / "open.stl", TETRAHEDRON[0], TETRAHEDRON[1][:3])
    assert code_of(tmp_path / "open.stl", 3) == "M05"
    mixed = TETRAHEDRON[1].copy()
    mixed[0] = mixed[0, ::-1]
    surface(tmp_path / "mixed.stl", TETRAHEDRON[0], mixed)
    assert code_of(tmp_path / "mixed.stl", 3) == "M05"
    assert code_of(written("folded.vtk", square, triangle=[[0, 1, 2], [0, 2, 4]])) == "M06"
    assert code_of(written("thin.vtk", square, triangle=[[0, 1, 2], [0, 0, 3]])) == "M06"
    assert (
        code_of(written("nan.vtk", np.where(square[:4] == 1, np.nan, square[:4]), triangle=cells))
        == "M07"
    )
    skfem.MeshTri.init_circle(3).save(tmp_path / "round.vtk")
    monkeypatch.setattr(meshfile, "MOST_FACETS", 10)
    assert code_of(tmp_path / "round.vtk") == "M08"


def test_check_says_what_was_read_and_what_the_conditions_leave(folder):
    text = POISSON.format(shape='mesh("l.msh")', part='group(Omega, "left")', **PLANE)
    problem = pdespec.parse(text, source=str(folder / "p.pde"))
    lines = report(problem)
    assert (
        lines[0] == "Omega: l.msh, 96 triangles, 65 points, 32 boundary edges; area 3, boundary 8"
    )
    assert '  group "left": 8 edges, length 2' in lines
    assert not list(warnings(problem))
    left = pdespec.parse(
        text.replace("rest(Omega, part)", 'group(Omega, "bottom")'), source=str(folder / "p.pde")
    )
    (found,) = warnings(left)
    assert found.code == "W02" and "length 4" in found.message
    absent = pdespec.parse(text.replace('"left"', '"leftt"'), source=str(folder / "p.pde"))
    with pytest.raises(pdespec.ProblemError) as caught:
        report(absent)
    assert caught.value.diagnostics[0].code == "M04" and caught.value.diagnostics[0].line == 4
    with pytest.raises(pdespec.ProblemError, match="M04"):
        compiler.sample(absent, 1, generator=chance())


TRAINED = """problem part
space    x, y
domain   Omega = mesh("l.msh")
boundary left = group(Omega, "left"), others = rest(Omega)
input    f : scalar on Omega ~ gaussians(2, 1)
unknown  u : scalar on Omega
in Omega:  -lap(u) = f
on left:   u = 0
on others: dot(grad(u), n) = 0
"""


def test_a_run_keeps_its_mesh_and_refuses_another(folder):
    (folder / "part.pde").write_text(TRAINED)
    problem = pdespec.load(folder / "part.pde")
    options = {"latent": [8, 8], "hidden": 4, "modes": 2, "layers": 1}
    model = compiler.build(problem, "gino", **options)
    count = {"interior": 8, "boundary": 8, "operator": 32}
    train = compiler.TrainOptions(steps=1, batch=1, points=count, validation=0, precision="float64")
    run = compiler.train(problem, model, train, folder / "run", recipe=Recipe("gino", options))
    assert (run.directory / "l.msh").read_bytes() == (folder / "l.msh").read_bytes()
    (folder / "l.msh").unlink()
    answer = compiler.load(run.directory)(inputs={"f": 1.0})
    values = answer.u(np.array([[-1.0, 0.3], [-1.0, -0.9], [-0.5, -0.5]]))
    assert np.abs(values[:2]).max() < 1e-12 < abs(values[2])
    skfem.MeshTri.init_circle(2).save(run.directory / "l.msh")
    with pytest.raises(RunError, match="not the mesh"):
        compiler.open_run(run.directory)
    (run.directory / "l.msh").unlink()
    with pytest.raises(RunError, match="missing"):
        compiler.open_run(run.directory)


def test_a_run_of_a_mesh_outside_of_its_folder_reads_it_there(folder, tmp_path):
    inner = tmp_path / "texts"
    inner.mkdir()
    (inner / "part.pde").write_text(TRAINED.replace('"l.msh"', '"../l.msh"'))
    problem = pdespec.load(inner / "part.pde")
    run = compiler.training.runs.Run(tmp_path / "run", problem, compiler.TrainOptions())
    compiler.training.runs.create_run(run, {"processes": 1, "device": "cpu"})
    found = compiler.open_run(tmp_path / "run").problem
    assert found == problem and Geometry(
        found.domains["Omega"], {}, 1, torch.float64
    ).measure().item() == pytest.approx(3)
