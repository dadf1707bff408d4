"""Energies: their minima, the force that holds a boundary, and equilibria that are no minima."""

from __future__ import annotations

import importlib

import numpy as np
import pytest
import sympy as sp
import torch

from compiler import solve
from compiler.fem import SolverError
from compiler.fem.energy_gap import energy_of
from compiler.fem.forms.weak import weak_form
from compiler.fem.solvers.minimize import minimize
from compiler.fem.solvers.newton import NewtonOptions
from pdespec import (
    Problem,
    boundary,
    det,
    disk,
    div,
    dot,
    grad,
    identity,
    input_function,
    integral,
    lap,
    lattice,
    on,
    param,
    rectangle,
    side,
    space,
    tr,
    uniform,
    unknown,
)

from .cases import GivenBatch, points_in

x, y = space("x y")


def neo_hookean(domain):
    """Displacement and energy density: psi = mu/2 (tr C - 2 - 2 ln J) + lambda/2 (ln J)^2, E =
    1, nu = 0.3, plane strain."""
    u = unknown("u", domain, "vector")
    modulus, ratio = sp.Integer(1), sp.Rational(3, 10)
    mu, lame = modulus / (2 * (1 + ratio)), modulus * ratio / ((1 + ratio) * (1 - 2 * ratio))
    F = identity(2) + grad(u)
    J = det(F)
    return u, mu / 2 * (tr(F.T * F) - 2 - 2 * sp.log(J)) + lame / 2 * sp.log(J) ** 2, J


def pores() -> Problem:
    press = param("press", uniform(0, 0.2))
    body = rectangle(x, y) - lattice(disk(x, y, radius=sp.Rational(11, 100)), 3, 3)
    u, psi, J = neo_hookean(body)
    conditions = [on(side(body, y=0), (u, 0)), on(side(body, y=1), (u, sp.Matrix([0, -press])))]
    return Problem("pores", conditions=conditions, minimize=integral(psi, body), require=[J > 0])


def pressed(amount: float, resolution: int, **options):
    return solve(
        pores(), GivenBatch(1, {"press": torch.tensor([amount])}), resolution=resolution, **options
    )


def test_stored_energy_and_reaction_of_pressed_pores_converge():
    pytest.importorskip("netgen.occ", reason="the mesher netgen is an optional extra")
    fine = 0.0039726, -0.08120  # cubic elements on 16344 unknowns
    found = [pressed(0.1, n) for n in (8, 16, 24)]
    energies = [truth.energy.item() for truth in found]
    forces = [truth.samples[0].reactions["side(Omega, y = 1)", "u.y"] for truth in found]
    assert energies == sorted(energies, reverse=True)  # finer meshes find lower energies
    assert energies[-1] == pytest.approx(fine[0], rel=1.5e-3)
    assert forces[-1] == pytest.approx(fine[1], rel=1.5e-3)
    assert energies[-1] - fine[0] < 0.2 * (energies[0] - fine[0])


def test_the_reaction_is_the_derivative_of_the_stored_energy():
    pytest.importorskip("netgen.occ", reason="the mesher netgen is an optional extra")
    low, middle, high = (pressed(amount, 6) for amount in (0.099, 0.1, 0.101))
    slope = (high.energy - low.energy).item() / 0.002
    assert -middle.samples[0].reactions["side(Omega, y = 1)", "u.y"] == pytest.approx(
        slope, rel=1e-4
    )


def test_the_strong_form_of_an_energy_gives_the_same_solution():
    square = rectangle(x, y)
    u, f = unknown("u", square), input_function("f", square)
    density = sp.sqrt(1 + dot(grad(u), grad(u))) + u**4 / 4 - f * u
    essential = [on(boundary(square), (u, x * y))]
    energy = Problem("energy", conditions=essential, minimize=integral(density, square))
    strong = Problem(
        "strong",
        {"balance": (-div(grad(u) / sp.sqrt(1 + dot(grad(u), grad(u)))) + u**3, f)},
        essential,
    )
    batch = GivenBatch(1, {}, {"f": lambda points: torch.sin(5 * points[..., :1])})
    points = points_in((0, 0), (1, 1))
    assert torch.allclose(
        solve(energy, batch, resolution=6)(points),
        solve(strong, batch, resolution=6)(points),
        atol=1e-9,
    )


@pytest.mark.parametrize("load", [sp.Rational(1, 1000), 1, 1000])
@pytest.mark.parametrize("how", ["energy", "strong form"])
def test_a_p_laplacian_leaves_the_state_of_rest(load, how):
    """Degenerate at u = 0. In the unit disk -div(|grad u|^2 grad u) = f has u = 3/4 (f/2)^(1/3)
    (1 - r^(4/3))."""
    round_ = disk(x, y)
    u = unknown("u", round_)
    squared, fixed = dot(grad(u), grad(u)), [on(boundary(round_), (u, 0))]
    strong = Problem("p", {"e": (-div(squared * grad(u)), load)}, fixed)
    problem = (
        strong
        if how == "strong form"
        else Problem("p", conditions=fixed, minimize=integral(squared**2 / 4 - load * u, round_))
    )
    points = points_in((-0.7, -0.7), (0.7, 0.7))
    exact = (
        3 / 4 * (float(load) / 2) ** (1 / 3) * (1 - points.norm(dim=-1, keepdim=True) ** (4 / 3))
    )
    assert (
        solve(problem, GivenBatch(), resolution=16)(points) - exact
    ).abs().max() < 3e-3 * exact.abs().max()


def test_a_load_on_the_boundary_is_a_term_of_the_energy():
    square = rectangle(x, y)
    u = unknown("u", square)
    loaded = integral(dot(grad(u), grad(u)) / 2, square) - integral(3 * u, side(square, x=1))
    problem = Problem("loaded", conditions=[on(side(square, x=0), (u, 0))], minimize=loaded)
    points = points_in((0, 0), (1, 1))
    assert torch.allclose(
        solve(problem, GivenBatch(), resolution=3)(points), 3 * points[..., :1], atol=1e-10
    )


def test_a_column_pressed_beyond_its_buckling_load_bends_to_the_stated_side():
    column = rectangle(x, y, (0, 0), (1, 10))
    u, psi, J = neo_hookean(column)
    ends = [on(side(column, y=0), (u, 0)), on(side(column, y=10), (u, sp.Matrix([0, -1])))]
    problem = Problem("column", conditions=ends, minimize=integral(psi, column), require=[J > 0])
    bent = solve(problem, GivenBatch(), resolution=20)
    straight = Problem(
        "straight", conditions=ends, stationary=integral(psi, column), require=[J > 0]
    )
    sideways = bent(torch.tensor([[[0.5, 5.0]]]))[0, 0, 0]
    assert sideways > 1  # an inextensible column of length 10 shortened by 1 bends by about 1.9
    at_rest = solve(straight, GivenBatch(), resolution=20)
    assert abs(at_rest(torch.tensor([[[0.5, 5.0]]]))[0, 0, 0]) < 1e-6
    assert not weak_form(straight).minimized
    assert stored(at_rest, problem) > 1.5 * bent.energy.item()


def test_no_field_has_less_energy_than_the_reference_and_the_gap_is_that_of_the_closed_form():
    square = rectangle(x, y)
    u = unknown("u", square)
    problem = Problem(
        "membrane",
        conditions=[on(boundary(square), (u, x))],
        minimize=integral(dot(grad(u), grad(u)) / 2, square),
    )
    batch = GivenBatch()
    truth = solve(problem, batch, resolution=12)
    bump = lambda points, a: points[..., :1] + a * (points * (1 - points)).prod(-1, keepdim=True)  # noqa: E731
    found = [
        energy_of(problem, batch, truth, lambda points, a=a: bump(points, a)).item()
        for a in (0.0, 0.3)
    ]
    assert truth.energy.item() == pytest.approx(0.5, rel=1e-12)
    assert found[0] == pytest.approx(0.5, rel=1e-12)
    # |grad x(1-x)y(1-y)|^2 / 2 is 1/90 on the square
    assert found[1] - found[0] == pytest.approx(0.3**2 / 90, rel=1e-3)


def test_a_field_that_turns_a_cell_inside_out_has_infinite_energy():
    square = rectangle(x, y)
    u, psi, J = neo_hookean(square)
    problem = Problem(
        "block",
        conditions=[on(side(square, y=0), (u, 0))],
        minimize=integral(psi, square),
        require=[J > 0],
    )
    truth = solve(problem, GivenBatch(), resolution=2)
    assert (
        energy_of(
            problem, GivenBatch(), truth, lambda points: points * torch.tensor([-2.0, 0.0])
        ).item()
        == np.inf
    )
    with pytest.raises(SolverError, match="makes no functional"):
        energy_of(
            Problem("strong", {"e": (lap(u), 0)}, [on(boundary(square), (u, 0))]),
            GivenBatch(),
            truth,
            lambda points: points,
        )


def test_finite_strains_are_brought_on_in_load_steps_and_other_energies_at_once(monkeypatch):
    """The boundary value that holds when each load is solved for, as a share of the whole."""
    square = rectangle(x, y)
    u, psi, J = neo_hookean(square)
    ends = [
        on(side(square, y=0), (u, 0)),
        on(side(square, y=1), (u, sp.Matrix([0, -sp.Rational(1, 10)]))),
    ]
    shares: list[float] = []

    def spy(equations, start, *rest):
        found = minimize(equations, start, *rest)
        shares.append(-10 * float(found[0].min()))
        return found

    monkeypatch.setattr(importlib.import_module("compiler.fem.solve"), "minimize", spy)

    def loads(require, **options) -> list[float]:
        shares.clear()
        solve(
            Problem("block", conditions=ends, minimize=integral(psi, square), require=require),
            GivenBatch(),
            resolution=2,
            **options,
        )
        return list(shares)

    assert loads([J > 0]) == pytest.approx([k / 8 for k in range(1, 9)])
    assert loads([J > 0], newton=NewtonOptions(loads=2)) == pytest.approx([0.5, 1.0])
    assert loads([]) == pytest.approx([1.0])


def stored(truth, problem: Problem) -> float:
    """Trapezoidal energy of a field on a fine grid, from central differences: no code of the
    solver."""
    X, Y = torch.meshgrid(
        torch.linspace(0.005, 0.995, 100), torch.linspace(0.005, 9.995, 1000), indexing="ij"
    )
    field = truth(torch.stack((X, Y), -1).double().reshape(1, -1, 2)).reshape(100, 1000, 2).numpy()
    slopes = [np.gradient(field[..., k], 0.99 / 99, 9.99 / 999) for k in range(2)]
    F = np.array([[1 + slopes[0][0], slopes[0][1]], [slopes[1][0], 1 + slopes[1][1]]])
    J = F[0, 0] * F[1, 1] - F[0, 1] * F[1, 0]
    mu, lame = 1 / 2.6, 0.3 / (1.3 * 0.4)
    return float(
        np.mean(mu / 2 * ((F**2).sum(axis=(0, 1)) - 2 - 2 * np.log(J)) + lame / 2 * np.log(J) ** 2)
        * 10
    )
