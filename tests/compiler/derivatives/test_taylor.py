"""Jets against nested reverse mode, through a whole mollified GINO: residuals and parameter
gradients, float64."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import compiler
from operators import GINO, PINN, OperatorInput
from pdespec import ProblemError
from tests.compiler import problems

CASES = [
    (problems.poisson, "half_cos"),
    (problems.poisson, "quartic"),
    (problems.poisson, "octic"),
    (problems.poisson, "bump"),
    (problems.navier_stokes, "bump"),
    (problems.korteweg_de_vries, "bump"),
    (problems.biharmonic, "bump"),
    (problems.monge_ampere, "octic"),
    (problems.transport, "half_cos"),
]


def gino(problem, weight: str, kernel: str) -> GINO:
    dim = len(problem.variables)
    generator = torch.Generator().manual_seed(1)
    box = ((0.0,) * dim, (1.0,) * dim)
    model = GINO(
        2,
        len(problem.components),
        dim,
        (9,) * dim,
        box,
        weight=weight,
        kernel=kernel,
        hidden=6,
        modes=3,
        layers=1,
        projection=8,
        generator=generator,
    )
    return model.double()


def field_of(model: GINO, dim: int):
    """Two samples with different inputs."""
    g = torch.Generator().manual_seed(2)
    points = torch.rand(2, 30, dim, generator=g, dtype=torch.float64)
    return model(OperatorInput(points, torch.randn(2, 30, 2, generator=g, dtype=torch.float64)))


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
@pytest.mark.parametrize(("make", "weight"), CASES, ids=[f"{m.__name__}-{w}" for m, w in CASES])
def test_jets_equal_nested_autograd_in_residual_and_parameter_gradient(make, weight, kernel):
    problem = make()
    dim = len(problem.variables)
    model = gino(problem, weight, kernel)
    points = torch.rand(2, 7, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    inputs = {name: lambda x: torch.sin(x[..., :1]) for name in problem.inputs}
    params = {name: torch.tensor([150.0, 300.0], dtype=torch.float64) for name in problem.params}
    found = {}
    for backend in ("taylor", "autograd"):
        residuals = compiler.compile(problem, derivatives=backend).residuals(
            field_of(model, dim), points, inputs, params
        )
        loss = sum(r.square().mean() for r in residuals.values())
        gradients = torch.autograd.grad(loss, list(model.parameters()), allow_unused=True)
        flat = torch.cat(
            [
                torch.zeros_like(p).flatten() if g is None else g.flatten()
                for p, g in zip(model.parameters(), gradients, strict=True)
            ]
        )
        found[backend] = torch.cat([r.flatten() for r in residuals.values()]).detach(), flat
    for ours, reference in zip(found["taylor"], found["autograd"], strict=True):
        assert reference.norm() > 0
        assert (ours - reference).norm() <= 1e-10 * reference.norm()


def test_a_field_without_jets_is_refused_with_the_alternative():
    loss = compiler.compile(problems.transport(), derivatives="taylor")
    with pytest.raises(ProblemError, match="P01.*carries jets[^$]*use autograd"):
        loss.residuals(lambda p: p[..., :1] * p[..., 1:], torch.rand(1, 4, 2))


def test_a_network_beyond_its_jet_rules_is_differentiated_by_autograd():
    problem, model = (
        problems.poisson(),
        PINN(1, 2, hidden=(4,), generator=torch.Generator().manual_seed(0)).double(),
    )
    model.network.layers[1].register_forward_hook(lambda module, given, out: 2 * out)
    field = model(OperatorInput(torch.zeros(1, 1, 2).double(), torch.zeros(1, 1, 1).double()))
    group = compiler.compile(problem).plan(field).groups[0]
    assert group.backend == "autograd"
    assert "taylor declined: operators.layers.mlp.Linear has a forward hook" in group.reasons[0]
    points = torch.rand(1, 4, 2, dtype=torch.float64)
    by = {
        name: compiler.compile(problem, name).residuals(field, points, {"f": lambda x: x[..., :1]})
        for name in ("auto", "autograd")
    }
    assert torch.equal(by["auto"]["balance"], by["autograd"]["balance"])


class Sinh(nn.Module):
    def forward(self, x):
        return torch.sinh(x)


@pytest.mark.parametrize(
    ("module", "backend"),
    [(Sinh, "autograd"), (nn.Tanh, "taylor"), (lambda: nn.GELU(approximate="tanh"), "autograd")],
)
def test_jets_pass_a_kernel_of_ones_own_where_they_pass_its_modules(module, backend):
    problem, model = problems.poisson(), gino(problems.poisson(), "bump", "mlp")
    model.decoder.kernel.rest = nn.Sequential(nn.Linear(64, 8), module(), nn.Linear(8, 6)).double()
    field, points = field_of(model, 2), torch.rand(2, 5, 2, dtype=torch.float64)
    group = compiler.compile(problem).plan(field).groups[0]
    assert group.backend == backend
    if backend == "autograd":
        assert type(module()).__name__ in group.reasons[0]
    by = {
        name: compiler.compile(problem, name).residuals(field, points, {"f": lambda x: x[..., :1]})
        for name in ("auto", "autograd")
    }
    torch.testing.assert_close(
        by["auto"]["balance"], by["autograd"]["balance"], rtol=1e-10, atol=1e-12
    )
