"""Unknowns on several domains that meet with equal values and fluxes, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.integrate import solve_bvp
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


def test_an_inclusion_in_a_uniform_gradient_converges_at_the_order_of_its_elements():
    angle = np.linspace(0, 6, 40)
    inside, outside = (r * np.stack([np.cos(angle), np.sin(angle)], 1) for r in (0.3, 0.8))
    exact = 2 / 11 * inside[:, 0], outside[:, 0] * (1 - 9 / 44 / 0.64)
    gaps = []
    for resolution in (8, 16, 32):
        _, found = solved(INCLUSION, [*inside, *outside], resolution=resolution)
        gap = np.concatenate((found[:40, 0] - exact[0], found[40:, 1] - exact[1]))
        gaps.append(float(np.sqrt(np.mean(gap**2))))
    assert gaps[0] / gaps[2] > 40 and gaps[2] < 1e-5, gaps


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


THROUGH = """
problem through
space    x, y
domain   A = rectangle([0, 0], [1, 1]), B = rectangle([1, 0], [3, 1])
boundary meet = interface(A, B), left = side(A, x = 0), right = side(B, x = 3)
param    h ~ uniform(1, 9)
unknown  a : scalar on A, b : scalar on B
in A: div(2*grad(a)) = 0
in B: -div(5*grad(b)) = 0
on left:  a = 0
on right: b = 10
on rest(A, meet, left):  dn(a) = 0
on rest(B, meet, right): dn(b) = 0
on meet: {meeting}
"""


def slabs(flux_a, flux_b):
    """a at 1/2 and 1, b at 1 and 2, with the flux 2 a' = flux_a and 5 b' = flux_b."""
    return [flux_a / 4, flux_a / 2, 10 - 2 * flux_b / 5, 10 - flux_b / 5]


@pytest.mark.parametrize(
    "meeting, fluxes",
    [
        ("2*dn(a) = h*(b - a); 2*dn(a) = 5*dn(b)", [10 / (1 / 2 + 1 / 4 + 2 / 5)] * 2),
        ("5*dn(b) = h*(b - a); 2*dn(a) = h*(b - a)", [10 / (1 / 2 + 1 / 4 + 2 / 5)] * 2),
        ("a - b = 3; 2*dn(a) = 5*dn(b)", [13 / 0.9] * 2),
        ("a = h/2*b; 2*dn(a) = 5*dn(b)", [20 / 1.3] * 2),  # Henry's law
        ("a = b; 2*dn(a) = 5*dn(b) + 1", [10.4 / 0.9, 10.4 / 0.9 - 1]),
        ("a = b; 2*dn(a) = 5*dn(b)", [10 / 0.9] * 2),
        (
            "2*dn(a) = (b - a)^3; 2*dn(a) = 5*dn(b)",
            [brentq(lambda q: (10 - 0.9 * q) ** 3 - q, 0, 12)] * 2,
        ),
        ("2*dn(a) = 1; 5*dn(b) = 2", [1, 2]),
    ],
)
def test_slabs_with_a_resistance_a_jump_or_a_source_between_them(meeting, fluxes):
    text = THROUGH.format(meeting=meeting)
    _, found = solved(text, [[0.5, 0.5], [1, 0.5], [2, 0.5]], {"h": 4.0}, resolution=4)
    assert np.allclose([*found[:2, 0], *found[1:, 1]], slabs(*fluxes), rtol=1e-7)
    assert np.isnan(found[2, 0]) and np.isnan(found[0, 1])


ROUND = """
problem round
space    x, y
domain   whole = disk(radius = 1), A = disk(radius = 1/2), B = whole - A
unknown  a : scalar on A, b : scalar on B
in A: -div(2*grad(a)) = 8
in B: -lap(b) = 0
on boundary(B, whole): b = 0
on interface(A, B): 2*dn(a) = 3*(b - a); 2*dn(a) = dn(b)
"""


def test_a_resistance_around_a_core_is_right_to_the_order_of_the_elements():
    """The heat of the core, 2 pi, leaves through the ring: b = -ln r, a = b + 2/3 at 1/2."""
    angle = np.linspace(0, 6, 30)
    core, ring = (r * np.stack([np.cos(angle), np.sin(angle)], 1) for r in (0.3, 0.8))
    gaps = []
    for resolution in (4, 8, 16):
        _, found = solved(ROUND, [*core, *ring], resolution=resolution)
        exact = np.log(2) + 2 / 3 + 1 / 4 - 0.3**2, -np.log(0.8)
        gap = np.concatenate((found[:30, 0] - exact[0], found[30:, 1] - exact[1]))
        gaps.append(np.sqrt(np.mean(gap**2)))
    assert np.log(gaps[0] / gaps[2]) / np.log(4) > 2.5 and gaps[2] < 1e-4, gaps


def test_heat_through_a_resistance_decays_as_the_common_mode_of_both_rods():
    """2 a' = 4 (b - a) = 5 b' where they meet: a = sin(w x / s1), b = S cos(w (3 - x) / s2)."""
    one, two = np.sqrt([2, 5 / 3])

    def size(w):
        return 2 / one * np.cos(w / one) / (5 / two * np.sin(2 * w / two))

    def mismatch(w):
        jump = size(w) * np.cos(2 * w / two) - np.sin(w / one)
        return 2 * w / one * np.cos(w / one) - 4 * jump

    w = brentq(mismatch, 0.1, 0.9)
    starts = {
        "a0": lambda x: torch.sin(w * x[..., :1] / one),
        "b0": lambda x: size(w) * torch.cos(w * (3 - x[..., :1]) / two),
    }
    text = RODS.replace("a = b; 2*dx(a) = 5*dx(b)", "2*dx(a) = 4*(b - a); 2*dx(a) = 5*dx(b)")
    truth, found = solved(
        text, [[0.5, 1.0], [1, 1], [2.0, 1.0]], inputs=starts, resolution=9, steps=8
    )
    decay = np.exp(-(w**2))
    assert found[:2, 0] == pytest.approx(decay * np.sin(np.array([0.5, 1]) * w / one), rel=1e-5)
    assert found[1:, 1] == pytest.approx(
        decay * size(w) * np.cos(np.array([2, 1]) * w / two), rel=1e-5
    )
    assert float(truth.relative_error) < 1e-3


def test_a_reaction_where_two_rods_meet_agrees_with_a_collocation_method():
    """-a'' + a^3 = 1 and -b'' + b = 0 with 2 a' = b - a^3 and 3 b' = a b at the meeting point, by
    scipy's `solve_bvp`, the second rod turned round."""
    text = """
problem reacting
space    x
domain   A = interval(0, 1), B = interval(1, 2)
unknown  a : scalar on A, b : scalar on B
in A: -dxx(a) + a^3 = 1
in B: -dxx(b) + b = 0
on side(A, x = 0): a = 0
on side(B, x = 2): b = 1
on interface(A, B): 2*dx(a) = b - a^3; 3*dx(b) = a*b
"""
    oracle = solve_bvp(
        lambda x, z: np.array([z[1], z[0] ** 3 - 1, z[3], z[2]]),
        lambda p, q: np.array(
            [p[0], p[2] - 1, 2 * q[1] - (q[2] - q[0] ** 3), -3 * q[3] - q[0] * q[2]]
        ),
        np.linspace(0, 1, 40),
        np.ones((4, 40)) / 2,
        tol=1e-10,
    )
    _, found = solved(text, [[0.5], [1.0], [1.5]], resolution=24)
    a, b = oracle.sol([0.5, 1.0])[[0, 2]]
    assert oracle.success and np.allclose(found[:2, 0], a, atol=1e-6)
    assert np.allclose(found[1:, 1], b[::-1], atol=1e-6)


def test_frictionless_contact_of_two_bodies():
    """Pressed together across a smooth face: the normal motion is common, tangential tractions
    vanish. With u.x = (x, no hold along y) both bars shrink along x and widen freely along y."""
    bars = BARS.replace("on rest(A, meet): u = [x, 0]", SMOOTH_WALLS.format("A", "u", "s", 0, 0))
    bars = bars.replace(
        "on rest(B, meet): w = [1/2 + x/2, 0]", SMOOTH_WALLS.format("B", "w", "r", 3, 2)
    )
    contact = "dot(u - w, n) = 0; dot(s*n, n) = dot(r*n, n); cross(n, s*n) = 0; cross(n, r*n) = 0"
    bars = bars.replace("u = w; s*n = r*n", contact)
    _, found = solved(bars, [[0.4, 0.3], [2.0, 0.6]], resolution=4)
    assert np.allclose(found[0, :2], [0.4, 0], atol=1e-10)
    assert np.allclose(found[1, 2:], [1.5, 0], atol=1e-10)


SMOOTH_WALLS = """on side({0}, x = {3}): {1} = [{4}, 0]
on rest({0}, meet, side({0}, x = {3})): dot({1}, n) = 0; cross(n, {2}*n) = 0"""


@pytest.mark.parametrize(
    "meeting, reason",
    [
        ("a = b", "has 1 scalar condition where 2 fluxes meet"),
        ("a = b; 2*dx(a) = 5*dx(b); a = 1", "has 3 scalar conditions where 2 fluxes meet"),
        ("a = x*b; 2*dx(a) = 5*dx(b)*(1 + a)", "gives no boundary term of"),
    ],
)
def test_too_little_or_too_much_where_domains_meet_is_refused(meeting, reason):
    problem = pdespec.parse(RODS.replace("a = b; 2*dx(a) = 5*dx(b)", meeting))
    batch = compiler.instance(problem, inputs={name: lambda x: x[..., :1] for name in ("a0", "b0")})
    with pytest.raises(NoWeakForm, match=reason):
        compiler.solve(problem, batch, resolution=4)


def test_a_flux_of_two_conditions_only_is_warned_of_before_training():
    problem = pdespec.parse(RODS.replace("a = b; 2*dx(a) = 5*dx(b)", "a = b"))
    assert "J04" in [each.code for each in problem.warnings]


def test_a_crack_in_what_domains_share_and_a_mean_value():
    whole = SLABS.replace("interface(A, B)", "side(A, x = 1, y < 1/2)")
    cracked = whole.replace("rest(B, meet, right)", "rest(B, right, side(B, x = 1))")
    problem = pdespec.parse(cracked)
    with pytest.raises(NoWeakForm, match="lies on B as well"):
        compiler.solve(problem, compiler.instance(problem, {"q": 1.0}), resolution=4)
    held = SLABS.replace("on left:  a = 0", "on left:  2*dn(a) = -q")
    held = held + "require integral(b, B) = 4\n"
    _, found = solved(held, [[0.5, 0.5], [2, 0.5]], {"q": 1.0}, resolution=4)
    assert np.allclose([found[0, 0], found[1, 1]], [2 - 0.2 - 0.25, 2.0], atol=1e-9)


def test_domains_that_overlap_are_refused():
    """The source in the core was lost, and the solution zero."""
    text = INCLUSION.replace("rim = plate - core", "rim = plate").replace(
        "boundary(rim, plate)", "boundary(rim)"
    )
    with pytest.raises(NoWeakForm, match="core and rim, on which unknowns live, overlap"):
        solved(text, [[0.0, 0.0]], resolution=4)
