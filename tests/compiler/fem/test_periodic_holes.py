"""Periodic boxes from which something is taken away: the mesh has the same nodes on both sides."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem import SolverError
from compiler.fem.meshing.mesh import mesh_domain

pytest.importorskip("netgen")

HOLE = """
problem holed
space    x, y
domain   Q = rectangle([0, 0], [1, 1]) - {hole}
periodic {axes} on Q
unknown  u : scalar on Q
in Q: -lap(u) + u = 0
on boundary(Q): {condition}
"""
DISK = "disk(center = [0.4, 0.5], radius = 0.2)"


def solved(text, exact, resolution, degree=2):
    problem = pdespec.parse(text)
    expression = sp.sympify(exact, locals={str(v): v for v in problem.variables})
    made = pdespec.manufacture(problem, {"u": expression})
    truth = compiler.solve(made, compiler.instance(made), resolution, degree=degree)
    angle = np.linspace(0, 2 * np.pi, 60)
    points = np.stack([0.4 + 0.35 * np.cos(angle), 0.5 + 0.45 * np.sin(angle)], 1)
    gap = truth(torch.tensor(points)[None])[0, :, 0].numpy() - sp.lambdify(
        problem.variables, expression
    )(*points.T)
    return truth, float(np.sqrt(np.mean(gap**2)))


@pytest.mark.parametrize("degree, least", [(1, 1.7), (2, 2.6)])
def test_around_a_hole_the_order_is_that_of_the_elements(degree, least):
    text = HOLE.format(hole=DISK, axes="x, y", condition="dn(u) = 0")
    exact = "sin(2*pi*x)*cos(2*pi*y) + cos(2*pi*x)/2"
    errors = [solved(text, exact, resolution, degree)[1] for resolution in (6, 12, 24)]
    fitted = -np.polyfit(np.log([6, 12, 24]), np.log(errors), 1)[0]
    assert fitted > least and errors[-1] < 0.03, errors


def test_periodic_along_one_axis_and_a_square_hole_whose_sides_are_along_it():
    text = HOLE.format(hole="rectangle([0.2, 0.4], [0.6, 0.6])", axes="x", condition="u = 0")
    _, error = solved(text, "sin(2*pi*x)*cos(2*y) + y", 12)
    assert error < 2e-3
    truth, _ = solved(text, "sin(2*pi*x)*cos(2*y) + y", 6)
    ends = torch.tensor([[[0.0, y], [1.0, y]] for y in (0.1, 0.5, 0.9)], dtype=torch.float64)
    values = truth(ends.reshape(1, -1, 2)).reshape(3, 2)
    assert torch.allclose(values[:, 0], values[:, 1], atol=1e-12)


def test_nodes_on_opposite_faces_of_a_holed_box_are_the_same():
    x = pdespec.space("x y z")
    whole = pdespec.box(*x) - pdespec.ball(*x, center=(0.4, 0.5, 0.5), radius=0.2)
    mesh = mesh_domain(pdespec.periodic(whole, *x), {}, 4, 2)
    for axis in range(3):
        low, high = (
            np.delete(mesh.doflocs[:, np.abs(mesh.doflocs[axis] - end) < 1e-9], axis, axis=0)
            for end in (0, 1)
        )
        assert low.shape == high.shape and low.shape[1] > 20
        gaps = np.abs(low[:, :, None] - high[:, None, :]).max(axis=0).min(axis=1)
        assert gaps.max() < 1e-9


def test_drag_of_an_array_of_cylinders():
    """With a body force of 1 in the fluid the mean velocity is 1/F, F the drag of a square array of
    share c: 4 pi/(ln(c^-1/2) - 0.738 + c - 0.887 c^2 + 2.038 c^3) (A. S. Sangani, A. Acrivos, Int.
    J. Multiphase Flow 8 (1982))."""
    problem = pdespec.parse("""
problem array
space    x, y
domain   Q = rectangle([0, 0], [1, 1]) - disk(center = [0.5, 0.5], radius = 0.2)
periodic x, y on Q
unknown  v : vector on Q, p : scalar on Q
in Q: -lap(v) + grad(p) = [1, 0]
in Q: div(v) = 0
on boundary(Q): v = 0
require integral(p, Q) = 0
output flow := integral(v.x, Q)
""")
    batch = compiler.instance(problem)
    truth = compiler.solve(problem, batch, resolution=12)
    flow = float(compiler.outputs(problem, truth, batch)["flow"][0])
    c = np.pi * 0.2**2
    drag = 4 * np.pi / (np.log(c**-0.5) - 0.738 + c - 0.887 * c**2 + 2.038 * c**3)
    assert flow == pytest.approx(1 / drag, rel=5e-3)


def test_what_cuts_one_of_two_sides_that_are_one_is_refused():
    hole = DISK.replace("0.4", "0.1")
    problem = pdespec.parse(HOLE.format(hole=hole, axes="x, y", condition="u = 0"))
    with pytest.raises(SolverError, match="cuts the two sides at 0 and 1"):
        compiler.solve(problem, compiler.instance(problem), 6)


def test_what_is_no_box_with_something_taken_away_is_not_periodic():
    text = HOLE.format(hole=DISK, axes="x", condition="u = 0").replace(" - ", " & ")
    with pytest.raises(pdespec.ProblemError, match="T06: `Q` cannot be periodic|`Q` cannot"):
        pdespec.parse(text)
