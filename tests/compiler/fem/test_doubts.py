"""What the elements answer badly is warned of, with its number."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.fem import SolverWarning

from .cases import solved

LAYER = (
    "problem p\nspace x\nconst eps = 1e-2\ndomain L = interval(0, 1)\nboundary a = side(L, x = 0),"
    " b = side(L, x = 1)\nunknown u : scalar on L\nin L: dx(u) = eps*dxx(u)\non a: u = 0\non b: u"
    " = 1\n"
)
SLAB = (
    "problem p\nspace x, y\nconst nu = 0.4999, mu = 1\nlambda := 2*mu*nu/(1 - 2*nu)\ndomain Q ="
    " rectangle([0, 0], [1, 1])\nboundary left = side(Q, x = 0), o = rest(Q)\nunknown u : vector on"
    " Q\ns := 2*mu*sym(grad(u)) + lambda*div(u)*I\nin Q: -div(s) = [0, -1]\non left: u = 0\non o:"
    " s*n = 0\n"
)


def test_a_layer_that_the_cells_do_not_resolve():
    """|b| h / (2 k eps) = 1/8 / (4 / 100)."""
    for equation in ("dx(u) = eps*dxx(u)", "div([u] - eps*grad(u)) = 0"):
        text = LAYER.replace("dx(u) = eps*dxx(u)", equation)
        with pytest.warns(
            SolverWarning, match=r"cell Peclet number .* is 3\.13 .* 3\.1 times as high"
        ):
            solved(text, resolution=8)


def test_the_tolerance_resolves_it_and_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = solved(LAYER, resolution=8, tolerance=1e-4)
    assert truth.warnings == ()
    places = np.linspace(0.9, 1, 11)
    found = truth(torch.tensor(places[None, :, None]))[0, :, 0].numpy()
    assert np.abs(found - np.expm1(100 * places) / np.expm1(100)).max() < 1e-3


def test_linear_elements_lock_and_quadratic_ones_do_not():
    with pytest.warns(SolverWarning, match="linear elements lock: u resists compression 5e"):
        stiff = solved(SLAB, resolution=4, degree=1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        soft = solved(SLAB, resolution=4)
        solved(SLAB.replace("0.4999", "0.3"), resolution=4, degree=1)
    corner = torch.tensor([[[1.0, 1.0]]], dtype=torch.float64)
    assert stiff(corner)[0, 0, 1].abs() < 0.8 * soft(corner)[0, 0, 1].abs()


FREE_EDGE = """
problem plate
space    x, y
domain   Q = disk(radius = 1)
unknown  w : scalar on Q
minimize integral({density} + w^2/2 - w, Q)
{held}
"""


@pytest.mark.parametrize(
    "density, held, doubtful",
    [
        ("lap(w)^2/2", "", True),
        ("lap(w)^2/2", "on boundary(Q): w = 0", False),
        ("(lap(w)^2 - 1.4*(dxx(w)*dyy(w) - dxy(w)^2))/2", "", False),
    ],
)
def test_free_edges_that_harmonic_functions_bend_at_no_cost(density, held, doubtful):
    problem = pdespec.parse(FREE_EDGE.format(density=density, held=held))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = compiler.solve(problem, compiler.instance(problem), resolution=4)
    assert any("at no cost" in text for text in truth.warnings) == doubtful
