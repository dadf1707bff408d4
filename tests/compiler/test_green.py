"""The estimated error against closed forms, and where it is offered."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.batches.ansatz_residual import ansatz_residual, ansatz_residual_names
from compiler.batches.features import channel_names
from compiler.loss.error_estimate import fundamental, mean_square_error
from pdespec import (
    Problem,
    boundary,
    dot,
    gaussians,
    grad,
    input_function,
    lap,
    on,
    param,
    rectangle,
    side,
    space,
    unit_normal,
    unknown,
)
from tests.compiler import problems


def disk(n: int) -> torch.Tensor:
    share = torch.quasirandom.SobolEngine(2, scramble=True, seed=0).draw(n, dtype=torch.float64)
    angle, radius = 2 * math.pi * share[:, 0], share[:, 1].sqrt()
    return torch.stack([radius * angle.cos(), radius * angle.sin()], -1)[None]


@pytest.mark.parametrize(
    ("residual", "error"),
    [
        (lambda x, y: -torch.ones_like(x), lambda x, y: (1 - x**2 - y**2) / 4),
        (lambda x, y: -8 * x, lambda x, y: x * (1 - x**2 - y**2)),
    ],
    ids=["constant", "dipole"],
)
def test_on_the_disk_the_estimate_is_the_error(residual, error):
    points = disk(2000)
    x, y = points.unbind(-1)
    depth = (1 - x**2 - y**2) / 2
    estimate = mean_square_error(
        residual(x, y), points, depth, torch.tensor([math.pi], dtype=torch.float64)
    )
    exact = error(x, y).square().mean()
    # leaving out i = j costs O(1/n)
    assert estimate.sqrt().item() == pytest.approx(exact.sqrt().item(), rel=0.02)


@pytest.mark.parametrize(
    ("residual", "error"),
    [
        (lambda x, y: torch.ones_like(x), lambda x, y: (1 - x**2 - y**2) ** 2 / 64),
        (lambda x, y: 192 * x, lambda x, y: x * (1 - x**2 - y**2) ** 2),
    ],
    ids=["constant", "dipole"],
)
def test_the_estimate_of_a_clamped_plate_is_its_error(residual, error):
    points = disk(1500)
    x, y = points.unbind(-1)
    estimate = mean_square_error(
        residual(x, y),
        points,
        (1 - x**2 - y**2) / 2,
        torch.tensor([math.pi], dtype=torch.float64),
        2,
    )
    assert estimate.sqrt().item() == pytest.approx(
        error(x, y).square().mean().sqrt().item(), rel=0.02
    )


def test_the_estimate_of_a_clamped_beam_and_ball_is_their_error():
    """(1 - r^2)^2 has the fourth derivative 24 on (-1, 1), and lap(lap) of it is 120 in the unit
    ball."""
    generator = torch.Generator().manual_seed(0)
    for dim, source, measure in ((1, 24.0, 2.0), (3, 120.0, 4 * math.pi / 3)):
        points = 2 * torch.rand(1, 4000, dim, generator=generator, dtype=torch.float64) - 1
        points = points[:, points.square().sum(-1)[0] < 1][:, :1500]
        height = 1 - points.square().sum(-1)
        residual = torch.full_like(height, source)
        estimate = mean_square_error(
            residual, points, height / 2, torch.tensor([measure], dtype=torch.float64), 2
        )
        assert estimate.sqrt().item() == pytest.approx(
            height.square().square().mean().sqrt().item(), rel=0.05
        )


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_the_fundamental_solution_is_harmonic_off_the_origin_and_has_unit_flux(dim):
    x = torch.tensor([[0.6, -0.3, 0.5][:dim]], dtype=torch.float64)

    def energy(p):
        return fundamental(p.square().sum(-1), dim)

    hessian = torch.autograd.functional.hessian(lambda p: energy(p).sum(), x).reshape(dim, dim)
    assert abs(hessian.trace()) < 1e-12
    radius = x.norm()
    slope = torch.autograd.functional.jacobian(lambda p: energy(p).sum(), x).reshape(dim) @ (
        x[0] / radius
    )
    sphere = {1: 2.0, 2: 2 * math.pi * radius, 3: 4 * math.pi * radius**2}[dim]
    assert slope * sphere == pytest.approx(-1)


def test_the_estimate_needs_a_laplacian_with_values_given_all_round():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, k = unknown("u", omega), param("k", 2)
    rim = boundary(omega)
    flux = dot(grad(u), unit_normal(omega))
    declined = [
        problems.navier_stokes(),
        problems.korteweg_de_vries(),
        problems.monge_ampere(),
        Problem(
            "flux",
            {"e": lap(u) - 1},
            [on(side(omega, x=0), sp.Eq(u, 0)), on(side(omega, x=1), sp.Eq(flux, 0))],
        ),
        Problem(
            "anisotropic",
            {"e": sp.Derivative(u, (x, 2)) + 2 * sp.Derivative(u, (y, 2)) - 1},
            [on(rim, sp.Eq(u, 0))],
        ),
        Problem("sign", {"e": k * lap(u) - 1}, [on(rim, sp.Eq(u, 0))]),  # k may have any sign
    ]
    plate = pdespec.load(Path(__file__).parents[2] / "examples" / "biharmonic_plate.pde")
    assert [
        t.target for t in compiler.compile(plate, error_estimate=True).terms if t.kind == "error"
    ] == [2]
    assert "balance.error" in [
        t.label for t in compiler.compile(problems.poisson(), error_estimate=True).terms
    ]
    for problem in declined:
        assert not [
            t.label
            for t in compiler.compile(problem, error_estimate=True).terms
            if t.kind == "error"
        ], problem.name


def test_the_defect_is_the_residual_at_the_offset():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, f = unknown("u", omega), input_function("f", omega, gaussians(count=2))
    problem = Problem("p", {"e": sp.Eq(lap(u), f)}, [on(boundary(omega), sp.Eq(u, 0))])
    batch = compiler.sample(
        problem, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    points = batch.points["Omega"].points
    assert ansatz_residual_names(problem) == ("defect of e",)
    # the offset is zero
    torch.testing.assert_close(ansatz_residual(batch.draws, points), -batch.evaluate("f", points))


BEAM = """problem beam
space x
param P ~ uniform(1, 2), a ~ uniform(0.3, 0.7)
domain L = interval(0, 1)
unknown w : scalar on L
in L: e: dxxxx(w) + 50*w = P*exp(-(x - a)^2/0.01)
on boundary(L): dxx(w) = 0; dxxx(w) = 0
"""


def test_without_anything_built_in_the_defect_is_the_source():
    problem = pdespec.parse(BEAM)
    batch = compiler.instance(problem, {"P": 1.5, "a": 0.4}, dtype=torch.float64)
    points = batch.points["L"].points
    assert batch.inputs.ansatz is None and batch.draws.amplitude is None
    assert channel_names(problem) == ("P", "a", "defect of e", "factor")
    source = -1.5 * (-((points - 0.4) ** 2) / 0.01).exp()
    torch.testing.assert_close(ansatz_residual(batch.draws, points), source)
    # the operator reads it at its points, and at nodes of its own
    told = batch.inputs.values[..., 2:3].sinh()
    at = batch.inputs.points
    inside = (16 * batch.inputs.values[..., 3:] + 1.2).sigmoid()
    source = -1.5 * (-((at - 0.4) ** 2) / 0.01).exp()
    torch.testing.assert_close(told, (source.asinh() * inside).sinh())
    torch.testing.assert_close(batch.inputs.features(at)[..., 2:3], batch.inputs.values[..., 2:3])


@pytest.mark.parametrize("condition", ["u = 0", "dn(u) = 0"])
def test_an_operator_is_told_the_same_in_inference_mode(condition):
    problem = pdespec.parse(
        "problem rod\nspace x\nparam a ~ uniform(1, 2)\ndomain L = interval(0, 1)\n"
        f"unknown u : scalar on L\nin L: u - dxx(u) = a*x\non boundary(L): {condition}\n"
    )
    batch = compiler.instance(problem, {"a": 1.5}, dtype=torch.float64)
    points = batch.points["L"].points
    with torch.inference_mode():
        found = batch.inputs.features(points)
    torch.testing.assert_close(found, batch.inputs.features(points))


def test_the_source_that_an_operator_is_told_has_its_slope_in_the_params():
    problem = pdespec.parse(BEAM)
    P, a = (torch.tensor(v, dtype=torch.float64, requires_grad=True) for v in (1.5, 0.4))
    batch = compiler.instance(problem, {"P": P, "a": a}, dtype=torch.float64)
    at = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)[None, :, None]
    told = batch.inputs.features(at)[..., 2]
    slopes = torch.autograd.grad(told.sum(), (P, a))
    hill = (-((at[..., 0] - 0.4) ** 2) / 0.01).exp()
    inside = (16 * batch.inputs.features(at)[..., 3].detach().atanh() / 4 + 1.2).sigmoid()
    rise = -inside / (1 + (1.5 * hill) ** 2).sqrt()  # of asinh
    torch.testing.assert_close(slopes[0], (rise * hill).sum())
    torch.testing.assert_close(slopes[1], (rise * 1.5 * hill * 2 * (at[..., 0] - 0.4) / 0.01).sum())


def test_where_some_components_alone_have_something_built_in_there_is_no_defect():
    text = """
problem pair
space x
domain L = interval(0, 1)
unknown u : scalar on L, v : scalar on L
in L:
    first:  dxx(u) + v = 1
    second: dxx(v) + 2*v = u
on boundary(L): u = 3; dn(v) = 0
"""
    both = text.replace("dn(v)", "v")
    neither = text.replace("u = 3", "dn(u) = 3")
    counts = [len(ansatz_residual_names(pdespec.parse(each))) for each in (both, neither, text)]
    assert counts == [2, 2, 0]


def test_an_energy_has_no_defect():
    text = (
        "problem rod\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\nminimize"
        " integral(dx(u)^2/2 - u, L)\non boundary(L): u = 0\n"
    )
    assert ansatz_residual_names(pdespec.parse(text, source="rod.pde")) == ()
