"""Jets that are followed forward through ordinary functions of points: every rule against nested
autograd, and what has none."""

import pytest
import sympy as sp
import torch
from torch.nn import functional as F

from operators.field import jet_of, nested
from operators.jets.forward import forward
from operators.jets.jet import JetSpace

LAPLACE = {"laplacian": {(2, 0): 1.0, (0, 2): 1.0}}
SPACES = {
    "collapsed": JetSpace.closure([], LAPLACE),
    "of order one": JetSpace.closure([(1, 0), (0, 1)]),
    "of order two": JetSpace.closure([(2, 0), (1, 1), (0, 2)]),
    "of order four": JetSpace.closure(
        [(4, 0), (2, 2), (3, 1)], {"third": {(3, 0): 2.0, (0, 1): 3.0}}
    ),
}
ROWS = torch.linspace(-1, 1, 6, dtype=torch.float64).reshape(2, 3)
FUNCTIONS = {
    "arithmetic": lambda p: (2 - p[..., :1]) * p[..., 1:] / (3 + p[..., :1]) - 1 / (2 + p[..., 1:]),
    "signs": lambda p: -p.neg() + abs(p - 0.1) - (p * 2).sub(1),
    "powers": lambda p: (2 + p) ** 3 + (2 + p) ** 0.5 + 2.0**p + (2 + p).pow(-1.5) + p**2 + p**1,
    "roots": lambda p: (2 + p).sqrt() + (2 + p).rsqrt() + (2 + p).reciprocal() + p.square(),
    "exponentials": lambda p: p.exp() * (p + 2).log() + torch.erf(p) + p.sigmoid() + p.tanh(),
    "circular": lambda p: p.sin() * torch.cos(p) + p.tan() + torch.atan(p),
    "hyperbolic": lambda p: p.sinh() - torch.cosh(2 * p),
    "activations": lambda p: F.gelu(p) + F.silu(p) + F.softplus(p) + F.relu(p) + p.relu(),
    "angle": lambda p: torch.atan2(p[..., 1:], p[..., :1]) * p,
    "angle of one": lambda p: torch.atan2(p[..., 1:], torch.tensor(0.3, dtype=p.dtype)),
    "choices": lambda p: torch.where(p > 0.1, p.square(), torch.ones_like(p)) + p.clamp_min(0.2),
    "clamps": lambda p: p.clamp(-0.3, 0.4) * p + p.clamp_max(0.0) + p.clamp(min=0.1) ** 2,
    "extrema": lambda p: torch.maximum(p.sin(), p[..., :1]) + torch.minimum(p, p.square()),
    "ties": lambda p: torch.maximum(2 * p, p + p) * p,
    "sums": lambda p: p.sin().sum(-1, keepdim=True) + p.square().mean(2, keepdim=True),
    "places": lambda p: torch.stack([p[..., 0] * p[..., 1], p.unbind(-1)[1]], 2),
    "joins": lambda p: torch.cat([p.exp(), torch.ones_like(p), p[..., None].squeeze(-1)], -1),
    "views": lambda p: (p * p).flatten(1).unflatten(1, (-1, 2)).reshape(p.shape).unsqueeze(0)[0],
    "parts": lambda p: torch.cat([e.cos() for e in p.split(1, -1)] + list(p.chunk(2, -1)), 2),
    "selections": lambda p: p.select(-1, 0)[..., None] * p.narrow(2, 1, 1).expand(-1, -1, 2),
    "gathered": lambda p: p.sin().gather(2, torch.ones(*p.shape[:2], 1, dtype=torch.long)),
    "products": lambda p: p.sin() @ ROWS.to(p) + F.linear(p, ROWS.T.to(p), ROWS[0].to(p)),
    "einsum": lambda p: torch.einsum("bnk,ko->bno", p.sin(), ROWS.to(p)),
    "einsum of two": lambda p: torch.einsum(
        "xy,bnx,bny->bn", ROWS.T[:, :2].to(p), (p[..., :1] * ROWS[0].to(p)).cos(), p.sin()
    )[..., None],
    "broadcast": lambda p: (p[..., :1] * p.new_ones(4) + p.new_ones(1, 3, 1, 4) * p[..., 1:])[0],
    "other precision": lambda p: p.float().double() * 0 + p.double().sin(),
    "constants": lambda p: p * p.new_tensor([1.0, 2.0]) + torch.zeros_like(p) + p.shape[-1],
}


def _points() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return 1.6 * torch.rand(3, 7, 2, generator=generator, dtype=torch.float64) - 0.8


@pytest.mark.parametrize("space", SPACES.values(), ids=list(SPACES))
@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=list(FUNCTIONS))
def test_equals_nested_autograd(function, space):
    points = _points()
    found, expected = forward(function, points, space), nested(function, points, space)
    assert found is not None
    for key in space.streams:
        size = expected[key].abs().amax().clamp_min(1)
        assert found[key].shape == expected[key].shape
        assert (found[key] - expected[key]).abs().amax() < 1e-12 * size, key


def test_equals_symbolic_derivatives():
    x, y = sp.symbols("x y", real=True)
    expression = sp.exp(-(x**2)) * sp.atan2(y, x + 2) / (2 + sp.sin(3 * y)) + sp.sqrt(2 + x * y)
    own = sp.lambdify((x, y), expression, modules=[{"atan2": torch.atan2}, torch])
    points, space = _points(), SPACES["of order four"]
    jet = forward(lambda p: own(p[..., 0], p[..., 1])[..., None], points, space)
    assert jet is not None
    for a in space.lower:
        exact = sp.lambdify((x, y), sp.diff(expression, x, a[0], y, a[1]), "numpy")
        expected = torch.as_tensor(exact(*points.numpy().transpose(2, 0, 1)))
        assert (jet[a][..., 0] - expected).abs().amax() < 1e-12 * expected.abs().amax().clamp_min(1)


def test_keeps_its_graph_to_numbers_and_points():
    scale = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    points, space = _points().requires_grad_(), SPACES["collapsed"]

    def function(p):
        return (scale * p).sin() * p.square() / (2 + scale * p).exp()

    def slopes(jet):
        total = sum((k + 1) * jet[key].sum() for k, key in enumerate(space.streams))
        return torch.autograd.grad(total, [scale, points])

    found = slopes(forward(function, points, space))
    for one, other in zip(found, slopes(nested(function, points, space)), strict=True):
        assert torch.allclose(one, other, rtol=1e-12, atol=1e-12)


def _caught(p):
    try:
        return torch.linalg.vector_norm(p, dim=-1, keepdim=True)
    except Exception:
        return p[..., :1]


WITHOUT = {
    "without a rule": lambda p: torch.lgamma(2 + p),
    "without a rule, caught": _caught,
    "detached": lambda p: p * p.detach(),
    "without a graph": lambda p: p + torch.no_grad()(torch.sin)(p),
    "a gradient of its own": lambda p: (
        p * torch.autograd.grad(p.sin().sum(), p, create_graph=True)[0]
    ),
    "in place": lambda p: p.clone().add_(p),
    "constant": torch.ones_like,
}


@pytest.mark.parametrize("function", WITHOUT.values(), ids=list(WITHOUT))
def test_leaves_what_it_cannot_follow(function):
    points = _points()
    assert forward(function, points, SPACES["collapsed"]) is None
    if function is not WITHOUT["a gradient of its own"]:
        jet = jet_of(function, points, SPACES["collapsed"])
        assert jet.value.shape[:2] == points.shape[:2]
