"""Energies of second derivatives: beams and plates with any edges, against closed forms, scipy's
`solve_bvp` and Argyris elements of the test's own."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
import sympy as sp
import torch
from scipy.integrate import solve_bvp
from skfem.helpers import dd, ddot

import compiler
import pdespec
from compiler.fem.errors import NoWeakForm
from compiler.fem.export.ufl import report
from pdespec.errors import ProblemError

BEAM = "problem beam\nspace x\ndomain L = interval(0, 1)\nunknown w : scalar on L\n"
BENDING = "(lap(w)^2 - 2*(1-nu)*(dxx(w)*dyy(w) - dxy(w)^2))/2 - w"
SQUARE = "rectangle([0, 0], [1, 1])"


def plate(shape: str, *conditions: str, energy: str = BENDING) -> str:
    lines = "\n".join(conditions)
    return (
        f"problem plate\nspace x, y\nconst nu = 0.3\ndomain D = {shape}\nunknown w : scalar on D\n"
        f"minimize integral({energy}, D)\n{lines}\n"
    )


def solved(text: str, resolution: int = 4, **options):
    problem = pdespec.parse(text)
    return compiler.solve(problem, compiler.instance(problem), resolution, **options)


def at(truth, *points: tuple[float, ...]) -> np.ndarray:
    return truth(torch.tensor(np.array([points])))[0, :, 0].numpy()


def test_a_cantilever_bends_by_an_eighth_and_its_support_bears_the_load():
    truth = solved(
        BEAM + "minimize integral(dxx(w)^2/2 - w, L)\non side(L, x = 0): w = 0; dx(w) = 0\n"
    )
    assert at(truth, (1.0,)) == pytest.approx(1 / 8, abs=1e-9)
    assert truth.samples[0].reactions["side(L, x = 0)", "w"] == pytest.approx(-1, abs=1e-9)
    assert truth.energy[0] == pytest.approx(-1 / 40, abs=1e-5)


def test_a_beam_whose_stiffness_jumps_at_a_node():
    """w(1) = integral of (1 - x)^3 / (2 EI)."""
    found = solved(
        BEAM
        + "minimize integral(if(x < 0.5, 2, 1)*dxx(w)^2/2 - w, L)\n"
        + "on side(L, x = 0): w = 0; dx(w) = 0\n"
    )
    assert at(found, (1.0,)) == pytest.approx(17 / 256, abs=1e-7)


def test_slopes_that_are_not_zero():
    """Without load, w(0) = 0, w'(0) = 1, w(1) = 0 and w'(1) = 3: the cubic x - 5 x^2 + 4 x^3."""
    found = solved(
        BEAM
        + "minimize integral(dxx(w)^2/2, L)\non side(L, x = 0): w = 0; dx(w) = 1\n"
        + "on side(L, x = 1): w = 0; 2*dx(w) = 6\n"
    )
    x = np.array([0.3, 0.6])
    assert at(found, *x[:, None]) == pytest.approx(x - 5 * x**2 + 4 * x**3, abs=1e-9)


def test_a_beam_that_stiffens_agrees_with_solve_bvp():
    """w'''' - (w'^3)' = 20 with a clamped and a simply supported end."""
    found = solved(
        BEAM
        + "minimize integral(dxx(w)^2/2 + dx(w)^4/4 - 200*w, L)\n"
        + "on side(L, x = 0): w = 0; dx(w) = 0\non side(L, x = 1): w = 0\n",
        16,
    )
    exact = solve_bvp(
        lambda x, y: np.array([y[1], y[2], y[3], 200 + 3 * y[1] ** 2 * y[2]]),
        lambda a, b: np.array([a[0], a[1], b[0], b[2]]),
        np.linspace(0, 1, 50),
        np.zeros((4, 50)),
        tol=1e-10,
    )
    x = np.array([0.2, 0.5, 0.8])
    assert at(found, *x[:, None]) == pytest.approx(exact.sol(x)[0], rel=1e-5)


@pytest.mark.parametrize("stated", ["", "; lap(w) = 0", "; dot(grad(grad(w))*n, n) = 0"])
def test_a_simply_supported_square_with_its_moment_stated_or_not(stated):
    found = solved(plate(SQUARE, f"on boundary(D): w = 0{stated}"), 8)
    assert at(found, (0.5, 0.5)) == pytest.approx(0.00406235, rel=1e-3)


@pytest.mark.parametrize(
    ("slope", "middle"), [("", (5 + 0.3) / (1 + 0.3) / 64), ("; dn(w) = 0", 1 / 64)]
)
def test_a_disk_is_no_polygon(slope, middle):
    """The limit of simply supported polygons is another plate than the disk."""
    found = solved(plate("disk(radius = 1)", f"on boundary(D): w = 0{slope}"), 8)
    assert at(found, (0.0, 0.0)) == pytest.approx(middle, rel=3e-4)


def test_a_plate_with_three_free_edges_and_two_free_corners():
    found = solved(plate(SQUARE, "on side(D, x = 0): w = 0; dx(w) = 0"), 8)
    assert at(found, (1.0, 0.5), (1.0, 1.0)) == pytest.approx(argyris(4), rel=1.5e-3)


def argyris(cells: int, nu: float = 0.3) -> np.ndarray:
    """The same plate, clamped at x = 0, by elements of degree five with continuous slopes."""
    axis = np.linspace(0, 1, cells + 1)
    basis = skfem.Basis(skfem.MeshTri.init_tensor(axis, axis), skfem.ElementTriArgyris())

    @skfem.BilinearForm
    def bending(u, v, _):
        a, b = dd(u), dd(v)
        return nu * (a[0][0] + a[1][1]) * (b[0][0] + b[1][1]) + (1 - nu) * ddot(a, b)

    @skfem.LinearForm
    def load(v, _):
        return 1.0 * v

    edge = basis.get_dofs(lambda x: x[0] < 1e-9)
    held = [edge.nodal[name] for name in edge.nodal if name != "u_xx"]
    fixed = np.concatenate([*held, *edge.facet.values()])
    system = skfem.condense(bending.assemble(basis), load.assemble(basis), D=fixed)
    return basis.probes(np.array([[1.0, 1.0], [0.5, 1.0]])) @ skfem.solve(*system)


def test_a_periodic_energy_of_second_derivatives_has_the_order_of_its_elements():
    wave, errors = "sin(2*pi*x)*cos(2*pi*y)", []
    text = plate(SQUARE + "\nperiodic x, y", energy=f"lap(w)^2/2 + w^2/2 - (64*pi^4 + 1)*{wave}*w")
    points = np.random.default_rng(0).uniform(size=(200, 2))
    exact = np.sin(2 * np.pi * points[:, 0]) * np.cos(2 * np.pi * points[:, 1])
    for resolution in (6, 12):
        errors.append(np.abs(at(solved(text, resolution), *points) - exact).max())
    assert np.log2(errors[0] / errors[1]) > 3.3 and errors[1] < 5e-3


def test_the_estimated_error_of_a_plate_holds_the_true_one():
    truth = solved(plate("disk(radius = 1)", "on boundary(D): w = 0; dn(w) = 0"), 8)
    points = truth.samples[0].spaces.mesh.p.T
    exact = (1 - (points**2).sum(axis=1)) ** 2 / 64
    true = np.sqrt(np.mean((at(truth, *points) - exact) ** 2) / np.mean(exact**2))
    assert true < float(truth.error["w"].relative_l2[0]) < 30 * true


def test_what_is_no_natural_condition_of_a_plate_is_refused():
    with pytest.raises(ProblemError, match="V02"):
        pdespec.parse(plate("disk(radius = 1)", "on boundary(D): w = 0; lap(w) = 0"))
    with pytest.raises(ProblemError, match="V02"):
        pdespec.parse(plate(SQUARE, "on boundary(D): w = 0; lap(w) = 1"))
    with pytest.raises(NoWeakForm, match="above two"):
        solved(BEAM + "minimize integral(dxxx(w)^2/2 - w, L)\non boundary(L): w = 0; dn(w) = 0\n")


def test_the_weak_form_of_a_plate_prints():
    form = compiler.fem.weak_form(pdespec.parse(plate(SQUARE, "on boundary(D): w = 0")))
    lines = report(form)
    assert r"[\partial_n w]" in lines[0] and lines[-1].startswith("# the energy of `plate`")
    assert any("P_(k+1)" in line for line in lines)


def manufactured(text: str, solution: str):
    problem = pdespec.parse(text)
    x, y = problem.coordinates
    return pdespec.manufacture(problem, {"w": eval(solution, {"x": x, "y": y, "sp": sp})})


RING = """problem ring
space x, y
domain D = disk(radius = 1)
unknown w : scalar on D
minimize integral(dot(grad(w), grad(w))/2, D) +
    integral(((n.x*dy(w) - n.y*dx(w))^2 + w^2)/2, boundary(D))
"""


@pytest.mark.parametrize(
    "text",
    [plate("disk(radius = 1)", energy=BENDING + " + w^2/2"), RING],
    ids=["free plate", "energy along the boundary"],
)
def test_manufactured_energies_on_a_disk_with_nothing_prescribed(text):
    """The derived loads on the curved edge are those under which the energy is least at w."""
    problem = manufactured(text, "x**3*y + y**2*sp.sin(x) + x**2")
    truth = compiler.solve(problem, compiler.instance(problem), 8)
    points = np.random.default_rng(0).uniform(-0.7, 0.7, size=(100, 2))
    x, y = points.T
    assert np.abs(at(truth, *points) - (x**3 * y + y**2 * np.sin(x) + x**2)).max() < 2e-3


def test_a_plate_whose_free_corners_would_need_forces_is_not_manufactured():
    text = plate(SQUARE, energy=BENDING + " + w^2/2")
    with pytest.raises(ProblemError, match=r"V01.*force at the corner"):
        manufactured(text, "x*y")
    problem = manufactured(text, "x**3 + y**2")
    truth = compiler.solve(problem, compiler.instance(problem), 2)
    assert at(truth, (0.3, 0.8), (1.0, 1.0)) == pytest.approx([0.667, 2], abs=1e-8)
