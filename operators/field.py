"""What operators take and return: a description of the input function, and a field, which is a
function of points.

A field is any callable from points (b, n, D) to values (b, n, c). One that can do more says so in
its `Capabilities`; a plain callable counts as pointwise and without jets.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor

from operators.graph.grid import Lattice
from operators.jets.derivative_tables import ACTIVATIONS
from operators.jets.forward import forward
from operators.jets.jet import Jet, JetSpace, MultiIndex, cat, compose, factorial

PointFunction = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Capabilities:
    """What a field promises; the derivative planner believes only this.

    pointwise: the value at a point depends on that point alone, so autograd in the points gives
    du/dx. grid: the lattice on which the field's values are known without interpolation.
    smoothness: k of C^k in the points. taylor: `field.taylor` exists; where it does not, `reason`
    names the module without a jet rule.
    """

    pointwise: bool = True
    grid: Lattice | None = None
    periodic: tuple[bool, ...] = ()
    smoothness: float = math.inf
    taylor: bool = False
    reason: str = ""


@runtime_checkable
class Field(Protocol):
    """field(points (b, n, D)) -> (b, n, c)."""

    @property
    def capabilities(self) -> Capabilities:
        """What the field promises."""
        ...

    def __call__(self, points: Tensor) -> Tensor: ...


def capabilities(function: Any) -> Capabilities:
    """Of a field, or of a plain callable: pointwise, no grid, no jets."""
    return getattr(function, "capabilities", Capabilities())


@dataclass(frozen=True)
class Ansatz:
    """u = offset + factor * N with callables points (b, n, D) -> (b, n, c) or (b, n, 1), so that
    essential conditions hold exactly.

    With m functions `kinks`, points -> (b, n, m), whose gradients jump on interfaces, the model
    gives (1 + m) c channels N_0, .., N_m, and N = N_0 + sum_i kink_i N_i. `positive`: channels k
    of u that are positive, each with a size s: there s softplus(u_k / s) stands for u_k.
    """

    offset: PointFunction
    factor: PointFunction
    kinks: PointFunction | None = None
    positive: tuple[tuple[int, float], ...] = ()

    def __call__(self, points: Tensor, values: Tensor) -> Tensor:
        kinks = None if self.kinks is None else self.kinks(points)
        return built(self.offset(points), self.factor(points), kinks, values, self.positive)

    def jet(self, points: Tensor, values: Jet) -> Jet:
        """Leibniz rule: the jet of `offset + factor * N`, given the jet of the values. Shapes:
        points (b, n, D), values a jet of (b, n, (1 + m) c) -> a jet of (b, n, c)."""
        kinks = None if self.kinks is None else jet_of(self.kinks, points, values.space)
        return built(
            jet_of(self.offset, points, values.space),
            jet_of(self.factor, points, values.space),
            kinks,
            values,
            self.positive,
        )


def built(
    offset: Any,
    factor: Any,
    kinks: Any,
    values: Any,
    positive: tuple[tuple[int, float], ...] = (),
) -> Any:
    """offset + factor (N_0 + sum_i kink_i N_i), some channels made positive, of tensors or of
    jets. Shapes: kinks (.., m), values (.., (1 + m) c).

    Raises: ValueError where the values have other channels than that.
    """
    if kinks is None:
        return kept_positive(offset + factor * values, positive)
    parts = 1 + kinks.shape[-1]
    if values.shape[-1] % parts or values.shape[-1] == offset.shape[-1]:
        raise ValueError(
            f"the solution of this problem has kinks on {parts - 1} interface{'s' * (parts > 2)},"
            f" so its model gives {parts} channels for each component, this one gives"
            f" {values.shape[-1]} in all; take compiler.build, or out_channels = {parts} times as"
            " many"
        )
    width = values.shape[-1] // parts
    total = channels(values, 0, width)
    for k in range(1, parts):
        total = total + channels(kinks, k - 1, 1) * channels(values, k * width, width)
    return kept_positive(offset + factor * total, positive)


def kept_positive(values: Any, positive: tuple[tuple[int, float], ...]) -> Any:
    """s softplus(u_k / s) for the channels k of size s, the others as they are."""
    sizes = dict(positive)
    if not sizes:
        return values
    softplus, parts = ACTIVATIONS["softplus"], []
    for k in range(values.shape[-1]):
        own = channels(values, k, 1)
        parts.append(compose(softplus, own * (1 / sizes[k])) * sizes[k] if k in sizes else own)
    return cat(parts)


def channels(values: Any, start: int, count: int) -> Any:
    """Some channels of a tensor or jet."""
    return (
        values.map(lambda v: v[..., start : start + count])
        if isinstance(values, Jet)
        else values[..., start : start + count]
    )


@dataclass(frozen=True)
class OperatorInput:
    """The input function of b samples.

    Shapes: points (b, n, d), values (b, n, c), measure (b, n) quadrature weight of each point (zero
    for padding; None where unknown). features: known functions of position, points (b, m, D) -> (b,
    m, k), which a model evaluates at its own nodes. ansatz: essential conditions to build in.
    Raises: ValueError on shapes that do not fit.
    """

    points: Tensor
    values: Tensor
    measure: Tensor | None = None
    features: PointFunction | None = None
    ansatz: Ansatz | None = None

    def __post_init__(self) -> None:
        if (
            self.points.dim() != 3
            or self.values.dim() != 3
            or self.points.shape[:2] != self.values.shape[:2]
        ):
            raise ValueError(
                f"points must be (b, n, d) and values (b, n, c), got {tuple(self.points.shape)} and"
                f" {tuple(self.values.shape)}"
            )
        if self.measure is not None and self.measure.shape != self.points.shape[:2]:
            raise ValueError(
                f"measure must be {tuple(self.points.shape[:2])}, one weight for each point, got"
                f" {tuple(self.measure.shape)}"
            )

    def __repr__(self) -> str:
        b, n, d = self.points.shape
        channels = self.values.shape[-1]
        return f"<OperatorInput of {b} samples: {n} points in {d}D, {channels} channels>"

    @property
    def batch(self) -> int:
        """The number of samples."""
        return self.points.shape[0]

    def known_at(
        self, nodes: Float[Tensor, "*b m d"], channels: int
    ) -> Float[Tensor, "batch m {channels}"]:
        """Features at a model's nodes. Shapes: (m, D) or (b, m, D) -> (b, m, channels).

        Raises: ValueError where they are missing or do not fit.
        """
        if self.features is None:
            raise ValueError(
                f"this model needs {channels} feature channels; the input has no features"
            )
        nodes = nodes.expand(self.batch, -1, -1)
        found = self.features(nodes)
        if found.shape != (*nodes.shape[:2], channels):
            raise ValueError(
                f"features must give {(*nodes.shape[:2], channels)}, got {tuple(found.shape)}"
            )
        return found

    def to(self, *target: Any, **keywords: Any) -> OperatorInput:
        """Tensors moved as by `Tensor.to`; the callables are the caller's."""
        moved = {
            f.name: getattr(self, f.name).to(*target, **keywords)
            for f in fields(self)
            if isinstance(getattr(self, f.name), Tensor)
        }
        return replace(self, **moved)


def jet_of(function: PointFunction, points: Tensor, space: JetSpace) -> Jet:
    """Jet of a pointwise function: its own `taylor`, where it has one, or `followed`.

    Shapes: points (b, n, D) -> streams (b, n, c).
    """
    own = getattr(function, "taylor", None)
    return followed(function, points, space) if own is None else own(points, space)


def followed(function: PointFunction, points: Tensor, space: JetSpace) -> Jet:
    """Jet of a pointwise function, followed forward through its operations, or by nested autograd
    where one of them has no rule; a graph is kept only to what requires gradients already.

    Shapes: points (b, n, D) -> streams (b, n, c).
    """
    found = forward(function, points, space)
    if found is None:
        return nested(function, points, space)
    keep = torch.is_grad_enabled() and found.value.requires_grad
    return found if keep else found.map(Tensor.detach)


def nested(function: PointFunction, points: Tensor, space: JetSpace) -> Jet:
    """`followed` by nested autograd alone. Shapes: points (b, n, D) -> streams (b, n, c)."""
    # parameters of the shape, or the points themselves, are being optimised
    keep = function(points).requires_grad
    with torch.enable_grad():
        leaf = points if keep and points.requires_grad else points.detach().requires_grad_()
        # the columns apart: the gradient of one column of a stack runs through all the others
        columns = [{space.zero: each} for each in function(leaf).unbind(-1)]
        lower = {
            a: torch.stack([_derivative(own, leaf, a) for own in columns], -1) / factorial(a)
            for a in space.lower
        }
        operators = {
            n: torch.stack(
                [sum(c * _derivative(own, leaf, a) for a, c in form.items()) for own in columns],
                -1,
            )
            for n, form in space.operators.items()
        }
    jet = Jet(space, lower, operators)
    return jet if keep else jet.map(Tensor.detach)


def _derivative(found: dict[MultiIndex, Tensor], leaf: Tensor, alpha: MultiIndex) -> Tensor:
    """d^alpha of one column from those found so far, which it adds to. Shapes: "b n"."""
    if alpha not in found:
        k = next(i for i, m in enumerate(alpha) if m)
        inner = _derivative(found, leaf, tuple(m - (i == k) for i, m in enumerate(alpha)))
        gradient = _slope(inner, leaf)
        for axis in range(leaf.shape[-1]):
            raised = tuple(m - (i == k) + (i == axis) for i, m in enumerate(alpha))
            found.setdefault(raised, gradient[..., axis])
    return found[alpha]


def _slope(values: Tensor, leaf: Tensor) -> Tensor:
    if not values.requires_grad:
        return torch.zeros_like(leaf)
    slope = torch.autograd.grad(values.sum(), leaf, create_graph=True, allow_unused=True)[0]
    return torch.zeros_like(leaf) if slope is None else slope
