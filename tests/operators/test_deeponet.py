"""DeepONet against a sum written out by hand, nested autograd, and the least-squares optimum."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import erf

from operators import Ansatz, DeepONet, JetSpace, OperatorInput

BOX = ((-1.0, 0.0), (1.0, 2.0))
SPACE = JetSpace.closure([(2, 1), (1, 2)], {"laplacian": {(2, 0): 1, (0, 2): 1}})
ANSATZ = Ansatz(lambda p: p[..., :1] ** 2, lambda p: torch.sin(p[..., 1:]))
SMALL = {"basis": 5, "branch": (7,), "trunk": (6, 9), "sensors": (4, 3), "nodes": 9}


def wave(points):
    return torch.sin(3 * points.sum(-1, keepdim=True))


def made(kind="mlp", channels=0, **options):
    chosen = {**SMALL, "kind": kind, "weight": "bump", "feature_channels": 1, **options}
    return DeepONet(channels, 2, 2, box=BOX, **chosen).double()


def given(rand, randn, ansatz=None):
    points = rand(2, 30, 2) * 2 + torch.tensor([-1.0, 0.0])
    return OperatorInput(points, randn(2, 30, 1), None, wave, ansatz)


def gelu(x):
    return 0.5 * x * (1 + erf(x / np.sqrt(2)))


def layered(mlp, x):
    """An MLP in NumPy."""
    layers = [(each.weight.detach().numpy(), each.bias.detach().numpy()) for each in mlp.layers]
    for weight, bias in layers[:-1]:
        x = gelu(weight @ x + bias)
    return layers[-1][0] @ x + layers[-1][1]


def test_a_field_is_the_sum_over_branch_times_trunk_written_out(rand, randn):
    model, inputs, queries = made(), given(rand, randn), rand(2, 6, 2)
    with torch.no_grad():
        model.bias.copy_(torch.tensor([0.3, -0.7], dtype=torch.float64))
        found = model(inputs)(queries).numpy()
    x, y = np.linspace(-1, 1, 4), np.linspace(0, 2, 3)
    sensors = np.array([np.sin(3 * (a + b)) for a in x for b in y])
    branch = layered(model.branch, sensors) / np.sqrt(5)
    for i in range(2):
        for n, point in enumerate(queries[i].numpy()):
            trunk = layered(model.trunk, point - [0.0, 1.0])  # the box scaled to [-1, 1]^2
            for c, bias in enumerate([0.3, -0.7]):
                total = bias
                for k in range(5):
                    total += branch[2 * k + c] * trunk[k]
                assert abs(found[i, n, c] - total) < 1e-12


@pytest.mark.parametrize("kind", ["mlp", "mollified"])
@pytest.mark.parametrize("channels", [0, 1])
def test_jets_equal_nested_autograd(kind, channels, rand, randn, nested, close):
    field = made(kind, channels)(given(rand, randn, ANSATZ))
    points = rand(2, 8, 2)
    assert field.capabilities.taylor
    jet = field.taylor(points, SPACE)
    for a in SPACE.lower:
        assert close(jet[a], nested(field, points, a)) < 1e-10
    laplacian = nested(field, points, (2, 0)) + nested(field, points, (0, 2))
    assert close(jet["laplacian"], laplacian) < 1e-10


def test_a_mollified_trunk_is_as_smooth_as_its_weight_and_the_other_is_smooth(rand, randn):
    inputs = given(rand, randn)
    assert made("mollified", weight="octic")(inputs).capabilities.smoothness == 2
    assert made("mlp")(inputs).capabilities.smoothness == np.inf


@pytest.mark.parametrize("kind", ["mlp", "mollified"])
def test_latent_tensors_carry_everything_the_branch_hands_over(kind, rand, randn):
    field, points = made(kind)(given(rand, randn)), rand(2, 8, 2)
    leaves = [each.detach().requires_grad_() for each in field.latent]
    again = field.with_latent(leaves)
    assert torch.equal(again(points, again.plan(points)), field(points))
    again(points).square().sum().backward()
    assert all(leaf.grad is not None and leaf.grad.abs().max() > 0 for leaf in leaves)


def test_a_mollified_branch_sees_a_function_and_not_its_points(rand):
    """The same function at other, denser points changes the coefficients by what quadrature leaves,
    which falls with the number of points."""
    model = made("mlp", 1, feature_channels=0, sensors=(6, 6))

    def coefficients(count):
        axis = (torch.arange(count, dtype=torch.float64) + 0.5) / count * 2
        grid = torch.stack(torch.meshgrid(axis - 1, axis, indexing="ij"), -1).reshape(1, -1, 2)
        with torch.no_grad():
            return model.coefficients(OperatorInput(grid, wave(grid)))

    fine = coefficients(96)
    errors = [(coefficients(n) - fine).norm() / fine.norm() for n in (12, 24, 48)]
    assert errors[0] > 2 * errors[1] > 4 * errors[2]
    assert errors[2] < 2e-3


def test_what_does_not_fit_is_refused(rand, randn):
    inputs = given(rand, randn)
    with pytest.raises(ValueError, match="needs sensors along 2 axes"):
        made(sensors=(4,))
    with pytest.raises(ValueError, match="no trunk of kind 'moll'; known: mlp, mollified"):
        made("moll")
    with pytest.raises(ValueError, match="reads values or features"):
        made(feature_channels=0)
    with pytest.raises(ValueError, match="reads values with 3 channels"):
        made(channels=3)(inputs)
    with pytest.raises(ValueError, match=r"takes points \(2, n, D\), got \(1, 4, 2\)"):
        made()(inputs)(rand(1, 4, 2))
