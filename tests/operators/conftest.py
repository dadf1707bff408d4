"""Oracles shared by the tests of the operators: nested autograd, and nothing of the jets under
test."""

import pytest
import torch


@pytest.fixture
def nested():
    """derivative(function, points, alpha): d^alpha of every output column by nested reverse
    mode."""

    def derivative(function, points, alpha):
        x = points.detach().requires_grad_()
        columns = list(function(x).unbind(-1))
        for axis, times in enumerate(alpha):
            for _ in range(times):
                columns = [_slope(c, x)[..., axis] for c in columns]
        return torch.stack(columns, -1)

    return derivative


def _slope(values, x):
    if not values.requires_grad:
        return torch.zeros_like(x)
    slope = torch.autograd.grad(values.sum(), x, create_graph=True, allow_unused=True)[0]
    return torch.zeros_like(x) if slope is None else slope


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(1)


@pytest.fixture
def rand(generator):
    """Uniform float64 numbers in (0, 1)."""
    return lambda *shape: torch.rand(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def randn(generator):
    return lambda *shape: torch.randn(*shape, generator=generator, dtype=torch.float64)


@pytest.fixture
def close():
    """Relative difference in norm."""
    return lambda a, b: ((a - b).norm() / b.norm().clamp(min=1e-300)).item()
