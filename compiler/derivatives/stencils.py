"""Weights of finite differences on equispaced points."""

from __future__ import annotations

from fractions import Fraction
from functools import lru_cache


@lru_cache(maxsize=1024)
def fornberg(offsets: tuple[int, ...], derivative: int) -> tuple[float, ...]:
    """Weights w with `f^(m)(0) = h^-m sum_k w_k f(offsets_k h)`, exact for polynomials of degree <
    len(offsets).

    Source: Fornberg (1988), Generation of finite difference formulas on arbitrarily spaced grids,
    Math. Comp. 51, p. 700; computed in rational numbers, so that the weights are correctly
    rounded.
    """
    if derivative >= len(offsets):
        raise ValueError(f"derivative {derivative} needs more than {len(offsets)} points")
    x = [Fraction(offset) for offset in offsets]
    # weights[j][k]: of point j, for the k-th derivative
    weights = [[Fraction(0)] * (derivative + 1) for _ in x]
    weights[0][0] = Fraction(1)
    product = Fraction(1)
    for i in range(1, len(x)):
        new = Fraction(1)
        for j in range(i):
            gap = x[i] - x[j]
            new *= gap
            if j == i - 1:
                for k in range(min(i, derivative), -1, -1):
                    lower = k * weights[j][k - 1] if k else Fraction(0)
                    weights[i][k] = product * (lower - x[j] * weights[j][k]) / new
            for k in range(min(i, derivative), -1, -1):
                lower = k * weights[j][k - 1] if k else Fraction(0)
                weights[j][k] = (x[i] * weights[j][k] - lower) / gap
        product = new
    return tuple(float(row[derivative]) for row in weights)


def half_width(derivative: int, order: int) -> int:
    """Points to either side of the centre in the central formula of an even order."""
    return (derivative + 1) // 2 - 1 + order // 2


def central(derivative: int, order: int) -> dict[int, float]:
    """Central weights by offset, those that vanish left out."""
    reach = half_width(derivative, order)
    offsets = tuple(range(-reach, reach + 1))
    return {
        offset: weight
        for offset, weight in zip(offsets, fornberg(offsets, derivative), strict=True)
        if weight
    }


def one_sided(derivative: int, order: int, row: int) -> tuple[float, ...]:
    """Weights on the first `derivative + order` points of an axis for the derivative at point
    `row` of them."""
    return fornberg(tuple(k - row for k in range(derivative + order)), derivative)
