"""Special functions of tensors that torch lacks, or has without derivatives, each differentiable as
often as wanted.

torch's own Bessel functions are cut off from autograd: their derivative is silently zero, or an
error. Here every family is one `autograd.Function` whose derivative is made of members of the same
family, so that the derivatives of all orders are exact.

    J_n' = (J_(n-1) - J_(n+1))/2, likewise Y_n;
    I_n' = (I_(n-1) + I_(n+1))/2;  K_n' = -(K_(n-1) + K_(n+1))/2
    j_n' = (n j_(n-1) - (n+1) j_(n+1))/(2n+1);   i_n' = (n i_(n-1) + (n+1) i_(n+1))/(2n+1)

with j_n, i_n the spherical functions: J_(n+1/2)(x) = sqrt(2x/pi) j_n(x), I_(n+1/2)(x) = sqrt(2x/pi)
i_n(x).

Orders above the first come from the first two by the recurrence f_(n+1) = (2n/x) f_n - f_(n-1),
where that is stable, and by the power series where it loses digits: for the spherical functions and
the J below x = n + 1, for the I below x = n^2/3 + 2.

J_0, J_1, Y_0, Y_1 are torch's beyond x = 25 only: in double precision those of torch 2.13 are off
by up to 9e-7 between 1 and 25. There J_n is the mean of cos(n t - x sin t) over a period by the
trapezoidal rule, whose error is J_(M-n)(x) with M nodes, and Y_0, Y_1 are Neumann's series in the
J, summed under the same mean. Source: DLMF 10.6, 10.25, 10.29, 10.47, 10.51, 10.53, 10.9.2;
Abramowitz and Stegun 9.1.88; the loss of the recurrence of I is about exp(n^2/x), from the uniform
expansions.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function

MAX_ORDER = 12  # of a Bessel function; the derivatives take a few orders more

FAR = 25.0  # from where on torch's Bessel functions have all their digits
NODES, TERMS = 128, 32  # J_64(25) < 1e-18 bounds both the rule's error and the rest of the series


def _mean(x: Tensor, odd: bool, weight: Callable[[float], float]) -> Tensor:
    """Mean over a period of weight(t) sin(x sin t), or cos where not `odd`, for weights with the
    symmetry of the four quadrants."""
    wave = torch.sin if odd else torch.cos
    total = torch.zeros_like(x)
    for k in range(NODES // 4 + 1):
        angle = 2 * math.pi * k / NODES
        share = (2 if k in (0, NODES // 4) else 4) / NODES * weight(angle)
        total = total + share * wave(x * math.sin(angle))
    return total


def _near_j(x: Tensor, order: int) -> Tensor:
    """J_order for |x| <= FAR."""
    odd = order % 2 == 1
    return _mean(x, odd, lambda t: math.sin(order * t) if odd else math.cos(order * t))


def _near_y(x: Tensor, order: int) -> Tensor:
    """Y_0 or Y_1 for 0 < x <= FAR."""
    ks = range(1, TERMS + 1)
    log = torch.log(x / 2) + EULER
    if order == 0:
        rest = _mean(x, False, lambda t: sum((-1) ** k * 2 * math.cos(2 * k * t) / k for k in ks))
        return 2 / math.pi * (log * _near_j(x, 0) - rest)
    rest = _mean(
        x,
        True,
        lambda t: sum(
            (-1) ** k * (2 * k + 1) * math.sin((2 * k + 1) * t) / (k * (k + 1)) for k in ks
        ),
    )
    return 2 / math.pi * ((log - 1) * _near_j(x, 1) - rest - _near_j(x, 0) / x)


def _joined(
    near: Callable[[Tensor], Tensor], far: Callable[[Tensor], Tensor]
) -> Callable[[Tensor], Tensor]:
    return lambda x: torch.where(x.abs() <= FAR, near(x), far(x))


EULER = 0.5772156649015329
FIRST: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "j": (
        _joined(lambda x: _near_j(x, 0), torch.special.bessel_j0),
        _joined(lambda x: _near_j(x, 1), torch.special.bessel_j1),
    ),
    "y": (
        _joined(lambda x: _near_y(x, 0), torch.special.bessel_y0),
        _joined(lambda x: _near_y(x, 1), torch.special.bessel_y1),
    ),
    "i": (torch.special.modified_bessel_i0, torch.special.modified_bessel_i1),
    "k": (torch.special.modified_bessel_k0, torch.special.modified_bessel_k1),
    "spherical j": (lambda x: torch.sin(x) / x, lambda x: (torch.sin(x) / x - torch.cos(x)) / x),
    "spherical i": (lambda x: torch.sinh(x) / x, lambda x: (torch.cosh(x) - torch.sinh(x) / x) / x),
}


def _values(family: str, order: int, x: Tensor) -> Tensor:
    """f_order(x), without derivatives."""
    if order < 0:  # J_-n = (-1)^n J_n, likewise Y; I and K are even in the order
        sign = (-1) ** order if family in ("j", "y") else 1
        return sign * _values(family, -order, x)
    spherical = family.startswith("spherical")
    first, second = (f(x) for f in FIRST[family])
    if order == 0 and not spherical:
        return first
    if order == 1 and not spherical:
        return second
    growing = family in ("i", "k", "spherical i")  # the sign of f_(n+1) = s f_(n-1) + (2n/x) f_n
    previous, current = first, second
    for n in range(1, order):
        factor = (2 * n + 1 if spherical else 2 * n) / x
        if family == "k":
            previous, current = current, previous + factor * current
        else:
            previous, current = (
                current,
                (previous - factor * current if growing else factor * current - previous),
            )
    result = first if order == 0 else current
    if family in ("y", "k"):
        return result
    bound = order**2 / 3 + 2.0 if growing else order + 1.0
    small = x.abs() <= bound
    return torch.where(
        small, _series(family, order, torch.where(small, x, torch.zeros_like(x)), bound), result
    )


def _series(family: str, order: int, x: Tensor, bound: float) -> Tensor:
    """sum_k (s x^2/4)^k / (k! (n+1)(n+2)..(n+k)), times its first term, for |x| <= bound."""
    shift = 0.5 if family.startswith("spherical") else 0.0
    sign = -1.0 if family in ("j", "spherical j") else 1.0
    square = sign * x * x / 4
    first = 1.0
    for k in range(1, order + 1):
        first /= 2 * k + 1 if shift else 2 * k
    term, total = torch.ones_like(x), torch.ones_like(x)
    peak, k = 1.0, 0
    while peak > 1e-18:
        k += 1
        term = term * (square / (k * (k + order + shift)))
        peak *= bound * bound / 4 / (k * (k + order + shift))
        total = total + term
    return first * total * x**order


class _Bessel(Function):
    """One member of a family. Shapes: any."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, family: str, order: int) -> Tensor:
        return _values(family, order, x)

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.family, ctx.order = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grad * _slope(x, ctx.family, ctx.order), None, None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        (x,) = ctx.saved_tensors
        return tangent * _slope(x, ctx.family, ctx.order)


def _slope(x: Tensor, family: str, order: int) -> Tensor:
    above = _Bessel.apply(x, family, order + 1)
    if order == 0 and family not in ("i", "spherical i"):
        return -above
    if order == 0:
        return above
    below = _Bessel.apply(x, family, order - 1)
    if family in ("j", "y"):
        return (below - above) / 2
    if family == "i":
        return (below + above) / 2
    if family == "k":
        return -(below + above) / 2
    return (order * below + (order + 1) * above * (1 if family == "spherical i" else -1)) / (
        2 * order + 1
    )


def bessel_j(x: Tensor, order: int) -> Tensor:
    """J_order(x)."""
    return _Bessel.apply(x, "j", order)


def bessel_y(x: Tensor, order: int) -> Tensor:
    """Y_order(x), for x > 0."""
    return _Bessel.apply(x, "y", order)


def bessel_i(x: Tensor, order: int) -> Tensor:
    """I_order(x)."""
    return _Bessel.apply(x, "i", order)


def bessel_k(x: Tensor, order: int) -> Tensor:
    """K_order(x), for x > 0."""
    return _Bessel.apply(x, "k", order)


def spherical_j(x: Tensor, order: int) -> Tensor:
    """j_order(x); of order 0 the function sin(x)/x."""
    return _Bessel.apply(x, "spherical j", order)


def spherical_i(x: Tensor, order: int) -> Tensor:
    """i_order(x); of order 0 the function sinh(x)/x."""
    return _Bessel.apply(x, "spherical i", order)


def sinc(x: Tensor) -> Tensor:
    """sin(x)/x, one at 0. (`torch.sinc` is that of pi*x, and its second derivative at 0 is
    wrong.)"""
    return spherical_j(x, 0)


def sech(x: Tensor) -> Tensor:
    """1/cosh(x), for any finite x: cosh overflows where its reciprocal is merely small."""
    return 2 * torch.exp(torch.nn.functional.logsigmoid(2 * x) - x)


def csch(x: Tensor) -> Tensor:
    """1/sinh(x)."""
    return sech(x) / torch.tanh(x)


def root(x: float | Tensor, exponent: float | Tensor) -> Tensor:
    """x^exponent, one of them a tensor, for an exponent between 0 and 1, whose derivatives at x =
    0, where they are infinite, are taken as 0.

    By the chain rule an infinite slope times none is not a number: sqrt(max(u, 0)) had no gradient
    wherever u < 0, nor had |grad u| where u is constant.
    """
    if isinstance(exponent, Tensor) and not isinstance(x, Tensor):
        x = torch.full_like(exponent, x)
    flat = x == 0 if isinstance(exponent, float) else torch.logical_and(x == 0, exponent > 0)
    safe = torch.where(flat, 1.0, x)
    return torch.where(flat, 0.0, safe**exponent)


def atan2(y: float | Tensor, x: float | Tensor) -> Tensor:
    """The angle of (x, y), either of which may be a number."""
    like = y if isinstance(y, Tensor) else x
    return torch.atan2(
        *(each if isinstance(each, Tensor) else torch.full_like(like, each) for each in (y, x))
    )


def gamma(x: Tensor) -> Tensor:
    """The gamma function; by reflection, gamma(x) = pi/(sin(pi x) gamma(1 - x)), on the left of
    1/2."""
    right = x > 0.5
    mirrored = torch.exp(loggamma(torch.where(right, x, 1 - x)))
    sine = torch.where(right, torch.ones_like(x), torch.sin(math.pi * x))
    return torch.where(right, mirrored, math.pi / (sine * mirrored))


class _Polygamma(Function):
    """psi_n, the n-th derivative of the digamma function psi_0 = psi_-1', psi_-1 = log|gamma|.
    Shapes: any.

    psi_n(x) = (-1)^(n+1) n! zeta(n + 1, x) with Hurwitz's zeta function (DLMF 25.11.12). torch's
    own trigamma, psi_1, and so the derivative of its digamma, have ten digits only.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor, order: int) -> Tensor:
        if order < 1:
            return torch.digamma(x) if order == 0 else torch.lgamma(x)
        return (
            (-1) ** (order + 1)
            * math.factorial(order)
            * torch.special.zeta(torch.full_like(x, order + 1), x)
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.order = inputs
        ctx.save_for_backward(x)
        ctx.save_for_forward(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return grad * _Polygamma.apply(x, ctx.order + 1), None

    @staticmethod
    def jvp(ctx: Any, tangent: Tensor, *_: None) -> Tensor:
        (x,) = ctx.saved_tensors
        return tangent * _Polygamma.apply(x, ctx.order + 1)


def loggamma(x: Tensor) -> Tensor:
    """The logarithm of the gamma function."""
    return _Polygamma.apply(x, -1)


def polygamma(x: Tensor, order: int) -> Tensor:
    """The order-th derivative of the digamma function."""
    return _Polygamma.apply(x, order)


def frac(x: Tensor) -> Tensor:
    """x - floor(x), of slope one. (`torch.frac` keeps the sign of x.)"""
    return x - torch.floor(x)
