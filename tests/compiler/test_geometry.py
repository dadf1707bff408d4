"""Distances, normals, factors and measures against dense polylines, finite differences and
closed forms."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch
from scipy.spatial import cKDTree

import compiler
import pdespec
from compiler.geometry.domain import Geometry, box
from pdespec import (
    ProblemError,
    ball,
    boundary,
    cylinder,
    disk,
    inner,
    moved,
    outer,
    param,
    periodic,
    polygon,
    rectangle,
    rest,
    rotated,
    scaled,
    side,
    space,
    star,
    uniform,
)
from pdespec import box as block
from tests.compiler.shapes import (
    BALL,
    BRICK,
    COMBINED,
    ELL,
    HOLLOW,
    LEAVES,
    LINE,
    PLANE,
    RADIUS,
    SOLIDS,
    Truth,
    X,
    Y,
    Z,
    chain,
    lengths,
    radius_of_star,
    shoelace,
    x,
    y,
)

D = torch.float64


def geometry(truth: Truth, dtype=D, grad: bool = False) -> Geometry:
    params = {
        name: torch.tensor(value, dtype=dtype, requires_grad=grad)
        for name, value in truth.params.items()
    }
    return Geometry(truth.domain, params, 2, dtype)


def of(domain, params=RADIUS, dtype=D) -> Geometry:
    return Geometry(
        domain, {name: torch.tensor(value, dtype=dtype) for name, value in params.items()}, 2, dtype
    )


def cloud(shape: Geometry, count: int, seed: int = 0, margin: float = 0.3) -> torch.Tensor:
    """Random points around the shape."""
    lower, upper = shape.box()
    size = (upper - lower).amax()
    share = torch.rand(
        shape.size, count, shape.domain.dim, dtype=D, generator=torch.Generator().manual_seed(seed)
    )
    return lower - margin * size + share * (upper - lower + 2 * margin * size)


def truth_distance(truth: Truth, numbers: dict, points: np.ndarray) -> tuple[np.ndarray, float]:
    """Distance to the nearest dense boundary point, and the largest gap between those."""
    loops = truth.loops(numbers)
    distance, _ = cKDTree(np.concatenate(loops)).query(points)
    return distance, max(np.quantile(lengths(loop), 0.999) for loop in loops)


@pytest.mark.parametrize("name", LEAVES)
def test_signed_distance_is_that_to_a_dense_polyline(name):
    truth, shape = LEAVES[name], geometry(LEAVES[name])
    points = cloud(shape, 1500)
    values = shape.signed_distance(points)
    for i, numbers in enumerate(truth.samples):
        p, value = points[i].numpy(), values[i].numpy()
        distance, gap = truth_distance(truth, numbers, p)
        assert np.abs(np.abs(value) - distance).max() < gap
        far = distance > 0.02
        assert np.abs(np.abs(value) - distance)[far].max() < gap**2 / 0.02 + 1e-9
        assert ((value < 0) == truth.contains(p, numbers))[far].all()
        assert (shape.contains(points)[i].numpy() == (value < 0)).all()


@pytest.mark.parametrize("name", COMBINED)
def test_signed_distance_of_a_combination_has_the_right_sign_and_never_overestimates(name):
    truth, shape = COMBINED[name], geometry(COMBINED[name])
    points = cloud(shape, 1500)
    values = shape.signed_distance(points)
    for i, numbers in enumerate(truth.samples):
        p, value = points[i].numpy(), values[i].numpy()
        distance, gap = truth_distance(truth, numbers, p)
        clear = distance > 2 * gap
        assert ((value < 0) == truth.contains(p, numbers))[clear].all()
        assert (np.abs(value) <= distance + gap).all()
        # and is exact at most places
        assert np.mean(np.abs(np.abs(value) - distance) < 2 * gap) > 0.5


@pytest.mark.parametrize("name", PLANE)
def test_gradient_of_the_signed_distance_has_unit_length_and_agrees_with_differences(name):
    shape = geometry(PLANE[name])
    points = cloud(shape, 400, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(shape.signed_distance(points).sum(), points)
    assert torch.isfinite(gradient).all()
    assert ((gradient.norm(dim=-1) - 1).abs() < 1e-9).double().mean() > 0.99
    h = 1e-6
    steps = [h * torch.eye(2, dtype=D)[axis] for axis in range(2)]
    with torch.no_grad():
        difference = torch.stack(
            [
                (shape.signed_distance(points + s) - shape.signed_distance(points - s)) / (2 * h)
                for s in steps
            ],
            -1,
        )
    # but for points on a medial axis
    assert ((gradient - difference).abs().amax(-1) < 1e-5).double().mean() > 0.99


def test_distance_in_one_and_three_dimensions_is_that_of_closed_forms():
    line, ball, brick = of(LINE), of(BALL), of(BRICK)
    r = torch.tensor(RADIUS["r"])[:, None]
    p = cloud(line, 200)
    assert torch.allclose(line.signed_distance(p), torch.maximum(-r - p[..., 0], p[..., 0] - 2))
    p = cloud(ball, 200)
    centre = torch.stack([0 * r, r, 0 * r + 1], -1)
    assert torch.allclose(ball.signed_distance(p), (p - centre).norm(dim=-1) - r)
    p = cloud(brick, 4000)
    upper = torch.stack([0 * r + 1, 1 + r, 0 * r + 2], -1)
    clamped = torch.minimum(p.clamp_min(0), upper)
    outside = (p - clamped).norm(dim=-1)
    inside = torch.minimum(p, upper - p).amin(-1)
    assert torch.allclose(brick.signed_distance(p), torch.where(outside > 0, outside, -inside))


def test_hessian_of_the_star_distance_carries_the_motion_of_the_closest_point():
    shape = geometry(LEAVES["star"])
    points = cloud(shape, 100, seed=2, margin=0.1)
    points = torch.where(
        (shape.signed_distance(points).abs() < 0.04)[..., None],
        points,
        points * 0 + torch.tensor([1.5, 0.4], dtype=D),
    ).requires_grad_()

    def gradient(at):
        return torch.autograd.grad(shape.signed_distance(at).sum(), at, create_graph=True)[0]

    first = gradient(points)
    hessian = torch.stack(
        [torch.autograd.grad(first[..., i].sum(), points, retain_graph=True)[0] for i in range(2)],
        -2,
    )
    h = 1e-5
    columns = []
    for axis in range(2):
        step = h * torch.eye(2, dtype=D)[axis]
        columns.append(
            (
                gradient(points.detach().add(step).requires_grad_())
                - gradient(points.detach().sub(step).requires_grad_())
            )
            / (2 * h)
        )
    error = (hessian - torch.stack(columns, -1)).abs().amax((-1, -2)) / (
        1 + hessian.abs().amax((-1, -2))
    )
    assert hessian.abs().max() > 1
    assert (error < 1e-4).double().mean() > 0.97


@pytest.mark.parametrize("name", PLANE)
def test_boundary_points_lie_on_the_boundary_and_normals_point_out_of_it(name):
    truth, shape = PLANE[name], geometry(PLANE[name])
    points, normals = shape.boundary(boundary(truth.domain), 300, torch.Generator().manual_seed(0))
    assert shape.signed_distance(points).abs().max() < 1e-9
    assert torch.allclose(normals.norm(dim=-1), torch.ones(2, 300, dtype=D))
    step = 1e-4
    for i, numbers in enumerate(truth.samples):
        outwards = truth.contains((points + step * normals)[i].numpy(), numbers)
        inwards = truth.contains((points - step * normals)[i].numpy(), numbers)
        assert outwards.mean() < 0.02 and inwards.mean() > 0.98  # but at corners
    tangents = []
    for piece in shape.pieces(boundary(truth.domain)):
        u = torch.linspace(0.01, 0.98, 50, dtype=D).expand(2, -1)[..., None]
        (before, _), (at, n), (after, _) = (piece.chart(u + h) for h in (-1e-6, 0, 1e-6))
        tangent = (after - before) / (after - before).norm(dim=-1, keepdim=True)
        present = (piece.measure > 0)[:, None]
        tangents.append((((tangent * n).sum(-1).abs() < 1e-4) | ~present).double().mean())
    assert min(tangents) > 0.9  # but where a piece of several curves jumps from one to the next


@pytest.mark.parametrize("name", PLANE)
def test_normal_is_that_of_the_boundary_points(name):
    shape = geometry(PLANE[name])
    points, normals = shape.boundary(
        boundary(PLANE[name].domain), 200, torch.Generator().manual_seed(3)
    )
    assert ((shape.normal(points) - normals).norm(dim=-1) < 1e-6).double().mean() > 0.97


@pytest.mark.parametrize("name", PLANE)
def test_measures_are_those_of_the_polylines(name):
    truth, shape = PLANE[name], geometry(PLANE[name])
    for i, numbers in enumerate(truth.samples):
        loops = truth.loops(numbers)
        if truth.exact:
            assert shape.measure()[i].item() == pytest.approx(shoelace(loops[0]), rel=1e-6)
            assert shape.measure(boundary(truth.domain))[i].item() == pytest.approx(
                lengths(loops[0]).sum(), rel=1e-6
            )


def test_measures_of_combinations_are_those_of_closed_forms():
    r = torch.tensor(RADIUS["r"])
    pores = geometry(COMBINED["pores"])
    radius = 0.35 * r
    assert torch.allclose(pores.measure(), 1 - 16 * np.pi * radius**2, rtol=1e-12)
    assert torch.allclose(pores.measure(inner(pores.domain)), 32 * np.pi * radius, rtol=1e-9)
    assert torch.allclose(pores.measure(outer(pores.domain)), 4 * (1 - 8 * radius), rtol=1e-9)
    assert torch.allclose(pores.measure(side(pores.domain, y=0)), 1 - 8 * radius, rtol=1e-9)
    quarter = np.pi * (2 * r) ** 2 / 4  # the disk is centred on a corner of the square
    assert torch.allclose(geometry(COMBINED["union"]).measure(), 1 + 3 * quarter, rtol=1e-12)
    assert torch.allclose(geometry(COMBINED["intersection"]).measure(), quarter, rtol=1e-12)
    assert torch.allclose(
        geometry(COMBINED["union"]).measure(boundary(COMBINED["union"].domain)),
        4 - 4 * r + 3 * np.pi * r,
        rtol=1e-9,
    )
    # cut obliquely by the lower side
    bite = rectangle(x, y) - disk(x, y, radius=param("r", 1), center=(0.5, 0.1))
    lost = np.pi * r**2 - r**2 * torch.arccos(0.1 / r) + 0.1 * (r**2 - 0.01).sqrt()
    assert torch.allclose(of(bite).measure(), 1 - lost, rtol=1e-11)
    foil, far = shoelace(COMBINED["exterior"].loops(COMBINED["exterior"].samples[0])[1]), 9 * np.pi
    assert geometry(COMBINED["exterior"]).measure()[0].item() == pytest.approx(far - foil, rel=1e-6)


def test_measures_in_one_and_three_dimensions_are_those_of_closed_forms():
    r = torch.tensor(RADIUS["r"])
    assert torch.allclose(of(LINE).measure(), 2 + r) and torch.equal(
        of(LINE).measure(boundary(LINE)), torch.full((2,), 2.0, dtype=D)
    )
    assert torch.allclose(of(BALL).measure(), 4 / 3 * np.pi * r**3) and torch.allclose(
        of(BALL).measure(boundary(BALL)), 4 * np.pi * r**2
    )
    assert torch.allclose(of(BRICK).measure(side(BRICK, X=0)), 2 * (1 + r))
    assert torch.allclose(of(HOLLOW).measure(), 1 - 2 / 3 * np.pi * r**3, rtol=1e-3)
    assert torch.allclose(of(HOLLOW).measure(inner(HOLLOW)), 2 * np.pi * r**2, rtol=5e-3)
    assert torch.allclose(of(HOLLOW).measure(side(HOLLOW, X=1)), 1 - np.pi * r**2, rtol=5e-3)
    points, normals = of(HOLLOW).boundary(boundary(HOLLOW), 500, torch.Generator().manual_seed(0))
    assert of(HOLLOW).signed_distance(points).abs().max() < 1e-12
    assert (of(HOLLOW).signed_distance(points + 1e-4 * normals) > 0).double().mean() > 0.98


def test_sides_that_coincide_are_counted_once_or_not_at_all():
    left, right = rectangle(x, y, (0, 0), (1, 1)), rectangle(x, y, (1, 0), (2, 1))
    joined = Geometry(left + right, {}, 1, D)
    assert joined.measure(boundary(left + right)).item() == pytest.approx(
        6
    ) and joined.measure().item() == pytest.approx(2)
    notch = left - rectangle(x, y, (0, 0), (0.5, 0.5))  # flush with two sides
    assert Geometry(notch, {}, 1, D).measure(boundary(notch)).item() == pytest.approx(4)
    assert Geometry(notch, {}, 1, D).measure(side(notch, x=0)).item() == pytest.approx(0.5)
    apart = left - right
    assert Geometry(apart, {}, 1, D).measure(boundary(apart)).item() == pytest.approx(4)
    same = left & rectangle(x, y, (0, 0), (1, 0.5))
    assert Geometry(same, {}, 1, D).measure(boundary(same)).item() == pytest.approx(3)


def alone(domain, dtype=D, **params) -> Geometry:
    return Geometry(
        domain,
        {name: torch.tensor([value], dtype=dtype) for name, value in params.items()},
        1,
        dtype,
    )


def rectangles(*corners):
    """Corners ((x0, y0), (x1, y1)) as rectangle domains."""
    return [rectangle(x, y, lower, upper) for lower, upper in corners]


OVERLAPS = {
    "shared lines": ("+", ((0, 0), (1, 1)), ((0.5, 0), (1.5, 1)), 1.5, 5),
    "crossing": ("+", ((0, 0), (1, 1)), ((0.5, 0.5), (1.5, 1.5)), 1.75, 6),
    "tee": ("+", ((0, 0), (2, 1)), ((0.5, 1), (1, 2)), 2.5, 8),
    "apart": ("+", ((0, 0), (1, 1)), ((2, 0), (3, 1)), 2, 8),
    "inside": ("+", ((0, 0), (1, 1)), ((0.25, 0.25), (0.5, 0.5)), 1, 4),
    "flush inside": ("+", ((0, 0), (1, 1)), ((0, 0.25), (0.5, 0.5)), 1, 4),
    "common": ("&", ((0, 0), (1, 1)), ((0, 0.25), (0.5, 2)), 0.375, 2.5),
    "corner in common": ("&", ((0, 0), (1, 1)), ((0, 0), (0.5, 0.5)), 0.25, 2),
    "notch": ("-", ((0, 0), (1, 1)), ((0, 0.25), (0.5, 0.5)), 0.875, 5),
    "slot": ("-", ((0, 0), (1, 1)), ((0.25, -1), (0.5, 0.5)), 0.875, 5),
    "cut in two": ("-", ((0, 0), (1, 1)), ((0.25, -1), (0.5, 2)), 0.75, 5.5),
    "thin": ("-", ((0, 0), (1, 1)), ((0.123, -1), (0.1231, 0.7)), 1 - 7e-5, 4 + 1.4),
}


@pytest.mark.parametrize("name", OVERLAPS)
def test_rectangles_are_combined_exactly_and_the_factor_sees_the_true_boundary_alone(name):
    sign, first, second, area, length = OVERLAPS[name]
    a, b = rectangles(first, second)
    domain = {"+": a + b, "-": a - b, "&": a & b}[sign]
    shape, gamma = alone(domain), boundary(domain)
    assert shape.measure().item() == pytest.approx(area, rel=1e-12)
    assert shape.measure(gamma).item() == pytest.approx(length, rel=1e-9)
    points, normals = shape.boundary(gamma, 400, torch.Generator().manual_seed(0))
    assert (
        not shape.contains(points + 1e-5 * normals).any()
        and shape.contains(points - 1e-5 * normals).double().mean() > 0.98
    )
    assert shape.factor(gamma, points).abs().max() < 1e-9
    inside = shape.interior(2000, torch.Generator().manual_seed(1))
    assert shape.factor(gamma, inside).min() > 0
    slope = shape.factor(gamma, points - 1e-6 * normals) / 1e-6
    assert slope.quantile(0.1) > 0.1 and slope.max() < 6
    assert (
        alone(domain, torch.float32)
        .factor(gamma, inside.float())
        .sub(shape.factor(gamma, inside))
        .abs()
        .max()
        < 1e-4
    )


def test_the_seam_of_touching_shapes_is_no_boundary():
    domain = rectangle(x, y, (0, 0), (2, 1)) + rectangle(x, y, (0, 1), (1, 2))
    shape, gamma = alone(domain), boundary(domain)
    seam = torch.tensor([[[0.5, 1.0], [0.1, 1.0], [0.5, 1.0 - 1e-9]]], dtype=D)
    assert shape.contains(seam).all() and shape.factor(gamma, seam).min() > 0.05
    assert torch.allclose(
        shape.signed_distance(seam), torch.tensor([[-0.5, -0.1, -0.5]], dtype=D), atol=1e-8
    )
    measures = [shape.measure(each).item() for each in (None, gamma, side(domain, y=1))]
    assert measures == pytest.approx([3, 8, 1], rel=1e-12)
    assert (
        not (shape.boundary(gamma, 1000, torch.Generator().manual_seed(0))[0] - seam[:, :1])
        .norm(dim=-1)
        .lt(0.4)
        .any()
    )


def test_signed_distance_of_touching_shapes_is_that_to_the_boundary_of_their_union():
    domain = rectangle(x, y, (0, 0), (2, 1)) + rectangle(x, y, (0, 1), (1, 2))
    shape = alone(domain)
    points = cloud(shape, 1500)
    dense = chain([(0, 0), (2, 0), (2, 1), (1, 1), (1, 2), (0, 2)])
    distance, _ = cKDTree(dense).query(points[0].numpy())
    assert np.abs(shape.signed_distance(points)[0].abs().numpy() - distance).max() < 4e-4


def test_a_tangent_disk_leaves_no_stray_boundary_points():
    ring = disk(x, y, 1) - disk(x, y, 0.5, center=(0.5, 0))
    shape = alone(ring)
    assert shape.measure().item() == pytest.approx(0.75 * np.pi, rel=1e-12)
    assert shape.measure(boundary(ring)).item() == pytest.approx(3 * np.pi, rel=1e-12)
    points, _ = shape.boundary(boundary(ring), 4000, torch.Generator().manual_seed(0))
    outer_circle, inner_circle = (
        points.norm(dim=-1) - 1,
        (points - torch.tensor([0.5, 0], dtype=D)).norm(dim=-1) - 0.5,
    )
    assert torch.minimum(outer_circle.abs(), inner_circle.abs()).max() < 1e-12
    away = (points - torch.tensor([1.0, 0], dtype=D)).norm(dim=-1) > 1e-3
    assert ((inner_circle >= -1e-12) & (outer_circle <= 1e-12))[away].all()
    inner_tangent = disk(x, y, 1) + disk(x, y, 0.5, center=(0.5, 0))
    points, _ = alone(inner_tangent).boundary(
        boundary(inner_tangent), 4000, torch.Generator().manual_seed(0)
    )
    assert (points.norm(dim=-1) - 1).abs().max() < 1e-12


TOUCHES = {
    "disks": (
        disk(x, y, radius=1) + disk(x, y, radius=0.5, center=(1.5, 0)),
        1.25 * np.pi,
        3 * np.pi,
    ),
    "disk and side": (
        disk(x, y, radius=1) + rectangle(x, y, (1, -1), (2, 1)),
        np.pi + 2,
        2 * np.pi + 6,
    ),
    "inscribed": (
        rectangle(x, y, (0, 0), (1, 1)) - disk(x, y, radius=0.5, center=(0.5, 0.5)),
        1 - np.pi / 4,
        4 + np.pi,
    ),
    "circumscribed": (
        disk(x, y, radius=1) - rectangle(x, y, (-0.6, -0.8), (0.6, 0.8)),
        np.pi - 1.92,
        2 * np.pi + 5.6,
    ),
}


@pytest.mark.parametrize("name", TOUCHES)
def test_curves_that_touch_at_one_point_are_kept_on_both_sides_of_it(name):
    """They were kept or dropped as a whole by their midpoints, at which the other curve may
    touch them."""
    domain, area, length = TOUCHES[name]
    assert alone(domain).measure().item() == pytest.approx(area, rel=1e-10)
    assert alone(domain).measure(boundary(domain)).item() == pytest.approx(length, rel=1e-10)


def test_measures_of_disks_and_rectangles_and_their_derivatives_are_those_of_closed_forms():
    s = param("s", uniform(0.1, 0.9))
    for overlap, area in {
        "lens": (
            disk(x, y, s) & disk(x, y, s, center=(0.5, 0)),
            lambda r: 2 * r**2 * np.arccos(0.25 / r) - 0.25 * np.sqrt(4 * r**2 - 0.25),
        ),
        "half": (disk(x, y, s) & rectangle(x, y, (0, -2), (2, 2)), lambda r: np.pi * r**2 / 2),
        "segment": (
            disk(x, y, s) & rectangle(x, y, (0.2, -2), (2, 2)),
            lambda r: r**2 * np.arccos(0.2 / r) - 0.2 * np.sqrt(r**2 - 0.04),
        ),
    }.values():
        radius = torch.tensor([0.4], dtype=D, requires_grad=True)
        measure = Geometry(overlap, {"s": radius}, 1, D).measure()
        (slope,) = torch.autograd.grad(measure.sum(), radius)
        h = 1e-4
        exact = (8 * (area(0.4 + h) - area(0.4 - h)) - (area(0.4 + 2 * h) - area(0.4 - 2 * h))) / (
            12 * h
        )
        assert measure.item() == pytest.approx(
            area(0.4), rel=1e-12
        ) and slope.item() == pytest.approx(exact, rel=1e-9)


BITES = {"free": (0.5, 1, 0), "face": (1, 0.5, 1), "corner": (1, 0.125, 0.75)}


@pytest.mark.parametrize("name", BITES)
def test_volume_and_area_of_a_box_without_a_ball_and_their_derivatives_are_exact(name):
    _, share, disks = BITES[name]
    centre = {"free": (0.5, 0.5, 0.5), "face": (1, 0.5, 0.5), "corner": (1, 1, 1)}[name]
    s = param("s", uniform(0.1, 0.4))
    a, b, c = space("a b c")
    domain = block(a, b, c) - ball(a, b, c, radius=s, center=centre)
    radius = torch.tensor([0.3, 0.2], dtype=D, requires_grad=True)
    shape = Geometry(domain, {"s": radius}, 2, D)
    volume, area = shape.measure(), shape.measure(boundary(domain))
    r = radius.detach()
    assert torch.allclose(volume, 1 - share * 4 / 3 * np.pi * r**3, rtol=1e-11)
    assert torch.allclose(area, 6 + (4 * share - disks) * np.pi * r**2, rtol=1e-11)
    slopes = [
        torch.autograd.grad(each.sum(), radius, retain_graph=True)[0] for each in (volume, area)
    ]
    assert torch.allclose(slopes[0], -share * 4 * np.pi * r**2, rtol=1e-8)
    assert torch.allclose(slopes[1], (8 * share - 2 * disks) * np.pi * r, rtol=1e-8)
    assert shape.measure_error(boundary(domain)) < 1e-6 and shape.measure_error() < 1e-6


@pytest.mark.parametrize("name", SOLIDS)
def test_solids_have_the_measures_points_normals_and_factors_of_closed_forms(name):
    domain, volume, area = SOLIDS[name]
    gamma, radius = boundary(domain), torch.tensor(RADIUS["r"], dtype=D, requires_grad=True)
    shape = Geometry(domain, {"r": radius}, 2, D)
    for measure, exact, accuracy in (
        (shape.measure(), volume, 1e-11),
        (shape.measure(gamma), area, 1e-11),
    ):
        assert np.allclose(measure.detach().numpy(), exact(RADIUS["r"]), rtol=accuracy)
        (slope,) = torch.autograd.grad(measure.sum(), radius, retain_graph=True)
        h = 1e-4
        assert np.allclose(
            slope.numpy(), (exact(RADIUS["r"] + h) - exact(RADIUS["r"] - h)) / (2 * h), rtol=1e-6
        )
    shape = of(domain)
    points, normals = shape.boundary(gamma, 400, torch.Generator().manual_seed(0))
    assert shape.signed_distance(points).abs().max() < 1e-12 and torch.allclose(
        normals.norm(dim=-1), torch.ones(2, 400, dtype=D)
    )
    assert (
        not shape.contains(points + 1e-5 * normals).any()
        and shape.contains(points - 1e-5 * normals).double().mean() > 0.99
    )
    assert ((shape.normal(points) - normals).norm(dim=-1) < 1e-6).double().mean() > 0.98
    inside = shape.interior(1000, torch.Generator().manual_seed(1))
    assert (
        shape.contains(inside).all()
        and shape.factor(gamma, inside).min() > 0
        and shape.factor(gamma, points).abs().max() < 1e-12
    )
    slope = shape.factor(gamma, points - 1e-6 * normals) / 1e-6
    assert slope.quantile(0.1) > 0.1 and slope.max() < 2
    lower, upper = shape.box()
    share = torch.rand(2, 100_000, 3, dtype=D, generator=torch.Generator().manual_seed(3))
    found = (
        shape.contains(lower + share * (upper - lower)).double().mean(-1) * (upper - lower).prod()
    )
    assert torch.allclose(found, shape.measure(), rtol=0.05)


@pytest.mark.parametrize("name", SOLIDS)
def test_distance_of_solids_has_a_gradient_of_unit_length_that_agrees_with_differences(name):
    shape = of(SOLIDS[name][0])
    points = cloud(shape, 300, seed=1).requires_grad_()
    (gradient,) = torch.autograd.grad(shape.signed_distance(points).sum(), points)
    assert (
        gradient.norm(dim=-1).max() < 1 + 1e-9
        and ((gradient.norm(dim=-1) - 1).abs() < 1e-9).double().mean() > 0.98
    )
    h = 1e-6
    steps = [h * torch.eye(3, dtype=D)[axis] for axis in range(3)]
    difference = torch.stack(
        [
            (shape.signed_distance(points + s) - shape.signed_distance(points - s)) / (2 * h)
            for s in steps
        ],
        -1,
    )
    assert ((gradient - difference).abs().amax(-1) < 1e-5).double().mean() > 0.97
    dense, _ = shape.boundary(boundary(shape.domain), 4000, torch.Generator().manual_seed(5))
    for i in range(2):
        distance, _ = cKDTree(dense[i].numpy()).query(points[i].detach().numpy())
        # never more than to a boundary point
        assert (shape.signed_distance(points)[i].detach().abs().numpy() <= distance + 1e-9).all()


def test_the_distance_of_an_ellipse_is_right_up_to_third_derivatives():
    shape = of(LEAVES["ellipse"].domain)
    points, normals = shape.boundary(boundary(shape.domain), 40, torch.Generator().manual_seed(0))
    at = (points + 0.3 * normals).requires_grad_()
    first = torch.autograd.grad(shape.signed_distance(at).sum(), at, create_graph=True)[0]
    second = torch.autograd.grad(first[..., 0].sum(), at, create_graph=True)[0]
    third = torch.autograd.grad(second[..., 1].sum(), at)[0][..., 0]
    h = 1e-4

    def mixed(p):
        p = p.detach().requires_grad_()
        gradient = torch.autograd.grad(shape.signed_distance(p).sum(), p, create_graph=True)[0]
        return torch.autograd.grad(gradient[..., 0].sum(), p)[0][..., 1]

    step = torch.tensor([h, 0], dtype=D)
    assert torch.allclose(
        third, (mixed(at + step) - mixed(at - step)) / (2 * h), rtol=1e-4, atol=1e-5
    )


def test_the_factor_of_a_solid_in_single_precision_measures_no_surface():
    shape = Geometry(
        SOLIDS["drilled"][0],
        {"r": torch.tensor(RADIUS["r"], dtype=torch.float32)},
        2,
        torch.float32,
    )
    shape.factor(boundary(shape.domain), torch.full((2, 4, 3), 0.1))
    # seconds, and below what its rules can tell apart
    assert not any("measure" in vars(piece) for piece in shape.body.pieces())


def test_sides_are_found_wherever_a_shape_has_been_laid():
    ell = polygon(x, y, ELL)
    assert alone(ell).measure(side(ell, x=0)).item() == pytest.approx(2) and alone(ell).measure(
        side(ell, y=1)
    ).item() == pytest.approx(1)
    quarter = rotated(rectangle(x, y, (0, 0), (2, 1)), sp.pi / 2)
    assert alone(quarter).measure(side(quarter, x=-1)).item() == pytest.approx(2)
    assert alone(quarter).measure(side(quarter, y=0)).item() == pytest.approx(1)
    far = scaled(moved(rectangle(x, y), (5, 5)), 2, (5, 5))
    assert alone(far).measure(side(far, x=5)).item() == pytest.approx(2) and alone(far).measure(
        side(far, y=7)
    ).item() == pytest.approx(2)
    tank = cylinder(X, Y, Z, 1, 3, (0, 0, 1))
    assert alone(tank).measure(side(tank, Z=4)).item() == pytest.approx(np.pi)
    points, _ = alone(tank).boundary(side(tank, Z=1), 100, torch.Generator().manual_seed(0))
    others, _ = alone(tank).boundary(
        rest(tank, side(tank, Z=1)), 200, torch.Generator().manual_seed(0)
    )
    assert alone(tank).factor(side(tank, Z=1), points).abs().max() < 1e-12
    assert alone(tank).factor(side(tank, Z=1), others[others[..., 2] > 1.1][None]).min() > 0.01


def test_boxes_that_touch_have_no_seam():
    a, b, c = space("a b c")
    domain = block(a, b, c) + block(a, b, c, (1, 0, 0), (2, 0.5, 0.5))
    shape, gamma = alone(domain), boundary(domain)
    assert shape.measure().item() == pytest.approx(1.25, rel=1e-12) and shape.measure(
        gamma
    ).item() == pytest.approx(8, rel=1e-12)
    seam = torch.tensor([[[1.0, 0.25, 0.25], [1.0, 0.75, 0.25], [1.0, 0.5, 0.75]]], dtype=D)
    assert shape.contains(seam)[0].tolist() == [True, False, False]
    assert (
        shape.factor(gamma, seam)[0, 0] > 0.02
        and shape.factor(gamma, seam)[0, 1:].abs().max() < 1e-9
    )


# --------------------------------------------------------------------------------------------------
# factor


@pytest.mark.parametrize("name", PLANE)
def test_factor_is_zero_on_the_boundary_positive_inside_and_of_slope_about_one(name):
    truth, shape = PLANE[name], geometry(PLANE[name])
    everywhere = boundary(truth.domain)
    points, normals = shape.boundary(everywhere, 400, torch.Generator().manual_seed(0))
    assert shape.factor(everywhere, points).abs().max() < 1e-9
    interior = shape.interior(2000, torch.Generator().manual_seed(1))
    assert shape.factor(everywhere, interior).min() > 0
    slope = shape.factor(everywhere, points - 1e-6 * normals) / 1e-6
    assert 0.5 < slope.median() < 2
    assert slope.max() < 6 and slope.quantile(0.05) > 0.1


@pytest.mark.parametrize("name", ["rectangle", "pores", "union"])
def test_factor_of_some_sides_vanishes_on_them_and_nowhere_else(name):
    truth, shape = PLANE[name], geometry(PLANE[name])
    bottom = side(truth.domain, y=0)
    remaining = rest(truth.domain, bottom)
    points, _ = shape.boundary(bottom, 200, torch.Generator().manual_seed(0))
    others, _ = shape.boundary(remaining, 200, torch.Generator().manual_seed(0))
    assert (
        shape.factor(bottom, points).abs().max() < 1e-12
        and shape.factor(remaining, others).abs().max() < 1e-9
    )
    assert (
        shape.factor(
            bottom, others[others[..., 1] > 0.05].reshape(1, -1, 2).expand(2, -1, -1)
        ).min()
        > 0.01
    )
    interior = shape.interior(1000, torch.Generator().manual_seed(1))
    assert shape.factor(bottom, interior).min() > 0 and shape.factor(remaining, interior).min() > 0
    both = shape.factor([bottom, remaining], torch.cat([points, others], 1))
    assert both.abs().max() < 1e-9


def third_difference(function, direction: torch.Tensor, h: float) -> torch.Tensor:
    """Third difference quotient along lines that pass the origin at a distance of h / 2. Shapes:
    direction "n 2" -> "b n"."""
    aside = torch.stack([-direction[:, 1], direction[:, 0]], -1) / 2
    values = [function((h * ((k - 1.5) * direction + aside)).expand(2, -1, -1)) for k in range(4)]
    return (values[3] - 3 * values[2] + 3 * values[1] - values[0]) / h**3


def test_factor_and_lift_of_a_star_are_smooth_through_its_centre():
    truth = LEAVES["star"]
    shape, gamma = geometry(truth), boundary(truth.domain)
    angle = torch.linspace(0.05, 3, 40, dtype=D)
    direction = torch.stack([angle.cos(), angle.sin()], -1)
    for function in (
        lambda p: shape.factor(gamma, p),
        lambda p: shape.radial(p)[0],
        lambda p: shape.radial(p)[1],
    ):
        coarse, fine = (third_difference(function, direction, h).abs().max() for h in (2e-2, 5e-3))
        assert fine < 2 * coarse + 1 and fine < 10
    naive = third_difference(
        lambda p: p.square().sum(-1) / shape.body.radius(torch.atan2(p[..., 1], p[..., 0]))[0] ** 2,
        direction,
        5e-3,
    )
    assert naive.abs().max() > 100


def test_directions_part_at_the_centre_of_a_star_factor_after_every_power_of_the_radius():
    truth = LEAVES["star"]
    shape, gamma = geometry(truth), boundary(truth.domain)
    angle = torch.linspace(0, 3, 40, dtype=D)
    ring = torch.stack([angle.cos(), angle.sin()], -1).expand(2, -1, -1)
    spread = [
        (values.amax(-1) - values.amin(-1)).max()
        for values in (shape.factor(gamma, radius * ring) for radius in (0.05, 0.1, 0.2))
    ]
    # r^4 would give 6e-6, 1e-4, 2e-3
    assert spread[0] < 1e-15 and spread[1] < 1e-15 and spread[2] < 1e-6
    assert shape.factor(gamma, shape.interior(4000, torch.Generator().manual_seed(2))).min() > 0


def test_slope_of_the_star_factor_is_the_stated_one():
    truth = LEAVES["star"]
    shape, gamma = geometry(truth), boundary(truth.domain)
    points, _ = shape.boundary(gamma, 50, torch.Generator().manual_seed(0))
    for i, numbers in enumerate(truth.samples):
        p = points[i].numpy()
        radius = radius_of_star(np.arctan2(p[:, 1], p[:, 0]), numbers)
        table = radius_of_star(np.linspace(0, 2 * np.pi, 4096, endpoint=False), numbers)
        a = max(table.mean(), 0.55 * table.max())
        inwards = torch.tensor(p * (1 - 1e-6), dtype=D).expand(2, -1, -1)
        slope = shape.factor(gamma, inwards)[i].numpy() / (1e-6 * radius)
        assert np.allclose(slope, a / radius * (2 * a / radius - 1), rtol=1e-4)


@pytest.mark.parametrize("name", PLANE)
def test_radial_coordinates_are_unit_vectors_on_the_boundary(name):
    shape = geometry(PLANE[name])
    points, _ = shape.boundary(boundary(PLANE[name].domain), 100, torch.Generator().manual_seed(0))
    offset = points - shape.body.center()[:, None]
    assert torch.allclose(
        torch.stack(shape.radial(points), -1), offset / offset.norm(dim=-1, keepdim=True), atol=1e-6
    )


# whose factor, with a dent, is positive on both sides
@pytest.mark.parametrize("name", sorted(PLANE.keys() - {"polygon", "rotated"}))
def test_radial_coordinates_go_on_smoothly_beyond_the_boundary(name):
    shape = geometry(PLANE[name])
    points, normals = shape.boundary(
        boundary(PLANE[name].domain), 40, torch.Generator().manual_seed(0)
    )
    h = 1e-3
    for k in (0, 1):
        across = [shape.radial(points + j * h * normals)[k] for j in (-2, -1, 0, 1, 2)]
        inner, outer = (across[2] - across[1]) / h, (across[3] - across[2]) / h
        curvature = (
            (across[0] - 2 * across[1] + across[2]).abs()
            + (across[2] - 2 * across[3] + across[4]).abs()
        ) / h**2
        assert ((outer - inner).abs() <= h * (curvature + 1)).float().mean() > 0.9  # but at corners


def test_lift_takes_the_given_values_on_each_boundary():
    shape = geometry(COMBINED["pores"])
    bottom, top = side(shape.domain, y=0), side(shape.domain, y=1)
    data = [(bottom, lambda p: p[..., 0].sin()), (top, lambda p: p.square())]
    scalar = [(bottom, lambda p: 0 * p[..., 0]), (top, lambda p: 0 * p[..., 0] - 0.12)]
    on_bottom, _ = shape.boundary(bottom, 50, torch.Generator().manual_seed(0))
    on_top, _ = shape.boundary(top, 50, torch.Generator().manual_seed(0))
    assert torch.allclose(shape.lift([data[0]], on_bottom), on_bottom[..., 0].sin())
    assert shape.lift(scalar, on_bottom).abs().max() < 1e-12 and torch.allclose(
        shape.lift(scalar, on_top), on_top[..., 0] * 0 - 0.12
    )
    middle = shape.interior(100, torch.Generator().manual_seed(0))
    # between two parallel sides: linear
    assert torch.allclose(shape.lift(scalar, middle), -0.12 * middle[..., 1])


# --------------------------------------------------------------------------------------------------
# gradients in the params


@pytest.mark.parametrize("name", PLANE)
def test_derivatives_in_shape_params_agree_with_finite_differences(name):
    truth = PLANE[name]
    if not truth.params:
        pytest.skip("no params")
    gamma = boundary(truth.domain)
    points = geometry(truth).interior(60, torch.Generator().manual_seed(5))
    weights = torch.randn(2, 60, dtype=D, generator=torch.Generator().manual_seed(6))

    def quantities(shape: Geometry) -> list[torch.Tensor]:
        on, _ = shape.boundary(gamma, 20, torch.Generator().manual_seed(7))
        return [
            (weights * shape.signed_distance(points)).sum(),
            (weights * shape.factor(gamma, points)).sum(),
            shape.measure().sum(), shape.measure(gamma).sum(), (weights[:, :20, None] * on).sum(),
        ]  # fmt: skip

    key = next(iter(truth.params))
    base = torch.tensor(truth.params[key], dtype=D)
    direction = torch.randn(base.shape, dtype=D, generator=torch.Generator().manual_seed(8)) * 0.3

    def at(step: float) -> list[torch.Tensor]:
        others = {
            name: torch.tensor(value, dtype=D)
            for name, value in truth.params.items()
            if name != key
        }
        return quantities(Geometry(truth.domain, {**others, key: base + step * direction}, 2, D))

    leaf = torch.zeros((), dtype=D, requires_grad=True)
    others = {
        name: torch.tensor(value, dtype=D) for name, value in truth.params.items() if name != key
    }
    h = 1e-6
    for number, value in enumerate(
        quantities(Geometry(truth.domain, {**others, key: base + leaf * direction}, 2, D))
    ):
        exact = (
            torch.autograd.grad(value, leaf, retain_graph=True)[0].item()
            if value.requires_grad
            else 0.0
        )
        difference = ((at(h)[number] - at(-h)[number]) / (2 * h)).item()
        assert exact == pytest.approx(difference, rel=1e-4, abs=1e-5), number


# --------------------------------------------------------------------------------------------------
# boxes, errors


def test_box_holds_the_domain_for_all_params():
    assert np.allclose(box(LEAVES["star"].domain), [[-1.4, -1.4], [1.4, 1.4]], atol=1e-12)
    assert np.allclose(box(LEAVES["rectangle"].domain), [[-0.4, 0], [1, 1.4]])
    assert np.allclose(box(LINE), [[-0.4], [2]])
    lower, upper = box(COMBINED["exterior"].domain)
    assert np.allclose([lower, upper], [[-3, -3], [3, 3]])


def test_a_periodic_side_is_no_boundary():
    strip = periodic(rectangle(x, y, (0, 0), (2, 1)), x)
    shape = Geometry(strip, {}, 1, D)
    points = torch.tensor([[[0.01, 0.5], [1.0, 0.2], [5.0, 0.9]]], dtype=D)
    assert torch.allclose(
        shape.signed_distance(points), torch.tensor([[-0.5, -0.2, -0.1]], dtype=D)
    )
    assert shape.measure(boundary(strip)).item() == 4
    assert torch.allclose(
        shape.factor(boundary(strip), points), points[..., 1] * (1 - points[..., 1])
    )
    torus = Geometry(periodic(rectangle(x, y), x, y), {}, 1, D)
    assert torus.contains(points).all() and torch.isneginf(torus.signed_distance(points)).all()
    with pytest.raises(ProblemError, match="nothing of the boundary"):
        torus.boundary(boundary(torus.domain), 3, torch.Generator())


@pytest.mark.parametrize("name", PLANE)
def test_single_precision_agrees_with_double(name):
    double, single = geometry(PLANE[name]), geometry(PLANE[name], torch.float32)
    points = cloud(double, 300, seed=4)
    assert torch.allclose(
        single.signed_distance(points.float()).double(),
        double.signed_distance(points),
        atol=2e-6 * points.abs().max().item(),
    )
    assert single.interior(10, torch.Generator().manual_seed(0)).dtype == torch.float32
    on, normals = single.boundary(boundary(double.domain), 10, torch.Generator().manual_seed(0))
    assert on.dtype == normals.dtype == torch.float32 and single.measure().dtype == torch.float32


def test_misuse_is_explained():
    shape = geometry(LEAVES["star"])
    with pytest.raises(ProblemError, match=r"B01.*\(4, 3\).*the geometry needs \(2, n, 2\)"):
        shape.signed_distance(torch.zeros(4, 3))
    with pytest.raises(ProblemError, match="B02.*float32"):
        shape.signed_distance(torch.zeros(2, 3, 2))
    with pytest.raises(ProblemError, match="B03.*`c2`.*not given"):
        Geometry(LEAVES["star"].domain, {"c1": torch.zeros(2)}, 2).signed_distance(
            torch.zeros(2, 3, 2)
        )
    with pytest.raises(
        ProblemError,
        match=(
            r"(?s)W03.*side\(Omega, y = 7\).*there are side\(Omega, x = 0\), side\(Omega, x = 1\)"
        ),
    ):
        Geometry(rectangle(x, y), {}, 1).boundary(side(rectangle(x, y), y=7), 4, torch.Generator())
    s = param("s", uniform(0.5, 2))
    thin = rectangle(x, y) - disk(x, y, radius=s, center=(0.5, 0.5))
    with pytest.raises(ProblemError, match="empty in some sample"):
        Geometry(thin, {"s": torch.tensor([2.0])}, 1).interior(8, torch.Generator())


def test_a_star_of_any_radius_expression_works():
    a, b = space("a b")
    ellipse = star(
        a,
        b,
        radius=lambda theta: 1 / sp.sqrt(sp.cos(theta) ** 2 + 4 * sp.sin(theta) ** 2),
        center=(1, 2),
    )
    shape = Geometry(ellipse, {}, 1, D)
    assert shape.measure().item() == pytest.approx(np.pi / 2, rel=1e-9)
    points = shape.interior(500, torch.Generator().manual_seed(0))
    assert ((points[..., 0] - 1) ** 2 + 4 * (points[..., 1] - 2) ** 2 < 1).all()
    assert shape.signed_distance(torch.tensor([[[1.0, 2.0], [1.0, 3.0], [3.0, 2.0]]], dtype=D))[
        0
    ].tolist() == pytest.approx([-0.5, 0.5, 1.0])


def test_the_box_of_a_curve_is_exact_and_its_derivative_does_not_jump():
    c = param("c", uniform(-0.2, 0.2))
    domain = of(
        star(x, y, radius=lambda theta: 1 + c * sp.cos(3 * theta)), {"c": [0.11, 0.13]}
    ).domain
    dense = np.linspace(0, 2 * np.pi, 400_001)

    def lowest(value: float) -> float:
        return ((1 + value * np.cos(3 * dense)) * np.cos(dense)).min()

    for value in np.linspace(0.11, 0.12, 5):
        number = torch.tensor([value], dtype=D, requires_grad=True)
        lower, _ = Geometry(domain, {"c": number}, 1, D).box()
        assert abs(lower[0].item() - lowest(value)) < 1e-9
        (slope,) = torch.autograd.grad(lower[0], number)
        s = dense[((1 + value * np.cos(3 * dense)) * np.cos(dense)).argmin()]
        # the outermost of 1024 nodes would be 4e-3 off
        assert abs(slope.item() - np.cos(3 * s) * np.cos(s)) < 1e-4


@pytest.mark.parametrize(
    "words",
    [
        "disk(radius = 2)",
        "ellipse(radii = [0.5, 5], angle = pi/5)",
        "star(radius = 1 + 0.2*cos(3*theta))",
        "moved(ellipse(radii = [1, 2]), vector = [3, 1])",
    ],
)
def test_the_factor_has_the_same_derivatives_on_both_sides_of_a_smooth_boundary(words):
    """Points of a boundary lie on it to rounding: conditions on second derivatives would read one
    of two numbers by chance."""
    problem = pdespec.parse(
        f"problem p\nspace x, y\ndomain D = {words}\nunknown u : scalar on D\nin D: lap(u) = 1\n"
        "on boundary(D): u = 0\n"
    )
    batch = compiler.sample(problem, 1, {"boundary": 32}, dtype=torch.float64)
    (edge,) = (each for key, each in batch.points.items() if key.startswith("boundary"))
    factor = batch.inputs.ansatz.factor

    def derivatives(at):
        """Up to the third, along the normal."""
        step = torch.zeros_like(at[..., :1], requires_grad=True)
        found = [factor(at + step * edge.normals)[..., 0]]
        for _ in range(3):
            found.append(torch.autograd.grad(found[-1].sum(), step, create_graph=True)[0][..., 0])
        return torch.stack(found[1:]).detach()

    inner, outer = (derivatives(edge.points + side * edge.normals) for side in (-1e-7, 1e-7))
    sizes = 1 + torch.maximum(inner.abs(), outer.abs())
    assert float(((inner - outer).abs() / sizes).max()) < 1e-3


def test_a_lattice_of_many_disks_is_sampled_without_looking_at_all_of_them():
    """All 3600 copies seen from every point once took more memory than a machine has."""
    problem = pdespec.parse(
        "problem p\nspace x, y\ndomain D = rectangle([0, 0], [1, 1]) - lattice(disk(radius ="
        " 0.004), 60, 60)\nunknown u : scalar on D\nin D: lap(u) = 1\non boundary(D): u = 0\n"
    )
    batch = compiler.sample(problem, 1, {"interior": 512, "boundary": 512}, dtype=torch.float64)
    (edge,) = (each for key, each in batch.points.items() if key.startswith("boundary"))
    factor = batch.inputs.ansatz.factor
    assert factor(edge.points).abs().max() < 1e-9
    assert factor(batch.points["D"].points).min() > 0
    between = torch.tensor([[[29.5 / 59, 30 / 59 + 0.001]]], dtype=torch.float64)

    def derivatives(side):
        """Up to the third, across the line half way between two columns."""
        step = torch.full((1, 1, 1), side, dtype=torch.float64, requires_grad=True)
        found = [factor(between + step * between.new_tensor([1.0, 0.3]))[..., 0]]
        for _ in range(3):
            found.append(torch.autograd.grad(found[-1].sum(), step, create_graph=True)[0][..., 0])
        return torch.stack(found).flatten().detach()

    assert torch.allclose(derivatives(-1e-9), derivatives(1e-9), rtol=1e-5, atol=1e-5)
