"""What has no weak form, no unique solution or no solution is refused, and the message says what
is missing."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
import sympy as sp
import torch
from scipy.sparse import csc_matrix

from compiler import solve
from compiler.fem.discrete.inverse import symmetric_lu
from compiler.fem.errors import NoConvergence, NoWeakForm, Singular, SolverError
from compiler.fem.forms.weak import weak_form
from pdespec import (
    Problem,
    boundary,
    div,
    dot,
    grad,
    input_function,
    integral,
    lap,
    on,
    param,
    rectangle,
    rest,
    side,
    space,
    sym,
    trainable,
    uniform,
    unit_normal,
    unknown,
)

from .cases import GivenBatch, points_in

x, y = space("x y")
SQUARE = rectangle(x, y)
GAMMA = boundary(SQUARE)
TOP = side(SQUARE, name="top", y=1)
u = unknown("u", SQUARE)


def refused(
    problem: Problem,
    pattern: str,
    batch: GivenBatch | None = None,
    kind: type = SolverError,
    **options,
) -> None:
    with pytest.raises(kind, match=pattern):
        solve(problem, batch or GivenBatch(), **{"resolution": 4, **options})


def test_fully_nonlinear_equations():
    hessian = sp.Derivative(u, (x, 2)) * sp.Derivative(u, (y, 2)) - sp.Derivative(u, x, y) ** 2
    refused(
        Problem("monge_ampere", {"e": (hessian, 1)}, [on(GAMMA, (u, 0))]),
        "not linear in the second derivatives",
        kind=NoWeakForm,
    )


def test_a_coefficient_that_holds_the_gradient_outside_the_divergence():
    quasilinear = dot(grad(u), grad(u)) * lap(u)
    refused(
        Problem("p", {"e": (quasilinear, 1)}, [on(GAMMA, (u, 0))]),
        r"div\(k\*grad\(u\)\)",
        kind=NoWeakForm,
    )


def test_fourth_order_that_is_no_power_of_the_laplacian():
    strange = sp.Derivative(u, (x, 4)) + 3 * sp.Derivative(u, (y, 4))
    refused(
        Problem("p", {"e": (strange, 1)}, [on(GAMMA, (u, 0), (lap(u), 0))]),
        "not powers of its Laplacian",
        kind=NoWeakForm,
    )


def test_stationary_transport():
    refused(
        Problem("p", {"flow": sp.Derivative(u, x) + 2 * sp.Derivative(u, y)}, [on(GAMMA, (u, 0))]),
        "`flow` carry u",
        kind=NoWeakForm,
    )


def test_a_part_of_the_boundary_without_condition_is_placed():
    refused(
        Problem("p", {"heat": (lap(u), 1)}, [on(rest(SQUARE, TOP), (u, 0))]),
        r"`heat` has no boundary condition on 4 of 16 .* 1\)",
    )


def test_a_natural_condition_that_gives_no_flux():
    wrong = on(TOP, (sp.Derivative(u, x), 1))  # along the side, not across
    refused(
        Problem("p", {"heat": (lap(u), 1)}, [on(rest(SQUARE, TOP), (u, 0)), wrong]),
        "gives no boundary term of `heat`",
    )


def test_a_condition_that_is_not_linear_in_the_values():
    refused(Problem("p", {"heat": (lap(u), 1)}, [on(GAMMA, (u**2, 1))]), "is not linear in u")


def test_more_unknowns_than_equations():
    v = unknown("v", SQUARE)
    with pytest.raises(NoWeakForm, match="2 unknown components"):
        weak_form(Problem("p", {"e": (lap(u), v)}, [on(GAMMA, (u, 0))]))


def test_a_constant_left_open_names_the_gauge():
    free = on(GAMMA, (dot(grad(u), unit_normal(SQUARE)), 0))
    refused(Problem("p", {"e": (lap(u), 1)}, [free]), "require integral")


def test_a_constant_left_open_is_found_where_the_load_allows_a_solution():
    """With a load of mean zero the matrix alone would not tell: one of many solutions came out
    of rounding."""
    flat = [on(GAMMA, (dot(grad(u), unit_normal(SQUARE)), 0))]
    refused(
        Problem("p", {"e": (-lap(u), sp.cos(sp.pi * x))}, flat),
        "only up to a constant; add `require integral",
    )
    refused(
        Problem("p", minimize=integral(dot(grad(u), grad(u)) / 2 - sp.cos(sp.pi * x) * u, SQUARE)),
        "only up to a constant",
    )


def test_a_rigid_motion_of_a_minimum_is_no_saddle_point():
    v = unknown("v", SQUARE, "vector")
    energy = integral(sum(e**2 for e in sym(grad(v))) / 2 - sp.cos(sp.pi * x) * v[0], SQUARE)
    spun = [on(side(SQUARE, y=0), (v[1], 0))]  # slides along x
    refused(Problem("p", conditions=spun, minimize=energy), "only up to a constant")


def test_pivots_of_rounding_have_no_sign():
    with pytest.raises(Singular):
        symmetric_lu(
            csc_matrix(np.array([[2.0, -1.0, -1.0], [-1.0, 2.0, -1.0], [-1.0, -1.0, 2.0]]) / 3)
        )


def test_two_values_at_one_place():
    problem = Problem("p", {"e": (lap(u), 1)}, [on(GAMMA, (u, 0)), on(TOP, (u, 3))])
    refused(problem, "`u` has two values at y = 1: .* rest")


def test_an_integral_inside_an_equation():
    problem = Problem("p", {"e": (lap(u) + integral(u, SQUARE), 1)}, [on(GAMMA, (u, 0))])
    refused(problem, "`e` holds integral.* no local weak form", kind=NoWeakForm)


def test_a_natural_condition_beside_an_energy():
    wall = [on(rest(SQUARE, TOP), (u, 0)), on(TOP, (dot(grad(u), unit_normal(SQUARE)), 1))]
    problem = Problem(
        "p", conditions=wall, minimize=integral(dot(grad(u), grad(u)) / 2 - u, SQUARE)
    )
    refused(
        problem,
        r"`top.u` on top .* follow from the energy: leave it out, .* - integral\(g\*u, top\)",
        kind=NoWeakForm,
    )


def test_meshes_of_another_domain():
    problem = Problem("p", {"e": (lap(u), 1)}, [on(GAMMA, (u, 0))])
    refused(problem, "the mesh has 3 dimensions, Omega has 2", mesh=skfem.MeshTet())
    refused(
        problem,
        r"fills \[0, 3\] x \[0, 3\], but Omega \[0, 1\] x \[0, 1\]",
        mesh=skfem.MeshTri().refined(2).scaled(3.0),
    )
    refused(problem, r"fills \[0, 0.5\]", mesh=skfem.MeshTri().refined(2).scaled(0.5))


def test_the_gauge_makes_it_solvable():
    free = on(GAMMA, (dot(grad(u), unit_normal(SQUARE)), 0))
    problem = Problem(
        "p", {"e": (-lap(u), sp.cos(sp.pi * x))}, [free], require=[sp.Eq(integral(u, SQUARE), 2)]
    )
    points = points_in((0, 0), (1, 1))
    exact = torch.cos(torch.pi * points[..., :1]) / torch.pi**2 + 2
    assert (solve(problem, GivenBatch(), resolution=8)(points) - exact).abs().max() < 1e-4


def test_a_problem_without_solution_does_not_converge():
    # no solution above 6.8
    bratu = Problem("bratu", {"e": (-lap(u), 60 * sp.exp(u))}, [on(GAMMA, (u, 0))])
    refused(bratu, "load reached", kind=NoConvergence)


def test_a_missing_number_is_named():
    k, m = param("k", uniform(1, 2)), trainable("m", 1)
    refused(Problem("p", {"e": (k * lap(u), 1)}, [on(GAMMA, (u, 0))]), "batch.params has no k")
    refused(Problem("p", {"e": (m * lap(u), 1)}, [on(GAMMA, (u, 0))]), "m is to be found from data")


def test_a_derivative_of_an_input_that_has_none():
    f = input_function("f", SQUARE)
    problem = Problem("p", {"e": (lap(u), sp.Derivative(f, x))}, [on(GAMMA, (u, 0))])
    refused(
        problem,
        "known by its values alone",
        GivenBatch(1, {}, {"f": lambda points: torch.ones_like(points[..., :1]).detach()}),
    )


def test_a_coefficient_field_in_front_of_the_laplacian_is_differentiated():
    k, f = input_function("k", SQUARE), input_function("f", SQUARE)
    strong = Problem("strong", {"e": (k * lap(u), f)}, [on(GAMMA, (u, x * y**2))])
    fields = {
        "k": lambda p: 1 + p[..., :1] * p[..., 1:],
        "f": lambda p: (1 + p[..., :1] * p[..., 1:]) * 2 * p[..., :1],
    }
    points = points_in((0, 0), (1, 1))
    exact = points[..., :1] * points[..., 1:] ** 2
    assert (
        solve(strong, GivenBatch(1, {}, fields), resolution=4, degree=3)(points) - exact
    ).abs().max() < 1e-9


def test_taylor_hood_needs_degree_two():
    v, p = unknown("v", SQUARE, "vector"), unknown("p", SQUARE)
    problem = Problem(
        "s",
        {"momentum": (lap(v), grad(p)), "continuity": div(v)},
        [on(GAMMA, (v, 0))],
        require=[sp.Eq(integral(p, SQUARE), 0)],
    )
    refused(problem, "Taylor-Hood pair needs degree 2", degree=1)


def test_mesh_files(tmp_path):
    refused(
        Problem("p", {"e": (lap(u), 1)}, [on(GAMMA, (u, 0))]),
        "no mesh file",
        mesh=str(tmp_path / "none.msh"),
    )
    (tmp_path / "bad.vtk").write_text("nothing")
    refused(
        Problem("p", {"e": (lap(u), 1)}, [on(GAMMA, (u, 0))]),
        "cannot read the mesh",
        mesh=str(tmp_path / "bad.vtk"),
    )


def test_a_mesh_file_is_solved_on(tmp_path):
    meshio = pytest.importorskip("meshio")
    points = torch.cartesian_prod(torch.linspace(0, 1, 5), torch.linspace(0, 1, 5)).numpy()
    cells = [[5 * i + j, 5 * i + j + 5, 5 * i + j + 6] for i in range(4) for j in range(4)]
    cells += [[5 * i + j, 5 * i + j + 6, 5 * i + j + 1] for i in range(4) for j in range(4)]
    meshio.write_points_cells(tmp_path / "square.vtk", points, [("triangle", cells)])
    problem = Problem("p", {"e": (lap(u), 4)}, [on(GAMMA, (u, x**2 + y**2))])
    where = points_in((0, 0), (1, 1))
    truth = solve(problem, GivenBatch(), mesh=str(tmp_path / "square.vtk"))
    assert (truth(where) - where.square().sum(-1, keepdim=True)).abs().max() < 1e-7


def test_boundaries_named_in_a_mesh_file_are_those_of_the_problem(tmp_path):
    """The physical groups of a gmsh file win over the coordinates: `left` is the side x = 0
    there, and x = 1 by its declaration."""
    meshio = pytest.importorskip("meshio")
    mesh = (
        skfem.MeshTri()
        .refined(2)
        .with_boundaries({"left": lambda p: p[0] == 0, "others": lambda p: p[0] > 0})
    )
    groups = [mesh.facets[:, mesh.boundaries[name]].T for name in ("left", "others")]
    marks = [np.full(mesh.nelements, 1), np.repeat([2, 3], [len(group) for group in groups])]
    file = meshio.Mesh(
        np.column_stack((mesh.p.T, 0 * mesh.p[0])),
        [("triangle", mesh.t.T), ("line", np.concatenate(groups))],
        cell_data={"gmsh:physical": marks, "gmsh:geometrical": marks},
        field_data={"body": np.array([1, 2]), "left": np.array([2, 1]), "others": np.array([3, 1])},
    )
    meshio.write(tmp_path / "named.msh", file, file_format="gmsh22", binary=False)
    left = side(SQUARE, name="left", x=1)
    others = rest(SQUARE, left, name="others")
    problem = Problem(
        "p",
        {"e": (-lap(u), 0)},
        [on(left, (u, 1)), on(others, (dot(grad(u), unit_normal(SQUARE)), -u))],
    )
    truth = solve(problem, GivenBatch(), mesh=str(tmp_path / "named.msh"))
    at_left, at_right = truth(torch.tensor([[[0.0, 0.5], [1.0, 0.5]]]).double())[0, :, 0]
    assert at_left == pytest.approx(1, abs=1e-12)
    assert at_right < 0.6
