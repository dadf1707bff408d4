"""Complex problems: the loss against SymPy's own complex arithmetic, the reference solver
against plane waves."""

from __future__ import annotations

import math

import pytest
import sympy as sp
import torch

import compiler
import pdespec

HEAD = "problem p\nspace x, y\ndomain Q = rectangle([0, 0], [1, 1])\n"
F64 = torch.float64


def pair(values):
    return torch.stack([values.real, values.imag], -1)


def test_the_loss_of_a_complex_equation_is_that_of_complex_numbers():
    problem = pdespec.parse(
        HEAD + "input f : complex scalar on Q\nunknown psi : complex scalar on Q\nin Q: div((1 +"
        " 0.5i*x)*grad(psi)) + exp(1i*y)*psi*abs2(psi) + 2i*conj(psi)/(x + 1i) = f*dx(psi)\non"
        " boundary(Q): dn(psi) = 1i*psi*sin(psi)\n"
    )
    x, y = sp.symbols("x y", real=True)
    psi, f = (x**2 + sp.I * x * y + 1) / (2 + sp.I * y), sp.exp(sp.I * x) * y
    residual = sum(sp.diff((1 + sp.I * x / 2) * sp.diff(psi, v), v) for v in (x, y))
    residual += (
        sp.exp(sp.I * y) * psi * psi * sp.conjugate(psi)
        + 2 * sp.I * sp.conjugate(psi) / (x + sp.I)
        - f * sp.diff(psi, x)
    )
    normal = sp.symbols("n0 n1")
    leaving = sum(
        sp.diff(psi, v) * n for v, n in zip((x, y), normal, strict=True)
    ) - sp.I * psi * sp.sin(psi)
    field = sp.lambdify((x, y), psi, "torch")
    batch = compiler.instance(
        problem, inputs={"f": f}, dtype=F64, points={"interior": 50, "boundary": 40}
    )
    answer = compiler.compile(problem)(lambda points: pair(field(*points.unbind(-1))), batch)

    def mean(expression, symbols, columns):
        values = sp.lambdify(symbols, expression, "numpy")(*(column.numpy() for column in columns))
        return (abs(values) ** 2).mean()

    interior, boundary = batch.points["Q"], batch.points["boundary(Q)"]
    sides = [*boundary.points[0].unbind(-1), *boundary.normals[0].unbind(-1)]
    assert float(answer["eq1"].detach()) == pytest.approx(
        mean(residual, (x, y), interior.points[0].unbind(-1)), rel=1e-10
    )
    assert float(answer["boundary(Q).psi"].detach()) == pytest.approx(
        mean(leaving, (x, y, *normal), sides), rel=1e-10
    )


WAVES = {
    "an impedance condition lets a plane wave out": (
        (
            "space x\ndomain Q = interval(0, 1)\nunknown psi : complex on Q\nin Q: dxx(psi) +"
            " 25*psi = 0\non side(Q, x = 0): psi = 1\non side(Q, x = 1): dn(psi) = 5i*psi\n"
        ),
        lambda p: torch.exp(5j * p[..., 0]),
        (12, 24),
    ),
    "a lossy medium": (
        (
            "space x, y\ndomain Q = rectangle([0, 0], [1, 1])\nunknown psi : complex scalar on"
            " Q\nin Q: div((1 + 0.5i)*(1 + x)*grad(psi)) = (1 + 0.5i)*(-4*(1 + x) + 2i)*psi\non"
            " boundary(Q): psi = exp(2i*x)\n"
        ),
        lambda p: torch.exp(2j * p[..., 0]),
        (4, 8),
    ),
    "a free particle on a ring": (
        (
            "space x\ntime t in [0, 0.2]\ndomain Q = interval(0, 1)\nperiodic x\nunknown psi :"
            " complex scalar on Q\nin Q: 1i*dt(psi) = -dxx(psi)/10\nat t = 0: psi = exp(2i*pi*x)\n"
        ),
        lambda p: torch.exp(1j * (2 * math.pi * p[..., 0] - 0.4 * math.pi**2 * p[..., 1])),
        (8, 16),
    ),
}


@pytest.mark.parametrize("name", WAVES)
def test_the_reference_solver_finds(name):
    text, exact, resolutions = WAVES[name]
    problem = pdespec.parse("problem p\n" + text)
    batch = compiler.instance(problem, dtype=F64)
    points = torch.rand(
        1, 100, len(problem.variables), dtype=F64, generator=torch.Generator().manual_seed(0)
    )
    if problem.time is not None:
        points[..., -1] = 0.2
    errors = [
        float(
            (compiler.solve(problem, batch, resolution=r)(points) - pair(exact(points))).abs().max()
        )
        for r in resolutions
    ]
    assert errors[1] < 6e-4
    assert math.log2(errors[0] / errors[1]) > 2.5  # P2: third order


def test_a_complex_problem_trains_a_step_and_conditions_are_built_in():
    problem = pdespec.parse(
        HEAD
        + "unknown psi : complex scalar on Q\nin Q: lap(psi) + 4*psi = 1i\non boundary(Q): psi ="
        " exp(1i*x)\n"
    )
    batch = compiler.sample(
        problem,
        2,
        {"interior": 32, "boundary": 16, "operator": 32},
        torch.Generator().manual_seed(0),
    )
    model = compiler.build(problem, "pinn", hidden=(8, 8))
    terms = compiler.compile(problem)(model(batch.inputs), batch)
    assert float(terms["boundary(Q).psi"].detach()) < 1e-10
    terms.total.backward()
    assert all(p.grad is None or p.grad.isfinite().all() for p in model.parameters())
