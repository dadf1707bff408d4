"""Fourier continuation of data that do not repeat."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from compiler.derivatives import Axes, FourierContinuation, Request, recognise
from compiler.derivatives.fourier_continuation import gram, legendre

from .oracles import closed_form, cloud, mesh, refusal, slope


def wanted(*indices):
    return Request({0: frozenset(indices)})


def line(n: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
    return mesh(torch.linspace(0, 1, n, dtype=dtype))


@pytest.mark.parametrize("n", [50, 100, 400])
def test_the_derivative_of_exp_is_right_to_1e_8_up_to_the_ends(n):
    points = line(n)
    got = FourierContinuation().evaluate(torch.exp, points, wanted((1,)))[0, (1,)]
    assert float((got - points[..., 0].exp()).abs().max()) < 1e-8


def test_even_and_odd_lengths_are_differentiated_alike():
    errors = []
    for n in (60, 61):
        points = line(n)
        got = FourierContinuation().evaluate(torch.exp, points, wanted((2,)))[0, (2,)]
        errors.append(float((got - points[..., 0].exp()).abs().max()))
    assert max(errors) < 1e-6


@pytest.mark.parametrize(
    ("kind", "matching", "derivative", "sizes"),
    [
        ("gram", 3, 1, (40, 80, 160)),
        ("gram", 4, 1, (40, 80, 160)),
        ("gram", 5, 1, (20, 30, 45)),
        ("gram", 4, 2, (40, 80, 160)),
        ("gram", 5, 2, (20, 30, 45)),
        ("gram", 5, 3, (20, 30, 45)),
        ("legendre", 3, 1, (200, 400, 800)),
        ("legendre", 4, 1, (100, 200, 400)),
        ("legendre", 4, 2, (200, 400, 800)),
    ],
)
def test_the_error_falls_at_the_declared_order(kind, matching, derivative, sizes):
    backend = FourierContinuation(kind, matching)
    errors = []
    for n in sizes:
        points = line(n)
        got = backend.evaluate(torch.exp, points, wanted((derivative,)))[0, (derivative,)]
        errors.append(float((got - points[..., 0].exp()).abs().max()))
    declared = backend.accuracy((derivative,))
    assert declared == matching - derivative
    assert slope([1 / (n - 1) for n in sizes], errors) == pytest.approx(declared, abs=0.35)


@pytest.mark.parametrize("kind", ["gram", "legendre"])
def test_constants_have_no_derivative(kind):
    points = line(40)
    got = FourierContinuation(kind, 4).evaluate(torch.ones_like, points, wanted((1,)))[0, (1,)]
    assert got.abs().max() < 1e-7


def test_a_legendre_bridge_continues_polynomials_of_its_degree():
    d, gap = 4, 11
    x = np.linspace(-1, 1, 2 * d + gap)
    for power in range(2 * d):
        values = x**power
        bridge = legendre(d, gap) @ np.concatenate([values[:d], values[-d:]])
        np.testing.assert_allclose(bridge, values[d:-d], atol=1e-12)


def test_a_gram_bridge_leaves_an_end_like_the_polynomial_through_it_and_arrives_at_zero():
    d = 5
    x = np.arange(d) - (d - 1.0)
    for power in range(d):
        bridge = gram(d) @ np.concatenate([x**power, np.zeros(d)])
        assert abs(bridge[-1]) < 1e-6 * max(abs(bridge).max(), 1)
        joined = np.concatenate([x**power, bridge[:1]])
        next_difference = np.diff(joined, d)  # vanishes for the polynomial itself
        assert abs(next_difference).max() < 0.2


def test_mixed_derivatives_and_partly_periodic_grids():
    field = closed_form("x y", "sin(2*pi*x)*exp(y) + cos(2*pi*x)*y**3")
    points = mesh(
        torch.arange(16, dtype=torch.float64) / 16, torch.linspace(0, 1, 40, dtype=torch.float64)
    )
    layout = recognise(points, Axes((1.0, None)))
    for index in ((1, 0), (0, 1), (1, 1), (2, 2)):
        got = FourierContinuation().evaluate(field, points, wanted(index), layout)[0, index]
        exact = field.derivative(points, 0, index)
        assert float((got - exact).abs().max()) < 1e-6 * float(exact.abs().max())


def test_the_work_is_in_float64_and_the_answer_in_the_precision_of_the_points():
    points = line(40, torch.float32)
    backend = FourierContinuation(matching=3)
    got = backend.evaluate(lambda p: p.double().exp(), points, wanted((1,)))[0, (1,)]
    assert got.dtype == torch.float32
    exact = backend.evaluate(torch.exp, line(40), wanted((1,)))[0, (1,)]
    assert float((got - exact).abs().max()) < 1e-5


def test_a_batch_gives_what_its_samples_give():
    points = line(30).repeat(3, 1, 1)
    rates = torch.tensor([0.5, 1.0, -1.0], dtype=torch.float64)[:, None, None]
    together = FourierContinuation().evaluate(lambda p: torch.exp(rates * p), points, wanted((1,)))[
        0, (1,)
    ]
    for k in range(3):
        alone = FourierContinuation().evaluate(
            lambda p, k=k: torch.exp(rates[k] * p), points[:1], wanted((1,))
        )[0, (1,)]
        torch.testing.assert_close(together[k : k + 1], alone)


@pytest.mark.parametrize("kind", ["gram", "legendre"])
def test_gradients_reach_the_values_of_the_field(kind):
    points = mesh(
        torch.linspace(0, 1, 7, dtype=torch.float64), torch.linspace(0, 1, 6, dtype=torch.float64)
    )
    values = torch.randn(
        2, 42, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    backend = FourierContinuation(kind, 3)
    points, request = points.repeat(2, 1, 1), wanted((1, 0), (1, 1), (0, 2))
    assert torch.autograd.gradcheck(
        lambda v: tuple(backend.evaluate(lambda p: v, points, request).values()), values
    )


def test_fewer_than_2d_points_along_an_axis_are_refused():
    points = mesh(
        torch.linspace(0, 1, 30, dtype=torch.float64), torch.linspace(0, 1, 11, dtype=torch.float64)
    )
    text = refusal(FourierContinuation(), points, wanted((0, 1)))
    assert text.startswith("P01")
    assert "matches 6 points at each end of y and needs at least 12, got 11" in text


def test_derivatives_beyond_the_matched_polynomials_are_refused():
    text = refusal(FourierContinuation(matching=3), line(30), wanted((3,)))
    assert text.startswith("P01")
    assert "with 3 matched points has no dxxx" in text
    assert "match at least 4 points" in text


def test_scattered_points_are_refused():
    assert refusal(FourierContinuation(), cloud(64, 1), wanted((1,))).startswith(
        "P01 error P01: fourier_continuation needs a grid, got 64"
    )


def test_a_float32_field_whose_round_off_would_show_is_refused():
    text = refusal(FourierContinuation(), line(400, torch.float32), wanted((3,)))
    assert text.startswith("P05")
    assert "evaluate in float64" in text


def test_a_repeated_end_point_of_a_periodic_axis_is_refused():
    assert refusal(FourierContinuation(), line(33), wanted((1,)), (1.0,)).startswith("P02")


@pytest.mark.parametrize("options", [{"kind": "chebyshev"}, {"matching": 1}, {"matching": 12}])
def test_options_that_mean_nothing_are_rejected(options):
    with pytest.raises(ValueError, match="fourier_continuation"):
        FourierContinuation(**options)


def test_waves_inside_are_resolved_beside_the_ends():
    field = closed_form("x", "exp(sin(8*x))")
    points = line(200)
    got = FourierContinuation().evaluate(field, points, wanted((1,)))[0, (1,)]
    inner = points[..., 0].sub(0.5).abs() < 0.4
    assert float((got - field.derivative(points, 0, (1,)))[inner].abs().max()) < 1e-6
    assert math.isfinite(float(got.sum()))
