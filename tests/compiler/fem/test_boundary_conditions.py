"""Natural conditions that are not the flux itself, against fields written down: oblique
derivatives, and what acts along a boundary across which the unknown is held."""

from __future__ import annotations

import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem import NoWeakForm, SampleError
from compiler.fem.forms.unit_normal import unit
from pdespec.coordinates import Normal

D = torch.float64


def errors(text, exact, resolutions=(6, 12)):
    """Relative L2 errors, and the order between the resolutions."""
    problem = pdespec.parse(text)
    generator = torch.Generator().manual_seed(0)
    batch = compiler.sample(problem, 1, {"interior": 400}, generator, dtype=D)
    points = batch.points["Q"].points
    expected = exact(*points.unbind(-1))
    found = [
        float((compiler.solve(problem, batch, resolution=n)(points) - expected).norm())
        / float(expected.norm())
        for n in resolutions
    ]
    return found, torch.tensor(found[0] / found[1]).log2().item()


OBLIQUE = """
problem oblique
space x, y
domain Q = {domain}
unknown u : scalar on Q
e := exp(x)*sin(y) + x*y
slope := [exp(x)*sin(y) + y, exp(x)*cos(y) + x]
s := {direction}
in Q: -lap(u) + u = e
{conditions}
"""
TURNED = "[cos(0.4)*n.x - sin(0.4)*n.y, sin(0.4)*n.x + cos(0.4)*n.y]"


@pytest.mark.parametrize(
    ("domain", "direction", "conditions"),
    [
        ("disk(radius = 1)", TURNED, "on boundary(Q): dot(s, grad(u)) + 2*u = dot(s, slope) + 2*e"),
        (
            "rectangle([0, 0], [1, 1])",
            "[1, 1/2]",
            "boundary left = side(Q, x = 0), others = rest(Q)\n"
            "on left: dot(s, grad(u)) = dot(s, slope)\non others: u = e",
        ),
    ],
    ids=["turned from the normal of a disk", "fixed on a side"],
)
def test_an_oblique_derivative(domain, direction, conditions):
    text = OBLIQUE.format(domain=domain, direction=direction, conditions=conditions)
    found, order = errors(text, lambda x, y: (x.exp() * y.sin() + x * y)[..., None])
    assert found[1] < 2e-4 and order > 2.5


RING = """
problem ring
space x, y
domain Q = disk(radius = 1) - disk(radius = 0.5)
boundary rim = boundary(Q, disk(radius = 1)), bore = rest(Q)
unknown u : vector on Q
sigma := 2*sym(grad(u)) + div(u)*I
in Q: div(sigma) = 0
on rim: u = 0
on bore: dot(u, n) = 0; {traction}
"""


@pytest.mark.parametrize(
    "traction",
    ["cross(n, sigma*n) = 1", "sigma*n - dot(sigma*n, n)*n = [-n.y, n.x]"],
    ids=["by its one component", "as a vector"],
)
def test_a_ring_that_is_turned_by_a_traction_along_its_bore(traction):
    """u = (r - 1/r)/8 along the circles: the shear stress is 1/(4 r^2)."""

    def exact(x, y):
        r = (x**2 + y**2).sqrt()
        return torch.stack([-y, x], -1) * ((r - 1 / r) / 8 / r)[..., None]

    found, order = errors(RING.format(traction=traction), exact, (8, 16))
    assert found[1] < 2e-3 and order > 2.3


@pytest.mark.parametrize(
    "traction",
    ["cross(n, sigma*n) = g", "sigma*n - dot(sigma*n, n)*n = g*[-n.y, n.x]"],
    ids=["by its one component", "as a vector"],
)
def test_a_traction_along_flat_sides_across_which_the_unknown_is_held(traction):
    """u = [y^2, 0] between x = 0, 1: sigma.xy = 2 y, and div(sigma) = [2, 0]."""
    text = f"""
problem sliding
space x, y
domain Q = rectangle([0, 0], [1, 1])
boundary top = side(Q, y = 1), others = rest(Q)
unknown u : vector on Q
sigma := 2*sym(grad(u)) + div(u)*I
g := -2*y
in Q: div(sigma) = [2, 0]
on others: u = [y^2, 0]
on top: dot(u, n) = 0; {traction}
"""
    found, _ = errors(text, lambda x, y: torch.stack([y**2, 0 * y], -1), (3, 5))
    assert max(found) < 1e-10  # quadratic elements hold it


def test_one_component_of_the_normal_is_no_unit_vector():
    nx, ny = (Normal(x) for x in pdespec.space("x y"))
    assert unit(1 - nx**2 - ny**2, [nx, ny]) == 0
    assert unit(1 - ny**2, [nx, ny]) != 0
    assert unit(1 - ny**2, [sp.S.Zero, ny]) == 0  # of a side


def test_the_expected_flux_is_printed():
    text = RING.format(traction="cross(n, sigma*n) + dot(sigma*n, n) = 1")
    with pytest.raises(NoWeakForm, match=r"expected `.*u\.x_x.*`, or `.*u\.y_y.*` = \.\."):
        errors(text, lambda *x: x[0][..., None])


def test_an_initial_value_that_is_no_number_is_named():
    text = """
problem drop
space x
time t in [0, 1]
domain Q = interval(-1, 1)
unknown u : scalar on Q
in Q: dt(u) = dxx(u)
on boundary(Q): dn(u) = 0
at t = 0: u = sin(x)/x
"""
    with pytest.raises(
        SampleError, match=r"initial value of u is not a number at x = 0; .* sinc\(r\)"
    ):
        errors(text, lambda *x: x[0][..., None])


def test_whole_numbers_beyond_64_bits():
    text = """
problem stiff
space x
domain Q = interval(0, 1)
const c = 1e20
unknown u : scalar on Q
in Q: -c*dxx(u) = c*erf(x)
on boundary(Q): u = 0
"""
    plain = text.replace("1e20", "1")
    problems = [pdespec.parse(each) for each in (text, plain)]
    points = torch.linspace(0.1, 0.9, 7, dtype=D)[None, :, None]
    one, other = (
        compiler.solve(p, compiler.sample(p, 1, {"interior": 8}, dtype=D), resolution=8)(points)
        for p in problems
    )
    torch.testing.assert_close(one, other, rtol=1e-12, atol=0)


@pytest.mark.parametrize(
    ("coefficient", "condition", "middle"),
    [
        ("if(x > 0.99, 100, 1)", "dn(u) = 1", 50),
        ("if(x > 0.99, 100, 1)", "k*dn(u) = 1", 0.5),
        ("if(c < 0.2, 3, 1)", "dn(u) = 1", 0.5),
        ("if(c < 0.2, 3, 1)", "k*dn(u) = 1", 1 / 6),
        ("if(c < 0.2, 3, 1)", "dn(u) + u = 1", 0.25),
    ],
)
def test_a_flux_has_the_branch_of_its_own_place_and_sample(coefficient, condition, middle):
    problem = pdespec.parse(
        f"problem p\nspace x\nparam c = 0.5\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
        f"k := {coefficient}\nin L: -div(k*grad(u)) = 0\non side(L, x = 0): u = 0\n"
        f"on side(L, x = 1): {condition}\n"
    )
    truth = compiler.solve(problem, compiler.instance(problem, {"c": 0.1}), resolution=20)
    at = torch.tensor([[[0.5]]], dtype=torch.float64)
    assert float(truth(at)) == pytest.approx(middle, rel=1e-8)


ALONG = """
problem along
space    x, y
domain   R = disk(radius = 1)
unknown  u : scalar on R
k := {k}
in R: dx(k*dx(u)) + dyy(u) - u = -y
on boundary(R): dot(grad(u), n) = n.y
"""


@pytest.mark.parametrize("k", ["if(x < -0.5, 5, 1)", "if(x > -0.5, 1, 5)", "3 + 2*sign(-x - 0.5)"])
def test_a_term_along_the_boundary_stays_where_a_coefficient_jumps(k):
    problem = pdespec.parse(ALONG.format(k=k))
    truth = compiler.solve(problem, compiler.instance(problem), resolution=5)
    at = torch.tensor([[[0.0, 0.5], [-0.7, 0.2], [-0.2, -0.6]]], dtype=torch.float64)
    assert torch.allclose(truth(at), at[..., 1:], rtol=0, atol=1e-9)
