"""Least-squares differences on point clouds."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from compiler.derivatives import LeastSquares, Request, recognise
from pdespec.errors import ProblemError

from .oracles import closed_form, cloud, mesh, slope


def wanted(*indices):
    return Request({0: frozenset(indices)})


FIRST = ((1, 0), (0, 1))
SECOND = ((2, 0), (1, 1), (0, 2))


@pytest.mark.parametrize("degree", [1, 2, 3])
@pytest.mark.parametrize("spacing", [1.0, 1e-4, 1e4])
def test_polynomials_of_the_degree_are_differentiated_exactly_whatever_the_spacing(degree, spacing):
    terms = ["1 + 2*x - 3*y", " + x*y - 2*x**2 + y**2/2", " + x**2*y - y**3"]
    field = closed_form(
        "x y", "".join(terms[:degree]).replace("x", f"(x/{spacing})").replace("y", f"(y/{spacing})")
    )
    points = spacing * (cloud(300, 2) * 17 + 3)
    request = wanted(*FIRST, *(SECOND if degree > 1 else ()), *(((2, 1),) if degree > 2 else ()))
    for (_, index), value in LeastSquares(degree).evaluate(field, points, request).items():
        exact = field.derivative(points, 0, index)
        assert float((value - exact).abs().max()) < 1e-7 * max(
            float(exact.abs().max()), spacing ** -sum(index)
        )


@pytest.mark.parametrize(
    ("dtype", "index", "relative"),
    [(torch.float32, (1, 0), 3e-3), (torch.float64, (1, 0), 1e-6), (torch.float64, (2, 0), 3e-3)],
)
def test_a_cloud_spaced_by_1e_4_far_from_the_origin_is_differentiated(dtype, index, relative):
    field = closed_form("x y", "exp(x)*sin(2*y)")
    points = (0.5 + 1e-4 * 20 * cloud(400, 2)).to(dtype)
    got = LeastSquares(tolerance=1).evaluate(
        lambda p: field(p.double()).to(dtype), points, wanted(index)
    )[0, index]
    exact = field.derivative(points, 0, index)
    assert float(((got - exact) / exact).abs().max()) < relative


@pytest.mark.parametrize(
    ("degree", "index"),
    [
        (1, (1, 0)),
        (2, (1, 0)),
        (2, (0, 1)),
        (2, (2, 0)),
        (2, (1, 1)),
        (3, (1, 0)),
        (3, (0, 2)),
        (3, (2, 1)),
    ],
)
def test_the_error_on_a_cloud_falls_at_the_declared_order_up_to_the_boundary(degree, index):
    field = closed_form("x y", "exp(x)*sin(3*y + x)")
    backend = LeastSquares(degree)
    spacings, errors = [], []
    for n in (256, 1024, 4096):
        points = cloud(n, 2)
        got = backend.evaluate(field, points, wanted(index))[0, index]
        spacings.append(n**-0.5)
        errors.append(float((got - field.derivative(points, 0, index)).square().mean().sqrt()))
    assert backend.accuracy(index) == degree + 1 - sum(index)
    assert slope(spacings, errors) == pytest.approx(backend.accuracy(index), abs=0.35)


def test_repeated_first_derivatives_differ_from_direct_ones_and_claim_no_order():
    """The scheme of the paper for second derivatives: right on average, its error does not
    vanish with the spacing."""
    field = closed_form("x y", "exp(x)*sin(2*y)")
    points = cloud(2048, 2)
    exact = field.derivative(points, 0, (2, 0))
    repeated = LeastSquares(1).evaluate(field, points, wanted((2, 0)))[0, (2, 0)]
    direct = LeastSquares(2).evaluate(field, points, wanted((2, 0)))[0, (2, 0)]
    once = LeastSquares(1).evaluate(field, points, wanted((1, 0)))[0, (1, 0)]
    again = LeastSquares(1).evaluate(lambda p: once[..., None], points, wanted((1, 0)))[0, (1, 0)]
    torch.testing.assert_close(repeated, again)
    assert LeastSquares(1).accuracy((2, 0)) == 0
    assert float((repeated - exact).square().mean().sqrt()) > 2 * float(
        (direct - exact).square().mean().sqrt()
    )


def test_weights_are_those_of_an_independent_polynomial_fit():
    points = cloud(40, 2)
    values = torch.randn(1, 40, 1, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    answers = LeastSquares(2, neighbours=11, scale=(1.0, 1.0)).evaluate(
        lambda p: values, points, wanted(*FIRST, *SECOND)
    )
    x, f = points[0].numpy(), values[0, :, 0].numpy()
    for i in (0, 7, 39):
        near = np.argsort(np.linalg.norm(x - x[i], axis=1))[:11]
        dx, dy = (x[near] - x[i]).T
        fit = np.linalg.lstsq(
            np.stack([np.ones(11), dx, dy, dx**2 / 2, dx * dy, dy**2 / 2], 1), f[near], rcond=None
        )[0]
        got = [float(answers[0, index][0, i]) for index in (*FIRST, *SECOND)]
        np.testing.assert_allclose(got, fit[1:], rtol=1e-8)


def test_a_change_of_the_unit_of_one_coordinate_changes_nothing_else():
    points = cloud(400, 3)
    units = torch.tensor([1.0, 1000.0, 1.0], dtype=torch.float64)
    field = closed_form("x y t", "exp(x)*sin(y + t)")
    request = wanted((2, 0, 0), (1, 1, 0), (0, 1, 1))
    plain = LeastSquares().evaluate(field, points, request)
    scaled = LeastSquares().evaluate(lambda p: field(p / units), points * units, request)
    for key, value in plain.items():
        torch.testing.assert_close(scaled[key] * 1000 ** key[1][1], value, rtol=1e-6, atol=1e-6)


def test_samples_of_a_batch_keep_their_own_neighbours():
    points = torch.cat([cloud(100, 2, seed) for seed in range(3)])
    field = closed_form("x y", "exp(x)*sin(y)", "x - y")
    request = Request({0: frozenset({(1, 0)}), 1: frozenset({(0, 1), (0, 0)})})
    together = LeastSquares(scale=(1.0, 1.0)).evaluate(field, points, request)
    for k in range(3):
        alone = LeastSquares(scale=(1.0, 1.0)).evaluate(field, points[k : k + 1], request)
        for key, value in alone.items():
            torch.testing.assert_close(together[key][k : k + 1], value)


def test_permuting_the_points_permutes_the_answers():
    points = cloud(120, 2)
    shuffle = torch.randperm(120, generator=torch.Generator().manual_seed(3))
    field = closed_form("x y", "exp(x)*sin(y)")
    straight = LeastSquares().evaluate(field, points, wanted((2, 0)))[0, (2, 0)]
    shuffled = LeastSquares().evaluate(field, points[:, shuffle], wanted((2, 0)))[0, (2, 0)]
    torch.testing.assert_close(straight[:, shuffle], shuffled)


def test_gradients_reach_the_values_of_the_field():
    points = torch.cat([cloud(24, 2, seed) for seed in range(2)])
    values = torch.randn(
        2, 24, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    ).requires_grad_()
    request = Request({0: frozenset({(1, 0), (2, 1)}), 1: frozenset({(0, 2)})})
    assert torch.autograd.gradcheck(
        lambda v: tuple(LeastSquares().evaluate(lambda p: v, points, request).values()), values
    )


def test_the_points_of_a_lattice_will_do():
    field = closed_form("x y", "x**2 - x*y + y**3")
    points = mesh(
        torch.linspace(0, 1, 9, dtype=torch.float64), torch.linspace(0, 1, 7, dtype=torch.float64)
    )
    for degree in (2, 3):
        got = LeastSquares(degree).evaluate(field, points, wanted((2, 0)))[0, (2, 0)]
        assert got == pytest.approx(
            torch.full((1, 63), 2.0, dtype=torch.float64), abs=1e-9 if degree == 3 else 0.5
        )


def refusal(backend, points, request) -> str:
    with pytest.raises(ProblemError) as error:
        backend.evaluate(lambda p: p[..., :1], points, request, recognise(points))
    return f"{error.value.diagnostics[0].code} {error.value}"


def test_neighbours_on_a_line_are_refused_with_the_point():
    points = cloud(60, 2)
    points[0, :20] = (
        torch.tensor([5.0, 5.0], dtype=torch.float64)
        + torch.linspace(0, 1e-3, 20, dtype=torch.float64)[:, None]
    )
    text = refusal(LeastSquares(), points, wanted((1, 0)))
    assert text.startswith("P01")
    assert (
        "the 15 neighbours of point 0 (x = 5, y = 5) of sample 0 do not determine a polynomial of"
        " degree 2" in text
    )
    assert "20 points of 60 like this" in text


def test_repeated_points_are_refused():
    text = refusal(
        LeastSquares(1, neighbours=3), torch.zeros(1, 5, 2, dtype=torch.float64), wanted((1, 0))
    )
    assert text.startswith("P01")
    assert "they coincide or lie on a line" in text


def test_too_few_neighbours_and_too_few_points_are_refused():
    assert "needs at least 6 neighbours, got 5" in refusal(
        LeastSquares(neighbours=5), cloud(50, 2), wanted((1, 0))
    )
    assert "takes 15 neighbours, got 9 points" in refusal(
        LeastSquares(), cloud(9, 2), wanted((1, 0))
    )


def test_a_cloud_too_dense_for_the_precision_is_refused():
    text = refusal(LeastSquares(), cloud(20000, 1, dtype=torch.float32), wanted((2,)))
    assert text.startswith("P05")
    assert "in float32" in text


def test_a_degree_below_1_is_rejected():
    with pytest.raises(ValueError, match="degree 1 or more"):
        LeastSquares(0)


@pytest.mark.parametrize(("dim", "order", "expected"), [(1, 3, 2), (1, 4, 2), (2, 3, 2), (2, 4, 2)])
def test_third_and_fourth_derivatives_converge_by_default(dim, order, expected):
    field = closed_form(
        "x" if dim == 1 else "x y", "sin(3*x)" if dim == 1 else "exp(x)*sin(3*y + x)"
    )
    index = (order,) if dim == 1 else (1, order - 1)
    spacings, errors = [], []
    for n in (100, 200, 400) if dim == 1 else (400, 1200, 3600):
        points = cloud(n, dim)
        got = LeastSquares().evaluate(field, points, wanted(index))[0, index]
        exact = field.derivative(points, 0, index)
        spacings.append(n ** (-1 / dim))
        errors.append(float((got - exact).norm() / exact.norm()))
    assert LeastSquares().accuracy(index) == expected
    # on a Sobol sequence some spacings suit a stencil better than others
    assert slope(spacings, errors) > expected - 0.35
    assert errors[1] < 0.02


@pytest.mark.parametrize(
    ("dim", "index"), [(1, (1,)), (1, (3,)), (2, (2, 0)), (2, (1, 1)), (2, (2, 1))]
)
def test_the_error_expected_at_the_points_is_that_of_one_wave(dim, index):
    points = cloud(600, dim)
    names, low, high = "x y"[: 2 * dim - 1], points.amin((0, 1)), points.amax((0, 1))
    waves = " + ".join(
        f"{float(2 * np.pi / (h - lo))}*{name}"
        for name, lo, h in zip(names.split(), low, high, strict=True)
    )
    errors = []
    for phase in (0.1, 0.9, 1.7):
        field = closed_form(names, f"sin({waves} + {phase})")
        got = LeastSquares().evaluate(field, points, wanted(index))[0, index]
        exact = field.derivative(points, 0, index)
        errors.append(float((got - exact).norm() / exact.norm()))
    expected = LeastSquares().expected(points, wanted(index))[index]
    assert min(errors) / 1.5 < expected < 1.5 * max(errors)


def test_repeated_third_derivatives_are_refused_unless_that_is_asked_for():
    text = refusal(LeastSquares(2), cloud(200, 1), wanted((4,)))
    assert (
        text.startswith("P07")
        and "dxxxx of a field with one wave across the 200 points is expected to be off by" in text
    )
    assert "leave degree out, or give 5" in text and "repeated derivatives do not converge" in text
    refusal(LeastSquares(2), cloud(200, 1), wanted((3,)))
    LeastSquares(2, worst=float("inf")).evaluate(
        lambda p: p[..., :1] ** 4, cloud(200, 1), wanted((3,))
    )


def test_few_points_get_a_polynomial_of_the_order_itself():
    field = closed_form("x y", "x**3 - x**2*y + y**3")
    got = LeastSquares().evaluate(field, cloud(20, 2), wanted((2, 1)))[0, (2, 1)]
    assert got == pytest.approx(torch.full((1, 20), -2.0, dtype=torch.float64), abs=1e-7)
    assert "takes 37 neighbours, got 12 points" in refusal(
        LeastSquares(), cloud(12, 2), wanted((2, 1))
    )
