"""Probability laws of params and input functions. Sampling is done by the compiler."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

import sympy as sp

from pdespec.coordinates import as_exact, is_finite_number, is_scalar
from pdespec.errors import fail

TRUNCATION = 4  # standard deviations at which a normal law is cut where an extent is needed


@dataclass(frozen=True)
class Law:
    """A probability law. `draws` says of what: a "number" (of a param) or a "function" (of an
    input)."""

    @property
    def draws(self) -> str:
        return "number" if isinstance(self, NumberLaw) else "function"

    @property
    def arguments(self) -> dict[str, Any]:
        """The arguments by name, in order, without those left unset."""
        return {
            each.name: getattr(self, each.name)
            for each in fields(self)
            if getattr(self, each.name) is not None
        }


class NumberLaw(Law):
    """A law of real numbers."""

    @property
    def support(self) -> tuple[sp.Expr, sp.Expr]:
        """The smallest closed interval that holds every draw."""
        return (-sp.oo, sp.oo)

    @property
    def reach(self) -> tuple[sp.Expr, sp.Expr]:
        """The support; of an unbounded law, what all but 6e-5 of the draws lie in."""
        return self.support


class FunctionLaw(Law):
    """A law of functions of position."""


@dataclass(frozen=True)
class BoundedLaw(NumberLaw):
    """A law of numbers in [low, high]."""

    low: sp.Expr
    high: sp.Expr

    @property
    def support(self) -> tuple[sp.Expr, sp.Expr]:
        return self.low, self.high


@dataclass(frozen=True)
class Uniform(BoundedLaw):
    """Constant density 1/(high - low) on [low, high]."""


@dataclass(frozen=True)
class LogUniform(BoundedLaw):
    """The logarithm is uniform on [log low, log high]."""


@dataclass(frozen=True)
class Gaussian(NumberLaw):
    """Normal with the given mean and standard deviation."""

    mean: sp.Expr
    std: sp.Expr

    @property
    def reach(self) -> tuple[sp.Expr, sp.Expr]:
        return self.mean - TRUNCATION * self.std, self.mean + TRUNCATION * self.std


@dataclass(frozen=True)
class Gaussians(FunctionLaw):
    """`sum_i beta_i exp(-|x - mu_i|^2 / (width h)^2)`, `count` terms, beta_i standard normal, mu_i
    uniform in the domain of the sample (and in the time interval); or, with a `spread`, `mu_i = c +
    spread H xi_i`, xi_i standard normal, of which many lie outside.

    c is the middle of the box around the domain with its params at the medians of their laws, H its
    half extent, axis by axis, h the least of these in space: a law fits every domain, and its copy
    in other units is the same law. Time, where the function depends on it, is an axis of its own
    with the width `width H`. On the unit disk, and on a star of mean radius 1 about the origin, c =
    0 and H = h = 1. Source: nonlinear Poisson problem of Meta-PDE (Qin et al. 2022), two terms of
    width 1 and spread 1 on such a star.
    """

    count: int
    width: sp.Expr
    spread: sp.Expr | None = None


@dataclass(frozen=True)
class Fourier(FunctionLaw):
    """`b_0 + amplitude * sum_k (b_k cos(k theta) + c_k sin(k theta))`, k = 1 .. modes, all
    coefficients uniform on [-1, 1].

    theta is the polar angle about the centre of the domain (2D), or 2 pi times the position along
    the enclosing interval (1D).
    """

    modes: int
    amplitude: sp.Expr


@dataclass(frozen=True)
class GRF(FunctionLaw):
    """A Gaussian random field of mean zero.

    Either the covariance operator `sigma^2 (-lap + tau^2)^(-alpha)`, periodic along periodic
    coordinates and of zero normal derivative on the other sides of the box around the domain (so
    that the variance is larger there than in the middle), or, with `length`, the squared
    exponential covariance `sigma^2 exp(-|x - y|^2 / (2 length^2))`, whose variance is sigma^2
    everywhere.
    """

    sigma: sp.Expr
    tau: sp.Expr | None = None
    alpha: sp.Expr | None = None
    length: sp.Expr | None = None


def uniform(low: Any, high: Any) -> Uniform:
    """Uniform on [low, high]."""
    return Uniform(*_ordered("uniform", low, high))


def loguniform(low: Any, high: Any) -> LogUniform:
    """Log-uniform on [low, high], 0 < low."""
    low, high = _ordered("loguniform", low, high)
    _positive("loguniform", low=low)
    return LogUniform(low, high)


def normal(mean: Any = 0, std: Any = 1) -> Gaussian:
    """Normal law of the given mean and standard deviation."""
    mean, std = _numbers("normal", mean=mean, std=std)
    _positive("normal", std=std)
    return Gaussian(mean, std)


def gaussians(count: int = 2, width: Any = 1, spread: Any = None) -> Gaussians:
    """A sum of `count` Gaussian bumps with centres in the domain, their width in halves of its
    least side; with a `spread`, of centres that are normally distributed about its middle, the
    standard deviation in halves of its sides.
    """
    (width,) = _numbers("gaussians", width=width)
    _positive("gaussians", width=width)
    if spread is not None:
        (spread,) = _numbers("gaussians", spread=spread)
        _positive("gaussians", spread=spread)
    return Gaussians(_count("gaussians", "count", count), width, spread)


def fourier(modes: int = 2, amplitude: Any = 1) -> Fourier:
    """A random Fourier series of `modes` harmonics."""
    (amplitude,) = _numbers("fourier", amplitude=amplitude)
    return Fourier(_count("fourier", "modes", modes), amplitude)


def grf(sigma: Any = 1, tau: Any = None, alpha: Any = None, length: Any = None) -> GRF:
    """A Gaussian random field, by `tau` and `alpha` or by its correlation `length`."""
    given = {"sigma": sigma, "tau": tau, "alpha": alpha, "length": length}
    given = {name: value for name, value in given.items() if value is not None}
    values = dict(zip(given, _numbers("grf", **given), strict=True))
    if ("length" in values) == ("tau" in values or "alpha" in values) or ("tau" in values) != (
        "alpha" in values
    ):
        raise fail(
            "S02",
            "grf takes either length, or tau and alpha",
            "write grf(length = 0.5) or grf(sigma = 625, tau = 5, alpha = 4)",
        )
    _positive("grf", **values)
    return GRF(**values)


def _ordered(law: str, low: Any, high: Any) -> tuple[sp.Expr, sp.Expr]:
    low, high = _numbers(law, low=low, high=high)
    if (high - low).is_positive is not True:
        raise fail(
            "S02",
            f"{law}({low}, {high}): the upper end is not above the lower",
            f"write {law}({high}, {low})",
        )
    return low, high


def _numbers(law: str, **values: Any) -> tuple[sp.Expr, ...]:
    result = tuple(as_exact(value) for value in values.values())
    for name, value in zip(values, result, strict=True):
        if not is_finite_number(value):
            raise fail(
                "S02", f"{law}: {name} = {value} is not a finite number", "laws take numbers"
            )
    return result


def _positive(law: str, **values: sp.Expr) -> None:
    for name, value in values.items():
        if value.is_positive is not True:
            raise fail("S02", f"{law}: {name} = {value} is not positive", f"give a positive {name}")


def _count(law: str, name: str, value: Any) -> int:
    count = as_exact(value)
    if not (is_scalar(count) and count.is_Integer and 1 <= count <= 1000):
        raise fail(
            "S02",
            f"{law}: {name} = {value} is not a count",
            f"{name} is a whole number from 1 to 1000",
        )
    return int(count)


def median(law: Law) -> float:
    """The number that half of the draws lie below."""
    if isinstance(law, LogUniform):
        return math.sqrt(float(law.low) * float(law.high))
    low, high = truncated_support(law)
    return (low + high) / 2


def truncated_support(law: Law) -> tuple[float, float]:
    """The interval that holds the draws of a law; of a normal law, all but 6e-5 of them."""
    if not isinstance(law, NumberLaw):
        raise fail(
            "T05",
            f"{type(law).__name__} is a law of functions, not of numbers",
            "a param is drawn from uniform, loguniform or normal",
        )
    low, high = law.reach
    return float(low), float(high)
