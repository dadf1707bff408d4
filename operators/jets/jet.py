"""Jets: a value and chosen derivatives with respect to the query coordinates, carried together
through a computation.

A jet is a truncated Taylor polynomial over a set of multi-indices closed under division, plus
collapsed top-order operators such as a Laplacian: one stream each, whatever number of multi-indices
they sum. Every stream costs what the value costs. Streams that are absent are zero; streams may
have size 1 where the value has more (the tangent of a first layer is one row).

Source: collapsed Taylor mode, Dangel, Siebert, Zeinhofer, Walther 2025 (arXiv 2505.13644); here
over multi-indices.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar, overload

import torch
from jaxtyping import Float, Int
from torch import Tensor

from operators.jets.derivative_tables import RECIPROCAL, Smooth, power

MultiIndex = tuple[int, ...]


def divisors(alpha: MultiIndex) -> Iterable[MultiIndex]:
    """All multi-indices b <= alpha, alpha among them."""
    return itertools.product(*(range(k + 1) for k in alpha))


def factorial(alpha: MultiIndex) -> int:
    """alpha! = prod_k alpha_k!"""
    return math.prod(math.factorial(k) for k in alpha)


def _minus(a: MultiIndex, b: MultiIndex) -> MultiIndex:
    return tuple(i - j for i, j in zip(a, b, strict=True))


@dataclass(frozen=True)
class JetSpace:
    """Which derivatives a jet carries.

    `lower`: multi-indices, each with all its divisors. `operators`: name -> {multi-index:
    coefficient}, constant-coefficient forms sum c_a d^a whose proper divisors are all in `lower`.
    Raises: ValueError where that does not hold (`JetSpace.closure` completes a set).
    """

    lower: tuple[MultiIndex, ...]
    operators: Mapping[str, Mapping[MultiIndex, float]] = field(default_factory=dict, hash=False)

    def __post_init__(self) -> None:
        lower = tuple(sorted(set(self.lower), key=lambda a: (sum(a), a)))
        object.__setattr__(self, "lower", lower)
        object.__setattr__(
            self,
            "operators",
            {
                n: {tuple(a): float(c) for a, c in form.items()}
                for n, form in self.operators.items()
            },
        )
        if (
            not lower
            or len(
                {len(a) for a in lower} | {len(a) for form in self.operators.values() for a in form}
            )
            != 1
        ):
            raise ValueError("a jet space needs multi-indices, all over the same coordinates")
        tops = [a for form in self.operators.values() for a in form]
        missing = {b for a in (*lower, *tops) for b in divisors(a) if b != a} - set(lower)
        if missing or self.zero not in lower:
            raise ValueError(
                "a jet space must hold every divisor; missing"
                f" {sorted(missing | {self.zero} - set(lower))}; use JetSpace.closure"
            )
        if not all(sum(a) for a in tops):
            raise ValueError("an operator of a jet space must have order 1 or more in every term")

    @classmethod
    def closure(
        cls,
        needed: Iterable[MultiIndex],
        operators: Mapping[str, Mapping[MultiIndex, float]] | None = None,
    ) -> JetSpace:
        """The smallest space that holds the needed multi-indices and operators."""
        operators = operators or {}
        lower = {b for a in needed for b in divisors(tuple(a))}
        lower |= {
            b
            for form in operators.values()
            for a in form
            for b in divisors(tuple(a))
            if b != tuple(a)
        }
        return cls(tuple(lower), operators)

    @property
    def dim(self) -> int:
        """The number of coordinates."""
        return len(self.lower[0])

    @property
    def zero(self) -> MultiIndex:
        """The multi-index of the value."""
        return (0,) * self.dim

    @property
    def order(self) -> int:
        """The highest order of a stream."""
        return max(sum(a) for a in itertools.chain(self.lower, *self.operators.values()))

    @property
    def streams(self) -> tuple[MultiIndex | str, ...]:
        """Keys of all streams, multi-indices first."""
        return (*self.lower, *self.operators)

    def __len__(self) -> int:
        """Number of streams: the cost in units of a plain evaluation."""
        return len(self.lower) + len(self.operators)


@functools.lru_cache(maxsize=256)
def _splits(alpha: MultiIndex, proper: bool) -> tuple[tuple[MultiIndex, MultiIndex], ...]:
    """Pairs (b, alpha - b); `proper` leaves out b = 0 and b = alpha."""
    pairs = ((tuple(b), _minus(alpha, b)) for b in divisors(alpha))
    return tuple((b, c) for b, c in pairs if not proper or (any(b) and any(c)))


def _fma(total: Tensor | None, a: Tensor, b: Tensor, scale: float = 1.0) -> Tensor:
    """total + scale a b, without a pass of its own for the scale where it can be had free."""
    if total is not None:
        return torch.addcmul(total, a, b, value=scale)
    if scale == 1:
        return a * b
    return (a * scale) * b if a.numel() <= b.numel() else a * (b * scale)


class Jet:
    """Streams over a JetSpace. `lower[a]` is the Taylor coefficient d^a f / a!, `operators[name]`
    the operator applied to f.

    Read derivatives with `jet[alpha]` or `jet["name"]`. Arithmetic with tensors and numbers treats
    them as constant in the coordinates.
    """

    __slots__ = ("lower", "operators", "space")

    def __init__(
        self,
        space: JetSpace,
        lower: dict[MultiIndex, Tensor],
        operators: dict[str, Tensor] | None = None,
    ) -> None:
        self.space, self.lower, self.operators = space, lower, operators or {}

    def __repr__(self) -> str:
        return f"<Jet of {len(self.space.streams)} streams, values {tuple(self.shape)}>"

    @property
    def value(self) -> Tensor:
        """The stream of order zero. Shapes: that of the jet."""
        return self.lower[self.space.zero]

    @property
    def shape(self) -> torch.Size:
        """The shape of the value; other streams may have one row for all."""
        return self.value.shape

    def __getitem__(self, key: MultiIndex | str) -> Tensor:
        """The derivative d^alpha f or the operator `key` of f, in the value's shape. Raises:
        KeyError on a stream not carried."""
        if key not in (self.space.operators if isinstance(key, str) else self.space.lower):
            raise KeyError(
                f"no stream {key!r} in this jet; it carries"
                f" {', '.join(map(str, self.space.streams))}"
            )
        stream = self.stream(key)
        if stream is None:
            return torch.zeros_like(self.value)
        stream = stream if isinstance(key, str) else stream * factorial(key)
        return stream.expand_as(self.value)

    def stream(self, key: MultiIndex | str) -> Tensor | None:
        """What is stored: a Taylor coefficient or an operator, None where it is zero."""
        return self.operators.get(key) if isinstance(key, str) else self.lower.get(key)

    def items(self) -> Iterable[tuple[MultiIndex | str, Tensor]]:
        """Streams that are present: Taylor coefficients and operators."""
        return itertools.chain(self.lower.items(), self.operators.items())

    def map(self, linear: Callable[[Tensor], Tensor]) -> Jet:
        """A linear map that does not mix with a broadcast axis, applied to every stream."""
        return Jet(
            self.space,
            {a: linear(v) for a, v in self.lower.items()},
            {n: linear(v) for n, v in self.operators.items()},
        )

    def dense(self) -> Jet:
        """Broadcast streams expanded to the value's shape (a view)."""
        return self.map(lambda v: v.expand(self.shape))

    def __add__(self, other: Jet | Tensor | float) -> Jet:
        if not isinstance(other, Jet):
            return Jet(
                self.space, {**self.lower, self.space.zero: self.value + other}, self.operators
            )
        lower, operators = dict(self.lower), dict(self.operators)
        for a, v in other.lower.items():
            lower[a] = lower[a] + v if a in lower else v
        for n, v in other.operators.items():
            operators[n] = operators[n] + v if n in operators else v
        return Jet(self.space, lower, operators)

    def __mul__(self, other: Jet | Tensor | float) -> Jet:
        """Leibniz: (fg)_a = sum f_b g_(a-b);  L(fg) = f Lg + g Lf + sum_a c_a a! sum_(0<b<a) f_b
        g_(a-b)."""
        if not isinstance(other, Jet):
            return self.map(lambda v: v * other)
        f, g, zero = self.lower, other.lower, self.space.zero
        lower: dict[MultiIndex, Tensor] = {}
        for a in self.space.lower:
            total = _convolve(f, g, a, proper=False)
            if total is not None:
                lower[a] = total
        operators: dict[str, Tensor] = {}
        for n, form in self.space.operators.items():
            total = None
            for a, c in form.items():
                total = _convolve(f, g, a, proper=True, scale=c * factorial(a), total=total)
            for left, right in (
                (f.get(zero), other.operators.get(n)),
                (g.get(zero), self.operators.get(n)),
            ):
                if left is not None and right is not None:
                    total = _fma(total, left, right)
            if total is not None:
                operators[n] = total
        return Jet(self.space, lower, operators)

    __radd__, __rmul__ = __add__, __mul__

    def __neg__(self) -> Jet:
        return self.map(torch.neg)

    def __sub__(self, other: Jet | Tensor | float) -> Jet:
        return self + -other

    def __rsub__(self, other: Tensor | float) -> Jet:
        return -self + other

    def __truediv__(self, other: Jet | Tensor | float) -> Jet:
        return self * (other.compose(RECIPROCAL) if isinstance(other, Jet) else 1 / other)

    def __rtruediv__(self, other: Tensor | float) -> Jet:
        return self.compose(RECIPROCAL) * other

    def __pow__(self, exponent: float) -> Jet:
        return self.compose(power(float(exponent)))

    def compose(self, function: Smooth) -> Jet:
        """g(f) = sum_k g^(k)(f_0) / k! n^k with the nilpotent part n = f - f_0.

        Powers of n are taken before the table's entries enter, so rows that do not depend on the
        point stay rows.
        """
        order, zero = self.space.order, self.space.zero
        table = function.derivatives(self.value, order)
        nilpotent = Jet(
            self.space, {a: v for a, v in self.lower.items() if a != zero}, self.operators
        )
        lower, operators = {zero: table[0]}, {}
        n = nilpotent
        for k in range(1, order + 1):
            for a, v in n.lower.items():
                lower[a] = _fma(lower.get(a), table[k], v, 1 / math.factorial(k))
            for name, v in n.operators.items():
                operators[name] = _fma(operators.get(name), table[k], v, 1 / math.factorial(k))
            if k < order:
                n = n * nilpotent
        return Jet(self.space, lower, operators)


def _convolve(
    f: dict[MultiIndex, Tensor],
    g: dict[MultiIndex, Tensor],
    alpha: MultiIndex,
    proper: bool,
    scale: float = 1.0,
    total: Tensor | None = None,
) -> Tensor | None:
    """total + scale sum_b f_b g_(alpha-b) over present streams; a square takes each pair once."""
    for b, c in _splits(alpha, proper):
        if b in f and c in g and not (f is g and b > c):
            total = _fma(total, f[b], g[c], scale if f is not g or b == c else 2 * scale)
    return total


# ---- the same words for tensors and jets: what a decoder is written in

Streams = TypeVar("Streams", Tensor, Jet)


def coordinates(points: Float[Tensor, "*n d"], space: JetSpace) -> tuple[Jet, ...]:
    """Each coordinate as a jet with its one tangent. `cat` of them is the identity.

    Shapes: points (n, d) -> d jets of value (n, 1), tangent (1, 1).
    """
    if points.shape[-1] != space.dim:
        raise ValueError(
            f"points have {points.shape[-1]} coordinates, the jet space has {space.dim}"
        )
    one = points.new_ones(*[1] * points.dim())
    jets = []
    for k in range(space.dim):
        unit = tuple(int(i == k) for i in range(space.dim))
        lower = {space.zero: points[..., k : k + 1]} | ({unit: one} if unit in space.lower else {})
        jets.append(
            Jet(
                space,
                lower,
                {n: one * form[unit] for n, form in space.operators.items() if unit in form},
            )
        )
    return tuple(jets)


def value(x: Tensor | Jet) -> Float[Tensor, "*_"]:
    """The value of a jet; a tensor is its own."""
    return x.value if isinstance(x, Jet) else x


def ones_like(x: Streams) -> Streams:
    """The constant 1 in the shape of x."""
    if isinstance(x, Jet):
        return Jet(x.space, {x.space.zero: torch.ones_like(x.value)})
    return torch.ones_like(x)


def stack(x: Streams) -> Float[Tensor, "n streams ..."]:
    """All streams as one tensor, absent ones left out. Shapes: (n, ..) -> (n, streams, ..)."""
    return torch.stack([v for _, v in x.dense().items()], 1) if isinstance(x, Jet) else x[:, None]


def unstack(streams: Float[Tensor, "n streams ..."], like: Streams) -> Streams:
    """Undo `stack` after a linear map; `like` is what was stacked. Shapes: (n, streams, ..) ->
    (n, ..)."""
    if isinstance(like, Tensor):
        return streams[:, 0]
    found = dict(zip((key for key, _ in like.items()), streams.unbind(1), strict=True))
    return Jet(like.space, {a: found[a] for a in like.lower}, {n: found[n] for n in like.operators})


def compose(function: Smooth, x: Streams) -> Streams:
    """An elementwise function of a tensor or a jet, in the same shape."""
    return x.compose(function) if isinstance(x, Jet) else function(x)


def linear(
    x: Streams, weight: Float[Tensor, "o i"], bias: Float[Tensor, " o"] | None = None
) -> Streams:
    """x weight^T + bias. Shapes: x (.., i), weight (o, i), bias (o,)."""
    if not isinstance(x, Jet):
        return torch.nn.functional.linear(x, weight, bias)
    zero = x.space.zero
    lower = {
        a: torch.nn.functional.linear(v, weight, bias if a == zero else None)
        for a, v in x.lower.items()
    }
    return Jet(
        x.space, lower, {n: torch.nn.functional.linear(v, weight) for n, v in x.operators.items()}
    )


def gather(x: Streams, index: Int[Tensor, " e"]) -> Streams:
    """Rows of x. A stream of one row is the same for all and stays one row."""
    if isinstance(x, Jet):
        return x.map(lambda v: v if v.shape[0] == 1 else v.index_select(0, index))
    return x.index_select(0, index)


def segment_sum(x: Streams, index: Int[Tensor, " e"], size: int) -> Streams:
    """out[i] = sum over rows e with index[e] = i. Shapes: x (e, ..) -> (size, ..)."""
    if isinstance(x, Jet):
        return x.dense().map(lambda v: segment_sum(v, index, size))
    return x.new_zeros(size, *x.shape[1:]).index_add(0, index, x)


@overload
def cat(parts: Sequence[Streams], dim: int = -1) -> Streams: ...
@overload
def cat(parts: Sequence[Tensor | Jet], dim: int = -1) -> Tensor | Jet: ...
def cat(parts: Sequence[Tensor | Jet], dim: int = -1) -> Tensor | Jet:
    """Concatenation; tensors among jets are constant in the coordinates. Values must agree in
    all dimensions but `dim`."""
    jets = [p for p in parts if isinstance(p, Jet)]
    if not jets:
        return torch.cat([p for p in parts if isinstance(p, Tensor)], dim)
    space, values = jets[0].space, [value(p) for p in parts]

    def stream(key: MultiIndex | str) -> Tensor | None:
        found = [None if isinstance(p, Tensor) else p.stream(key) for p in parts]
        if key == space.zero:
            found = list(values)
        present = [v for v in found if v is not None]
        if not present:
            return None
        # rows that are the same for all stay one row
        shape = [max(v.shape[i] for v in present) for i in range(present[0].dim())]
        size = [
            [p.shape[i] if i == dim % len(shape) else n for i, n in enumerate(shape)]
            for p in values
        ]
        return torch.cat(
            [
                p.new_zeros(n) if v is None else v.expand(n)
                for v, p, n in zip(found, values, size, strict=True)
            ],
            dim,
        )

    streams = {key: s for key in space.streams if (s := stream(key)) is not None}
    return Jet(
        space,
        {k: v for k, v in streams.items() if not isinstance(k, str)},
        {k: v for k, v in streams.items() if isinstance(k, str)},
    )


@dataclass(frozen=True, slots=True)
class _Arctangent:
    """atan near 0 by its constants: only ever composed with jets whose value is 0."""

    def __call__(self, z: Tensor) -> Tensor:
        return torch.atan(z)

    def derivatives(self, z: Tensor, order: int) -> list[Tensor]:
        constants = [
            0 if k % 2 == 0 else (-1) ** (k // 2) * math.factorial(k - 1) for k in range(order + 1)
        ]
        return [torch.full_like(z, float(c)) for c in constants]


@overload
def atan2(y: Tensor, x: Tensor) -> Tensor: ...
@overload
def atan2(y: Jet, x: Jet) -> Jet: ...
def atan2(y: Tensor | Jet, x: Tensor | Jet) -> Tensor | Jet:
    """Polar angle. The jet turns by the value's angle first, so only derivatives of atan at 0
    are needed. Not defined at the origin."""
    if not (isinstance(x, Jet) and isinstance(y, Jet)):
        return torch.atan2(value(y), value(x))
    cos, sin = x.value, y.value
    along, across = x * cos + y * sin, y * cos - x * sin
    turned = across / along
    return turned.compose(_Arctangent()) + torch.atan2(sin, cos)
