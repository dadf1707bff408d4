"""Grids are recognised in points, and nothing else is."""

from __future__ import annotations

import pytest
import torch

from compiler.derivatives import Axes, GriddedPoints, ScatteredPoints, recognise

from .oracles import cloud, mesh


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(7,), (5, 9), (9, 5), (4, 1, 6), (2, 3, 4, 5)])
def test_a_uniform_grid_in_c_order_is_recognised_with_its_shape_and_spacing(shape, dtype):
    axes = [torch.linspace(0.3 * k, 1.7 + k, n, dtype=dtype) for k, n in enumerate(shape)]
    grid = recognise(mesh(*axes, batch=3))
    assert isinstance(grid, GriddedPoints)
    assert grid.shape == shape
    assert grid.spacing == pytest.approx(
        [float(a[-1] - a[0]) / max(len(a) - 1, 1) for a in axes], rel=1e-6
    )
    assert grid.origin == pytest.approx([float(a[0]) for a in axes])


def test_a_fine_grid_far_from_the_origin_is_recognised_in_float64():
    grid = recognise(
        mesh(
            1000 + 1e-4 * torch.arange(50, dtype=torch.float64),
            torch.linspace(0, 1, 4, dtype=torch.float64),
        )
    )
    assert isinstance(grid, GriddedPoints)
    assert grid.spacing[0] == pytest.approx(1e-4)


def test_scattered_points_are_no_grid():
    points = cloud(64, 2)
    assert recognise(points) == ScatteredPoints(
        64, tuple((points[0].amax(0) - points[0].amin(0)).tolist()), ("x", "y"), torch.float64
    )


def test_a_grid_with_one_point_moved_is_no_grid():
    points = mesh(torch.linspace(0, 1, 8), torch.linspace(0, 1, 8))
    points[0, 13, 1] += 1e-3
    assert isinstance(recognise(points), ScatteredPoints)


def test_a_grid_in_another_order_is_no_grid():
    points = mesh(torch.linspace(0, 1, 6), torch.linspace(0, 1, 8))
    assert isinstance(
        recognise(points[:, torch.randperm(48, generator=torch.Generator().manual_seed(0))]),
        ScatteredPoints,
    )
    assert isinstance(recognise(points.flip(1)), ScatteredPoints)


def test_samples_on_different_grids_are_no_grid():
    points = mesh(torch.linspace(0, 1, 6), torch.linspace(0, 1, 8), batch=2)
    points[1] *= 2
    assert isinstance(recognise(points), ScatteredPoints)


def test_a_graded_axis_is_no_grid():
    assert isinstance(
        recognise(mesh(torch.linspace(0, 1, 9) ** 2, torch.linspace(0, 1, 9))), ScatteredPoints
    )


def test_periods_and_names_are_kept_and_counted():
    grid = recognise(
        mesh(torch.arange(8) / 8.0, torch.linspace(0, 2, 5)), Axes((1.0, None), ("x", "t"))
    )
    assert (grid.periodic, grid.extent, grid.names) == ((True, False), (1.0, 2.0), ("x", "t"))
    with pytest.raises(ValueError, match="2 coordinates, but period has 1"):
        recognise(mesh(torch.linspace(0, 1, 4), torch.linspace(0, 1, 4)), Axes((1.0,)))
