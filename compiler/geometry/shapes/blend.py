"""Rvachev functions: smooth functions of functions that vanish where a set-theoretic combination of
their zero sets does.

All take and give functions that are positive inside, zero on a boundary and of unit slope there.
Source: V. L. Rvachev 1982; V. Shapiro, Semi-analytic geometry with R-functions, Acta Numerica 2007;
N. Sukumar and A. Srivastava, Exact imposition of boundary conditions with distance functions in
physics-informed deep neural networks, CMAME 2022.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def norm(vector: Tensor) -> Tensor:
    """Euclidean norm over the last axis, with derivative zero (and not NaN) at zero."""
    square = vector.square().sum(-1)
    positive = square > 0
    return torch.where(
        positive,
        torch.where(positive, square, torch.ones_like(square)).sqrt(),
        torch.zeros_like(square),
    )


def conjunction(a: Tensor, b: Tensor, corner: Tensor | float = 0.0) -> Tensor:
    """Positive where a and b are: `a b / sqrt(a^2 + b^2 + corner^2)`.

    With `corner` = 0 this is R-equivalence of order 2, whose second derivatives grow as 1/distance
    where both vanish, so that the mean square of a second-order residual diverges there. With a
    length `corner` it is smooth up to the edge where the boundaries meet: there it behaves as the
    product a b, as solutions in a right-angled corner do, and keeps a slope near 1 further than
    that length from the edge.
    """
    smallest = torch.finfo(a.dtype).tiny
    return a * b * (a.square() + b.square() + corner**2 + smallest).rsqrt()


def conjunctions(functions: Sequence[Tensor], corner: Tensor | float = 0.0) -> Tensor:
    """`conjunction` of any number of functions, paired as a balanced tree."""
    if len(functions) == 1:
        return functions[0]
    stacked = torch.stack(list(functions))  # (m, b, n): all pairs of a level at once
    while len(stacked) > 1:
        paired = len(stacked) // 2 * 2
        pairs = conjunction(stacked[:paired:2], stacked[1:paired:2], corner)
        stacked = torch.cat([pairs, stacked[paired:]])
    return stacked[0]


def disjunction(a: Tensor, b: Tensor) -> Tensor:
    """Positive where a or b is: `a + b + sqrt(a^2 + b^2)`. Its gradient jumps where both vanish
    (a re-entrant corner)."""
    return a + b + (a.square() + b.square() + torch.finfo(a.dtype).tiny).sqrt()


def both(a: Tensor, b: Tensor) -> Tensor:
    """Positive exactly where a and b are, whatever their signs: `a + b - sqrt(a^2 + b^2)`."""
    return a + b - (a.square() + b.square() + torch.finfo(a.dtype).tiny).sqrt()


def trimmed(carrier: Tensor, keep: Tensor, length: Tensor | float = 1.0) -> Tensor:
    """Zero only where the carrier vanishes and `keep` >= 0; positive elsewhere: `sqrt(f^2 +
    ((sqrt(k^2 + f^4 / length^2) - k) / 2)^2)`.

    Written so that the slope on the kept part is 1 from the side where the carrier is positive, and
    not that of sqrt at 0. Units: carrier, keep and length are lengths. Source: Sukumar and
    Srivastava 2022, eq. (12), where lengths are relative to 1.
    """
    smallest = torch.finfo(carrier.dtype).tiny
    size = torch.where(carrier >= 0, carrier, -carrier)
    ratio = carrier.square() / length
    root = (keep.square() + ratio.square() + smallest).sqrt()
    sum_ = torch.where(keep > 0, root + keep, torch.ones_like(keep))
    kept = size * (1 + (ratio * carrier / (2 * sum_ * length)).square()).sqrt()
    away = (carrier.square() + ((root - keep) / 2).square() + smallest).sqrt()
    return torch.where(keep > 0, kept, away)


def weights(functions: Sequence[Tensor]) -> list[Tensor]:
    """Shares of transfinite interpolation: share i is 1 where function i vanishes, 0 where another
    does, and they sum to 1.

    `w_i = prod_{j != i} f_j / sum_k prod_{j != k} f_j` (inverse-distance weights). Source: Rvachev,
    Sheiko, Shapiro, Tsukanov 2001.
    """
    smallest = torch.finfo(functions[0].dtype).eps ** 2
    products = []
    for i in range(len(functions)):
        others = [f for j, f in enumerate(functions) if j != i]
        product = torch.ones_like(functions[0])
        for f in others:
            product = product * f
        products.append(product + smallest)
    total = sum(products[1:], products[0])
    return [product / total for product in products]
