"""The certificate: what it says of fields whose error is known in closed form, and where it says that it does not know."""

from __future__ import annotations

import math

import pytest
import torch

import compiler
import pdespec
from compiler.fem import NoWeakForm
from compiler.prediction.error_equation import Corrected, NoEstimateWarning, certificate

DOUBLE = torch.float64
WAVES = """
problem waves
space    x, y
domain   Q = rectangle([0, 0], [1, 1])
boundary left = side(Q, x = 0), right = side(Q, x = 1), flat = rest(Q)
unknown  u : scalar on Q
f := (2*pi^2 + 1)*sin(pi*x)*cos(pi*y) + sin(pi*x)^3*cos(pi*y)^3
in Q: -lap(u) + u + u^3 = f
on left: u = 0
on right: u = 0
on flat: dot(grad(u), n) = 0
"""


def waves(points):
    x, y = points.unbind(-1)
    return ((math.pi * x).sin() * (math.pi * y).cos())[..., None]


def wrong(size):
    """The solution with an error of relative size `size` and slope sqrt(5/2) `size`, not zero on the flat sides."""
    return lambda p: waves(p) + size * (math.pi * p[..., :1]).sin() * (2 * math.pi * p[..., 1:]).cos()


def points_of(problem, batch, count=400):
    return torch.rand(batch.size, count, 2, generator=torch.Generator().manual_seed(1), dtype=DOUBLE)


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


def test_where_newton_fails_there_is_no_estimate_and_a_warning():
    problem = pdespec.parse("""
problem root
space    x
domain   L = interval(0, 1)
unknown  u : scalar on L
in L: -dxx(u) + exp(-5*u^2) = 1/2
on boundary(L): u = 0
""")
    batch = compiler.instance(problem, dtype=DOUBLE)
    with pytest.warns(NoEstimateWarning, match="not finite"):
        found = certificate(problem, lambda p: p / 0, batch)
    assert math.isnan(float(found["u"])) and found.reasons[0]
    with pytest.raises(compiler.fem.SolverError, match="no estimate"):
        _ = found.correction


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
        bump = torch.stack([x.sin() ** 2 * (2 * y).sin(), -((2 * x).sin()) * y.sin() ** 2], -1)  # no divergence, zero on the boundary
        pressure = points[..., :1] ** 2 - 1 / 3
        return torch.cat([v + 0.1 * bump, pressure + 0.1 * y[..., None].cos() + 5], -1)  # a level of 5 is no error

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
    batch = compiler.instance(problem, {"c": torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)}, dtype=DOUBLE, size=3)
    radii = torch.tensor([0.5, 1.0, 2.0], dtype=DOUBLE)

    def field(points):
        return (1 + 0.1 * radii)[:, None, None] * (radii[:, None] ** 2 - points.square().sum(-1))[..., None]

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
