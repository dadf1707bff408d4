"""Vectors whose equations hold their curl alone, on edge elements."""

from __future__ import annotations

import numpy as np
import pytest
import skfem
import sympy as sp
import torch
from scipy.sparse.linalg import spsolve
from skfem.helpers import curl, dot

import compiler
import pdespec
from compiler.fem import NoWeakForm

WAVE = """
problem wave
space    x, y
domain   Q = {shape}
input    F : vector on Q
unknown  E : vector on Q
in Q: curl(curl(E)) + {c}*E = F
on boundary(Q): {condition}
"""
L_SHAPE = "rectangle([-1, -1], [1, 1]) - rectangle([0, -1], [1, 0])"


def fields(text, points, functions, **options):
    problem = pdespec.parse(text)
    truth = compiler.solve(problem, compiler.instance(problem, inputs=functions), **options)
    return truth, truth(torch.from_numpy(np.ascontiguousarray(points))[None])[0].numpy()


def corner(p):
    """The gradient of r^(2/3) sin(2 a/3), whose own derivatives are not square integrable."""
    x, y = p[..., 0], p[..., 1]
    angle = torch.atan2(y, x)
    angle = torch.where(angle < -1e-12, angle + 2 * np.pi, angle)
    size = 2 / 3 * (torch.sqrt(x * x + y * y) + 1e-14) ** (-1 / 3)
    return torch.stack((-size * torch.sin(angle / 3), size * torch.cos(angle / 3)), -1)


def test_at_a_corner_that_points_inwards_the_field_converges():
    """Continuous elements were off by factors of hundreds here."""
    points = np.random.default_rng(1).uniform(-1, 1, (300, 2))
    points = points[~((points[:, 0] > 0) & (points[:, 1] < 0)) & (np.hypot(*points.T) > 0.2)]
    true = corner(torch.from_numpy(points)).numpy()
    text = WAVE.format(shape=L_SHAPE, c=1, condition="cross(n, E) = cross(n, F)")
    gaps = []
    for resolution in (8, 16, 32):
        _, found = fields(text, points, {"F": corner}, resolution=resolution)
        gaps.append(np.linalg.norm(found - true) / np.linalg.norm(true))
    assert gaps[0] / gaps[2] > 3 and gaps[2] < 0.01, gaps


@pytest.mark.parametrize("c", [1, -30])
@pytest.mark.parametrize("shape", ["rectangle([0, 0], [1, 1])", "disk(radius = 1)"])
@pytest.mark.parametrize(
    "condition", ["cross(n, E) = g", "curl(E) = g", "curl(E) = cross(n, E) + g"]
)
def test_the_order_is_that_of_the_elements(shape, c, condition):
    """c = -30 lies between eigenvalues of the square and of the disk."""
    flow = ("sin(x + 1)*y + x/2", "cos(y)*x + y^2")
    text = WAVE.format(shape=shape, c=c, condition=condition.replace("g", "0"))
    problem = pdespec.parse(
        text.replace("input    F : vector on Q\n", "").replace("= F", "= [0, 0]")
    )
    names = {str(v): v for v in problem.variables}
    exact = [sp.sympify(each.replace("^", "**"), locals=names) for each in flow]
    made = pdespec.manufacture(problem, {"E": exact})
    points = np.random.default_rng(0).uniform(0.05, 0.65, (200, 2))
    true = np.stack([sp.lambdify(problem.variables, e)(*points.T) for e in exact], 1)
    gaps = []
    for resolution in (6, 12, 24):
        truth = compiler.solve(made, compiler.instance(made), resolution)
        found = truth(torch.from_numpy(points)[None])[0].numpy()
        gaps.append(np.linalg.norm(found - true) / np.linalg.norm(true))
    assert -np.polyfit(np.log([6, 12, 24]), np.log(gaps), 1)[0] > 1.7 and gaps[2] < 2e-3, gaps


def test_a_cavity_agrees_with_a_script_of_its_own():
    """curl(curl(E)) - 25 E = (y, sin(3 x)) in a square with a perfect conductor around it, by
    scikit-fem alone."""
    mesh = skfem.MeshTri().refined(4)
    basis = skfem.Basis(mesh, skfem.ElementTriN2(), intorder=6)
    matrix = skfem.BilinearForm(lambda u, v, _: curl(u) * curl(v) - 25 * dot(u, v)).assemble(basis)
    load = skfem.LinearForm(lambda v, w: w.x[1] * v[0] + np.sin(3 * w.x[0]) * v[1]).assemble(basis)
    oracle = skfem.solve(*skfem.condense(matrix, load, D=basis.get_dofs()), solver=_direct)
    points = np.random.default_rng(3).uniform(0.05, 0.95, (100, 2))
    cells = mesh.element_finder()(*points.T)
    places = mesh.mapping().invF(points.T[:, :, None], tind=cells)
    true = sum(
        np.asarray(basis.elem.gbasis(mesh.mapping(), places, k, tind=cells)[0])[:, :, 0]
        * oracle[basis.element_dofs[k, cells]]
        for k in range(basis.Nbfun)
    ).T

    def source(p):
        return torch.stack((p[..., 1], torch.sin(3 * p[..., 0])), -1)

    text = WAVE.format(shape="rectangle([0, 0], [1, 1])", c=-25, condition="cross(n, E) = 0")
    truth, found = fields(text, points, {"F": source}, resolution=32)
    assert np.linalg.norm(found - true) < 3e-3 * np.linalg.norm(true)
    assert 1e-4 < float(truth.relative_error) < 1e-2


def _direct(matrix, load):
    return spsolve(matrix.tocsc(), load)


def test_in_space_the_lowest_degree_is_there():
    text = """
problem box
space    x, y, z
domain   Q = box([0, 0, 0], [1, 1, 1])
unknown  E : vector on Q
in Q: curl(curl(E)) + E = [1 + pi^2, 0, 0]*sin(pi*y)
on boundary(Q): cross(n, E) = cross(n, [sin(pi*y), 0, 0])
"""
    points = np.random.default_rng(0).uniform(0.1, 0.9, (200, 3))
    gaps = []
    for resolution in (3, 6):
        _, found = fields(text, points, {}, resolution=resolution)
        gaps.append(
            np.sqrt(np.mean((found - np.outer(np.sin(np.pi * points[:, 1]), [1, 0, 0])) ** 2))
        )
    assert gaps[0] / gaps[1] > 1.6 and gaps[1] < 0.1, gaps


def test_a_condition_on_the_normal_component_is_refused_with_what_may_be_said():
    problem = pdespec.parse(WAVE.format(shape="disk(radius = 1)", c=1, condition="E = 0"))
    with pytest.raises(NoWeakForm, match=r"give cross\(n, E\), or the flux, a multiple of curl"):
        compiler.solve(problem, compiler.instance(problem, inputs={"F": corner}), resolution=4)
