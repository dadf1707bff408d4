"""Weight functions (mollifiers) of s = |x - y|^2 / r^2: one at the centre, zero with derivatives at
the cutoff s = 1.

As functions of the *squared* distance the built-in weights but Wendland's are smooth at s = 0, so
nothing is divided by a distance. Each carries its class across the cutoff and a table [g, g', ..,
g^(K)] that jets read; both are zero, never NaN, from s = 1 on.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, SupportsIndex

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from operators.registry import Registry

Table = Callable[[Tensor, int], list[Tensor]]
Polynomial = tuple[Fraction, ...]  # coefficients, lowest power first


@dataclass(frozen=True, slots=True)
class Weight:
    """A weight w(s), cut off at s = 1.

    Units: s is a squared length over a squared length. `smoothness` is the k of C^k as a function
    of x (math.inf for all orders). `table` gives the derivatives for 0 <= s < 1; without one they
    come from nested autograd.
    """

    name: str
    function: Callable[[Tensor], Tensor] = field(repr=False)
    smoothness: float
    table: Table | None = field(default=None, repr=False)

    def __call__(self, s: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
        """w(s). Shapes: any."""
        inside = s < 1
        return torch.where(inside, self.function(torch.where(inside, s, 0)), 0)

    def derivatives(self, s: Float[Tensor, "*s"], order: int) -> list[Float[Tensor, "*s"]]:
        """[w, w', .., w^(order)] with respect to s, zero for s >= 1."""
        inside = s < 1
        table = self.table or functools.partial(nested_table, self.function)
        return [torch.where(inside, g, 0) for g in table(torch.where(inside, s, 0), order)]

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """A registered weight is pickled by its name."""
        if WEIGHTS.get(self.name) is self:
            return _registered, (self.name,)
        return object.__reduce_ex__(self, protocol)

    def mass(self, dim: int) -> float:
        """Integral of w(|x|^2) over the unit ball of R^dim."""
        return _mass(self, dim)


def _registered(name: str) -> Weight:
    return WEIGHTS[name]


def unit_ball(dim: int) -> float:
    """Volume of the unit ball of R^dim: the mass of a weight that is one up to the cutoff."""
    return math.pi ** (dim / 2) / math.gamma(dim / 2 + 1)


@functools.cache
def _mass(weight: Weight, dim: int) -> float:
    # exact for the polynomials, 1e-14 for half_cos and bump
    nodes, gauss = np.polynomial.legendre.leggauss(256)
    radius = torch.from_numpy(0.5 * (nodes + 1))
    shell = dim * unit_ball(dim) * radius ** (dim - 1)
    return float((torch.from_numpy(0.5 * gauss) * shell * weight(radius**2)).sum())


def nested_table(function: Callable[[Tensor], Tensor], s: Tensor, order: int) -> list[Tensor]:
    """Derivatives of an elementwise function by nested autograd; keeps the graph to `s` where
    there is one."""
    keep = s.requires_grad and torch.is_grad_enabled()
    with torch.enable_grad():
        s = s if keep else s.detach().requires_grad_()
        out = [function(s)]
        for _ in range(order):
            slope = None
            if out[-1].requires_grad:
                slope = torch.autograd.grad(out[-1].sum(), s, create_graph=True, allow_unused=True)[
                    0
                ]
            out.append(torch.zeros_like(s) if slope is None else slope)
    return out if keep else [g.detach() for g in out]


def _wrap(
    function: Callable[[Tensor], Tensor], name: str, smoothness: float, table: Table | None = None
) -> Weight:
    return Weight(name, function, smoothness, table)


WEIGHTS: Registry[Weight] = Registry("weight function", _wrap)
"""Weight functions by name: `WEIGHTS["half_cos"](s)`, s a squared distance over a squared
radius."""


# ---- weights B(z)^power P(z): their derivatives have the same form, with exact coefficients


def _product(a: Polynomial, b: Polynomial) -> Polynomial:
    out = [Fraction(0)] * (len(a) + len(b) - 1)
    for i, x in enumerate(a):
        for j, y in enumerate(b):
            out[i + j] += x * y
    return tuple(out)


def _sum(a: Polynomial, b: Polynomial) -> Polynomial:
    width = max(len(a), len(b))
    return tuple(
        x + y
        for x, y in zip(
            a + (Fraction(0),) * (width - len(a)),
            b + (Fraction(0),) * (width - len(b)),
            strict=True,
        )
    )


def _slope(a: Polynomial) -> Polynomial:
    return tuple(k * x for k, x in enumerate(a))[1:] or (Fraction(0),)


def _evaluate(a: Polynomial, z: Tensor) -> Tensor:
    out = torch.full_like(z, float(a[-1]))
    for x in reversed(a[:-1]):
        out = out * z + float(x)
    return out


@dataclass(frozen=True, slots=True)
class _Factored:
    """base(z)^power * factor(z) * z^-negative."""

    base: Polynomial
    power: int
    factor: Polynomial
    negative: int = 0

    def __call__(self, z: Tensor) -> Tensor:
        out = _evaluate(self.factor, z)
        if self.power:
            out = out * _evaluate(self.base, z) ** self.power
        return out / z**self.negative if self.negative else out

    def derivative(self) -> _Factored:
        """(B^p F z^-n)' = B^(p-1) (p B' F z + B F' z - n B F) z^-(n+1), without the z where n =
        0."""
        inner = _product(self.base, _slope(self.factor))
        if self.power:
            inner = _sum(
                inner, tuple(self.power * c for c in _product(_slope(self.base), self.factor))
            )
        power = max(self.power - 1, 0)
        if self.power == 0:
            inner = _slope(self.factor)
        if not self.negative:
            return _Factored(self.base, power, inner)
        loss = self.factor if self.power == 0 else _product(self.base, self.factor)
        inner = _sum((Fraction(0), *inner), tuple(-self.negative * c for c in loss))
        return _Factored(self.base, power, inner, self.negative + 1)

    def over(self, power: int, constant: Fraction) -> _Factored:
        """This times constant / z^power, powers of z cancelled where the factor has them."""
        factor = tuple(constant * c for c in self.factor)
        negative = self.negative + power
        while negative and factor[0] == 0 and len(factor) > 1:
            factor, negative = factor[1:], negative - 1
        return _Factored(self.base, self.power, factor, negative)


def _exact(*coefficients: int | Fraction) -> Polynomial:
    return tuple(Fraction(c) for c in coefficients)


def _polynomial_table(weight: _Factored) -> Table:
    @functools.cache
    def entry(order: int) -> _Factored:
        return weight if order == 0 else entry(order - 1).derivative()

    return lambda s, order: [entry(k)(s) for k in range(order + 1)]


def _register_polynomial(
    name: str, smoothness: int, base: Polynomial, power: int, factor: Polynomial, source: str
) -> Weight:
    weight = _Factored(base, power, factor)

    def function(s: Tensor) -> Tensor:
        return weight(s)

    function.__doc__ = source
    return WEIGHTS.register(name, smoothness=smoothness, table=_polynomial_table(weight))(function)


# ---- the four of the mollified graph neural operator; Source: Lin et al. (arXiv 2504.08277),
# equations 9-12, with d = |x - y|^2 / r^2


def _half_cos_table(s: Tensor, order: int) -> list[Tensor]:
    cos, sin = torch.cos(math.pi * s), torch.sin(math.pi * s)
    cycle = (cos, -sin, -cos, sin)
    return [0.5 + 0.5 * cos] + [0.5 * math.pi**k * cycle[k % 4] for k in range(1, order + 1)]


@WEIGHTS.register("half_cos", smoothness=1, table=_half_cos_table)
def half_cos(s: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """(1 + cos(pi s)) / 2; w'' jumps at the cutoff, so the Laplacian of a field does too."""
    return 0.5 + 0.5 * torch.cos(math.pi * s)


quartic = _register_polynomial(
    "quartic", 1, _exact(1, 0, -1), 2, _exact(1), "1 - 2 s^2 + s^4 = (1 - s^2)^2"
)
octic = _register_polynomial(
    "octic",
    2,
    _exact(1, 0, -1),
    3,
    _exact(1, 0, 3),
    "1 - 6 s^4 + 8 s^6 - 3 s^8 = (1 - s^2)^3 (1 + 3 s^2)",
)
octic_distance = _register_polynomial(
    "octic_distance",
    2,
    _exact(1, -1),
    3,
    _exact(1, 3),
    "(1 - s)^3 (1 + 3 s): the octic read with d = |x - y| / r, wider in the middle",
)

triweight = _register_polynomial("triweight", 2, _exact(1, -1), 3, _exact(1), "(1 - s)^3")
quadweight = _register_polynomial(
    "quadweight",
    3,
    _exact(1, -1),
    4,
    _exact(1),
    "(1 - s)^4: a broad, gentle fall, which trains best (docs/notes)",
)


@functools.cache
def _bump_numerator(order: int) -> Polynomial:
    """P_n in d^n/ds^n exp(-1/q) = exp(-1/q) P_n(s) / q^(2n), q = 1 - s^2: P_(n+1) = q^2 P_n' +
    (4 n s q - 2 s) P_n."""
    if order == 0:
        return _exact(1)
    last, n = _bump_numerator(order - 1), order - 1
    q = _exact(1, 0, -1)
    growth = _sum(tuple(4 * n * c for c in _product(_exact(0, 1), q)), _exact(0, -2))
    return _sum(_product(_product(q, q), _slope(last)), _product(growth, last))


def _bump_gap(s: Tensor) -> tuple[Tensor, Tensor]:
    """q = 1 - s^2, and where exp(-1/q) is a normal number of the dtype; elsewhere q is one, so
    that no 0 * inf can arise."""
    q = 1 - s * s
    alive = q > -1 / math.log(torch.finfo(s.dtype).tiny)
    return torch.where(alive, q, 1), alive


def _bump_table(s: Tensor, order: int) -> list[Tensor]:
    q, alive = _bump_gap(s)
    log = torch.log(q)
    rows = [
        _evaluate(_bump_numerator(n), s) * torch.exp(1 - 1 / q - 2 * n * log)
        for n in range(order + 1)
    ]
    return [torch.where(alive, row, 0) for row in rows]


@WEIGHTS.register("bump", smoothness=math.inf, table=_bump_table)
def bump(s: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """e exp(-1 / (1 - s^2)), smooth to all orders."""
    q, alive = _bump_gap(s)
    return torch.where(alive, torch.exp(1 - 1 / q), 0)


# ---- Wendland's functions of rho = sqrt(s); Source: H. Wendland, Adv. Comput. Math. 4 (1995),
# positive definite in R^3


def _register_wendland(
    name: str, smoothness: int, power: int, factor: Polynomial, source: str
) -> Weight:
    """(1 - rho)^power factor(rho). Odd powers of rho above `smoothness` make |x| appear in higher
    derivatives: C^smoothness at the centre.

    d/ds = (1 / 2 rho) d/drho. At s = 0 the entries that would divide by rho are set to zero: in
    every derivative of w(|x|^2) up to `smoothness` they are multiplied by a power of |x| that
    tends to zero faster."""
    weight = _Factored(_exact(1, -1), power, factor)

    @functools.cache
    def entry(order: int) -> _Factored:
        return weight if order == 0 else entry(order - 1).derivative().over(1, Fraction(1, 2))

    def table(s: Tensor, order: int) -> list[Tensor]:
        off = s > 0
        rho = torch.where(off, s, 1).sqrt()
        rows = [(entry(k), entry(k)(rho)) for k in range(order + 1)]
        return [torch.where(off, row, 0 if e.negative else float(e.factor[0])) for e, row in rows]

    def function(s: Tensor) -> Tensor:
        off = s > 0
        rho = torch.where(off, s, 1).sqrt()
        # Taylor polynomial at s = 0
        even = [float(entry(k).factor[0]) / math.factorial(k) for k in range(smoothness // 2 + 1)]
        centre = torch.full_like(s, even[-1])
        for c in reversed(even[:-1]):
            centre = centre * s + c
        return torch.where(off, weight(rho), centre)

    function.__doc__ = source
    return WEIGHTS.register(name, smoothness=smoothness, table=table)(function)


wendland_c2 = _register_wendland(
    "wendland_c2", 2, 4, _exact(1, 4), "(1 - p)^4 (1 + 4 p), p = sqrt(s)"
)
wendland_c4 = _register_wendland(
    "wendland_c4", 4, 6, _exact(1, 6, Fraction(35, 3)), "(1 - p)^6 (3 + 18 p + 35 p^2) / 3"
)
wendland_c6 = _register_wendland(
    "wendland_c6", 6, 8, _exact(1, 8, 25, 32), "(1 - p)^8 (1 + 8 p + 25 p^2 + 32 p^3)"
)
