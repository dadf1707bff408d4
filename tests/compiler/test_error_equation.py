"""The certificate: what it says of fields whose error is known in closed form, and where it says
that it does not know."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import compiler
import pdespec
from compiler.fem import NoWeakForm
from compiler.prediction.error_equation import Corrected, NoEstimateWarning, certificate
from tests.compiler.problems import WAVES, waves

DOUBLE = torch.float64


def wrong(size):
    """The solution with an error of relative size `size` and slope sqrt(5/2) `size`, not zero on
    the flat sides."""
    return lambda p: (
        waves(p) + size * (math.pi * p[..., :1]).sin() * (2 * math.pi * p[..., 1:]).cos()
    )


def points_of(problem, batch, count=400):
    return torch.rand(
        batch.size, count, 2, generator=torch.Generator().manual_seed(1), dtype=DOUBLE
    )


@pytest.mark.parametrize("size", [1e-3, 1e-2, 0.3])
def test_it_estimates_the_error_of_a_nonlinear_problem(size):
    problem = pdespec.parse(WAVES)
    batch = compiler.instance(problem, dtype=DOUBLE)
    found = certificate(problem, wrong(size), batch)
    assert float(found["u"]) == pytest.approx(size, rel=0.01)
    assert float(found.gradient["u"]) == pytest.approx(size * math.sqrt(2.5), rel=0.01)
    assert float(found.bar["u"]) < 0.01 and float(found.guard) < 0.1 and int(found.steps) == 2


def test_the_corrected_field_is_less_wrong_by_two_digits():
    problem = pdespec.parse(WAVES)
    batch = compiler.instance(problem, dtype=DOUBLE)
    better = Corrected(wrong(0.1), certificate(problem, wrong(0.1), batch).correction)
    points = points_of(problem, batch)
    assert float((better(points) - waves(points)).norm() / waves(points).norm()) < 1e-3 < 0.1


def test_far_from_a_solution_it_goes_on_and_says_so():
    problem = pdespec.parse(WAVES)
    found = certificate(problem, wrong(3.0), compiler.instance(problem, dtype=DOUBLE))
    assert float(found.guard) > 0.1 and int(found.steps) > 2  # not two Newton steps taken on trust
    assert float(found["u"]) == pytest.approx(3.0, rel=0.01)


def on_a_line(statements: str):
    problem = pdespec.parse(
        f"problem line\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n{statements}\n"
    )
    return problem, compiler.instance(problem, dtype=DOUBLE)


@pytest.mark.parametrize(
    ("equation", "field", "reason"),
    [
        # Bratu's, which has none above 3.51
        ("in L: -dxx(u) = 10*exp(u)", lambda p: p * (1 - p), "too far from a solution"),
        ("in L: -dxx(u) + u^2 = 1", lambda p: p / 0, "not finite"),
    ],
)
def test_without_an_estimate_there_is_a_warning_with_the_reason(equation, field, reason):
    problem, batch = on_a_line(f"{equation}\non boundary(L): u = 0")
    with pytest.warns(NoEstimateWarning, match=reason):
        found = certificate(problem, field, batch)
    assert math.isnan(float(found["u"])) and reason in found.reasons[0]
    with pytest.raises(compiler.fem.SolverError, match="no estimate"):
        _ = found.correction


def test_a_field_that_solves_no_stated_problem_has_no_small_error():
    problem, batch = on_a_line(
        "in L: -dxx(u) = 1\non boundary(L): dx(u) = 0\nrequire integral(u, L) = 0"
    )
    # u = 0 meets all but the equation, whose defect is 1
    with pytest.warns(NoEstimateWarning, match="F02"):
        assert math.isnan(float(certificate(problem, lambda p: 0 * p, batch)["u"]))


def test_a_bound_on_an_unknown_is_refused():
    # the solution rests on the bound: as an equation, it would be 44 % off
    problem, batch = on_a_line(
        "minimize integral(dx(u)^2/2 + 8*u, L)\non boundary(L): u = 0\nrequire u > -1/2"
    )
    with pytest.raises(NoWeakForm, match="inequality"):
        certificate(problem, lambda p: 0 * p, batch)


def test_an_equation_of_fourth_order():
    problem = pdespec.load(Path(__file__).parents[2] / "examples" / "biharmonic_plate.pde")
    batch = compiler.instance(problem, {"q": 1.0}, dtype=DOUBLE)
    found = certificate(
        problem, lambda p: 1.1 / 6.4 * (1 - p.square().sum(-1, keepdim=True)) ** 2, batch
    )
    assert float(found["w"]) == pytest.approx(0.1, rel=0.01)


STOKES = """
problem stokes
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
unknown  v : vector on Q, p : scalar on Q
in Q:
    -lap(v) + grad(p) = [2*pi^2*sin(pi*x)*cos(pi*y) + 2*x, -2*pi^2*cos(pi*x)*sin(pi*y)]
    div(v) = 0
on boundary(Q): v = [sin(pi*x)*cos(pi*y), -cos(pi*x)*sin(pi*y)]
require integral(p, Q) = 0
"""


def test_a_saddle_point_problem_and_the_level_of_its_pressure():
    problem = pdespec.parse(STOKES)
    batch = compiler.instance(problem, dtype=DOUBLE)

    def field(points):
        x, y = (math.pi * points).unbind(-1)
        v = torch.stack([x.sin() * y.cos(), -x.cos() * y.sin()], -1)
        # no divergence, zero on the boundary
        bump = torch.stack([x.sin() ** 2 * (2 * y).sin(), -((2 * x).sin()) * y.sin() ** 2], -1)
        pressure = points[..., :1] ** 2 - 1 / 3
        # a level of 5 is no error
        return torch.cat([v + 0.1 * bump, pressure + 0.1 * y[..., None].cos() + 5], -1)

    found = certificate(problem, field, batch)
    # |bump|^2 = 2 * 3/8 * 1/2, |v|^2 = 1/2; |cos(pi y)|^2 = 1/2, |x^2 - 1/3|^2 = 4/45
    assert float(found["v"]) == pytest.approx(0.1 * math.sqrt(0.375 / 0.5), rel=0.02)
    assert float(found["p"]) == pytest.approx(0.1 * math.sqrt(0.5 * 45 / 4), rel=0.05)


def test_a_batch_of_bodies_has_an_estimate_each():
    problem = pdespec.parse("""
problem disks
space    x, y
param    c ~ uniform(0.5, 2)
domain   D = disk(radius = c)
unknown  u : scalar on D
in D: -lap(u) = 4
on boundary(D): u = 0
output mean := integral(u, D)
""")
    batch = compiler.instance(
        problem, {"c": torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)}, dtype=DOUBLE, size=3
    )
    radii = torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)

    def field(points):
        return (1 + 0.1 * radii)[:, None, None] * (radii[:, None] ** 2 - points.square().sum(-1))[
            ..., None
        ]

    found = certificate(problem, field, batch)
    assert found["u"].tolist() == pytest.approx([0.05, 0.1, 0.2], rel=0.01)
    better = Corrected(field, found.correction)
    means = compiler.outputs(problem, better, batch)["mean"]
    assert means.tolist() == pytest.approx([math.pi / 2 * r**4 for r in radii.tolist()], rel=1e-3)


def test_time_is_refused():
    problem = pdespec.parse("""
problem heat
space    x
time     t in [0, 1]
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: dt(u) = dxx(u)
on boundary(L): u = 0
at t = 0: u = sin(pi*x)
""")
    with pytest.raises(NoWeakForm, match="depends on time"):
        certificate(problem, lambda p: p[..., :1], compiler.instance(problem, dtype=DOUBLE))


STRIP = """
problem strip
space    x, y
domain   Omega = rectangle([0, 0], [8, 1])
unknown  u : scalar on Omega
in Omega: -lap(u) = pi^2/64*sin(pi*x/8)
on side(Omega, x = 0): u = 0
on side(Omega, x = 8): u = 0
on side(Omega, y = 0): dn(u) = 0
on side(Omega, y = 1): dn(u) = 0
"""


def test_the_mesh_is_as_fine_as_the_shortest_side_asks_for():
    """u = sin(pi x/8), an error that varies across a strip eight times as long as wide: with 2
    cells across, as 16 along would give, a third of the error is missed."""
    problem = pdespec.parse(STRIP)

    def field(p):
        waves_across = (3 * math.pi * p[..., 1:]).cos()
        return (math.pi / 8 * p[..., :1]).sin() * (1 + 0.1 * waves_across)

    found = certificate(problem, field, compiler.instance(problem, dtype=DOUBLE))
    assert found.resolution == 64
    assert float(found["u"]) == pytest.approx(0.1 / math.sqrt(2), rel=0.02)
