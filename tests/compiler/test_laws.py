"""What is drawn, against the formulas and moments of the laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy.stats import kstest

from compiler.geometry import Geometry
from compiler.laws import Constants, GaussianSum, Place, draw_functions, draw_numbers, truncated_support
from pdespec import (
    ProblemError,
    ball,
    boundary,
    disk,
    fourier,
    gaussians,
    grf,
    interval,
    loguniform,
    normal,
    periodic,
    rectangle,
    space,
    star,
    uniform,
)

D = torch.float64
x, y = space("x y")
(s,) = space("s")


def seed(number: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(number)


def place(domain, size: int, on_boundary: bool = False) -> Place:
    geometry = Geometry(domain, {}, size, D)
    lower, upper = (tuple(each.tolist()) for each in geometry.box())
    return Place(geometry, lower, upper, tuple(c.name in domain.periodic for c in domain.coordinates), on_boundary)


def laplacian(function, points: torch.Tensor) -> torch.Tensor:
    points = points.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(points).sum(), points, create_graph=True)
    return sum(torch.autograd.grad(gradient[..., i].sum(), points, retain_graph=True)[0][..., i] for i in range(points.shape[-1]))


@pytest.mark.parametrize(
    "law, cdf",
    [
        (uniform(-0.2, 0.3), lambda v: np.clip((v + 0.2) / 0.5, 0, 1)),
        (loguniform(0.01, 10), lambda v: np.clip(np.log(v / 0.01) / math.log(1000), 0, 1)),
        (normal(2, 0.5), lambda v: 0.5 * (1 + np.vectorize(math.erf)((v - 2) / 0.5 / math.sqrt(2)))),
    ],
)
def test_numbers_follow_their_law(law, cdf):
    values = draw_numbers(law, (4000,), seed())
    assert values.dtype == D and kstest(values.numpy(), cdf).pvalue > 1e-3
    low, high = truncated_support(law)
    assert ((values >= low) & (values <= high)).double().mean() > 0.999
    assert kstest(values.numpy() + 0.1, cdf).pvalue < 1e-3


def test_gaussians_are_the_stated_sum_of_standard_normal_weights_and_centres():
    function = draw_functions(gaussians(count=2, width=0.7), 3, place(rectangle(x, y), 500), seed())
    assert function.beta.shape == (500, 3, 2) and function.mu.shape == (500, 3, 2, 2)
    assert kstest(function.beta.flatten().numpy(), "norm").pvalue > 1e-3 and kstest(function.mu.flatten().numpy(), "norm").pvalue > 1e-3
    points = torch.rand(500, 7, 2, dtype=D, generator=seed(1))
    values = function(points)
    i, n, c = 123, 4, 2
    by_hand = sum(
        function.beta[i, c, m].item() * math.exp(-sum((points[i, n, a] - function.mu[i, c, m, a]).item() ** 2 for a in range(2)) / 0.7**2)
        for m in range(2)
    )
    assert values[i, n, c].item() == pytest.approx(by_hand, rel=1e-12)


def test_fourier_is_the_stated_series_of_the_polar_angle():
    domain = star(x, y, radius=lambda theta: 1, center=(1, 2))
    where = place(domain, 400, True)
    function = draw_functions(fourier(modes=2, amplitude=0.25), 1, where, seed())
    b = function.coefficients[:, 0]
    assert b.shape == (400, 5) and kstest(b.flatten().numpy(), "uniform", (-1, 2)).pvalue > 1e-3
    points, _ = where.geometry.boundary(boundary(domain), 9, seed(1))
    angle = torch.atan2(points[..., 1] - 2, points[..., 0] - 1)
    series = b[:, :1] + 0.25 * (
        b[:, 1:2] * angle.cos() + b[:, 2:3] * angle.sin() + b[:, 3:4] * (2 * angle).cos() + b[:, 4:] * (2 * angle).sin()
    )
    assert torch.allclose(function(points)[..., 0], series)
    assert torch.allclose(function.extend(points, where.geometry)[..., 0], series)


def test_fourier_continues_harmonically_into_a_disk_and_smoothly_into_a_star():
    domain = disk(x, y, radius=1.5, center=(0.2, 0))
    where = place(domain, 5, True)
    function = draw_functions(fourier(modes=4, amplitude=1), 2, where, seed())
    points = where.geometry.interior(50, seed(1))
    value = laplacian(lambda p: function.extend(p, where.geometry), points)
    assert value.abs().max() < 1e-9
    theta_star = star(x, y, radius=lambda theta: 1 + 0.2 * sp.cos(4 * theta))
    wavy = place(theta_star, 5, True)
    function = draw_functions(fourier(modes=2, amplitude=1), 1, wavy, seed())
    ring = 1e-3 * torch.tensor([[math.cos(a), math.sin(a)] for a in np.linspace(0, 6, 12)], dtype=D).expand(5, -1, -1)
    near = laplacian(lambda p: function.extend(p, wavy.geometry), ring)
    assert near.abs().max() < 1e-3  # harmonic to leading order at the centre: no kink
    plain = laplacian(lambda p: function(p), ring)
    assert plain.abs().max() > 1e3  # as the angle alone would have


def test_fourier_on_an_interval_is_periodic_over_it():
    domain = interval(s, 1, 3)
    function = draw_functions(fourier(modes=3, amplitude=2), 1, place(domain, 4), seed())
    ends = torch.tensor([[[1.0], [3.0]]], dtype=D).expand(4, -1, -1)
    values = function(ends)[..., 0]
    assert torch.allclose(values[:, 0], values[:, 1]) and not torch.allclose(values[0, 0], values[1, 0])
    b = function.coefficients[:, 0]
    assert torch.allclose(function(ends * 0 + 1.5)[:, 0, 0], b[:, 0] + 2 * (b[:, 2] - b[:, 3] - b[:, 6]))  # theta = pi / 2


def test_fourier_in_space_is_refused():
    a, b, c = space("a b c")
    with pytest.raises(ProblemError, match="one angle"):
        draw_functions(fourier(), 1, place(ball(a, b, c), 2), seed())


def test_grf_of_burgers_has_the_spectrum_of_the_data_set():
    """lambda_k = 625^2 (4 pi^2 k^2 + 25)^-4: u0 = sum sqrt(2 lambda_k) (xi cos 2 pi k x + eta sin 2 pi k x), rms 0.2143, mean zero."""
    line = periodic(interval(s, 0, 1))
    function = draw_functions(grf(sigma=625, tau=5, alpha=4), 1, place(line, 1500), seed())
    grid = (torch.arange(128, dtype=D) / 128)[None, :, None].expand(1500, -1, -1)
    values = function(grid)[..., 0]
    assert values.square().mean().sqrt().item() == pytest.approx(0.2143, rel=0.02)
    assert values.mean(-1).abs().max() < 1e-12
    power = (torch.fft.rfft(values) / 128).abs().square().mean(0)  # E |u_k|^2 = lambda_k
    k = torch.arange(1, 8, dtype=D)
    assert torch.allclose(power[1:8], 390625 * (4 * math.pi**2 * k**2 + 25) ** -4, rtol=0.12)
    assert torch.allclose(function(grid + 1), function(grid), atol=1e-9)
    assert (
        (draw_functions(grf(sigma=625, tau=5, alpha=2), 1, place(line, 9), seed()).coefficients.shape[-1]) > function.coefficients.shape[-1]
    )


def test_grf_on_a_periodic_rectangle_has_the_variance_of_its_eigenvalues():
    domain = periodic(rectangle(x, y, (0, 1), (2, 4)), x, y)
    function = draw_functions(grf(sigma=3, tau=4, alpha=3), 2, place(domain, 2000), seed())
    values = function(torch.tensor([[[0.3, 1.7], [1.9, 3.2]]], dtype=D).expand(2000, -1, -1))
    orders = np.arange(-60, 61)
    wave = (2 * math.pi * orders[:, None] / 2) ** 2 + (2 * math.pi * orders[None] / 3) ** 2
    eigenvalues = 9 * (wave + 16) ** -3
    eigenvalues[60, 60] = 0
    assert values.var(0).mean().item() == pytest.approx(eigenvalues.sum() / 6, rel=0.05)  # |e_k|^2 = 1 / area
    assert np.corrcoef(values[:, 0, 0], values[:, 0, 1])[0, 1] == pytest.approx(0, abs=0.08)  # components are independent
    shifted = function(torch.tensor([[[2.3, 4.7], [-0.1, 0.2]]], dtype=D).expand(2000, -1, -1))
    assert torch.allclose(values, shifted, atol=1e-9)


def test_grf_by_length_has_the_squared_exponential_covariance():
    domain = periodic(rectangle(x, y, (0, 0), (2 * math.pi, 2 * math.pi)), x, y)
    function = draw_functions(grf(sigma=2, length=0.5), 1, place(domain, 6000), seed())
    base = torch.tensor([1.0, 2.0], dtype=D)
    lags = torch.tensor([[0, 0], [0.3, 0], [0, 0.5], [0.6, 0.6]], dtype=D)
    values = function((base + lags)[None].expand(6000, -1, -1))[..., 0]
    covariance = (values * values[:, :1]).mean(0)
    assert torch.allclose(covariance, 4 * (-lags.square().sum(-1) / 0.5).exp(), atol=0.2)


def test_grf_off_periodic_axes_has_no_normal_derivative():
    domain = periodic(rectangle(x, y), x)
    function = draw_functions(grf(sigma=10, tau=3, alpha=2.5), 1, place(domain, 3), seed())
    points = torch.tensor([[[0.3, 0.0], [0.7, 1.0], [0.4, 0.5]]], dtype=D).expand(3, -1, -1).clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(points).sum(), points)
    assert gradient[:, :2, 1].abs().max() < 1e-9 * gradient[:, 2, 1].abs().max()
    edge = torch.tensor([[[0.0, 0.3], [1.0, 0.3]]], dtype=D).expand(3, -1, -1)
    assert torch.allclose(function(edge)[:, 0], function(edge)[:, 1])


def test_functions_are_closed_forms_with_derivatives_of_any_order():
    domain = rectangle(x, y)
    points = torch.rand(2, 5, 2, dtype=D, generator=seed(1))
    h = 1e-4
    for law in (gaussians(), fourier(), grf(sigma=10, tau=3, alpha=3)):
        function = draw_functions(law, 1, place(domain, 2), seed())
        steps = [h * torch.eye(2, dtype=D)[i] for i in range(2)]
        difference = sum(function(points + step) - 2 * function(points) + function(points - step) for step in steps) / h**2
        assert torch.allclose(laplacian(function, points), difference[..., 0], atol=1e-4, rtol=1e-4)


def test_map_selects_samples_and_changes_precision():
    function = draw_functions(gaussians(), 1, place(rectangle(x, y), 4), seed())
    points = torch.rand(4, 5, 2, dtype=D, generator=seed(1))
    assert torch.equal(function.map(lambda t: t[[2, 0]])(points[[2, 0]]), function(points)[[2, 0]])
    single = function.map(lambda t: t.float())
    assert isinstance(single, GaussianSum) and single(points.float()).dtype == torch.float32
    assert torch.allclose(single(points.float()).double(), function(points), atol=1e-5)


def test_a_law_of_numbers_draws_constant_functions_and_no_other_law_draws_numbers():
    function = draw_functions(uniform(1, 2), 2, place(rectangle(x, y), 3), seed())
    assert isinstance(function, Constants) and function(torch.zeros(3, 4, 2)).shape == (3, 4, 2)
    with pytest.raises(ProblemError, match="law of functions"):
        draw_numbers(gaussians(), (3,), seed())
