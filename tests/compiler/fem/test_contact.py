"""Unknowns on several domains that meet with equal values and fluxes, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import brentq

import compiler
import pdespec
from compiler.fem import NoWeakForm

SLABS = """
problem slabs
space    x, y
domain   A = rectangle([0, 0], [1, 1]), B = rectangle([1, 0], [3, 1])
boundary meet = interface(A, B), left = side(A, x = 0), right = side(B, x = 3)
param    q ~ uniform(1, 2)
unknown  a : scalar on A, b : scalar on B
in A: div(2*grad(a)) = 0
in B: -div(5*grad(b)) = 0
on left:  a = 0
on right: 5*dot(grad(b), n) = q
on rest(A, meet, left):  dot(grad(a), n) = 0
on rest(B, meet, right): dot(grad(b), n) = 0
on meet:  a = b; 2*dot(grad(a), n) = 5*dot(grad(b), n)
"""
INCLUSION = """
problem inclusion
space    x, y
domain   plate = rectangle([-1, -1], [1, 1]), core = disk(radius = 0.5), rim = plate - core
unknown  a : scalar on core, b : scalar on rim
in core: div(10*grad(a)) = 0
in rim:  div(grad(b)) = 0
on boundary(rim, plate):  b = x - 9/44*x/(x^2 + y^2)
on interface(core, rim): a = b; 10*dot(grad(a), n) = dot(grad(b), n)
"""
RODS = """
problem rods
space    x
time     t in [0, 1]
domain   A = interval(0, 1), B = interval(1, 3)
input    a0 : scalar on A, b0 : scalar on B
unknown  a : scalar on A, b : scalar on B
in A: dt(a) = 2*dxx(a)
in B: 3*dt(b) = 5*dxx(b)
on side(A, x = 0): a = 0
on side(B, x = 3): dx(b) = 0
on interface(A, B): a = b; 2*dx(a) = 5*dx(b)
at t = 0: a = a0; b = b0
"""
BARS = """
problem bars
space    x, y
domain   A = rectangle([0, 0], [1, 1]), B = rectangle([1, 0], [3, 1])
boundary meet = interface(A, B)
unknown  u : vector on A, w : vector on B
s := 2*sym(grad(u)) + tr(grad(u))*I
r := 4*sym(grad(w)) + 2*tr(grad(w))*I
in A: div(s) = 0
in B: div(r) = 0
on rest(A, meet): u = [x, 0]
on rest(B, meet): w = [1/2 + x/2, 0]
on meet: u = w; s*n = r*n
"""


def solved(text, points, params=None, inputs=None, **options):
    problem = pdespec.parse(text)
    assert not problem.warnings
    truth = compiler.solve(problem, compiler.instance(problem, params, inputs), **options)
    at = torch.tensor(np.array([points]))
    return truth, truth(at)[0].numpy()


def test_slabs_share_value_and_flux_and_know_where_they_are():
    points = [[0.3, 0.5], [1.0, 0.4], [2.0, 0.5]]
    truth, found = solved(SLABS, points, {"q": 1.5}, resolution=6)
    missing = np.nan
    expected = [[0.225, missing], [0.75, 0.75], [missing, 1.05]]
    assert np.allclose(found, expected, atol=1e-10, equal_nan=True)
    assert set(truth.error) == {"a", "b"} and float(truth.relative_error) < 1e-9
    assert truth.samples[0].reactions["left", "a"] == pytest.approx(-1.5)


def test_forces_bear_the_names_of_both_unknowns():
    truth, _ = solved(BARS, [[0.4, 0.3]], resolution=4)
    assert {component for _, component in truth.samples[0].reactions} == {
        "u.x",
        "u.y",
        "w.x",
        "w.y",
    }


def test_an_inclusion_in_a_uniform_gradient_converges_at_the_order_of_its_chords():
    angle = np.linspace(0, 6, 40)
    inside, outside = (r * np.stack([np.cos(angle), np.sin(angle)], 1) for r in (0.3, 0.8))
    exact = 2 / 11 * inside[:, 0], outside[:, 0] * (1 - 9 / 44 / 0.64)
    gaps = []
    for resolution in (8, 16, 32):
        _, found = solved(INCLUSION, [*inside, *outside], resolution=resolution)
        gap = np.concatenate((found[:40, 0] - exact[0], found[40:, 1] - exact[1]))
        gaps.append(float(np.sqrt(np.mean(gap**2))))
    assert gaps[0] / gaps[2] > 8 and gaps[2] < 1e-3, gaps


def test_heat_in_two_rods_decays_as_their_common_mode():
    speeds = np.sqrt([2, 5 / 3])

    def mismatch(w):
        p, q = w / speeds[0], 2 * w / speeds[1]
        return 2 / speeds[0] * np.cos(p) * np.cos(q) - 5 / speeds[1] * np.sin(p) * np.sin(q)

    w = brentq(mismatch, 0.1, 0.7)
    size = np.sin(w / speeds[0]) / np.cos(2 * w / speeds[1])
    starts = {
        "a0": lambda x: torch.sin(w * x[..., :1] / speeds[0]),
        "b0": lambda x: size * torch.cos(w * (3 - x[..., :1]) / speeds[1]),
    }
    _, found = solved(RODS, [[0.5, 1.0], [2.0, 1.0]], inputs=starts, resolution=12, steps=8)
    decay = np.exp(-(w**2))
    expected = decay * np.sin(0.5 * w / speeds[0]), decay * size * np.cos(w / speeds[1])
    assert found[0, 0] == pytest.approx(expected[0], rel=1e-5)
    assert found[1, 1] == pytest.approx(expected[1], rel=1e-5)


def test_two_elastic_bars_take_the_same_traction():
    _, found = solved(BARS, [[0.4, 0.3], [2.0, 0.6]], resolution=6)
    assert np.allclose(found[0, :2], [0.4, 0], atol=1e-10)
    assert np.allclose(found[1, 2:], [1.5, 0], atol=1e-10)


@pytest.mark.parametrize(
    "meeting, reason",
    [
        ("a = b", "no condition says that the fluxes are equal on"),
        ("a = b; 2*dx(a) = 5*dx(b) + 1", "something else of fluxes"),
        ("a = b; 2*dx(a) = -5*dx(b)", "something else of fluxes"),
        ("a = 2*b; 2*dx(a) = 5*dx(b)", "something else of values"),
        ("2*dx(a) = b - a; 2*dx(a) = 5*dx(b)", "which unknown continues `a` in B"),
    ],
)
def test_what_else_is_said_where_domains_meet_is_refused(meeting, reason):
    problem = pdespec.parse(RODS.replace("a = b; 2*dx(a) = 5*dx(b)", meeting))
    assert [each.code for each in problem.warnings] == ["J04"]
    batch = compiler.instance(problem, inputs={name: lambda x: x[..., :1] for name in ("a0", "b0")})
    with pytest.raises(NoWeakForm, match=reason):
        compiler.solve(problem, batch, resolution=4)


def test_a_crack_in_what_domains_share_and_requirements_are_refused():
    whole = SLABS.replace("interface(A, B)", "side(A, x = 1, y < 1/2)")
    cracked = whole.replace("rest(B, meet, right)", "rest(B, right, side(B, x = 1))")
    problem = pdespec.parse(cracked)
    with pytest.raises(NoWeakForm, match="lies on B as well"):
        compiler.solve(problem, compiler.instance(problem, {"q": 1.0}), resolution=4)
    required = pdespec.parse(SLABS + "require integral(b, B) = 1\n")
    with pytest.raises(NoWeakForm, match="a require stands beside them"):
        compiler.solve(required, compiler.instance(required, {"q": 1.0}), resolution=4)
