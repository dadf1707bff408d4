"""Smooth functions of position with few coefficients: products of Legendre polynomials of the
coordinates, and of waves along those that are periodic."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

Degrees = tuple[int, ...]  # along each variable


@dataclass(frozen=True)
class Polynomials:
    """Sums of products of one function of each variable, c of them in each of b samples.

    The variables are scaled to [-1, 1] by the box of the sample. Number n of a variable is the
    Legendre polynomial of degree n, or, where it is periodic, 1, cos, sin, cos 2, sin 2, .. of the
    angle. A product is taken where the sum of n/degree over the variables is at most 1: with one
    degree for all, the polynomials of at most that degree.

    Shapes: lower and upper "b D", coefficients "b c m"; points "b n D" -> "b n c".
    """

    degrees: Degrees
    periodic: tuple[bool, ...]
    lower: Tensor
    upper: Tensor
    coefficients: Tensor

    @property
    def numbers(self) -> tuple[tuple[int, ...], ...]:
        """The functions of each variable in each product, those of small degree first."""
        return numbers(self.degrees)

    def __call__(self, points: Tensor) -> Tensor:
        products = self.products(points, (0,) * points.shape[-1])
        return products @ self.coefficients.transpose(1, 2).to(points)

    def products(self, points: Tensor, index: Sequence[int]) -> Tensor:
        """A derivative of every product. Shapes: "b n D" -> "b n m"."""
        low, high = self.lower.to(points)[:, None], self.upper.to(points)[:, None]
        scaled = (2 * points - low - high) / (high - low)
        result = None
        for axis, degree in enumerate(self.degrees):
            make = _waves if self.periodic[axis] else _legendre
            found = make(scaled[..., axis], degree, index[axis])  # "b n degree+1"
            found = found * (2 / (high - low)[..., axis, None]) ** index[axis]
            found = found[..., [each[axis] for each in self.numbers]]
            result = found if result is None else result * found
        assert result is not None
        return result

    def map(self, function: Callable[[Tensor], Tensor]) -> Polynomials:
        """A function applied to every tensor."""
        parts = (function(each) for each in (self.lower, self.upper, self.coefficients))
        return replace(self, **dict(zip(("lower", "upper", "coefficients"), parts, strict=True)))


@dataclass(frozen=True)
class Constant:
    """A number for each component of each sample, as a function of position. Shapes: values "b c";
    points "b n D" -> "b n c"."""

    values: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        return self.values[:, None].to(points) + 0 * points[..., :1]

    def map(self, function: Callable[[Tensor], Tensor]) -> Constant:
        """A function applied to the values."""
        return Constant(function(self.values))


def numbers(degrees: Degrees) -> tuple[tuple[int, ...], ...]:
    """The products of at most these degrees, those of small degree first."""

    def degree(each: tuple[int, ...]) -> float:
        return sum(n / most for n, most in zip(each, degrees, strict=True))

    every = itertools.product(*(range(most + 1) for most in degrees))
    return tuple(sorted((n for n in every if degree(n) <= 1 + 1e-9), key=degree))


def _legendre(x: Tensor, degree: int, order: int) -> Tensor:
    """A derivative of P_0 .. P_degree. Shapes: "b n" -> "b n degree+1"."""
    values = [torch.ones_like(x), x]
    for n in range(1, degree):
        values.append(((2 * n + 1) * x * values[n] - n * values[n - 1]) / (n + 1))
    found = torch.stack(values[: degree + 1], -1)
    if order == 0:
        return found
    table = np.zeros((degree + 1, degree + 1))  # a derivative as a sum of the polynomials
    for n in range(order, degree + 1):
        each = np.polynomial.legendre.legder([0.0] * n + [1.0], order)
        table[: len(each), n] = each
    return found @ found.new_tensor(table)


def _waves(x: Tensor, degree: int, order: int) -> Tensor:
    """A derivative of 1, cos, sin, cos 2, .. of pi x. Shapes: "b n" -> "b n degree+1"."""
    values = [torch.ones_like(x) if order == 0 else torch.zeros_like(x)]
    for n in range(1, degree + 1):
        wave = math.pi * ((n + 1) // 2)
        shift = order * math.pi / 2 - (0 if n % 2 else math.pi / 2)  # sin(a) = cos(a - pi/2)
        values.append(wave**order * (wave * x + shift).cos())
    return torch.stack(values, -1)
