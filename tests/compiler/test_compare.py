"""The comparison of derivative backends, and its pictures."""

from __future__ import annotations

import csv
import math

import pytest
import sympy as sp
import torch

import compiler
from compiler.comparison.case import Case, cover
from compiler.comparison.convergence import Series, convergence_study
from compiler.comparison.pictures import colour, cost_picture, write_comparison
from compiler.derivatives import DERIVATIVES, FiniteDifference, LeastSquares
from compiler.lowering.exact_solution import exact_solution
from operators import GINO
from operators.field import Capabilities
from operators.graph.grid import Lattice
from pdespec import Problem, dt, interval, lap, periodic, rectangle, space, star, unknown
from pdespec import time as time_axis

from .problems import poisson


def batch_of(
    problem: Problem, size: int = 1, interior: int = 144, dtype: torch.dtype = torch.float64
):
    return compiler.sample(
        problem,
        size,
        points={"interior": interior},
        generator=torch.Generator().manual_seed(0),
        dtype=dtype,
    )


def smooth(problem: Problem):
    x, y = problem.coordinates
    return exact_solution(problem, {"u": sp.sin(2 * x) * sp.exp(y)})


def heat() -> Problem:
    (x,) = space("x")
    t = time_axis("t", 0, 1)
    u = unknown("u", periodic(interval(x, 0, 1), x), time=t)
    return Problem("heat", {"flow": dt(u) - lap(u)})


def decoded(problem: Problem, batch) -> object:
    torch.manual_seed(0)
    channels = batch.inputs.values.shape[-1]
    options = {
        "latent": (8, 8),
        "box": ((0, 0), (1, 1)),
        "weight": "bump",
        "modes": 2,
        "hidden": 8,
        "layers": 1,
    }
    return GINO(channels, 1, 2, **options, generator=torch.Generator().manual_seed(0)).to(
        batch.inputs.values.dtype
    )(batch.inputs)


@pytest.fixture(scope="module")
def table():
    problem = poisson()
    return compiler.compare(problem, smooth(problem), batch_of(problem), repeats=1)


def test_every_backend_has_its_rows_with_both_kinds_of_differences(table):
    assert [row.backend for row in table] == [
        "autograd",
        "finite_difference",
        "finite_difference",
        "fourier",
        "fourier_continuation",
        "least_squares",
        "pino",
        "taylor",
    ]
    stencil, grid = (row for row in table if row.backend == "finite_difference")
    assert (stencil.layout, stencil.values) == ("144 scattered points", 5)
    assert (grid.layout, grid.values) == ("grid 12 x 12", 1)


def test_errors_are_relative_root_mean_squares_against_autograd():
    problem = poisson()
    field, batch = smooth(problem), batch_of(problem)
    row = compiler.compare(problem, field, batch, [LeastSquares()], repeats=1)["least_squares"]
    points = (
        batch.points["Omega"].points
        if "Omega" in batch.points
        else next(iter(batch.points.values())).points
    )
    request = Case.of(problem, field, batch).request
    found = LeastSquares().evaluate(field, points, request)
    for name, index in (("u_x", (1, 0)), ("u_yy", (0, 2))):
        exact = field.derivative(points, 0, index)
        expected = float((found[0, index] - exact).norm() / exact.norm())
        assert row.errors[name] == pytest.approx(expected, rel=1e-9)
        assert row.closed_form[name] == pytest.approx(expected, rel=1e-9)


def test_exact_backends_are_exact_and_numerical_ones_are_not(table):
    assert max(table["autograd"].errors.values()) == 0
    assert max(table["autograd"].closed_form.values()) < 1e-13
    for row in table:
        if row.refused is None and row.backend != "autograd":
            assert 1e-12 < max(row.errors.values()) < 1
            assert row.residual > 1e-9
            assert row.bytes > 0
            assert row.seconds > 0


def test_refusals_are_rows_with_their_reason(table):
    assert table["fourier"].refused.code == "P02"
    assert table["taylor"].refused.code == "P01"
    text = str(table)
    assert "refused, P02" in text
    assert "fourier on grid 12 x 12: fourier: x is not periodic" in text
    with pytest.raises(KeyError, match="no row 'taylr'"):
        table["taylr"]


def test_the_table_is_written_with_one_column_a_derivative(table, tmp_path):
    lines = list(csv.DictReader(table.write_csv(tmp_path / "table.csv").open()))
    assert len(lines) == len(table.rows)
    assert float(lines[1]["error u_xx"]) == table.rows[1].errors["u_xx"]
    assert float(lines[2]["closed form u_y"]) == table.rows[2].closed_form["u_y"]
    assert lines[3]["refused"].startswith("P02")
    # of 144 points; the table prints the former
    assert (lines[1]["values"], lines[1]["values a point"]) == ("720", "5")
    assert "  720  " in str(table)
    assert (
        float(lines[1]["residual error balance"])
        == table.rows[1].residuals["balance"]
        == table.rows[1].residual
    )


def test_every_equation_has_its_own_residual_against_autograd_and_against_the_closed_form():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, w = unknown("u", omega), unknown("w", omega)
    problem = Problem("pair", {"large": 1000 * lap(u) - w, "small": sp.Derivative(w, x) - 2 * x})
    field = exact_solution(problem, {"u": sp.exp(x) * sp.sin(y), "w": x**2})
    table = compiler.compare(
        problem, field, batch_of(problem), ["autograd", FiniteDifference(mode="grid")], repeats=1
    )
    row = table["finite_difference"]
    assert row.residuals.keys() == row.closed_residuals.keys() == {"large", "small"}
    # second order is exact for x^2
    assert row.residuals["large"] > 1 and row.residuals["small"] < 1e-9
    assert row.closed_residuals == pytest.approx(row.residuals, abs=1e-9)
    assert table.residuals["small"] < 1e-12
    heads = str(table).splitlines()[1]
    assert all(
        head in heads for head in ("residual large", "residual small", "truth large", "truth small")
    )


def test_a_wrong_field_has_the_residual_that_the_closed_form_has_not():
    problem = heat()
    (x,), t = problem.coordinates, problem.time
    decay = sp.exp(-4 * sp.pi**2 * t) * sp.sin(2 * sp.pi * x)
    wrong = exact_solution(problem, {"u": 2 * decay + t})
    table = compiler.compare(
        problem, wrong, batch_of(problem), ["autograd"], exact={"u": decay}, repeats=1
    )
    assert table["autograd"].residual == 0
    assert table["autograd"].closed_residuals["flow"] == pytest.approx(1)  # d/dt t


def test_a_backend_has_one_colour_in_every_picture():
    assert colour("finite_difference, order 2") == colour("finite_difference") != colour("fourier")
    assert (
        colour("fourier, else finite_difference")
        == colour("fourier")
        != colour("fourier_continuation")
    )
    assert len({colour(name) for name in DERIVATIVES}) == len(DERIVATIVES)


def test_the_reference_is_drawn_hollow_below_what_was_measured(table):
    axes = cost_picture(table).axes[0]
    hollow = [line for line in axes.get_lines() if line.get_markerfacecolor() == "none"]
    assert [line.get_label() for line in hollow] == [
        "autograd, 144 scattered points (the reference)"
    ]
    measured = min(float(line.get_ydata()[0]) for line in axes.get_lines() if line not in hollow)
    assert 0.01 * measured < float(hollow[0].get_ydata()[0]) < measured


def test_a_decoded_field_is_compared_with_its_gradient_and_taylor_agrees():
    problem = poisson()
    batch = batch_of(problem, 2, 32)
    table = compiler.compare(
        problem,
        decoded(problem, batch),
        batch,
        ["autograd", "taylor", FiniteDifference(mode="stencil")],
        repeats=1,
    )
    assert max(table["taylor"].errors.values()) < 1e-10
    assert table["taylor"].residual < 1e-10
    assert table["taylor"].bytes < table["autograd"].bytes
    assert "2 samples, float64 on cpu" in str(table)


def test_a_step_leaves_no_gradients_behind():
    problem = poisson()
    batch = batch_of(problem, 1, 16)
    field = decoded(problem, batch)
    compiler.compare(problem, field, batch, ["autograd"], repeats=1)
    assert all(parameter.grad is None for parameter in field.decoder.parameters())


def test_time_is_differenced_where_space_is_periodic_and_the_label_says_so():
    problem = heat()
    (x,), t = problem.coordinates, problem.time
    field = exact_solution(problem, {"u": sp.sin(2 * sp.pi * x) * sp.exp(t)})
    table = compiler.compare(problem, field, batch_of(problem), ["fourier"], repeats=1)
    row = table["fourier, else finite_difference"]
    assert row.errors["u_xx"] < 1e-10
    assert 1e-8 < row.errors["u_t"] < 1e-3


class OnGrid:
    """Values on a lattice only, and at each node a mean over its neighbours in the list: not
    pointwise."""

    lattice = Lattice((0.0, 0.0), (1.0, 1.0), (16, 16))
    capabilities = Capabilities(pointwise=False, grid=lattice)

    def __call__(self, points):
        return (torch.sin(2 * points[..., 0]) * torch.exp(points[..., 1]))[..., None]


def test_a_field_on_a_grid_is_compared_with_the_closed_form_only():
    problem = poisson()
    x, y = problem.coordinates
    batch = batch_of(problem)
    table = compiler.compare(
        problem, OnGrid(), batch, exact={"u": sp.sin(2 * x) * sp.exp(y)}, repeats=1
    )
    assert table["autograd"].refused.code == "P04"
    grid = [row for row in table if row.backend == "finite_difference" and row.refused is None]
    assert [row.layout for row in grid] == ["grid 16 x 16"]
    assert grid[0].errors == {}
    assert 1e-4 < grid[0].closed_form["u_x"] < 1e-1


def test_the_grid_covers_a_box_and_lies_inside_every_sample_of_other_shapes():
    problem = heat()
    assert cover(problem, batch_of(problem), 400) == Lattice(
        (0.0, 0.0), (1.0, 1.0), (20, 20), (True, False)
    )
    x, y = space("x y")
    from pdespec import param, uniform

    c1 = param("c1", uniform(-0.2, 0.2))
    u = unknown("u", star(x, y, radius=lambda theta: 1 + c1 * sp.cos(4 * theta)))
    problem = Problem("star", {"laplace": lap(u)})
    batch = batch_of(problem, 4, 256)
    lattice = cover(problem, batch, 256)
    geometry = next(iter(batch.geometry.values()))
    assert geometry.contains(lattice.points(torch.float64, "cpu").expand(4, -1, -1)).all()
    assert lattice.upper[0] - lattice.lower[0] > 0.8


def test_orders_are_fitted_on_the_falling_part_and_points_extrapolated_along_it():
    spacings = (0.1, 0.05, 0.025, 0.0125)
    points = (100, 400, 1600, 6400)
    series = Series("second order", 1, points, spacings, (4e-1, 1e-1, 2.5e-2, 6.25e-3))
    assert series.slope == pytest.approx(2)
    assert series.points_for(0.1) == 400
    assert series.points_for(6.25e-5) == pytest.approx(640_000)
    rough = Series("round-off", 2, points, spacings, (4e-1, 1e-1, 3e-1, 9e-1))
    assert rough.slope == pytest.approx(2)
    flat = Series("flat", 2, points, spacings, (0.5, 0.5, 0.5, 0.49))
    assert flat.points_for(0.01) == math.inf


def test_a_sweep_finds_the_declared_orders():
    problem = poisson()
    swept = convergence_study(problem, smooth(problem), batch_of(problem), (16, 24, 36))
    slopes = {(each.backend, each.order): each.slope for each in swept.series}
    assert slopes["finite_difference, order 2", 1] == pytest.approx(2, abs=0.3)
    assert slopes["finite_difference, order 4", 1] == pytest.approx(4, abs=0.5)
    assert slopes["least_squares, degree 2", 1] == pytest.approx(2, abs=0.5)
    assert "points for 1 %" in str(swept)


def test_text_table_and_four_pictures_are_written(tmp_path):
    problem = poisson()
    batch = batch_of(problem, 1, 64)
    table = compiler.compare(
        problem, smooth(problem), batch, ["autograd", "least_squares"], repeats=1
    )
    write_comparison(tmp_path, table, problem, smooth(problem), batch)
    assert "finite_difference" not in (tmp_path / "comparison.csv").read_text()
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {
        "comparison.txt",
        "comparison.csv",
        "cost.png",
        "spacing.png",
        "smoothness.png",
        "gradient.png",
    }
    assert all(path.stat().st_size > 100 for path in tmp_path.iterdir())
