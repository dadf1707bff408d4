"""Nested reverse mode: what it refuses and how many sweeps it takes."""

from __future__ import annotations

import pytest
import torch

from compiler.derivatives import Autograd, Request
from pdespec.errors import ProblemError

from .oracles import cloud


def wanted(*indices):
    return Request({0: frozenset(indices)})


def test_one_sweep_gives_each_gradient_that_is_needed_and_no_other(monkeypatch):
    sweeps = []
    real = torch.autograd.grad
    monkeypatch.setattr(
        torch.autograd,
        "grad",
        lambda *given, **options: sweeps.append(given) or real(*given, **options),
    )
    Autograd().evaluate(
        lambda p: (p[..., :1] * p[..., 1:]).sin(), cloud(5, 2), wanted((1, 0), (2, 0), (0, 2))
    )
    assert len(sweeps) == 3  # of u, u_x and u_y


@pytest.mark.parametrize(
    "field",
    [
        lambda p: p.detach()[..., :1],
        lambda p: p.detach()[..., :1] * torch.ones(1).double().requires_grad_(),
    ],
)
@pytest.mark.parametrize("index", [(1, 0), (0, 2)])
def test_a_field_without_a_graph_to_its_points_is_refused(field, index):
    with pytest.raises(ProblemError, match="the field does not depend on its coordinates") as error:
        Autograd().evaluate(field, cloud(5, 2), wanted(index))
    assert error.value.diagnostics[0].code == "B04"


def test_an_affine_field_has_second_derivatives_of_zero():
    assert (
        not Autograd()
        .evaluate(lambda p: 3 * p[..., :1], cloud(5, 2), wanted((2, 0)))[0, (2, 0)]
        .any()
    )
