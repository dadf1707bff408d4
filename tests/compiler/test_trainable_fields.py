"""Functions to be found: what the language says of them, their derivatives in the loss, the
reference solver at their values, and their modes under a law."""

from __future__ import annotations

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.loss.blocks import StepEngine
from compiler.trainable_fields import (
    basis,
    expanded,
    field_slopes,
    field_values,
    places,
    priors,
)
from pdespec import Problem, dot, grad, grf, on, rectangle, side, space, trainable_field, unknown

TEXT = """problem ground
space x, y
time t in [0, 1]
domain D = rectangle([0, 0], [2, 1])
boundary well = side(D, x = 0)
trainable k = 2 : scalar on D > 0 [m^2] ~ grf(sigma = 0.5, length = 0.4), modes = 3
trainable q : scalar on well over t, m ~ normal(1, 0.2)
unknown u : scalar on D
in D: dt(u) - div(k*grad(u)) = m
on well: k*dn(u) = q
on rest(D): u = 0
at t = 0: u = 0
"""


def test_a_problem_with_functions_to_be_found_is_written_and_read_again():
    problem = pdespec.parse(TEXT)
    k, q = problem.trainables["k"], problem.trainables["q"]
    assert k.size == 9 and k.components[8] == "k[8]" and k.median == 2 and k.unit == "m^2"
    assert [str(x) for x in q.axes] == ["y", "t"] and q.size == 36 and q.median == 0
    assert pdespec.parse(problem.to_dsl()) == problem
    recovered = problem.revised(written=None).to_dsl()
    assert "trainable k = 2 : scalar on D > 0 [m^2] ~ grf(sigma = 0.5" in recovered
    assert "trainable m ~ normal(1, 0.2)" in recovered and pdespec.parse(recovered) == problem
    assert r"\ln \frac{k}{2} &\sim" in problem.to_latex()
    assert priors(problem)["k[3]"] == (0, 1) and priors(problem)["m"] == (1, 0.2)
    assert not any(name.startswith("q[") for name in priors(problem))


def test_the_python_form_is_the_same_problem():
    x, y = space("x y")
    D = rectangle(x, y, [0, 0], [2, 1], name="D")
    k = trainable_field("k", D, grf(length=0.4), first=2, positive=True, modes=3)
    u = unknown("u", D)
    made = Problem("p", {"flow": (dot(grad(k), grad(u)) + k, 1)}, [on(side(D, x=0), u)])
    text = "problem p\nspace x, y\ndomain D = rectangle([0, 0], [2, 1])\n"
    text += "trainable k = 2 : scalar on D > 0 ~ grf(length = 0.4), modes = 3\n"
    text += "unknown u : scalar on D\nin D:\n    flow: dot(grad(k), grad(u)) + k = 1\n"
    assert pdespec.parse(text + "on side(D, x = 0): u = 0") == made
    with pytest.raises(pdespec.ProblemError, match="not a Gaussian random field"):
        trainable_field("k", D, pdespec.fourier(modes=2))


def test_residuals_hold_all_derivatives_of_a_function_to_be_found():
    """Of third order, against plain SymPy with cosines written here."""
    text = "problem p\nspace x, y\ndomain D = rectangle([0, 0], [2, 1])\nunknown u : scalar on D\n"
    text += "trainable k = 2 : scalar on D > 0 ~ grf(sigma = 0.5, tau = 2, alpha = 2), modes = 3\n"
    text += "in D: d(k*lap(u), x) + dxyy(k) = 0\non boundary(D): u = 0"
    problem = pdespec.parse(text)
    loss = compiler.compile(problem).double()
    random = np.random.default_rng(0)
    numbers, points = random.normal(size=9), random.uniform(0, [2, 1], size=(6, 2))
    loss.trainables["k"].data.copy_(torch.as_tensor(numbers))
    field = lambda at: torch.sin(at[..., :1]) * at[..., 1:] ** 4  # noqa: E731
    found = loss.residuals(field, torch.as_tensor(points)[None])["eq1"][0, :, 0]

    x, y = sp.symbols("x y")
    g = sp.S.Zero
    for number, (i, j) in zip(numbers, np.ndindex(3, 3), strict=True):
        size = 0.5 / ((i * sp.pi / 2) ** 2 + (j * sp.pi) ** 2 + 4)
        norm = sp.sqrt((2 if i else 1) * (2 if j else 1) / sp.Integer(2))
        g += number * size * norm * sp.cos(i * sp.pi * x / 2) * sp.cos(j * sp.pi * y)
    k, u = 2 * sp.exp(g), sp.sin(x) * y**4
    whole = sp.diff(k * (sp.diff(u, x, 2) + sp.diff(u, y, 2)), x) + sp.diff(k, x, y, y)
    expected = sp.lambdify((x, y), whole)(*points.T)
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-11)
    declared = problem.trainables["k"]
    np.testing.assert_allclose(
        field_values(declared, numbers, points), sp.lambdify((x, y), k)(*points.T), rtol=1e-13
    )
    step = 1e-6 * np.eye(9)
    each = [
        (field_values(declared, numbers + e, points) - field_values(declared, numbers - e, points))
        / 2e-6
        for e in step
    ]
    np.testing.assert_allclose(
        field_slopes(declared, numbers, points), np.stack(each, 1), atol=1e-8
    )


def test_the_gradient_of_the_loss_in_the_coefficients_is_that_of_differences():
    """Of values and gradients of the blocks that training takes, too."""
    problem = pdespec.parse(TEXT.replace("over t, m", "over t, modes = 2, m"))
    loss = compiler.compile(problem).double()
    random = np.random.default_rng(1)
    loss.trainables["k"].data.copy_(torch.as_tensor(random.normal(size=9)))
    batch = compiler.sample(
        problem, 1, {"interior": 16, "boundary": 8, "initial": 4, "operator": 8},
        torch.Generator().manual_seed(0), dtype=torch.float64,
    )  # fmt: skip
    model = compiler.build(problem, "pinn", hidden=(6,)).double()
    own = loss.trainables["k"]
    total = loss(model(batch.inputs), batch).total
    (slope,) = torch.autograd.grad(total, own)
    engine = StepEngine(loss, 8, "eager")
    (blocks,) = torch.autograd.grad(engine(model(batch.inputs), batch).total, own)
    torch.testing.assert_close(blocks, slope, rtol=1e-9, atol=1e-12)
    direction = torch.as_tensor(random.normal(size=9))
    values = []
    for sign in (1, -1):
        own.data.add_(sign * 1e-5 * direction)
        values.append(float(loss(model(batch.inputs), batch).total.detach()))
        own.data.sub_(sign * 1e-5 * direction)
    assert float(slope @ direction) == pytest.approx((values[0] - values[1]) / 2e-5, rel=1e-6)


def test_the_reference_solver_takes_a_function_at_its_values():
    """-(k u')' = 1 with k = exp(c cos(pi x)) along a rod: u' = (a - x)/k, by quadrature."""
    text = "problem p\nspace x\ndomain L = interval(0, 1)\nunknown u : scalar on L\n"
    text += "trainable k = 3 : scalar on L > 0, modes = 2\nin L: -d(k*dx(u), x) = 1\n"
    text += "on boundary(L): u = 0\noutput mean := integral(k, L)\noutput at_half := k(1/2)"
    problem = pdespec.parse(text)
    batch = compiler.instance(problem, dtype=torch.float64)
    batch = batch.with_trainables({"k[0]": 0.0, "k[1]": 0.7})
    truth = compiler.solve(problem, batch, resolution=64)
    nodes, weights = np.polynomial.legendre.leggauss(60)
    whole = lambda f, end: sum(end / 2 * weights * f(end * (nodes + 1) / 2))  # noqa: E731
    k = lambda x: 3 * np.exp(0.7 * np.cos(np.pi * x))  # noqa: E731
    a = whole(lambda x: x / k(x), 1) / whole(lambda x: 1 / k(x), 1)
    at = [0.2, 0.5, 0.9]
    expected = [whole(lambda x: (a - x) / k(x), end) for end in at]
    found = truth(torch.tensor(at, dtype=torch.float64)[None, :, None])[0, :, 0]
    np.testing.assert_allclose(found.numpy(), expected, rtol=2e-6)
    outputs = compiler.outputs(problem, truth, batch)
    assert float(outputs["mean"]) == pytest.approx(whole(k, 1), rel=1e-6)
    assert float(outputs["at_half"]) == pytest.approx(3, rel=1e-9)
    first = compiler.outputs(problem, truth, compiler.instance(problem, dtype=torch.float64))
    assert float(first["mean"]) == pytest.approx(3, rel=1e-9)
    loss = compiler.compile(problem).double()
    loss.take({"k[0]": 0.0, "k[1]": 0.7})
    assert loss.found() == {"k[0]": 0.0, "k[1]": pytest.approx(0.7)}


def test_modes_have_the_covariance_of_their_law():
    """Away from the ends, that of the squared exponential; along a period, stationary."""
    text = "problem p\nspace x\ndomain L = interval(0, 1)\n{periodic}unknown u : scalar on L\n"
    text += "trainable k : scalar on L ~ grf(sigma = 0.7, length = 0.2), modes = 24\n"
    text += "in L: -dxx(u) = k\n{condition}"
    x = np.linspace(0.3, 0.7, 9)[:, None]
    for periodic, condition in (("", "on boundary(L): u = 0"), ("periodic x\n", "")):
        problem = pdespec.parse(
            text.format(periodic=periodic, condition=condition)
            + ("\nrequire integral(u, L) = 0" if periodic else "")
        )
        modes = basis(problem.trainables["k"], x)
        apart = x - x.T
        images = range(-2, 3) if periodic else (0,)
        expected = sum(0.49 * np.exp(-((apart + n) ** 2) / 0.08) for n in images)
        np.testing.assert_allclose(modes @ modes.T, expected, atol=2e-4)


def test_a_function_is_summed_up_where_it_lives():
    """In a disk, not in its box; on a rim; times as evenly as places."""
    x, y = space("x y")
    t, round_ = pdespec.time(end=2), pdespec.disk(x, y)
    inside = places(trainable_field("k", round_, modes=2).func.declaration, 1000)
    assert np.hypot(*inside.T).max() < 1 and np.mean(inside**2) == pytest.approx(1 / 4, rel=0.02)
    q = trainable_field("q", pdespec.boundary(round_), modes=2, time=t)
    rim = places(q.func.declaration, 1000)
    assert np.hypot(*rim[:, :2].T) == pytest.approx(1)
    angle = np.arctan2(rim[:, 1], rim[:, 0])
    for wave in (np.cos(angle), np.cos(np.pi * rim[:, 2]), np.cos(angle) * (rim[:, 2] - 1)):
        assert abs(wave.mean()) < 0.01


def test_a_problem_without_them_stays_itself():
    text = (
        "problem p\nspace x\ndomain L = interval(0, 1)\ntrainable k = 1\nunknown u : scalar on L\n"
    )
    problem = pdespec.parse(text + "in L: -k*dxx(u) = 1\non boundary(L): u = 0")
    assert expanded(problem) is problem
    made = pdespec.parse(TEXT)
    assert expanded(made) is expanded(made) and expanded(expanded(made)) is expanded(made)
