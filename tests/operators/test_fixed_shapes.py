"""Models as programs of fixed shapes: the same fields, whatever their layers are made of."""

from __future__ import annotations

import pytest
import torch

import operators
from operators import OperatorInput
from operators.layers.spectral import RealSpectralConv, SpectralConv
from operators.models.fixed_shapes import fixed_shapes

DOUBLE = torch.float64


def read(dim, generator, features=0):
    points = 2 * torch.rand(2, 50, dim, generator=generator, dtype=DOUBLE) - 1
    return OperatorInput(
        points,
        points.sin()[..., :1],
        torch.rand(2, 50, generator=generator, dtype=DOUBLE),
        (lambda x: x[..., :1].cos()) if features else None,
    )


@pytest.mark.parametrize("rank", [None, 0.5])
@pytest.mark.parametrize("shape", [(9,), (8, 7), (6, 7, 8)])
def test_a_spectral_layer_by_matrices_is_the_one_by_transforms(shape, rank, generator):
    modes = tuple(n // 2 for n in shape)
    layer = SpectralConv(3, 2, modes, rank, generator=generator).double()
    v = torch.randn(2, 3, *shape, generator=generator, dtype=DOUBLE)
    assert RealSpectralConv(layer)(v).numpy() == pytest.approx(
        layer(v).detach().numpy(), rel=1e-12, abs=1e-13
    )


@pytest.mark.parametrize("kernel", ["mlp", "polynomial"])
@pytest.mark.parametrize("reduction", ["integral", "sum", "mean", "shepard"])
@pytest.mark.parametrize("periodic", [False, True])
def test_a_graph_operator_reads_the_same_balls(kernel, reduction, periodic, generator):
    options = {"kernel": kernel, "reduction": reduction, "periodic": (periodic, False)}
    model = operators.GINO(
        1, 2, 2, (10, 12), hidden=4, modes=3, layers=1, encoder={"kernel": kernel}, **options
    ).double()
    given = read(2, generator)
    points = 2 * torch.rand(2, 40, 2, generator=generator, dtype=DOUBLE) - 1
    found, wanted = fixed_shapes(model)(given)(points), model(given)(points)
    assert found.numpy() == pytest.approx(wanted.detach().numpy(), rel=1e-11, abs=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_a_fourier_operator_needs_no_transform(dim, generator):
    grid = (8, 7, 6)[:dim]
    model = operators.FNO(
        0, 2, dim, grid, hidden=4, modes=(3,) * dim, layers=1, feature_channels=1
    ).double()
    points = torch.rand(2, 9, dim, generator=generator, dtype=DOUBLE)
    given = read(dim, generator, features=1)
    found, wanted = fixed_shapes(model)(given)(points), model(given)(points)
    assert found.numpy() == pytest.approx(wanted.detach().numpy(), rel=1e-11, abs=1e-12)
