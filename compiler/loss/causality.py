"""Causal weights: the residual at time t is weighted by exp(-strength * residual before t).

The mean square of a residual over all times at once has minima that are not solutions: a state that
dies out within a moment and then stays zero has a residual in that moment alone. With the points of
a sample in order of time, t_1 < .. < t_n,

    w_i = exp(-strength * (1/n) sum_(j < i) r_j^2),        loss = mean(w r^2) / mean(w),

w held fixed in the gradient. As the residual vanishes all weights become 1: no solution is moved.

Source: Wang, Sankaran and Perdikaris 2022 (arXiv 2203.07404), with slices of time replaced by the
points themselves.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor


def causal_weights(
    square: Float[Tensor, "b n"], times: Float[Tensor, "b n"], strength: float
) -> Float[Tensor, "b n"]:
    """Weights of mean one in each sample for squared residuals at points with these times.
    Shapes: "b n" both -> "b n"."""
    order = times.argsort(-1)
    ordered = square.detach().gather(-1, order)  # (b, n), in order of time
    before = (ordered.cumsum(-1) - ordered) / ordered.shape[-1]
    weights = torch.exp(-strength * before)
    weights = weights / weights.mean(-1, keepdim=True)
    return torch.empty_like(weights).scatter(-1, order, weights)  # (b, n), in the order given
