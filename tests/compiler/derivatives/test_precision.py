"""Round-off in numerical derivatives: a derivative is right, or it is refused with P05."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import compiler
import pdespec
from compiler.comparison.case import Case
from compiler.derivatives import (
    Axes,
    FiniteDifference,
    Fourier,
    FourierContinuation,
    LeastSquares,
    Request,
    recognise,
)
from pdespec.errors import ProblemError

from ..problems import poisson
from .oracles import closed_form, cloud, mesh

FIELD = closed_form("x y", "exp(x)*sin(2*y)")
INDICES = [(1, 0), (0, 1), (2, 0), (0, 2), (1, 1)]


def patch(spacing: float, grid: bool, dtype: torch.dtype, place: float = 0.5) -> torch.Tensor:
    """400 points about `spacing` apart around x = y = `place`."""
    axis = torch.arange(20, dtype=torch.float64)
    return (place + spacing * (mesh(axis, axis) if grid else 20 * cloud(400, 2))).to(dtype)


def error(backend, points: torch.Tensor, index: tuple[int, int], field=FIELD) -> float | None:
    """Relative root mean square error, None where the backend refuses with P05. The field is
    rounded to the dtype, as all fields are."""
    try:
        found = backend.evaluate(
            lambda p: field(p.double()).to(p.dtype), points, Request({0: frozenset({index})})
        )[0, index]
    except ProblemError as refused:
        assert refused.diagnostics[0].code == "P05"
        assert "relative round-off of" in str(refused)
        return None
    exact = field.derivative(points, 0, index)
    return float((found.double() - exact).norm() / exact.norm())


BACKENDS = {
    "least_squares": (LeastSquares(), False),
    "least_squares 1": (LeastSquares(1), False),
    "grid": (FiniteDifference(mode="grid"), True),
    "grid 4": (FiniteDifference(4, mode="grid"), True),
    "stencil": (FiniteDifference(step=1e-4), False),
    "continuation": (FourierContinuation(), True),
}


@pytest.mark.parametrize("spacing", [1e-3, 1e-4, 1e-5])
@pytest.mark.parametrize("name", BACKENDS)
def test_in_float32_a_derivative_on_a_small_patch_is_right_or_refused(name, spacing):
    backend, grid = BACKENDS[name]
    # no order for second ones, on any patch
    indices = [index for index in INDICES if name != "least_squares 1" or sum(index) == 1]
    found = {index: error(backend, patch(spacing, grid, torch.float32), index) for index in indices}
    assert all(each is None or each < 0.05 for each in found.values()), found
    if name != "stencil" and spacing == 1e-3:
        assert found[1, 0] is not None
    if spacing < 1e-3:
        assert all(found[index] is None for index in indices if sum(index) == 2)


def test_least_squares_is_right_at_a_spacing_of_1e_4_in_float64():
    for degree, indices in ((1, [(1, 0), (0, 1)]), (2, INDICES)):
        for index in indices:
            assert error(
                LeastSquares(degree), patch(1e-4, False, torch.float64), index
            ) < 2e-2 * 1e-1 ** (degree == 2)


def test_rounded_coordinates_far_from_the_origin_count():
    steep = closed_form("x y", "sin(x) + y")
    assert (
        error(FiniteDifference(mode="grid"), patch(0.05, True, torch.float32), (2, 0), steep) < 0.05
    )
    assert (
        error(
            FiniteDifference(mode="grid"), patch(0.0625, True, torch.float32, 4096.0), (2, 0), steep
        )
        is None
    )
    assert (
        error(
            FiniteDifference(mode="grid"), patch(0.0625, True, torch.float64, 4096.0), (2, 0), steep
        )
        < 0.05
    )


@pytest.mark.parametrize("expression", ["3*x", "3*x + 1", "1", "0*x", "x*y", "x - y + exp(x)/100"])
@pytest.mark.parametrize(
    "backend",
    [FiniteDifference(), FiniteDifference(4), LeastSquares()],
    ids=["order 2", "order 4", "fit"],
)
def test_a_derivative_that_vanishes_is_no_reason_to_refuse(backend, expression):
    field = closed_form("x y", expression)
    request = Request({0: frozenset(INDICES)})
    backend.evaluate(
        lambda p: field(p.double()).to(p.dtype), cloud(400, 2, dtype=torch.float32), request
    )


def test_float32_values_are_continued_as_well_as_their_digits_allow():
    field, line = closed_form("x", "exp(x)"), torch.linspace(0, 1, 100)
    assert error(FourierContinuation(), mesh(line), (1,), field) < 1e-5
    assert error(FourierContinuation(), mesh(line), (3,), field) is None


def test_short_waves_that_drown_in_round_off_are_refused_by_fourier():
    values = 1 + 1e-3 * torch.sin(2 * torch.pi * torch.arange(64) / 64)[None, :, None]
    points = mesh(torch.arange(64) / 64.0)
    layout = recognise(points, Axes((1.0,)))
    Fourier().evaluate(lambda p: values, points, Request({0: frozenset({(1,)})}), layout)
    with pytest.raises(ProblemError, match="(?s)P05.*0.0156 apart.*drop the shortest waves"):
        Fourier().evaluate(lambda p: values, points, Request({0: frozenset({(3,)})}), layout)


def test_the_default_stencil_in_float32_is_near_the_best_for_a_decoder_of_small_variation():
    problem = poisson()

    def lost(seed: int) -> float:
        """The error of the default step over that of the best."""
        batch = compiler.sample(
            problem,
            1,
            {"interior": 200, "boundary": 9},
            torch.Generator().manual_seed(seed),
            hard_conditions=False,
        )
        trial = Case.of(
            problem,
            compiler.build(problem, "gino", latent=(9, 9), modes=2, hidden=8, layers=1)(
                batch.inputs
            ),
            batch,
        )
        exact = trial.exact_derivatives(trial.scattered)

        def worst(step: float | None) -> float:
            backend = FiniteDifference(
                step=step, mode="stencil", **({} if step is None else {"tolerance": 10})
            )
            found = backend.evaluate(trial.field, trial.scattered, trial.request, trial.loss.axes)
            return max(
                float((found[key] - exact[key]).detach().norm() / exact[key].norm())
                for key in trial.keys
            )

        return worst(None) / min(worst(2.0**-k) for k in range(3, 11))

    assert sum(map(lost, range(3))) < 3 * 2


def test_a_stencil_reaches_across_the_boundary_of_a_star_without_a_kink():
    problem = pdespec.load(Path(__file__).parents[3] / "examples" / "nonlinear_poisson.pde")
    batch = compiler.sample(
        problem,
        1,
        {"interior": 128, "boundary": 9, "operator": 64},
        torch.Generator().manual_seed(0),
    )
    trial = Case.of(
        problem,
        compiler.build(problem, "gino", latent=(9, 9), modes=2, hidden=8, layers=1)(batch.inputs),
        batch,
    )
    found = FiniteDifference().evaluate(trial.field, trial.scattered, trial.request)
    exact = trial.exact_derivatives(trial.scattered)
    # 2.9 with a kink
    assert (
        max(
            float((found[key] - exact[key]).detach().norm() / exact[key].norm())
            for key in trial.keys
        )
        < 0.02
    )


def test_values_that_are_not_finite_are_left_to_the_check_of_the_loss():
    found = LeastSquares().evaluate(
        lambda p: p[..., :1] / 0, cloud(40, 2), Request({0: frozenset({(2, 0)})})
    )[0, (2, 0)]
    assert found.isnan().any()
