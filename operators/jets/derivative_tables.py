"""Derivatives of functions of one variable, which jets need to pass through activations.

`derivatives(z, order)` returns [g, g', .., g^(order)](z), sharing the transcendental calls.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol, SupportsIndex

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from operators.registry import Registry


class Smooth(Protocol):
    """A function of one variable and its derivatives; activations and weights are such."""

    def __call__(self, z: Tensor, /) -> Tensor: ...

    def derivatives(self, z: Tensor, order: int, /) -> list[Tensor]:
        """[g, g', .., g^(order)] at z, each in the shape of z."""
        ...


class _Rows(torch.autograd.Function):
    """A table as one step of autograd: the slope of row k is row k + 1, so the backward pass is
    one product a row."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, function: Function, order: int) -> tuple[Tensor, ...]:
        rows = function.table(z, order + 1)
        ctx.function, ctx.order = function, order
        ctx.save_for_backward(z, *rows[1:])
        ctx.set_materialize_grads(False)
        return tuple(rows[:-1])

    @staticmethod
    def backward(ctx: Any, *bars: Tensor | None) -> tuple[Tensor | None, None, None]:
        z, *rows = ctx.saved_tensors
        # the gradient is differentiated again: rows with a graph of their own
        if torch.is_grad_enabled():
            rows = ctx.function.derivatives(z, ctx.order + 1)[1:]
        total: Tensor | None = None
        for bar, row in zip(bars, rows, strict=True):
            if bar is not None:
                total = bar * row if total is None else torch.addcmul(total, bar, row)
        return total, None, None


@dataclass(frozen=True, slots=True)
class Function:
    """An elementwise function and its derivative table."""

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    table: Callable[[Tensor, int], list[Tensor]] = field(repr=False)

    def __call__(self, z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
        return self.function(z)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """A registered function is pickled by its name."""
        if ACTIVATIONS.get(self.name) is self:
            return _registered, (self.name,)
        return object.__reduce_ex__(self, protocol)

    def derivatives(self, z: Float[Tensor, "*z"], order: int) -> list[Float[Tensor, "*z"]]:
        if z.requires_grad and torch.is_grad_enabled() and order:
            return list(_Rows.apply(z, self, order))
        return self.table(z, order)


def _registered(name: str) -> Function:
    return ACTIVATIONS[name]


ACTIVATIONS: Registry[Function] = Registry(
    "smooth activation", lambda table, name, function: Function(name, function, table)
)
"""Smooth activations by name, each with a table of its derivatives of every order."""


def horner(coefficients: tuple[float, ...], z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
    """sum_k c_k z^k, lowest power first; an even or odd polynomial is evaluated in z^2."""
    if len(coefficients) > 2 and not any(coefficients[len(coefficients) % 2 :: 2]):
        even = len(coefficients) % 2
        inner = horner(coefficients[1 - even :: 2], z * z)
        return inner if even else inner * z
    if len(coefficients) < 2:
        return torch.full_like(z, coefficients[0] if coefficients else 0.0)
    out = z if coefficients[-1] == 1 else z * coefficients[-1]
    for c in reversed(coefficients[1:-1]):
        out = (out + c if c else out) * z
    return out + coefficients[0] if coefficients[0] else out


@functools.cache
def _hermite(n: int) -> tuple[float, ...]:
    """Probabilists' Hermite polynomial: He_(n+1) = z He_n - n He_(n-1)."""
    if n < 2:
        return ((1.0,), (0.0, 1.0))[n]
    shifted, last = (0.0, *_hermite(n - 1)), _hermite(n - 2)
    return tuple(a - (n - 1) * (last[k] if k < len(last) else 0.0) for k, a in enumerate(shifted))


@functools.cache
def _gelu_factor(n: int) -> tuple[float, ...]:
    """p_n with gelu^(n) = p_n(z) phi(z), n >= 2: p_n = (-1)^n (n He_(n-2) - z He_(n-1))."""
    low, high, sign = _hermite(n - 2), (0.0, *_hermite(n - 1)), (-1.0) ** n
    return tuple(sign * (n * (low[k] if k < len(low) else 0.0) - c) for k, c in enumerate(high))


@ACTIVATIONS.register("gelu", function=F.gelu)
def _gelu(z: Tensor, order: int) -> list[Tensor]:
    """z Phi(z), exact; one erf and one exp for all orders."""
    cdf = 0.5 + 0.5 * torch.erf(z * math.sqrt(0.5))
    out = [z * cdf]
    if order:
        pdf = torch.exp(-0.5 * z * z) * (1 / math.sqrt(2 * math.pi))
        out += [torch.addcmul(cdf, z, pdf)] + [
            horner(_gelu_factor(n), z) * pdf for n in range(2, order + 1)
        ]
    return out


@functools.cache
def _autonomous(n: int, rate: tuple[float, ...]) -> tuple[float, ...]:
    """Coefficients of y^(n) as a polynomial in y where y' = rate(y): p_(n+1) = p_n' rate."""
    if n == 0:
        return (0.0, 1.0)
    last = [k * c for k, c in enumerate(_autonomous(n - 1, rate))][1:]
    out = [0.0] * (len(last) + len(rate) - 1)
    for i, a in enumerate(last):
        for j, b in enumerate(rate):
            out[i + j] += a * b
    return tuple(out)


@ACTIVATIONS.register("tanh", function=torch.tanh)
def _tanh(z: Tensor, order: int) -> list[Tensor]:
    y = torch.tanh(z)
    return [y] + [horner(_autonomous(n, (1.0, 0.0, -1.0)), y) for n in range(1, order + 1)]


@ACTIVATIONS.register("sigmoid", function=torch.sigmoid)
def _sigmoid(z: Tensor, order: int) -> list[Tensor]:
    y = torch.sigmoid(z)
    return [y] + [horner(_autonomous(n, (0.0, 1.0, -1.0)), y) for n in range(1, order + 1)]


@ACTIVATIONS.register("silu", function=F.silu)
def _silu(z: Tensor, order: int) -> list[Tensor]:
    y = _sigmoid.derivatives(z, order)
    return [z * y[0]] + [torch.addcmul(n * y[n - 1], z, y[n]) for n in range(1, order + 1)]


def softplus(z: Float[Tensor, "*z"]) -> Float[Tensor, "*z"]:
    """log(1 + exp z), equal to z only where float64 cannot tell: torch's own threshold of 20 is
    2e-9 off."""
    return F.softplus(z, threshold=40.0)


@ACTIVATIONS.register("softplus", function=softplus)
def _softplus(z: Tensor, order: int) -> list[Tensor]:
    return [softplus(z)] + (_sigmoid.derivatives(z, order - 1) if order else [])


@ACTIVATIONS.register("sin", function=torch.sin)
def _sin(z: Tensor, order: int) -> list[Tensor]:
    s, c = torch.sin(z), torch.cos(z)
    return [(s, c, -s, -c)[k % 4] for k in range(order + 1)]


@ACTIVATIONS.register("cos", function=torch.cos)
def _cos(z: Tensor, order: int) -> list[Tensor]:
    s, c = torch.sin(z), torch.cos(z)
    return [(c, -s, -c, s)[k % 4] for k in range(order + 1)]


def _exp(z: Tensor, order: int) -> list[Tensor]:
    return [torch.exp(z)] * (order + 1)


def _sinh(z: Tensor, order: int) -> list[Tensor]:
    pair = torch.sinh(z), torch.cosh(z)
    return [pair[k % 2] for k in range(order + 1)]


def _cosh(z: Tensor, order: int) -> list[Tensor]:
    return _sinh(z, order + 1)[1:]


def _log(z: Tensor, order: int) -> list[Tensor]:
    return [torch.log(z)] + [
        (-1) ** (k - 1) * math.factorial(k - 1) * z**-k for k in range(1, order + 1)
    ]


def _erf(z: Tensor, order: int) -> list[Tensor]:
    """erf^(n) = (-1)^(n-1) 2 / sqrt(pi) H_(n-1)(z) exp(-z^2), physicists' H_n(z) = 2^(n/2)
    He_n(sqrt(2) z)."""
    bell = torch.exp(-z * z) * (2 / math.sqrt(math.pi))
    rows = [
        tuple(c * 2 ** (0.5 * (n - 1 + k)) * (-1) ** (n - 1) for k, c in enumerate(_hermite(n - 1)))
        for n in range(1, order + 1)
    ]
    return [torch.erf(z)] + [horner(row, z) * bell for row in rows]


def _arctangent(z: Tensor, order: int) -> list[Tensor]:
    """atan' = y = 1 / (1 + z^2), atan^(n) = P_n(z) y^n with P_(n+1) = (1 + z^2) P_n' - 2 n z
    P_n."""
    y, rows, polynomial = (1 + z * z).reciprocal(), [torch.atan(z)], (1.0,)
    for n in range(1, order + 1):
        rows.append(horner(polynomial, z) * y**n)
        slope = [k * c for k, c in enumerate(polynomial)][1:]
        new = [0.0] * (len(polynomial) + 1)
        for k, c in enumerate(slope):
            new[k] += c
            new[k + 2] += c
        for k, c in enumerate(polynomial):
            new[k + 1] -= 2 * n * c
        polynomial = tuple(new)
    return rows


EXP, LOG, ERF, ARCTANGENT, SINH, COSH = (
    Function("exp", torch.exp, _exp),
    Function("log", torch.log, _log),
    Function("erf", torch.erf, _erf),
    Function("atan", torch.atan, _arctangent),
    Function("sinh", torch.sinh, _sinh),
    Function("cosh", torch.cosh, _cosh),
)


@functools.cache
def power(p: float) -> Function:
    """z^p; a whole p >= 0 has a table that ends, so z = 0 is safe."""

    def table(z: Tensor, order: int) -> list[Tensor]:
        out, factor = [], 1.0
        for k in range(order + 1):
            out.append(factor * z ** (p - k) if factor else torch.zeros_like(z))
            factor *= p - k
        return out

    return Function(f"power {p}", lambda z: z**p, table)


RECIPROCAL, SQRT = power(-1.0), power(0.5)
