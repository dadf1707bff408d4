"""The backends behind a compiled loss, where the problem says which coordinates repeat and what
they are called."""

from __future__ import annotations

import logging
import math

import pytest
import sympy as sp
import torch

import compiler
from compiler.derivatives import FiniteDifference, Fourier, LeastSquares
from operators import PINN, OperatorInput
from operators.field import Capabilities
from operators.graph.grid import Lattice
from pdespec import Problem, ProblemError, dt, interval, periodic, rectangle, space, unknown
from pdespec import time as time_axis

from .oracles import cloud, mesh


def wave_problem() -> Problem:
    (x,) = space("x")
    t = time_axis("t", 0, 1)
    omega = periodic(interval(x, 0, 2), x)
    u = unknown("u", omega, time=t)
    return Problem("kdv", {"wave": dt(u) + 6 * u * sp.Derivative(u, x) + sp.Derivative(u, (x, 3))})


def travelling(points: torch.Tensor) -> torch.Tensor:
    x, t = points.unbind(-1)
    return (torch.sin(math.pi * (x - t)) + 0.3 * torch.cos(2 * math.pi * (x + t)))[..., None]


def grid(n: int = 32, m: int = 65) -> torch.Tensor:
    return mesh(
        2 * torch.arange(n, dtype=torch.float64) / n, torch.linspace(0, 1, m, dtype=torch.float64)
    )


@pytest.mark.parametrize(
    ("backend", "relative"),
    [
        (Fourier(rest=FiniteDifference(4)), 2e-5),
        (FiniteDifference(4), 4e-3),
        ("finite_difference", 7e-2),
        ("fourier_continuation", 1e-5),
    ],
)
def test_a_numerical_residual_on_a_periodic_grid_nears_the_exact_one(backend, relative):
    points = grid()
    exact = (
        compiler.compile(wave_problem(), "autograd").residuals(travelling, points)["wave"].detach()
    )
    got = compiler.compile(wave_problem(), backend).residuals(travelling, points)["wave"].detach()
    assert got.shape == exact.shape
    assert float((got - exact).norm() / exact.norm()) < relative


def test_the_period_of_the_problem_reaches_the_stencil_at_both_ends():
    points = grid()
    exact = (
        compiler.compile(wave_problem(), "autograd")
        .residuals(travelling, points)["wave"]
        .detach()
        .reshape(32, 65)
    )
    got = (
        compiler.compile(wave_problem(), FiniteDifference(4))
        .residuals(travelling, points)["wave"]
        .detach()
        .reshape(32, 65)
    )
    error = (got - exact).abs().amax(1)
    assert float(error[:3].max()) < 3 * float(error.median())


def edges() -> torch.Tensor:
    """A grid over time and over x, along which the problem repeats and exp(x) does not."""
    return mesh(
        2 * torch.arange(32, dtype=torch.float64) / 32,
        torch.linspace(0, 1, 33, dtype=torch.float64),
    )


def growing(points: torch.Tensor) -> torch.Tensor:
    return points.sum(-1, keepdim=True).exp()


class Declared:
    """A field that says that it does not repeat."""

    capabilities = Capabilities(periodic=(False, False))

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        return growing(points)


WRAPPING = [
    FiniteDifference(4, mode="grid"),
    Fourier(rest=FiniteDifference(4)),
    "fourier_continuation",
]


@pytest.mark.parametrize("backend", WRAPPING)
@pytest.mark.parametrize(
    ("field", "evidence"),
    [(Declared(), "which declares so"), (growing, "whose values one period apart differ by 12")],
)
def test_a_field_that_does_not_repeat_is_not_wrapped_around_a_domain_that_does(
    backend, field, evidence
):
    with pytest.raises(
        ProblemError, match=f"x repeats after 2 in the problem, but not in the field, {evidence}"
    ) as error:
        compiler.compile(wave_problem(), backend).residuals(field, edges())
    assert error.value.diagnostics[0].code == "P02"


def test_a_network_without_periodic_coordinates_is_not_wrapped_and_one_with_them_is():
    for periodic_axes in ((False, False), (True, False)):
        network = PINN(
            1,
            2,
            ((0, 0), (2, 1)),
            periodic=periodic_axes,
            hidden=(8,),
            generator=torch.Generator().manual_seed(0),
        ).double()
        field = network(OperatorInput(torch.zeros(1, 1, 2).double(), torch.zeros(1, 1, 1).double()))
        loss = compiler.compile(wave_problem(), FiniteDifference(4, mode="grid"))
        if not periodic_axes[0]:
            with pytest.raises(ProblemError, match="P02"):
                loss.residuals(field, edges())
            continue
        exact = (
            compiler.compile(wave_problem(), "taylor").residuals(field, edges())["wave"].detach()
        )
        assert (
            float((loss.residuals(field, edges())["wave"].detach() - exact).norm() / exact.norm())
            < 1e-2
        )


def test_what_does_not_repeat_passes_along_an_axis_that_is_not_wrapped():
    points = edges()
    for backend in (FiniteDifference(4, mode="stencil"), "least_squares"):
        compiler.compile(wave_problem(), backend).residuals(growing, points)
    (x,) = space("x")
    u = unknown("u", periodic(interval(x, 0, 2), x), time=time_axis("t", 0, 1))
    rate = Problem("rate", {"wave": dt(u) - u})
    assert (
        compiler.compile(rate, FiniteDifference(4, mode="grid"))
        .residuals(growing, points)["wave"]
        .abs()
        .max()
        < 1e-3
    )


def test_a_refusal_names_the_coordinate_of_the_problem():
    with pytest.raises(ProblemError, match="t is not periodic, the side t = 0"):
        compiler.compile(wave_problem(), "fourier").residuals(travelling, grid())


def test_scattered_points_are_refused_by_fourier_and_taken_by_a_stencil():
    points = cloud(64, 2)
    with pytest.raises(ProblemError, match="P01"):
        compiler.compile(wave_problem(), "fourier").residuals(travelling, points)
    exact = (
        compiler.compile(wave_problem(), "autograd").residuals(travelling, points)["wave"].detach()
    )
    got = (
        compiler.compile(wave_problem(), "finite_difference")
        .residuals(travelling, points)["wave"]
        .detach()
    )
    assert float((got - exact).norm() / exact.norm()) < 1e-4


class Mixing:
    """Declares that its values depend on the other queries, as those of an FNO on its grid do."""

    capabilities = Capabilities(pointwise=False)

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        return travelling(points) + points.mean()


def test_autograd_refuses_a_field_that_declares_that_it_mixes_its_queries():
    with pytest.raises(
        ProblemError, match="autograd cannot differentiate a field whose value at one query depends"
    ) as error:
        compiler.compile(wave_problem(), "autograd").residuals(Mixing(), grid())
    assert error.value.diagnostics[0].code == "P04"


def test_auto_takes_the_points_of_a_field_without_a_grid_and_the_grid_of_one_that_has_one():
    points = cloud(300, 2)
    exact = (
        compiler.compile(wave_problem(), "autograd").residuals(travelling, points)["wave"].detach()
    )
    loss = compiler.compile(wave_problem())
    got = loss.residuals(Mixing(), points)["wave"]
    assert loss.plan(Mixing()).groups[0].backend == "least_squares" and got.shape == exact.shape

    class Gridded(Mixing):
        capabilities = Capabilities(pointwise=False, grid=Lattice((0.0, 0.0), (2.0, 1.0), (32, 65)))

    assert loss.plan(Gridded()).groups[0].backend == "finite_difference"
    assert loss.residuals(Gridded(), grid())["wave"].shape == (1, 32 * 65, 1)


class Opaque(Mixing):
    capabilities = Capabilities(reason="no jet rule for some.Module")


@pytest.mark.parametrize(
    ("field", "code", "text"),
    [
        (travelling, "P01", "taylor needs a field that carries jets"),
        (Opaque(), "P01", "no jet rule for some.Module"),
        (Mixing(), "P04", "taylor cannot differentiate a field whose value at one query depends"),
    ],
)
def test_taylor_refuses_a_field_without_jets_with_the_reason(field, code, text):
    with pytest.raises(ProblemError, match=text) as error:
        compiler.compile(wave_problem(), "taylor").residuals(field, grid())
    assert error.value.diagnostics[0].code == code


def test_what_is_to_be_expected_of_a_fit_is_told_once_and_refused_where_it_is_nothing(caplog):
    x, y = space("x y")
    u = unknown("u", rectangle(x, y, (0, 0), (1, 1)))
    second, fourth = (Problem("p", {"e": sp.Eq(sp.Derivative(u, (x, k)), 0)}) for k in (2, 4))

    def wave(p):
        return torch.sin(p.sum(-1, keepdim=True))

    loss = compiler.compile(second, "least_squares")
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            loss.residuals(wave, cloud(60, 2))
    (record,) = caplog.records
    assert (
        "`p`: warning P07: least_squares of degree 2: dxx of a field with one wave across the 60"
        " points" in record.getMessage()
    )
    assert "its error at order 2 falls as the spacing to the power 1" in loss.explain()
    with pytest.raises(
        ProblemError, match="P07.*dxxxx of a field with one wave across the 60 points"
    ):
        compiler.compile(fourth, "least_squares").residuals(wave, cloud(60, 2))
    compiler.compile(fourth, LeastSquares(worst=math.inf)).residuals(wave, cloud(60, 2))
