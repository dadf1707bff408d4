"""Conditions that tie fluxes to values and to each other: solved with the order of the elements, or
refused with the flux that was expected."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem import NoWeakForm

BODY = """
problem body
space    x, y
domain   Q = {shape}
unknown  w : vector on Q
s := 2*sym(grad(w)) + tr(grad(w))*I
in Q: -div(s) + w = [0, 0]
on boundary(Q): {conditions}
"""
PAIR = """
problem pair
space    x, y
domain   Q = {shape}
unknown  u : scalar on Q, v : scalar on Q
in Q: -div(2*grad(u)) + u = 0
in Q: -lap(v) + v - u = 0
on boundary(Q): {conditions}
"""
PLATE = """
problem plate
space    x, y
domain   Q = {shape}
unknown  u : scalar on Q
in Q: lap(lap(u)) + u = 0
on boundary(Q): {conditions}
"""
CHOSEN = {
    "w.x": "sin(x + 1)*y + x/2",
    "w.y": "cos(y)*x + y^2",
    "u": "sin(x + 1)*y + x^3/2",
    "v": "cos(y)*x + y^2",
}
DISK, STAR = "disk(radius = 1)", "star(radius = 1 + cos(3*theta)/10)"
SQUARE, TRIANGLE = "rectangle([0, 0], [1, 1])", "polygon([0, 0], [2, 0], [1, 1])"


def order(text, resolutions=(6, 12)):
    """Of the worst component, between two resolutions, with the larger of their errors at last."""
    problem = pdespec.parse(text)
    names = {str(v): v for v in problem.variables}
    exact = [sp.sympify(CHOSEN[c].replace("^", "**"), locals=names) for c in problem.components]
    chosen, k = {}, 0
    for name, unknown in problem.unknowns.items():
        own = exact[k : k + len(unknown.components)]
        chosen[name], k = own if len(own) > 1 else own[0], k + len(own)
    made = pdespec.manufacture(problem, chosen)
    found = []
    for resolution in resolutions:
        truth = compiler.solve(made, compiler.instance(made), resolution)
        place = next(p for p in truth.samples[0].spaces.places.values() if p.normals is None)
        points = place.points.reshape(2, -1)
        values = truth(torch.from_numpy(np.ascontiguousarray(points.T))[None])[0].numpy()
        true = np.stack([sp.lambdify(problem.variables, e)(*points) for e in exact], 1)
        found.append(np.sqrt(np.mean((values - true) ** 2, axis=0) / np.mean(true**2, axis=0)))
    return np.log2(found[0] / found[1]).min(), found[1].max()


@pytest.mark.parametrize(
    "text, shape, conditions",
    [
        (BODY, DISK, "s*n + [2*w.x + w.y, w.x + 3*w.y] = 0"),
        (BODY, DISK, "dot(s*n, n) = -2*dot(w, n); cross(n, s*n) = 0"),
        (BODY, STAR, "dot(s*n, n) = -2*dot(w, n); cross(n, w) = 0"),
        (BODY, STAR, "dot(w, n) = 0; cross(n, s*n) = -2*cross(n, w)"),
        (BODY, SQUARE, "dot(w, n) = 0; cross(n, s*n) = -2*cross(n, w)"),
        (BODY, TRIANGLE, "dot(w, n) = 0; s*n - dot(s*n, n)*n + 2*w = 0"),
        (PAIR, DISK, "dn(u) = 2*u + 3*v; dn(v) = u"),
        (PAIR, DISK, "dn(u) + dn(v) = u; dn(u) - 2*dn(v) = v"),
        (PAIR, DISK, "dn(u) + u = 0; dn(v) + dn(u) + v = 0"),
        (PAIR, DISK, "2*dn(u) + 3*dn(v) = u; v = u"),
        (PLATE, DISK, "u = 0; lap(u) + 2*dn(u) = 0"),
    ],
)
def test_what_ties_fluxes_to_values_keeps_the_order(text, shape, conditions):
    found, error = order(text.format(shape=shape, conditions=conditions))
    assert found > 2.6 and error < 4e-3, (found, error)


@pytest.mark.parametrize(
    "text, conditions, expected",
    [
        (PLATE, "u = 0; dot(n, grad(grad(u))*n) + 2*dn(u) = 0", r"expected `.*u_x.*` = \.\."),
        (PAIR, "dn(u) = 0; dn(u) + u*dn(v)^2 = 1", r"expected `.*u_x.*`, or `.*v_x.*` = \.\."),
        (PAIR, "dx(u) = u; v = 0", r"`boundary\(Q\).u` .* perpendicular .* such as the flux"),
    ],
)
def test_what_gives_no_flux_is_refused_with_the_flux(text, conditions, expected):
    problem = pdespec.parse(text.format(shape=DISK, conditions=conditions))
    with pytest.raises(NoWeakForm, match=expected):
        compiler.solve(problem, compiler.instance(problem), resolution=8)


def test_a_factor_between_two_values_is_balanced_once_for_all_conditions():
    """u = K v on the left, with equal fluxes, and plain conditions elsewhere, in closed form: u'' =
    0, v'' = 0, u(1) = 0, v(1) = 1, 2 u'(0) + v'(0) = 0 and u(0) = 3 v(0)."""
    text = """
problem rods
space    x
domain   Q = interval(0, 1)
boundary left = side(Q, x = 0), right = side(Q, x = 1)
const    K = 3
unknown  u : scalar on Q, v : scalar on Q
in Q: -2*dxx(u) = 0
in Q: dxx(v) = 0
on left: u = K*v; 2*dn(u) + dn(v) = 0
on right: u = 0; dn(v) + v = 1
"""
    a, b, c, d = sp.symbols("a b c d")  # u = a + b x, v = c + d x
    exact = sp.solve([a - 3 * c, 2 * b + d, a + b, d + c + d - 1], [a, b, c, d])
    problem = pdespec.parse(text)
    truth = compiler.solve(problem, compiler.instance(problem), resolution=4)
    at = torch.tensor([[[0.0], [1.0]]], dtype=torch.float64)
    expected = [[exact[a], exact[c]], [exact[a] + exact[b], exact[c] + exact[d]]]
    assert np.allclose(truth(at)[0].numpy(), np.array(expected, dtype=float), atol=1e-12)
