"""Collocation points: where they lie, how evenly, and that the generator alone decides."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree
from scipy.stats import chi2

from compiler.geometry.domain import Geometry
from pdespec import boundary, inner, outer, rectangle, rest, side
from tests.compiler.shapes import BALL, HOLLOW, LINE, PLANE, RADIUS, lengths, x, y
from tests.compiler.test_geometry import D, geometry, of

from .problems import seed


def evenly(counts: np.ndarray, expected: np.ndarray) -> bool:
    """Whether counts may come from the expected shares: chi-square, at the 0.1 % level."""
    expected = expected / expected.sum() * counts.sum()
    keep = expected > 5
    statistic = ((counts - expected)[keep] ** 2 / expected[keep]).sum()
    return statistic < chi2.ppf(0.999, keep.sum() - 1)


def cells(points: np.ndarray, edges: list[np.ndarray]) -> np.ndarray:
    return np.histogramdd(points, bins=edges)[0].ravel()


@pytest.mark.parametrize("name", PLANE)
def test_interior_points_are_uniform_in_area(name):
    truth, shape = PLANE[name], geometry(PLANE[name])
    points = shape.interior(4000, seed(1), sobol=False)
    assert points.shape == (2, 4000, 2) and shape.contains(points).all()
    for i, numbers in enumerate(truth.samples):
        loop = np.concatenate(truth.loops(numbers))
        lower, upper = loop.min(0), loop.max(0)
        edges = [np.linspace(low, high, 9) for low, high in zip(lower, upper, strict=True)]
        fine = lower + (upper - lower) * (
            np.stack(np.meshgrid(*[np.arange(160) + 0.5] * 2), -1).reshape(-1, 2) / 160
        )
        area = cells(fine[truth.contains(fine, numbers)], edges)
        assert evenly(cells(points[i].numpy(), edges), area)


@pytest.mark.parametrize("name", PLANE)
def test_boundary_points_are_uniform_in_arc_length(name):
    truth, shape = PLANE[name], geometry(PLANE[name])
    points, _ = shape.boundary(boundary(truth.domain), 4000, seed(2), sobol=False)
    for i, numbers in enumerate(truth.samples):
        loops = truth.loops(numbers)
        dense = np.concatenate(loops)
        steps = np.concatenate([lengths(loop) for loop in loops])
        # jumps of a polyline from one curve to the next
        steps = np.where(steps > 20 * np.median(steps), 0, steps)
        bins = np.arange(len(dense)) * 40 // len(dense)
        nearest = cKDTree(dense).query(points[i].numpy())[1]
        assert evenly(
            np.bincount(bins[nearest], minlength=40), np.bincount(bins, weights=steps, minlength=40)
        )


def test_points_of_a_ball_a_box_and_their_difference_are_uniform():
    ball = of(BALL).interior(8000, seed(), sobol=False)
    r = torch.tensor(RADIUS["r"])
    centre = torch.stack([0 * r, r, 0 * r + 1], -1)
    offset = (ball - centre[:, None]) / r[:, None, None]
    assert evenly(np.histogram(offset.norm(dim=-1)[0] ** 3, bins=20, range=(0, 1))[0], np.ones(20))
    heights = np.linspace(-1, 1, 21)
    # sections of area pi (1 - z^2)
    assert evenly(np.histogram(offset[1, :, 2], bins=heights)[0], np.diff(heights - heights**3 / 3))
    surface, normals = of(BALL).boundary(boundary(BALL), 4000, seed(), sobol=False)
    # Archimedes
    assert evenly(np.histogram(normals[0, :, 0], bins=20, range=(-1, 1))[0], np.ones(20))
    assert torch.allclose(surface, centre[:, None] + r[:, None, None] * normals)
    hollow = of(HOLLOW)
    assert hollow.contains(hollow.interior(500, seed())).all()
    points, _ = hollow.boundary(boundary(HOLLOW), 20_000, seed(), sobol=False)
    on_ball = ((points - torch.tensor([1, 0.5, 0.5])).norm(dim=-1) - r[:, None]).abs() < 1e-9
    share = 2 * np.pi * r**2 / (2 * np.pi * r**2 + 6 - np.pi * r**2)
    assert torch.allclose(on_ball.double().mean(-1), share, atol=0.01)


def test_points_of_an_interval_and_its_ends():
    line = of(LINE)
    points = line.interior(64, seed())
    assert ((points[..., 0] > -torch.tensor(RADIUS["r"])[:, None]) & (points[..., 0] < 2)).all()
    ends, normals = line.boundary(boundary(LINE), 10, seed())
    assert set(ends[0].flatten().tolist()) == {-RADIUS["r"][0], 2.0}
    assert torch.equal(normals.sign(), torch.where(ends == 2, 1.0, -1.0).to(D))


def test_named_boundaries_part_the_whole():
    shape = geometry(PLANE["pores"])
    bottom, holes = side(shape.domain, y=0), inner(shape.domain)
    others = rest(shape.domain, bottom, holes)
    total = sum(shape.measure(part) for part in (bottom, holes, others))
    assert torch.allclose(total, shape.measure(boundary(shape.domain)))
    assert (shape.boundary(bottom, 50, seed())[0][..., 1] == 0).all()
    on_holes, normals = shape.boundary(holes, 50, seed())
    centre = (on_holes * 4).round() / 4
    # out of the body: into the pore
    assert torch.allclose(
        -normals, (on_holes - centre) / (on_holes - centre).norm(dim=-1, keepdim=True)
    )
    assert (shape.boundary(others, 200, seed())[0][..., 1] > 0).all()
    assert torch.allclose(
        shape.measure(outer(shape.domain)), shape.measure(bottom) + shape.measure(others)
    )
    union = geometry(PLANE["union"])
    part = boundary(union.domain, union.domain.shape.b)
    assert torch.allclose(union.measure(part), 3 * np.pi * torch.tensor(RADIUS["r"]), rtol=1e-9)


def test_sobol_points_estimate_a_mean_better_than_independent_ones():
    shape = geometry(PLANE["star"])
    fine = shape.interior(200_000, seed(9)).square().sum(-1).mean(-1)
    errors = {}
    for sobol in (True, False):
        means = torch.stack(
            [shape.interior(512, seed(k), sobol).square().sum(-1).mean(-1) for k in range(20)]
        )
        errors[sobol] = (means - fine).square().mean().sqrt()
    assert errors[True] < errors[False] / 5


def test_the_generator_alone_decides():
    shape = geometry(PLANE["pores"])
    torch.manual_seed(0)
    first = [
        *shape.boundary(boundary(shape.domain), 20, seed(3)),
        shape.interior(20, seed(3)),
        shape.interior(20, seed(3), sobol=False),
    ]
    torch.manual_seed(1)
    before = torch.get_rng_state()
    second = [
        *shape.boundary(boundary(shape.domain), 20, seed(3)),
        shape.interior(20, seed(3)),
        shape.interior(20, seed(3), sobol=False),
    ]
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    assert torch.equal(before, torch.get_rng_state())
    generator = seed(3)
    fresh = [shape.interior(20, generator) for _ in range(2)]
    assert not torch.equal(*fresh)
    square = Geometry(rectangle(x, y), {}, 2).interior(20, generator)
    assert not torch.equal(square[0], square[1])  # samples have points of their own


def test_fresh_points_differ_in_shape_parameters_only_by_the_map():
    """The same generator gives the same points of the unit square: differences in the shape move
    them smoothly."""
    domain = PLANE["star"].domain
    shapes = [
        Geometry(domain, {"c1": torch.tensor([c]), "c2": torch.tensor([0.1])}, 1)
        for c in (0.1, 0.1001)
    ]
    a, b = (shape.interior(50, seed(4)) for shape in shapes)
    assert 0 < (a - b).abs().max() < 1e-3
