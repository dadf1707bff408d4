"""Fourier differentiation and its low-pass filter on periodic grids."""

from __future__ import annotations

import itertools
import math

import pytest
import torch

from compiler.derivatives import (
    Axes,
    FiniteDifference,
    Fourier,
    FourierContinuation,
    Request,
    low_pass,
    recognise,
)

from .oracles import closed_form, cloud, mesh, refusal, slope


def wanted(*indices):
    return Request({0: frozenset(indices)})


def periodic(
    n: int, dim: int = 1, dtype: torch.dtype = torch.float64, length: float = 1.0
) -> torch.Tensor:
    return mesh(*[length * torch.arange(n, dtype=dtype) / n] * dim)


@pytest.mark.parametrize("n", [15, 16])
@pytest.mark.parametrize("index", [(1,), (2,), (3,), (4,), (5,)])
def test_every_resolved_wave_is_differentiated_exactly_at_any_order(index, n):
    field = closed_form("x", "sin(2*pi*x) - cos(14*pi*x)/3 + sin(10*pi*x + 1)")
    points = periodic(n)
    got = Fourier().evaluate(field, points, wanted(index), recognise(points, Axes((1.0,))))[
        0, index
    ]
    exact = field.derivative(points, 0, index)
    assert float((got - exact).abs().max()) < 1e-11 * float(exact.abs().max())


@pytest.mark.parametrize("index", [(1, 0, 2), (2, 2, 0), (1, 1, 1)])
def test_mixed_derivatives_are_exact_in_three_dimensions_with_different_lengths(index):
    field = closed_form("x y z", "sin(2*pi*x)*cos(4*pi*y/3)*sin(2*pi*z/5 + 1)")
    points = mesh(
        *[length * torch.arange(8, dtype=torch.float64) / 8 for length in (1.0, 3.0, 5.0)]
    )
    got = Fourier().evaluate(
        field, points, wanted(index), recognise(points, Axes((1.0, 3.0, 5.0)))
    )[0, index]
    assert got == pytest.approx(field.derivative(points, 0, index), abs=1e-10)


def test_the_shortest_wave_of_an_even_grid_has_even_derivatives_and_no_odd_ones():
    points = periodic(8)
    layout = recognise(points, Axes((1.0,)))
    zigzag = torch.cos(8 * math.pi * points)
    answers = Fourier().evaluate(lambda p: zigzag, points, wanted((1,), (2,), (3,)), layout)
    assert answers[0, (1,)].abs().max() < 1e-12
    assert answers[0, (3,)].abs().max() < 1e-9
    torch.testing.assert_close(answers[0, (2,)], -((8 * math.pi) ** 2) * zigzag[..., 0])


def test_smooth_functions_converge_faster_than_any_power():
    field = closed_form("x", "exp(sin(2*pi*x))")
    errors = []
    for n in (8, 16, 32):
        points = periodic(n)
        got = Fourier().evaluate(field, points, wanted((2,)), recognise(points, Axes((1.0,))))[
            0, (2,)
        ]
        errors.append(float((got - field.derivative(points, 0, (2,))).abs().max()))
    assert slope([1 / 8, 1 / 16], errors[:2]) > 6
    assert slope([1 / 16, 1 / 32], errors[1:]) > 20


@pytest.mark.parametrize("dim", [1, 2, 3])
@pytest.mark.parametrize("n", [12, 9])
def test_the_low_pass_keeps_a_wave_just_when_every_wave_number_is_small_enough(dim, n):
    """Plane waves k.x for all k up to n/2: each must come back whole or vanish, in any dimension
    and for either sign of k."""
    keep = 0.5
    points = periodic(n, dim)
    for k in itertools.product((0, 1, 2, 3, 4), repeat=dim):
        for signs in itertools.product((1, -1), repeat=dim):
            phase = (
                2
                * math.pi
                * sum(s * w * x for s, w, x in zip(signs, k, points.unbind(-1), strict=True))
            )
            wave = torch.cos(phase + 0.3).reshape(1, 1, *[n] * dim)
            kept = all(w <= keep * n / 2 for w in k)
            torch.testing.assert_close(
                low_pass(wave, tuple(range(2, 2 + dim)), keep),
                wave if kept else torch.zeros_like(wave),
            )


def test_the_filter_removes_short_waves_from_derivatives_along_every_axis_but_not_from_the_value():
    points = periodic(12, 2)
    layout = recognise(points, Axes((1.0, 1.0)))
    x, y = (2 * math.pi * points).unbind(-1)
    long, short = torch.sin(x) * torch.cos(2 * y), torch.sin(x) * torch.cos(5 * y)
    answers = Fourier(keep=2 / 3).evaluate(
        lambda p: (long + short)[..., None], points, wanted((0, 0), (1, 0)), layout
    )
    torch.testing.assert_close(answers[0, (1, 0)], 2 * math.pi * torch.cos(x) * torch.cos(2 * y))
    torch.testing.assert_close(answers[0, (0, 0)], long + short)


def test_time_is_left_to_another_backend_where_one_is_named():
    field = closed_form("x t", "sin(2*pi*x)*exp(t)")
    points = mesh(
        torch.arange(16, dtype=torch.float64) / 16, torch.linspace(0, 1, 41, dtype=torch.float64)
    )
    layout = recognise(points, Axes((1.0, None), ("x", "t")))
    answers = Fourier(rest=FiniteDifference(order=4)).evaluate(
        field, points, wanted((0, 1), (2, 0), (2, 1)), layout
    )
    assert answers[0, (2, 0)] == pytest.approx(field.derivative(points, 0, (2, 0)), abs=1e-10)
    assert answers[0, (0, 1)] == pytest.approx(field.derivative(points, 0, (0, 1)), abs=1e-6)
    assert answers[0, (2, 1)] == pytest.approx(field.derivative(points, 0, (2, 1)), abs=1e-4)


def test_a_batch_gives_what_its_samples_give_and_float32_stays_float32():
    points = periodic(32, dtype=torch.float32).repeat(3, 1, 1)
    layout = recognise(points, Axes((1.0,)))
    values = torch.cos(2 * math.pi * (points + torch.arange(3)[:, None, None] / 7))
    together = Fourier().evaluate(lambda p: values, points, wanted((1,)), layout)[0, (1,)]
    assert together.dtype == torch.float32
    for k in range(3):
        alone = Fourier().evaluate(
            lambda p, k=k: values[k : k + 1], points[:1], wanted((1,)), layout
        )[0, (1,)]
        torch.testing.assert_close(together[k : k + 1], alone)
    assert together == pytest.approx(
        -2 * math.pi * torch.sin(2 * math.pi * (points[..., 0] + torch.arange(3)[:, None] / 7)),
        abs=2e-4,
    )


def test_the_precision_of_the_field_is_kept_beside_a_rest_that_works_in_float64():
    points = mesh(torch.arange(8) / 8.0, torch.linspace(0, 1, 12))
    backend = Fourier(rest=FourierContinuation(matching=3))
    assert (
        backend.evaluate(torch.sin, points, wanted((0, 1)), recognise(points, Axes((1.0, None))))[
            0, (0, 1)
        ].dtype
        == torch.float32
    )


@pytest.mark.parametrize("keep", [None, 0.6])
def test_gradients_reach_the_values_of_the_field(keep):
    points = periodic(6, 2)
    layout = recognise(points, Axes((1.0, 1.0)))
    values = torch.randn(
        2, 36, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    backend = Fourier(keep=keep)
    request = wanted((1, 0), (1, 1), (0, 2))
    points = points.repeat(2, 1, 1)
    assert torch.autograd.gradcheck(
        lambda v: tuple(backend.evaluate(lambda p: v, points, request, layout).values()), values
    )


def test_an_axis_that_does_not_repeat_is_refused_with_its_sides_and_the_alternatives():
    points = mesh(
        torch.arange(8, dtype=torch.float64) / 8, torch.linspace(0, 2, 9, dtype=torch.float64)
    )
    text = refusal(Fourier(), points, wanted((1, 0), (0, 1)), (1.0, None), ("x", "t"))
    assert text.startswith("P02")
    assert "t is not periodic, the side t = 0 is not that at t = 2" in text
    assert "use fourier_continuation, finite_difference or taylor" in text


def test_an_axis_that_is_not_differentiated_need_not_repeat():
    points = mesh(
        torch.arange(8, dtype=torch.float64) / 8, torch.linspace(0, 2, 9, dtype=torch.float64)
    )
    Fourier().evaluate(
        closed_form("x t", "t*sin(2*pi*x)"),
        points,
        wanted((2, 0)),
        recognise(points, Axes((1.0, None))),
    )


def test_a_repeated_end_point_is_refused():
    points = mesh(torch.linspace(0, 1, 9, dtype=torch.float64))
    assert refusal(Fourier(), points, wanted((1,)), (1.0,)).startswith(
        "P02 error P02: fourier: the grid holds x = 0 and x = 1"
    )


def test_scattered_points_are_refused():
    text = refusal(Fourier(), cloud(64, 2), wanted((1, 0)))
    assert text.startswith("P01")
    assert "fourier needs a periodic grid, got 64 scattered points" in text


def test_high_orders_in_float32_are_refused_unless_short_waves_are_dropped():
    points = periodic(256, dtype=torch.float32)
    text = refusal(Fourier(), points, wanted((4,)), (1.0,))
    assert text.startswith("P05")
    assert "evaluate in float64" in text
    assert "drop the shortest waves with keep" in text
    Fourier(keep=0.1).evaluate(
        closed_form("x", "sin(2*pi*x)"), points, wanted((4,)), recognise(points, Axes((1.0,)))
    )


def test_a_fraction_outside_0_to_1_is_rejected():
    with pytest.raises(ValueError, match="keep=1.5"):
        Fourier(keep=1.5)
