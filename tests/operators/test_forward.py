"""Jets that are followed forward through ordinary functions of points: every rule against nested
autograd, and what has none."""

import copy
import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import sympy as sp
import torch
from torch.func import grad, vmap
from torch.nn import functional as F

from operators.field import followed, jet_of, nested
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
    "small hyperbolic": lambda p: 1e9 * torch.sinh(1e-9 * p),
    "quotients": lambda p: p / torch.tensor([3, 7]) + p / 3,
    "activations": lambda p: F.gelu(p) + F.silu(p) + F.softplus(p) + F.relu(p) + p.relu(),
    "angle": lambda p: torch.atan2(p[..., 1:], p[..., :1]) * p,
    "angle of one": lambda p: torch.atan2(p[..., 1:], torch.tensor(0.3, dtype=p.dtype)),
    "choices": lambda p: torch.where(p > 0.1, p.square(), torch.ones_like(p)) + p.clamp_min(0.2),
    "clamps": lambda p: p.clamp(-0.3, 0.4) * p + p.clamp_max(0.0) + p.clamp(min=0.1) ** 2,
    "extrema": lambda p: torch.maximum(p.sin(), p[..., :1]) + torch.minimum(p, p.square()),
    "ties": lambda p: torch.maximum(2 * p, p + p) * p,
    "sums": lambda p: p.sin().sum(-1, keepdim=True) + p.square().mean(2, keepdim=True),
    "transposed": lambda p: p.sin().transpose(1, 2)[None].permute(0, 1, 3, 2)[0] * p,
    "places": lambda p: torch.stack([p[..., 0] * p[..., 1], p.unbind(-1)[1]], 2),
    "joins": lambda p: torch.cat([p.exp(), torch.ones_like(p), p[..., None].squeeze(-1)], -1),
    "views": lambda p: (p * p).flatten(1).unflatten(1, (-1, 2)).reshape(p.shape).unsqueeze(0)[0],
    "parts": lambda p: torch.cat([e.cos() for e in p.split(1, -1)] + list(p.chunk(2, -1)), 2),
    "selections": lambda p: p.select(-1, 0)[..., None] * p.narrow(2, 1, 1).expand(-1, -1, 2),
    "gathered": lambda p: p.sin().gather(2, torch.ones(*p.shape[:2], 1, dtype=torch.long)),
    "einsum": lambda p: torch.einsum("bnk,ko->bno", p.sin(), ROWS.to(p)),
    "einsum of two": lambda p: torch.einsum(
        "xy,bnx,bny->bn", ROWS.T[:, :2].to(p), (p[..., :1] * ROWS[0].to(p)).cos(), p.sin()
    )[..., None],
    "broadcast": lambda p: (p[..., :1] * p.new_ones(4) + p.new_ones(1, 3, 1, 4) * p[..., 1:])[0],
    "other precision": lambda p: p.float().double() * 0 + p.double().sin(),
    "a list of places": lambda p: p[..., [1, 0]] * p[:, torch.arange(7)],
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


class Straight(torch.autograd.Function):
    """x^2, with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, bar):
        return 3 * ctx.saved_tensors[0] * bar


def _waves(p: torch.Tensor):
    return p.sin() * p


def _added_in_place(p):
    found = p.sin()
    same = found
    same += 1
    return found * p


def _written(p):
    found = p.new_zeros(p.shape)
    found[..., 0] = p[..., 0] ** 2
    return found * p


def _hidden(p):
    with torch._C.DisableTorchFunctionSubclass():
        return p * p.sin()


def _other_way(p):
    try:
        return torch.add(p, p.sin(), alpha=2)
    except TypeError:
        return p * p


WITHOUT = {
    "without a rule": lambda p: torch.lgamma(2 + p),
    "without a rule, caught": _caught,
    "detached": lambda p: p * p.detach(),
    "without a graph": lambda p: p + torch.no_grad()(torch.sin)(p),
    "a gradient of its own": lambda p: (
        p * torch.autograd.grad(p.sin().sum(), p, create_graph=True)[0]
    ),
    "in place": lambda p: p.clone().add_(p),
    "in place, of another name": _added_in_place,
    "written into": _written,
    "vmap": lambda p: p * vmap(vmap(lambda q: q[0] * q.sin()))(p),
    "vmap around the points": lambda p: (
        p * vmap(lambda k: (k * p).sum(-1))(p.new_ones(3)).sum(0)[..., None]
    ),
    "torch.func.grad": lambda p: p * vmap(vmap(grad(lambda q: (q**3).sum())))(p),
    "TorchScript": lambda p: p * torch.jit.script(_waves)(p),
    "a function of autograd": lambda p: p + Straight.apply(p),
    "another class": lambda p: p * p.as_subclass(torch.Tensor).sin(),
    "past the rules": _hidden,
    "arguments without a rule, caught": _other_way,
    "copies": lambda p: p * copy.deepcopy(p),
    "bytes": lambda p: p * pickle.loads(pickle.dumps(p)),
    "NumPy": lambda p: p * torch.from_numpy(np.sin(p.detach().numpy())),
    "a choice by bytes": lambda p: torch.where((p > 0).byte(), p.sin(), p * p),
    "products of matrices": lambda p: p.sin() @ ROWS.to(p) + F.linear(p, ROWS.T, ROWS[0]),
    "two lists of places": lambda p: torch.stack(p[None][[0, 0], :, :, [1, 0]].unbind(0), -1) * p,
    "a singular power": lambda p: (p[..., :1] * 0).sqrt() * p[..., 1:],
    "constant": torch.ones_like,
}


@pytest.mark.filterwarnings("ignore:where received a uint8", "ignore::DeprecationWarning")
@pytest.mark.parametrize("space", [SPACES["collapsed"], SPACES["of order one"]])
@pytest.mark.parametrize("function", WITHOUT.values(), ids=list(WITHOUT))
def test_leaves_what_it_cannot_follow(function, space):
    points = _points()
    assert forward(function, points, space) is None
    if function is not WITHOUT["a gradient of its own"]:
        jet, expected = jet_of(function, points, space), nested(function, points, space)
        for key in space.streams:
            assert torch.equal(jet[key].nan_to_num(7), expected[key].nan_to_num(7))


def test_singularities_are_left_to_reverse_mode():
    points, space = _points(), SPACES["of order one"]
    points[..., 0] = 0
    jet = jet_of(lambda p: p[..., :1].sqrt() * p[..., 1:], points, space)
    assert torch.equal(jet[0, 1], torch.zeros_like(points[..., :1]))


def test_values_kept_beyond_a_call_are_values_alone():
    class Keeping:
        found = None

        def __call__(self, p):
            self.found = p.sin() if self.found is None else self.found
            return self.found * p

    points, space = _points(), SPACES["of order two"]
    function = Keeping()
    followed(function, points, space)
    assert type(function(points)) is torch.Tensor
    assert type(function.found.add_(0)) is torch.Tensor and "tensor" in repr(function.found)
    assert type(copy.deepcopy(function.found)) is torch.Tensor
    jet = followed(function, 2 * points, space)
    assert torch.equal(jet[1, 0][..., 0], points[..., 0].sin())
    assert torch.equal(vmap(torch.sin)(function.found), points.sin().sin())
    assert not followed(lambda p: function.found, points, space)[1, 0].any()


def test_calls_within_a_call_do_not_mix():
    points, space = _points(), SPACES["of order one"]

    def function(p):
        inner = jet_of(lambda q: q.sin() * p, p.new_ones(p.shape), space)
        return inner.value * p + inner[1, 0]

    assert forward(function, points, space) is None
    jet, one = jet_of(function, points, space), torch.ones((), dtype=torch.float64)
    expected = one.sin() * points**2
    expected[..., 0] += one.cos() * points[..., 0]
    assert torch.allclose(jet.value, expected)
    assert torch.allclose(jet[1, 0][..., 0], 2 * one.sin() * points[..., 0] + one.cos())
    outer = lambda p: p * jet_of(torch.sin, torch.ones_like(points), space)[1, 0]  # noqa: E731
    found, reference = jet_of(outer, points, space), nested(outer, points, space)
    assert all(torch.equal(found[key], reference[key]) for key in space.streams)


def test_follows_in_other_threads():
    def function(p):
        with ThreadPoolExecutor(2) as pool:
            parts = list(pool.map(torch.sin, (p[..., :1], p[..., 1:])))
        return parts[0] * parts[1]

    points, space = _points(), SPACES["collapsed"]
    found, expected = forward(function, points, space), nested(function, points, space)
    assert found is not None
    assert torch.allclose(found["laplacian"], expected["laplacian"], rtol=1e-12)

    def failing(p):
        with ThreadPoolExecutor(1) as pool:
            return p if pool.submit(torch.lgamma, p + 2).exception() else p * p

    assert forward(failing, points, space) is None


def test_inference_leaves_nothing_behind():
    points = _points().requires_grad_()
    space = JetSpace.closure([(2, 1)])  # of no other test: its numbers are made in here

    def function(p):
        return p[..., :1].square() * p[..., 1:].exp()

    with torch.inference_mode():
        assert forward(function, _points(), space) is not None
    assert forward(function, points, space) is not None
    expected = 2 * points[..., 1:].exp()
    assert torch.allclose(jet_of(function, points, space)[2, 1], expected)
