"""Finite differences on grids and by stencils of extra queries."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compiler.derivatives import Axes, FiniteDifference, Form, Request, recognise
from compiler.derivatives.stencils import fornberg
from operators.field import Capabilities
from pdespec.errors import ProblemError

from .oracles import closed_form, cloud, mesh, slope


def wanted(*indices):
    return Request({0: frozenset(indices)})


def code(error) -> str:
    return error.value.diagnostics[0].code


@pytest.mark.parametrize(
    "offsets", [(-1, 0, 1), (0, 1, 2, 3), (-2, -1, 0, 1, 2), (-1, 0, 1, 2, 3, 4)]
)
def test_fornberg_weights_solve_the_moment_equations(offsets):
    for derivative in range(len(offsets)):
        moments = np.vander(offsets, increasing=True).T  # row p: offsets ** p
        right = np.zeros(len(offsets))
        right[derivative] = np.prod(np.arange(1, derivative + 1), dtype=float)
        assert fornberg(offsets, derivative) == pytest.approx(
            np.linalg.solve(moments, right), abs=1e-12
        )


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("index", [(1, 0), (0, 1), (2, 0), (0, 2), (1, 1), (3, 0), (0, 4), (2, 1)])
def test_a_grid_converges_at_the_declared_order_inside_and_at_the_boundary(order, index):
    field = closed_form("x y", "exp(x)*sin(3*y + x)")
    backend = FiniteDifference(order=order)
    spacings, inside, edge = [], [], []
    for n in (21, 31, 41):
        points = mesh(
            torch.linspace(0, 1, n, dtype=torch.float64),
            torch.linspace(0, 1, n, dtype=torch.float64),
        )
        error = (
            backend.evaluate(field, points, wanted(index))[0, index]
            - field.derivative(points, 0, index)
        ).abs()
        core = ((points - 0.5).abs() < 0.26).all(-1)
        spacings.append(1 / (n - 1))
        inside.append(float(error[core].max()))
        edge.append(float(error[~core].max()))
    assert backend.accuracy(index) == order
    assert slope(spacings, inside) == pytest.approx(order, abs=0.2)
    assert slope(spacings, edge) == pytest.approx(order, abs=0.5)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("index", [(1,), (2,), (3,), (4,)])
def test_a_periodic_grid_converges_at_the_declared_order_everywhere(order, index):
    field = closed_form("x", "sin(2*pi*x) + cos(4*pi*x)/4")
    spacings, errors = [], []
    for n in (32, 48, 72):
        points = mesh(torch.arange(n, dtype=torch.float64) / n)
        got = FiniteDifference(order=order).evaluate(
            field, points, wanted(index), recognise(points, Axes((1.0,)))
        )[0, index]
        spacings.append(1 / n)
        errors.append(float((got - field.derivative(points, 0, index)).abs().max()))
    assert slope(spacings, errors) == pytest.approx(order, abs=0.15)


@pytest.mark.parametrize("order", [2, 4])
def test_polynomials_up_to_the_order_are_differentiated_exactly_at_every_point(order):
    field = closed_form("x y", f"(x + 1)**{order} + x*y + y**{order}", "3*x - y")
    points = mesh(
        torch.linspace(-1, 1, 9, dtype=torch.float64), torch.linspace(0, 1, 7, dtype=torch.float64)
    )
    request = Request(
        {c: frozenset({(0, 0), (1, 0), (0, 1), (1, 1), (2, 0), (0, 2)}) for c in (0, 1)}
    )
    for (c, index), value in FiniteDifference(order=order).evaluate(field, points, request).items():
        assert value == pytest.approx(field.derivative(points, c, index), abs=1e-11)


def test_data_that_do_not_repeat_are_never_wrapped():
    field = closed_form("x", "x")
    points = mesh(torch.linspace(0, 1, 11, dtype=torch.float64))
    assert FiniteDifference().evaluate(field, points, wanted((1,)))[0, (1,)] == pytest.approx(
        torch.ones(1, 11), abs=1e-12
    )


def test_a_batch_gives_what_its_samples_give():
    points = mesh(
        torch.linspace(0, 1, 8, dtype=torch.float64),
        torch.linspace(0, 2, 9, dtype=torch.float64),
        batch=3,
    )
    amplitudes = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)[:, None, None]
    shape = closed_form("x y", "exp(x)*sin(y)")
    together = FiniteDifference(order=4).evaluate(
        lambda p: amplitudes[: len(p)] * shape(p), points, wanted((1, 1))
    )[0, (1, 1)]
    for k in range(3):
        alone = FiniteDifference(order=4).evaluate(
            lambda p, a=amplitudes[k]: a * shape(p), points[:1], wanted((1, 1))
        )[0, (1, 1)]
        torch.testing.assert_close(together[k : k + 1], alone)


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("period", [None, 1.2])
def test_gradients_reach_the_values_of_the_field(order, period):
    points = mesh(
        0.2 * torch.arange(6, dtype=torch.float64), torch.linspace(0, 1, 7, dtype=torch.float64)
    )
    layout = recognise(points, Axes((period, None)))
    values = torch.randn(
        1, 42, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    request = Request({0: frozenset({(1, 0), (1, 1)}), 1: frozenset({(0, 2)})})
    backend = FiniteDifference(order=order)
    assert torch.autograd.gradcheck(
        lambda v: tuple(backend.evaluate(lambda p: v, points, request, layout).values()), values
    )


def test_a_stencil_asks_2d_plus_1_points_for_a_laplacian_and_sums_its_parts():
    field = closed_form("x y", "exp(x)*sin(2*y)")
    points = cloud(20, 2)
    request = Request(
        {0: frozenset({(0, 0), (1, 0), (0, 1)})},
        {"lap": Form({(2, 0): 1.0, (0, 2): 1.0}, frozenset({0}))},
    )
    asked = []
    answers = FiniteDifference().evaluate(
        lambda p: asked.append(p.shape[1]) or field(p), points, request
    )
    assert asked == [20 * 5]
    assert FiniteDifference().points_per_query(request) == 5
    laplacian = field.derivative(points, 0, (2, 0)) + field.derivative(points, 0, (0, 2))
    torch.testing.assert_close(answers[0, "lap"], laplacian, rtol=1e-5, atol=1e-5)
    assert set(answers) == {(0, (0, 0)), (0, (1, 0)), (0, (0, 1)), (0, "lap")}


@pytest.mark.parametrize("order", [2, 4])
@pytest.mark.parametrize("index", [(1, 0), (0, 2), (1, 1), (0, 3)])
def test_a_stencil_converges_at_the_declared_order_in_its_step(order, index):
    field = closed_form("x y", "exp(x)*sin(3*y + x)")
    points = cloud(30, 2)
    steps = [0.2, 0.1, 0.05]
    errors = []
    for step in steps:
        got = FiniteDifference(order, step=step).evaluate(field, points, wanted(index))[0, index]
        errors.append(float((got - field.derivative(points, 0, index)).abs().max()))
    assert slope(steps, errors) == pytest.approx(order, abs=0.3)


@pytest.mark.parametrize(
    ("order", "dtype", "relative"),
    [(2, torch.float64, 3e-7), (2, torch.float32, 2e-3), (4, torch.float32, 5e-4)],
)
def test_the_default_step_is_near_the_best_for_the_precision(order, dtype, relative):
    field = closed_form("x y", "exp(x)*sin(2*y)")
    points = cloud(200, 2, dtype=dtype)
    answers = FiniteDifference(order).evaluate(field, points, wanted((1, 0), (0, 2)))
    for (_, index), value in answers.items():
        exact = field.derivative(points, 0, index)
        assert value.dtype == dtype
        assert float((value - exact).abs().max()) < relative * float(exact.abs().max())


def test_a_stencil_is_taken_on_a_grid_where_asked():
    points = mesh(torch.linspace(0, 1, 4, dtype=torch.float64))
    got = FiniteDifference(mode="stencil").evaluate(
        lambda p: torch.exp(3 * p), points, wanted((1,))
    )[0, (1,)]
    torch.testing.assert_close(got, 3 * torch.exp(3 * points[..., 0]), rtol=1e-6, atol=0)


def test_scattered_points_are_refused_in_grid_mode():
    with pytest.raises(ProblemError) as error:
        FiniteDifference(mode="grid").evaluate(lambda p: p, cloud(512, 2), wanted((1, 0)))
    assert code(error) == "P01"
    assert "finite_difference needs a grid, got 512 scattered points" in str(error.value)
    assert "use taylor or least_squares" in str(error.value)


def test_scattered_points_are_refused_for_a_field_that_lives_on_its_grid():
    refused = FiniteDifference().refuse(
        wanted((1, 0)), Capabilities(pointwise=False), recognise(cloud(512, 2))
    )
    assert refused.code == "P01"
    assert "cannot be queried beside the points" in str(refused)


def test_an_axis_with_too_few_points_is_named():
    points = mesh(
        torch.linspace(0, 1, 9, dtype=torch.float64), torch.linspace(0, 1, 3, dtype=torch.float64)
    )
    with pytest.raises(ProblemError) as error:
        FiniteDifference().evaluate(lambda p: p, points, wanted((2, 0), (0, 2)))
    assert code(error) == "P01"
    assert "order 2 needs at least 4 points along y for dyy, got 3" in str(error.value)


def test_a_repeated_end_point_is_refused_instead_of_counted_twice():
    points = mesh(torch.linspace(0, 1, 9, dtype=torch.float64))
    with pytest.raises(ProblemError) as error:
        FiniteDifference().evaluate(
            lambda p: p, points, wanted((1,)), recognise(points, Axes((1.0,)))
        )
    assert code(error) == "P02"
    assert "x = 0 and x = 1, which are the same point" in str(error.value)
    assert "leave out x = 1" in str(error.value)


def test_a_period_that_is_not_the_grids_is_refused():
    points = mesh(torch.arange(8, dtype=torch.float64) / 10)
    with pytest.raises(ProblemError) as error:
        FiniteDifference().evaluate(
            lambda p: p, points, wanted((1,)), recognise(points, Axes((1.0,)))
        )
    assert code(error) == "P02"
    assert "repeat after 0.8, but the period is 1" in str(error.value)


def test_a_step_below_round_off_is_refused_with_the_better_one():
    points = cloud(50, 1, dtype=torch.float32)
    with pytest.raises(ProblemError) as error:
        FiniteDifference(step=1e-5).evaluate(torch.sin, points, wanted((2,)))
    assert code(error) == "P05"
    assert "dxx from values 1e-05 apart along x in float32 has a relative round-off of" in str(
        error.value
    )
    assert "use a spacing of 0.00038 or more, or leave step out" in str(error.value)
    FiniteDifference(step=1e-4).evaluate(torch.sin, points.double(), wanted((2,)))


def test_a_grid_too_fine_for_the_precision_is_refused_with_a_coarser_spacing():
    points = mesh(torch.linspace(0, 1, 5001))
    with pytest.raises(ProblemError) as error:
        FiniteDifference().evaluate(torch.sin, points, wanted((2,)))
    assert code(error) == "P05"
    assert "dxx from values 0.0002 apart along x in float32" in str(error.value)
    assert "evaluate in float64, or use a spacing of" in str(error.value)
    FiniteDifference().evaluate(torch.sin, points.double(), wanted((2,)))


@pytest.mark.parametrize("options", [{"order": 3}, {"order": 0}, {"mode": "grids"}])
def test_options_that_mean_nothing_are_rejected(options):
    with pytest.raises(ValueError, match="finite_difference has"):
        FiniteDifference(**options)
