"""The Transolver against its paper, written out token by token in NumPy.

Wu et al. 2024 (arXiv 2402.02366): slice weights (equation 1), tokens as weighted means (2),
attention among tokens (3), deslicing (4), layers (5), in the form for irregular meshes: linear maps
in place of convolutions, with the constants of the authors' public code (eps 1e-5 in the means,
temperature 0.5 without a clamp, query, key and value without bias).
"""

from __future__ import annotations

import math

import numpy as np
from scipy.special import erf

from operators import OperatorInput, Transolver

HEADS, SLICES, CHANNELS = 2, 5, 8


def weights_of(module):
    bias = None if module.bias is None else module.bias.detach().numpy()
    return module.weight.detach().numpy(), bias


def affine(module, x):
    weight, bias = weights_of(module)
    return weight @ x + (0 if bias is None else bias)


def gelu(x):
    return 0.5 * x * (1 + erf(x / math.sqrt(2)))


def two_layers(mlp, x):
    first, second = mlp.layers
    return affine(second, gelu(affine(first, x)))


def normed(layer, x):
    weight, bias = weights_of(layer)
    return (x - x.mean()) / math.sqrt(x.var() + layer.eps) * weight + bias


def softmax(x):
    shifted = np.exp(x - x.max())
    return shifted / shifted.sum()


def attention(module, points):
    """Rows of channels, one a point -> the same."""
    width, out = CHANNELS // HEADS, np.zeros_like(points)
    for h in range(HEADS):
        own = slice(h * width, (h + 1) * width)
        x = [affine(module.of_point, p)[own] for p in points]
        f = [affine(module.of_token, p)[own] for p in points]
        tau = module.temperature[h].item()
        w = [softmax(affine(module.to_slice, each) / tau) for each in x]
        tokens = []
        for g in range(SLICES):
            total = sum(w[i][g] * f[i] for i in range(len(points)))
            tokens.append(total / (sum(w[i][g] for i in range(len(points))) + 1e-5))
        q, k, v = ([affine(m, t) for t in tokens] for m in (module.query, module.key, module.value))
        after = []
        for g in range(SLICES):
            share = softmax(np.array([q[g] @ k[j] for j in range(SLICES)]) / math.sqrt(width))
            after.append(sum(share[j] * v[j] for j in range(SLICES)))
        for i in range(len(points)):
            out[i, own] = sum(w[i][g] * after[g] for g in range(SLICES))
    return np.array([affine(module.out, row) for row in out])


def test_a_transolver_is_what_its_paper_writes(rand, randn):
    model = Transolver(
        2, 2, 1, ((0.0, -1.0), (2.0, 1.0)), hidden=CHANNELS, layers=2, heads=HEADS, slices=SLICES
    ).double()
    for each in model.parameters():  # norms and temperatures away from where they begin
        each.data += 0.05 * randn(*each.shape)
    wave = lambda p: (3 * p.sum(-1, keepdim=True)).sin()  # noqa: E731
    points = rand(1, 11, 2)
    found = model(OperatorInput(points, randn(1, 11, 1), None, wave))(points)[0].detach().numpy()
    where = points[0].numpy()
    rows = np.array(
        [[x - 1, y, math.sin(3 * (x + y))] for x, y in where]  # the box scaled to [-1, 1]^2
    )
    state = np.array([two_layers(model.lift, row) for row in rows])
    for block in model.blocks:
        heard = np.array([normed(block.before_attention, row) for row in state])
        state = state + attention(block.attention, heard)
        state = state + np.array(
            [two_layers(block.mlp, normed(block.before_mlp, row)) for row in state]
        )
    norm, last = model.head
    expected = np.array([affine(last, normed(norm, row)) for row in state])
    assert np.abs(found - expected).max() < 1e-12 * np.abs(expected).max() + 1e-13
