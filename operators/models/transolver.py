"""Transolver: attention between learned slices of a point set. A baseline whose value at a point
depends on all points asked.

Source: Wu et al. 2024 (arXiv 2402.02366), irregular-mesh form, with the sizes of its public code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.field import Capabilities, OperatorInput
from operators.layers.mlp import MLP, Linear, seeded
from operators.options import Count, Positive, filled, takes


class PhysicsAttention(nn.Module):
    """Points to slices, attention among slices, and back.

    Formula: w = softmax(slice(x_mid) / tau) over G slices; token_g = sum_i w_ig f_i / (sum_i w_ig +
    1e-5); tokens attend; f_i' = sum_g w_ig token_g'. Shapes: (b, n, c) -> (b, n, c).
    """

    def __init__(self, channels: int, heads: int, slices: int, generator: torch.Generator) -> None:
        super().__init__()
        if channels % heads:
            raise ValueError(f"{channels} channels do not split into {heads} heads")
        self.heads, width = heads, channels // heads
        self.of_point = Linear(channels, channels, generator=generator)
        self.of_token = Linear(channels, channels, generator=generator)
        self.to_slice = Linear(width, slices, generator=generator)
        self.to_slice.weight = nn.Parameter(
            nn.init.orthogonal_(torch.empty(slices, width), generator=generator)
        )
        self.temperature = nn.Parameter(torch.full((heads, 1, 1), 0.5))
        self.query, self.key, self.value = (
            Linear(width, width, bias=False, generator=generator) for _ in range(3)
        )
        self.out = Linear(channels, channels, generator=generator)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        point, token = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for layer in (self.of_point, self.of_token)
        )  # (b, h, n, c)
        share = torch.softmax(self.to_slice(point) / self.temperature, -1)  # (b, h, n, g)
        slices = share.mT @ token / (share.sum(2)[..., None] + 1e-5)
        query, key, value = self.query(slices), self.key(slices), self.value(slices)
        # plain products: derivatives of every order exist
        attended = torch.softmax(query @ key.mT / math.sqrt(key.shape[-1]), -1) @ value
        return self.out((share @ attended).transpose(1, 2).flatten(2))


class TransolverBlock(nn.Module):
    """x + Attention(LN x), then x + MLP(LN x)."""

    def __init__(
        self,
        channels: int,
        heads: int,
        slices: int,
        ratio: float,
        activation: str,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.before_attention, self.before_mlp = nn.LayerNorm(channels), nn.LayerNorm(channels)
        self.attention = PhysicsAttention(channels, heads, slices, generator)
        self.mlp = MLP((channels, max(1, round(ratio * channels)), channels), activation, generator)

    def forward(self, x: Float[Tensor, "b n c"]) -> Float[Tensor, "b n c"]:
        x = x + self.attention(self.before_attention(x))
        return x + self.mlp(self.before_mlp(x))


@dataclass(frozen=True)
class TokenField:
    """The network run on whatever points are asked, together: not a function of the single
    point, so no derivative in them is du/dx."""

    network: Transolver
    inputs: OperatorInput

    def __repr__(self) -> str:
        return f"<TokenField of {self.inputs.batch} samples>"

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(pointwise=False, reason="attention mixes all points asked")

    def __call__(self, points: Tensor) -> Float[Tensor, "b n c"]:
        values = self.network.tokens(points, self.inputs)
        return values if self.inputs.ansatz is None else self.inputs.ansatz(points, values)


@dataclass(frozen=True, kw_only=True)
class TransolverOptions:
    """A Transolver apart from its channels and box."""

    hidden: Count = 128  # channels of a point
    layers: Count = 8
    heads: Count = 8  # of the attention; a divisor of `hidden`
    slices: Count = 64  # tokens that attend to one another, for each head
    ratio: Positive = 1.0  # width of a layer's network over `hidden`
    activation: str = "gelu"


@takes(TransolverOptions)
class Transolver(nn.Module):
    """Attention over the queried points. Known functions enter as `OperatorInput.features`,
    evaluated at those points. Options are the fields of `TransolverOptions`.

    Shapes: OperatorInput -> field (b, n, dim) -> (b, n, out_channels). `box` scales coordinates to
    [-1, 1].
    """

    def __init__(
        self,
        out_channels: int,
        dim: int,
        feature_channels: int = 0,
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        options: TransolverOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(TransolverOptions, options, names, "Transolver")
        generator = seeded(generator)
        hidden, activation = options.hidden, options.activation
        self.dim, self.feature_channels = dim, feature_channels
        self.lower, self.upper = box or ((-1.0,) * dim, (1.0,) * dim)
        self.lift = MLP((dim + feature_channels, 2 * hidden, hidden), activation, generator)
        self.blocks = nn.ModuleList(
            TransolverBlock(
                hidden, options.heads, options.slices, options.ratio, activation, generator
            )
            for _ in range(options.layers)
        )
        self.head = nn.Sequential(
            nn.LayerNorm(hidden), Linear(hidden, out_channels, generator=generator)
        )

    def forward(self, inputs: OperatorInput) -> TokenField:
        return TokenField(self, inputs)

    def tokens(self, points: Tensor, inputs: OperatorInput) -> Float[Tensor, "b n c"]:
        """The network on one set of points. Shapes: (b, n, dim) -> (b, n, out_channels)."""
        if points.dim() != 3 or points.shape[2] != self.dim:
            raise ValueError(
                f"this field takes points (b, n, {self.dim}), got {tuple(points.shape)}"
            )
        lower, upper = (
            torch.tensor(corner, dtype=points.dtype, device=points.device)
            for corner in (self.lower, self.upper)
        )
        parts = [(2 * points - lower - upper) / (upper - lower)]
        if self.feature_channels:
            parts.append(inputs.known_at(points, self.feature_channels))
        x = self.lift(torch.cat(parts, -1))
        for block in self.blocks:
            x = block(x)
        return self.head(x)
