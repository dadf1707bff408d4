"""The compiled residual against sympy.lambdify of `problem.residuals()`, and the terms against
their definitions."""

from __future__ import annotations

import logging
import pickle
from dataclasses import dataclass

import numpy as np
import pytest
import sympy as sp
import torch

import compiler
import pdespec
from compiler.fem.forms.weak import weak_form
from compiler.lowering.terms import lower, strong_form
from operators import Capabilities
from pdespec import (
    Problem,
    ProblemError,
    boundary,
    grad,
    integral,
    on,
    rectangle,
    space,
    trainable,
    unit_normal,
    unknown,
)
from pdespec.statements import problem as statements
from tests.compiler import problems
from tests.compiler.oracle import exact_residuals, torch_field
from tests.pdespec.zoo import ZOO

CLOSED = {  # one smooth closed form per component, in the variables of the problem
    "poisson": lambda x, y: [sp.sin(2 * x) * sp.exp(y / 2) + x * y],
    "navier_stokes": lambda x, y, t: [
        sp.sin(x) * sp.cos(y) * sp.exp(-t),
        x**2 * sp.sin(y + t),
        sp.cos(x * y) + t,
    ],
    "kdv": lambda x, t: [sp.sin(3 * x - t) + x**4],
    "plate": lambda x, y: [sp.sin(2 * x) * sp.cos(3 * y) + x**4 * y**2],
    "monge_ampere": lambda x, y: [sp.exp(x * y) + x**3],
    "transport": lambda x, y: [sp.sin(x) * y**2],
}
MAKERS = [
    problems.poisson,
    problems.navier_stokes,
    problems.korteweg_de_vries,
    problems.biharmonic,
    problems.monge_ampere,
    problems.transport,
]


@pytest.mark.parametrize("make", MAKERS, ids=[m.__name__ for m in MAKERS])
def test_compiled_residuals_equal_lambdified_ones_on_closed_forms(make):
    problem = make()
    variables = problem.variables
    forms = CLOSED[problem.name](*variables)
    points = (
        torch.rand(
            2, 9, len(variables), dtype=torch.float64, generator=torch.Generator().manual_seed(3)
        )
        + 0.2
    )
    source = sp.sin(variables[0]) if problem.inputs else sp.S.Zero
    inputs = {name: lambda x: torch.sin(x[..., :1]) for name in problem.inputs}
    params = dict.fromkeys(problem.params, 150.0)
    ours = compiler.compile(problem).residuals(
        torch_field(forms, variables), points, inputs=inputs, params=params
    )
    theirs = exact_residuals(problem, forms, points, params, dict.fromkeys(problem.inputs, source))
    assert set(ours) == set(theirs)
    for label, exact in theirs.items():
        scale = np.abs(exact).max()
        np.testing.assert_allclose(
            ours[label].detach().numpy(), exact, rtol=0, atol=1e-12 * max(scale, 1)
        )


@dataclass
class Points:
    points: torch.Tensor
    normals: torch.Tensor | None
    measure: torch.Tensor
    weights: torch.Tensor | None = None


@dataclass
class FakeBatch:
    points: dict
    params: dict
    functions: dict

    def evaluate(self, name, points):
        return self.functions[name](points)


def unit_square_batch(key: str, n: int = 400, **functions) -> FakeBatch:
    generator = torch.Generator().manual_seed(0)
    inner = torch.rand(2, n, 2, dtype=torch.float64, generator=generator)
    rim = torch.rand(2, n, 2, dtype=torch.float64, generator=generator)
    rim[..., 0] = 1.0  # the right side, outward normal e_x
    normal = torch.tensor([1.0, 0.0], dtype=torch.float64).expand_as(rim)
    return FakeBatch(
        {"Omega": Points(inner, None, torch.ones(2)), key: Points(rim, normal, torch.ones(2))},
        {},
        functions,
    )


def test_conditions_with_normal_derivatives_and_trainables_enter_the_loss():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u, k = unknown("u", omega), trainable("k", 2)
    rim = boundary(omega)
    n = unit_normal(omega)
    problem = Problem(
        "flux",
        {"e": sp.Derivative(u, (x, 2)) - k},
        {"flux": on(rim, sp.Eq(k * (grad(u).T * n)[0], 3))},
    )
    loss = compiler.compile(problem)
    batch = unit_square_batch(rim.name)
    # u_xx = 2, u_x = 2 on the right side
    terms = loss(lambda p: p[..., :1] ** 2 + 0 * p[..., 1:], batch)
    assert dict(terms).keys() == {"e", "flux"}
    torch.testing.assert_close(terms["e"], torch.tensor(0.0, dtype=torch.float64))
    torch.testing.assert_close(terms["flux"], torch.tensor(1.0, dtype=torch.float64))
    terms.total.backward()
    assert loss.trainables["k"].grad == pytest.approx(2 * 1.0 * 2)  # d/dk (2k - 3)^2 at k = 2


def test_an_energy_is_a_monte_carlo_integral_and_a_violated_requirement_never_makes_a_nan():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    u = unknown("u", omega)
    stretch = 1 + sp.Derivative(u, x)
    problem = Problem(
        "log_energy", minimize=integral(stretch - sp.log(stretch), omega), require=[stretch > 0]
    )
    loss = compiler.compile(problem)
    slope = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)
    batch = unit_square_batch("boundary(Omega)")

    # stretch = 1 + slope * 4 (x - 1/2): negative where x is above 1 for slope -1/2, everywhere
    # positive for small slopes
    def field(p):
        return slope * 2 * (p[..., :1] - 0.5) ** 2 * 4 + 0 * p[..., 1:]

    terms = loss(field, batch)
    violated = 1 + slope.detach() * 16 * (batch.points["Omega"].points[..., 0] - 0.5) <= 0
    torch.testing.assert_close(terms.violations["require1"], violated.double().mean(-1))
    assert 0.1 < violated.double().mean() < 0.9
    terms.total.backward()
    assert torch.isfinite(slope.grad)
    inner = batch.points["Omega"].points[..., 0]
    j = 1 - 8 * (inner - 0.5)
    # beyond this margin the tangent goes on, see compiler.loss.barrier
    m = torch.tensor(0.01, dtype=torch.float64)
    tangent = m - m.log() + (1 - 1 / m) * (j - m) + (m - m.log()) * (m - j) ** 2
    torch.testing.assert_close(
        terms["energy"].detach(), torch.where(j >= m, j - j.clamp_min(m).log(), tangent).mean()
    )


@pytest.mark.parametrize(
    ("call", "code", "text"),
    [
        (
            lambda loss, p: loss.residuals(lambda x: x[..., :1], p[0], inputs={"f": p[..., :1]}),
            "B01",
            r"points have shape \(9, 2\).*needs \(b, n, 2\)",
        ),
        (
            lambda loss, p: loss.residuals(lambda x: x, p, inputs={"f": p[..., :1]}),
            "B01",
            r"field returned shape \(2, 9, 2\).*needs \(2, 9, 1\)",
        ),
        (
            lambda loss, p: loss.residuals(
                lambda x: x[..., :1].float(), p, inputs={"f": p[..., :1]}
            ),
            "B02",
            "torch.float32 for torch.float64",
        ),
        (
            lambda loss, p: loss.residuals(torch.nn.Linear(2, 1), p, inputs={"f": p[..., :1]}),
            "B02",
            "holds torch.float32 on cpu, the points are torch.float64",
        ),
        (
            lambda loss, p: loss.residuals(lambda x: x[..., :1] ** 2, p, inputs={"f": p[..., 0]}),
            "B01",
            r"input `f` has shape \(2, 9\).*\(2, 9, 1\)",
        ),
        (
            lambda loss, p: loss.residuals(
                lambda x: x[..., :1] ** 2, p, inputs={"f": p[..., :1].float()}
            ),
            "B02",
            "input `f` is torch.float32",
        ),
        (
            lambda loss, p: loss.residuals(lambda x: x[..., :1] ** 2, p),
            "B03",
            "input `f` was not given",
        ),
        (
            lambda loss, p: loss.residuals(
                lambda x: torch.ones_like(x[..., :1]), p, inputs={"f": p[..., :1]}
            ),
            "B04",
            "does not depend on its coordinates",
        ),
    ],
    ids=[
        "points",
        "channels",
        "field dtype",
        "weights dtype",
        "input shape",
        "input dtype",
        "input missing",
        "constant field",
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_broadcasts(call, code, text):
    loss = compiler.compile(problems.poisson())
    with pytest.raises(ProblemError, match=text) as raised:
        call(loss, torch.rand(2, 9, 2, dtype=torch.float64))
    assert [d.code for d in raised.value.diagnostics] == [code]


def test_the_derivative_of_data_without_a_derivative_is_refused():
    x, y = space("x y")
    omega = rectangle(x, y, (0, 0), (1, 1))
    from pdespec import input_function, lap

    u, f = unknown("u", omega), input_function("f", omega)
    problem = Problem("p", {"e": sp.Eq(lap(u), sp.Derivative(f, x))})
    with pytest.raises(ProblemError, match="B03.*a derivative of `f` is needed"):
        compiler.compile(problem).residuals(
            lambda p: p[..., :1] ** 2, torch.rand(1, 4, 2), inputs={"f": torch.rand(1, 4, 1)}
        )


def slope_of_one() -> Problem:
    x, y = space("x y")
    return Problem("p", {"e": sp.Derivative(unknown("u", rectangle(x, y, (0, 0), (1, 1))), x) - 1})


def centred(points: torch.Tensor) -> torch.Tensor:
    return points[..., :1] - points[..., :1].mean(1, keepdim=True)


def test_a_field_that_mixes_its_queries_is_caught_by_the_probe():
    with pytest.raises(ProblemError, match="P04"):
        compiler.compile(slope_of_one())(centred, unit_square_batch("boundary(Omega)"))
    with pytest.raises(ProblemError, match="P04"):
        compiler.compile(slope_of_one()).residuals(centred, torch.rand(1, 40, 2))


@pytest.mark.parametrize("backend", ["least_squares", "finite_difference"])
def test_a_field_is_not_probed_for_a_backend_that_takes_its_values_as_they_are(backend):
    residual = compiler.compile(slope_of_one(), backend).residuals(
        centred, torch.rand(1, 40, 2, dtype=torch.float64)
    )["e"]
    assert residual.abs().max() < 1e-6


@dataclass
class Unhashable:
    asked: int = 0

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        self.asked += points.shape[1]
        return points[..., :1] ** 2


class Slotted:
    __slots__ = ("asked",)

    def __init__(self) -> None:
        self.asked = 0

    __call__ = Unhashable.__call__


@pytest.mark.parametrize(("field", "probes"), [(Unhashable(), 1), (Slotted(), 3)])
def test_fields_without_a_hash_or_weak_references_are_probed_on_few_points(field, probes):
    loss, points = compiler.compile(slope_of_one()), torch.rand(1, 200, 2)
    for _ in range(3):
        loss.residuals(field, points)
    slopes, lines = 16 * (1 + 6), 3 * (18 + 34)  # see compiler.loss.verify
    assert field.asked == 3 * 200 + probes * (64 + 32 + slopes + lines)


class Rough:
    """A field whose third derivatives would be a matter of taste, made of a module that jets do
    not pass."""

    capabilities = Capabilities(smoothness=0, reason="no jet rule for some.Module")

    def __call__(self, points: torch.Tensor) -> torch.Tensor:
        return points[..., :1] ** 2


def test_what_a_plan_warns_of_is_logged_once_when_the_loss_is_evaluated(caplog):
    loss, batch = compiler.compile(slope_of_one()), unit_square_batch("boundary(Omega)")
    with caplog.at_level(logging.WARNING, "compiler.loss.physics"):
        loss.explain(Rough())
        assert not caplog.records
        for _ in range(2):
            loss(Rough(), batch)
            loss.residuals(Rough(), torch.rand(1, 4, 2))
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 2
    assert "warning P03: `e` takes dx(u), the field is only C^0" in told[0]
    assert (
        told[1] == "`p`: derivatives by nested autograd, for taylor was declined: no jet rule for"
        " some.Module"
    )


def test_a_backend_that_was_asked_for_is_no_fallback(caplog):
    compiler.compile(slope_of_one(), "autograd").residuals(Rough(), torch.rand(1, 4, 2))
    assert not [record for record in caplog.records if "nested autograd" in record.getMessage()]


def test_derivative_forms_are_computed_once_and_kept_with_the_problem(monkeypatch):
    met: list = []
    plain = statements.jet_form
    monkeypatch.setattr(statements, "jet_form", lambda each: met.append(each) or plain(each))
    problem = ZOO["hyperelastic_pores"]()
    for _ in range(2):
        assert not any(d.severity == "error" for d in pdespec.check(problem))
        lower(problem), strong_form(problem), weak_form(problem), problem.derivatives()
    assert met and len(met) == len(set(met))
    assert pickle.loads(pickle.dumps(problem)).__dict__.keys() == set(problem.__dataclass_fields__)
