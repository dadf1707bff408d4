"""What is drawn, against the formulas and moments of the laws."""

from __future__ import annotations

import math

import numpy as np
import pytest
import sympy as sp
import torch
from scipy.stats import kstest
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from compiler.chance import Chance
from compiler.data.distributions import Constants, GaussianSum, Place, draw_functions, draw_numbers
from compiler.data.samples import draw
from compiler.geometry.domain import Geometry
from pdespec import (
    Problem,
    ProblemError,
    ball,
    boundary,
    box,
    disk,
    dt,
    fourier,
    gaussians,
    grf,
    input_function,
    interval,
    lap,
    loguniform,
    normal,
    param,
    periodic,
    rectangle,
    space,
    star,
    uniform,
    unknown,
)
from pdespec import time as time_axis
from pdespec.laws import truncated_support

from .problems import seed

D = torch.float64
x, y = space("x y")
(s,) = space("s")


def place(domain, size: int, on_boundary: bool = False) -> Place:
    geometry = Geometry(domain, {}, size, D)
    lower, upper = (tuple(each.tolist()) for each in geometry.box())
    return Place(
        geometry,
        lower,
        upper,
        tuple(c.name in domain.periodic for c in domain.coordinates),
        on_boundary,
    )


def drawn(law, components: int, where: Place):
    return draw_functions(law, components, where, Chance(seed(), where.geometry.size))


def laplacian(function, points: torch.Tensor) -> torch.Tensor:
    points = points.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(points).sum(), points, create_graph=True)
    return sum(
        torch.autograd.grad(gradient[..., i].sum(), points, retain_graph=True)[0][..., i]
        for i in range(points.shape[-1])
    )


@pytest.mark.parametrize(
    "law, cdf",
    [
        (uniform(-0.2, 0.3), lambda v: np.clip((v + 0.2) / 0.5, 0, 1)),
        (loguniform(0.01, 10), lambda v: np.clip(np.log(v / 0.01) / math.log(1000), 0, 1)),
        (
            normal(2, 0.5),
            lambda v: 0.5 * (1 + np.vectorize(math.erf)((v - 2) / 0.5 / math.sqrt(2))),
        ),
    ],
)
def test_numbers_follow_their_law(law, cdf):
    values = draw_numbers(law, (), Chance(seed(), 4000))
    assert values.dtype == D and kstest(values.numpy(), cdf).pvalue > 1e-3
    low, high = truncated_support(law)
    assert ((values >= low) & (values <= high)).double().mean() > 0.999
    assert kstest(values.numpy() + 0.1, cdf).pvalue < 1e-3


def test_numbers_of_a_seed_are_constants_of_a_traced_program():
    def shifted(points):
        chance = Chance(seed(), 3)
        return points + chance.uniform(2) + chance.seed() + chance.permutation(5)[0]

    points = torch.zeros(3, 2, dtype=D)
    program = make_fx(shifted)(points)
    assert not any("rand" in str(node.target) for node in program.graph.nodes)
    assert program(points).min() > 0
    assert torch.equal(program(points + 1), shifted(points + 1))
    with FakeTensorMode():
        assert type(torch.zeros(2)) is FakeTensor
        assert type(Chance(seed(), 3).normal(2)) is torch.Tensor


def standardised(function, low, high) -> torch.Tensor:
    """Centres in the frame of a box."""
    low, high = (torch.tensor(each, dtype=D) for each in (low, high))
    return (function.mu - (low + high) / 2) / ((high - low) / 2)


@pytest.mark.parametrize(
    "domain, low, high, width",
    [
        (rectangle(x, y, (1e7, 0), (1e7 + 4, 1)), (1e7, 0), (1e7 + 4, 1), 0.5),
        (disk(x, y, radius=1e-9, center=(0, 1e-9)), (-1e-9, 0), (1e-9, 2e-9), 1e-9),
        (interval(s, 2, 6), (2,), (6,), 2),
    ],
)
def test_gaussians_fit_their_domain_wherever_and_however_large_it_is(domain, low, high, width):
    function = drawn(gaussians(count=3, spread=1), 1, place(domain, 400))
    assert kstest(standardised(function, low, high).flatten().numpy(), "norm").pvalue > 1e-3
    assert function.widths == pytest.approx([width] * len(low))


def test_gaussians_have_their_centres_inside_of_each_domain_and_of_the_time():
    c, t = param("c", uniform(0.5, 2)), time_axis("t", 10, 30)
    omega = star(x, y, radius=lambda theta: c + c * sp.cos(4 * theta) / 5)
    u, f = unknown("u", omega, time=t), input_function("f", omega, gaussians(count=2), time=t)
    drawn = draw(Problem("bumps", {"heat": (dt(u), f)}), 300, seed())
    centres = drawn.functions["f"].mu[:, 0]
    assert drawn.geometry["Omega"].contains(centres[..., :2]).all()
    assert kstest(centres[..., 2].flatten().numpy(), "uniform", (10, 20)).pvalue > 1e-3
    # of a disk uniform, of this star nearly so
    square = centres[..., :2].square().sum(-1) / drawn.params["c"][:, None] ** 2
    assert 0.45 < float(square.mean()) < 0.65


def test_gaussians_on_a_star_are_those_of_the_paper():
    c = param("c", uniform(-0.2, 0.2))
    omega = star(x, y, radius=lambda theta: 1 + c * sp.cos(4 * theta))
    u, f = unknown("u", omega), input_function("f", omega, gaussians(count=2, spread=1))
    function = draw(Problem("paper", {"balance": (lap(u), f)}), 300, seed()).functions["f"]
    assert kstest(
        function.mu.flatten().numpy(), "norm"
    ).pvalue > 1e-3 and function.widths == pytest.approx((1, 1))


def test_gaussians_in_time_have_the_interval_of_time_as_their_frame():
    t = time_axis("t", 10, 30)
    line = interval(s, 0, 1)
    u, q = (
        unknown("u", line, time=t),
        input_function("q", line, gaussians(count=3, width=0.5, spread=1), time=t),
    )
    function = draw(Problem("moving", {"heat": (dt(u), q)}), 400, seed()).functions["q"]
    assert kstest(standardised(function, (0, 10), (1, 30)).flatten().numpy(), "norm").pvalue > 1e-3
    assert function.widths == pytest.approx((0.25, 5))


def test_gaussians_are_the_stated_sum_of_standard_normal_weights_and_centres():
    function = drawn(gaussians(count=2, width=0.7, spread=1), 3, place(rectangle(x, y), 500))
    assert function.beta.shape == (500, 3, 2) and function.mu.shape == (500, 3, 2, 2)
    centres = standardised(function, (0, 0), (1, 1))
    assert (
        kstest(function.beta.flatten().numpy(), "norm").pvalue > 1e-3
        and kstest(centres.flatten().numpy(), "norm").pvalue > 1e-3
    )
    points = torch.rand(500, 7, 2, dtype=D, generator=seed(1))
    values = function(points)
    i, n, c = 123, 4, 2
    by_hand = sum(
        function.beta[i, c, m].item()
        * math.exp(
            -sum((points[i, n, a] - function.mu[i, c, m, a]).item() ** 2 for a in range(2))
            / 0.35**2
        )
        for m in range(2)
    )
    assert values[i, n, c].item() == pytest.approx(by_hand, rel=1e-12)


def test_fourier_is_the_stated_series_of_the_polar_angle():
    domain = star(x, y, radius=lambda theta: 1, center=(1, 2))
    where = place(domain, 400, True)
    function = drawn(fourier(modes=2, amplitude=0.25), 1, where)
    b = function.coefficients[:, 0]
    assert b.shape == (400, 5) and kstest(b.flatten().numpy(), "uniform", (-1, 2)).pvalue > 1e-3
    points, _ = where.geometry.boundary(boundary(domain), 9, seed(1))
    angle = torch.atan2(points[..., 1] - 2, points[..., 0] - 1)
    series = b[:, :1] + 0.25 * (
        b[:, 1:2] * angle.cos()
        + b[:, 2:3] * angle.sin()
        + b[:, 3:4] * (2 * angle).cos()
        + b[:, 4:] * (2 * angle).sin()
    )
    assert torch.allclose(function(points)[..., 0], series)
    assert torch.allclose(function.extend(points, where.geometry)[..., 0], series)


def test_fourier_continues_harmonically_into_a_disk_and_smoothly_into_a_star():
    domain = disk(x, y, radius=1.5, center=(0.2, 0))
    where = place(domain, 5, True)
    function = drawn(fourier(modes=4, amplitude=1), 2, where)
    points = where.geometry.interior(50, seed(1))
    value = laplacian(lambda p: function.extend(p, where.geometry), points)
    assert value.abs().max() < 1e-9
    theta_star = star(x, y, radius=lambda theta: 1 + 0.2 * sp.cos(4 * theta))
    wavy = place(theta_star, 5, True)
    function = drawn(fourier(modes=2, amplitude=1), 1, wavy)
    ring = 1e-3 * torch.tensor(
        [[math.cos(a), math.sin(a)] for a in np.linspace(0, 6, 12)], dtype=D
    ).expand(5, -1, -1)
    near = laplacian(lambda p: function.extend(p, wavy.geometry), ring)
    assert near.abs().max() < 1e-3  # harmonic to leading order at the centre: no kink
    plain = laplacian(lambda p: function(p), ring)
    assert plain.abs().max() > 1e3  # as the angle alone would have


def test_fourier_on_an_interval_is_periodic_over_it():
    domain = interval(s, 1, 3)
    function = drawn(fourier(modes=3, amplitude=2), 1, place(domain, 4))
    ends = torch.tensor([[[1.0], [3.0]]], dtype=D).expand(4, -1, -1)
    values = function(ends)[..., 0]
    assert torch.allclose(values[:, 0], values[:, 1]) and not torch.allclose(
        values[0, 0], values[1, 0]
    )
    b = function.coefficients[:, 0]
    # theta = pi / 2
    assert torch.allclose(
        function(ends * 0 + 1.5)[:, 0, 0], b[:, 0] + 2 * (b[:, 2] - b[:, 3] - b[:, 6])
    )


def test_fourier_in_space_is_refused():
    a, b, c = space("a b c")
    with pytest.raises(ProblemError, match="one angle"):
        drawn(fourier(), 1, place(ball(a, b, c), 2))


def test_grf_of_burgers_has_the_spectrum_of_the_data_set():
    """lambda_k = 625^2 (4 pi^2 k^2 + 25)^-4: u0 = sum sqrt(2 lambda_k) (xi cos 2 pi k x + eta
    sin 2 pi k x), rms 0.2143, mean zero."""
    line = periodic(interval(s, 0, 1))
    function = drawn(grf(sigma=625, tau=5, alpha=4), 1, place(line, 6000))
    grid = (torch.arange(128, dtype=D) / 128)[None, :, None].expand(6000, -1, -1)
    values = function(grid)[..., 0]
    assert values.square().mean().sqrt().item() == pytest.approx(0.2143, rel=0.02)
    assert values.mean(-1).abs().max() < 1e-12
    power = (torch.fft.rfft(values) / 128).abs().square().mean(0)  # E |u_k|^2 = lambda_k
    k = torch.arange(1, 8, dtype=D)
    assert torch.allclose(power[1:8], 390625 * (4 * math.pi**2 * k**2 + 25) ** -4, rtol=0.12)
    assert torch.allclose(function(grid + 1), function(grid), atol=1e-9)
    assert (
        (drawn(grf(sigma=625, tau=5, alpha=2), 1, place(line, 9)).coefficients.shape[-1])
        > function.coefficients.shape[-1]
    )


def test_grf_on_a_periodic_rectangle_has_the_variance_of_its_eigenvalues():
    domain = periodic(rectangle(x, y, (0, 1), (2, 4)), x, y)
    function = drawn(grf(sigma=3, tau=4, alpha=3), 2, place(domain, 2000))
    values = function(torch.tensor([[[0.3, 1.7], [1.9, 3.2]]], dtype=D).expand(2000, -1, -1))
    orders = np.arange(-60, 61)
    wave = (2 * math.pi * orders[:, None] / 2) ** 2 + (2 * math.pi * orders[None] / 3) ** 2
    eigenvalues = 9 * (wave + 16) ** -3
    eigenvalues[60, 60] = 0
    # |e_k|^2 = 1 / area
    assert values.var(0).mean().item() == pytest.approx(eigenvalues.sum() / 6, rel=0.05)
    # components are independent
    assert np.corrcoef(values[:, 0, 0], values[:, 0, 1])[0, 1] == pytest.approx(0, abs=0.08)
    shifted = function(torch.tensor([[[2.3, 4.7], [-0.1, 0.2]]], dtype=D).expand(2000, -1, -1))
    assert torch.allclose(values, shifted, atol=1e-9)


def test_grf_by_length_has_the_squared_exponential_covariance():
    domain = periodic(rectangle(x, y, (0, 0), (2 * math.pi, 2 * math.pi)), x, y)
    function = drawn(grf(sigma=2, length=0.5), 1, place(domain, 6000))
    base = torch.tensor([1.0, 2.0], dtype=D)
    lags = torch.tensor([[0, 0], [0.3, 0], [0, 0.5], [0.6, 0.6]], dtype=D)
    values = function((base + lags)[None].expand(6000, -1, -1))[..., 0]
    covariance = (values * values[:, :1]).mean(0)
    assert torch.allclose(covariance, 4 * (-lags.square().sum(-1) / 0.5).exp(), atol=0.2)


def covariance_of(function, points: torch.Tensor) -> torch.Tensor:
    """The ensemble covariance at points "n d", and six standard deviations of its estimate: the
    draws are normal, and the seed is fixed."""
    values = function(points[None].expand(len(function.coefficients), -1, -1))[..., 0]
    found = values.T @ values / len(values)
    return found, 6 * (
        (found.square() + found.diagonal()[:, None] * found.diagonal()) / len(values)
    ).sqrt()


@pytest.mark.parametrize("dimension", [1, 2, 3])
@pytest.mark.parametrize("length", [0.15, 0.6])
def test_grf_by_length_has_the_declared_covariance_at_corners_edges_and_in_the_middle(
    dimension, length
):
    a, b, c = space("a b c")
    domain = [
        interval(s, -1, 1),
        rectangle(x, y, (-1, -1), (1, 1)),
        box(a, b, c, (-1, -1, -1), (1, 1, 1)),
    ][dimension - 1]
    function = drawn(
        grf(sigma=3, length=2 * length), 1, place(domain, 1500 if dimension < 3 else 400)
    )
    corner, edge, middle = (
        -torch.ones(dimension, dtype=D),
        torch.zeros(dimension, dtype=D),
        torch.zeros(dimension, dtype=D),
    )
    edge[0] = 1
    near = [corner + length * torch.eye(dimension, dtype=D)[-1], middle + length]
    points = torch.stack([corner, -corner, edge, middle, *near])
    found, bound = covariance_of(function, points)
    stated = 9 * (-torch.cdist(points, points).square() / (2 * (2 * length) ** 2)).exp()
    assert ((found - stated).abs() < bound).all()


def test_grf_by_length_has_the_declared_variance_at_both_ends_of_time():
    t = time_axis("t", 0, 2)
    line = interval(s, 0, 1)
    u, q = unknown("u", line, time=t), input_function("q", line, grf(length=0.4), time=t)
    function = draw(Problem("moving", {"heat": (dt(u), q)}), 1500, seed()).functions["q"]
    points = torch.tensor([[0, 0], [1, 2], [0.5, 0], [0.5, 1], [0.5, 1.3]], dtype=D)
    found, bound = covariance_of(function, points)
    assert ((found - (-torch.cdist(points, points).square() / 0.32).exp()).abs() < bound).all()


def test_grf_of_a_length_too_short_for_its_modes_keeps_its_variance():
    function = drawn(grf(sigma=2, length=1e-3), 1, place(rectangle(x, y), 300))
    found, bound = covariance_of(function, torch.tensor([[0, 0], [0.5, 0.5]], dtype=D))
    assert ((found - 4 * torch.eye(2, dtype=D)).abs() < bound).all()


def test_grf_of_a_covariance_operator_has_the_variance_of_zero_normal_derivatives():
    """sum_k lambda_k e_k(x)^2 over the cosines: four times as large in a corner as far inside,
    for short correlations."""
    function = drawn(grf(sigma=3, tau=30, alpha=3), 1, place(rectangle(x, y), 1500))
    points = torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.5, 0.5], [0.1, 0.9]], dtype=D)
    found, bound = covariance_of(function, points)
    k = np.arange(60)
    norms = np.where(k == 0, 1, 2**0.5)
    x_modes, y_modes = (norms * np.cos(np.pi * k * points[:, [axis]].numpy()) for axis in range(2))
    eigenvalues = 9 * (np.pi**2 * (k[:, None] ** 2 + k[None] ** 2) + 900) ** -3.0
    eigenvalues[0, 0] = 0
    stated = np.einsum("nk,nl,kl,mk,ml->nm", x_modes, y_modes, eigenvalues, x_modes, y_modes)
    assert (np.abs(found.numpy() - stated) < bound.numpy()).all() and stated[0, 0] > 3.5 * stated[
        2, 2
    ]


def test_grf_off_periodic_axes_has_no_normal_derivative():
    domain = periodic(rectangle(x, y), x)
    function = drawn(grf(sigma=10, tau=3, alpha=2.5), 1, place(domain, 3))
    points = (
        torch.tensor([[[0.3, 0.0], [0.7, 1.0], [0.4, 0.5]]], dtype=D)
        .expand(3, -1, -1)
        .clone()
        .requires_grad_()
    )
    (gradient,) = torch.autograd.grad(function(points).sum(), points)
    assert gradient[:, :2, 1].abs().max() < 1e-9 * gradient[:, 2, 1].abs().max()
    edge = torch.tensor([[[0.0, 0.3], [1.0, 0.3]]], dtype=D).expand(3, -1, -1)
    assert torch.allclose(function(edge)[:, 0], function(edge)[:, 1])


def test_functions_are_closed_forms_with_derivatives_of_any_order():
    domain = rectangle(x, y)
    points = torch.rand(2, 5, 2, dtype=D, generator=seed(1))
    h = 1e-4
    for law in (gaussians(), fourier(), grf(sigma=10, tau=3, alpha=3)):
        function = drawn(law, 1, place(domain, 2))
        steps = [h * torch.eye(2, dtype=D)[i] for i in range(2)]
        difference = (
            sum(
                function(points + step) - 2 * function(points) + function(points - step)
                for step in steps
            )
            / h**2
        )
        assert torch.allclose(laplacian(function, points), difference[..., 0], atol=1e-4, rtol=1e-4)


def test_map_selects_samples_and_changes_precision():
    function = drawn(gaussians(), 1, place(rectangle(x, y), 4))
    points = torch.rand(4, 5, 2, dtype=D, generator=seed(1))
    assert torch.equal(function.map(lambda t: t[[2, 0]])(points[[2, 0]]), function(points)[[2, 0]])
    single = function.map(lambda t: t.float())
    assert isinstance(single, GaussianSum) and single(points.float()).dtype == torch.float32
    assert torch.allclose(single(points.float()).double(), function(points), atol=1e-5)


def test_a_law_of_numbers_draws_constant_functions_and_no_other_law_draws_numbers():
    function = drawn(uniform(1, 2), 2, place(rectangle(x, y), 3))
    assert isinstance(function, Constants) and function(torch.zeros(3, 4, 2)).shape == (3, 4, 2)
    with pytest.raises(ProblemError, match="law of functions"):
        draw_numbers(gaussians(), (), Chance(seed(), 3))
