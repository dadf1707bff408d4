"""The spine's problem on stars, against a manufactured solution: orders of P1, P2 and P3 on
curved domains."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

from compiler import solve
from pdespec import (
    Problem,
    boundary,
    div,
    fourier,
    gaussians,
    grad,
    input_function,
    on,
    param,
    space,
    star,
    uniform,
    unknown,
)

from .cases import GivenBatch, closed_form, errors, orders

SHAPES = {
    "c1": torch.tensor([0.1, -0.2], dtype=torch.float64),
    "c2": torch.tensor([0.15, 0.2], dtype=torch.float64),
}


def stars() -> Problem:
    x, y = space("x y")
    c1, c2 = param("c1", uniform(-0.2, 0.2)), param("c2", uniform(-0.2, 0.2))
    omega = star(x, y, radius=lambda theta: 1 + c1 * sp.cos(4 * theta) + c2 * sp.cos(8 * theta))
    gamma = boundary(omega)
    u, f = unknown("u", omega), input_function("f", omega, gaussians(count=2))
    g = input_function("g", gamma, fourier(modes=2, amplitude=0.25))
    return Problem(
        "stars", {"balance": sp.Eq(div((1 + u**2 / 10) * grad(u)), f)}, [on(gamma, sp.Eq(u, g))]
    )


def manufactured() -> tuple[GivenBatch, object]:
    x, y = sp.symbols("x y", real=True)
    u = sp.sin(2 * x) * sp.exp(y) + x**2
    flux = [(1 + u**2 / 10) * sp.diff(u, v) for v in (x, y)]
    f = sp.diff(flux[0], x) + sp.diff(flux[1], y)
    exact = closed_form(u, (x, y))
    return GivenBatch(2, SHAPES, {"f": closed_form(f, (x, y)), "g": exact}), exact


def star_points(count: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    theta, share = (
        2 * torch.pi * torch.rand(2, count, generator=generator, dtype=torch.float64),
        torch.rand(2, count, generator=generator),
    )
    radius = (
        1
        + SHAPES["c1"][:, None] * torch.cos(4 * theta)
        + SHAPES["c2"][:, None] * torch.cos(8 * theta)
    )
    return (
        torch.stack((theta.cos(), theta.sin()), dim=-1)
        * (share.double().sqrt() * radius)[..., None]
    )


@pytest.mark.parametrize(
    ("degree", "resolutions"), [(1, (16, 24, 36)), (2, (16, 24, 36)), (3, (12, 18, 27))]
)
def test_the_error_falls_with_the_elements_order_on_a_curved_domain(degree, resolutions):
    batch, exact = manufactured()
    found = errors(stars(), batch, exact, star_points(800), resolutions, degree=degree)
    assert orders(found, resolutions)[0] > degree + 0.75


def test_p2_at_the_default_resolution_is_accurate_to_four_digits():
    batch, exact = manufactured()
    points = star_points(800)
    truth = solve(stars(), batch)
    relative = (truth(points) - exact(points)).norm() / exact(points).norm()
    assert relative < 1e-4
    assert truth.seconds > 0
    assert truth.energy is None


def test_the_answer_is_float64_with_the_batchs_shape_and_nan_far_outside():
    batch, _ = manufactured()
    far = torch.tensor([[[0.0, 0.0], [3.0, 3.0]]] * 2)
    values = solve(stars(), batch, resolution=8)(far)
    assert values.dtype == torch.float64
    assert values.shape == (2, 2, 1)
    assert torch.isfinite(values[:, 0]).all()
    assert torch.isnan(values[:, 1]).all()


def test_points_of_another_batch_size_are_refused():
    batch, _ = manufactured()
    with pytest.raises(ValueError, match="2 samples"):
        solve(stars(), batch, resolution=4)(torch.zeros(1, 5, 2))


def test_samples_do_not_influence_each_other():
    batch, _ = manufactured()
    second = GivenBatch(
        1, {name: value[1:] for name, value in batch.params.items()}, batch.functions
    )
    points = star_points(50)
    both, alone = (
        solve(stars(), batch, resolution=10)(points),
        solve(stars(), second, resolution=10)(points[1:]),
    )
    assert np.array_equal(both[1], alone[0])


def test_a_batch_on_another_device_is_brought_to_the_processor():
    targets = []

    class Recorded(GivenBatch):
        def to(self, *target):
            targets.append(target)
            return super().to(*target)

    batch, _ = manufactured()
    solve(stars(), Recorded(2, batch.params, batch.functions), resolution=8)
    assert targets == [("cpu", torch.float64)]
