"""A network of the coordinates alone: the physics-informed baseline, one solution at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.field import Ansatz, Capabilities, OperatorInput
from operators.jets import jet
from operators.jets.derivative_tables import ACTIVATIONS
from operators.jets.jet import Jet, JetSpace, Streams
from operators.layers.jet_rules import apply, missing, rule
from operators.layers.mlp import (
    MLP,
    Activation,
    Linear,
    Sinusoidal,
    seeded,
)
from operators.options import Bound, Positive, Widths, filled, takes


class Siren(nn.Module):
    """sin(omega (W x + b)) layers, then a linear one.

    Shapes: (.., sizes[0]) -> (.., sizes[-1]). Source: Sitzmann et al. 2020 (arXiv 2006.09661),
    section 3.2 and its first-layer scale.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        omega: float = 30.0,
        first: float = 30.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        generator = seeded(generator)
        self.omega = omega
        gains = [first / omega / math.sqrt(sizes[0])] + [math.sqrt(6) / omega] * (len(sizes) - 2)
        self.layers = nn.ModuleList(
            Linear(i, o, True, g, generator)
            for i, o, g in zip(sizes[:-1], sizes[1:], gains, strict=True)
        )
        self.activation = Activation("sin")

    def forward(self, x: Streams) -> Streams:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x) * self.omega)
        return self.layers[-1](x)


rule.register(Siren, lambda module, x: module(x))


@dataclass(frozen=True)
class NetworkField:
    """u(x) = network of the position, the box scaled to [-1, 1]. The same for every sample of
    the batch but for the ansatz."""

    network: nn.Module
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    periodic: tuple[bool, ...]
    ansatz: Ansatz | None = None

    def __repr__(self) -> str:
        return f"<NetworkField on the box {list(self.lower)} to {list(self.upper)}>"

    @property
    def capabilities(self) -> Capabilities:
        """Periodic axes, and whether every layer carries jets."""
        reason = missing(self.network)
        return Capabilities(periodic=self.periodic, taylor=not reason, reason=reason)

    def __call__(self, points: Tensor) -> Float[Tensor, "b n c"]:
        values = self._network(points.split(1, -1))
        return values if self.ansatz is None else self.ansatz(points, values)

    def taylor(self, points: Tensor, space: JetSpace) -> Jet:
        """Value and the derivatives of `space` at once. Shapes: points (b, n, D) -> streams (b,
        n, c)."""
        values = self._network(jet.coordinates(points, space)).dense()
        return values if self.ansatz is None else self.ansatz.jet(points, values)

    def _network(self, columns: tuple[Streams, ...]) -> Streams:
        if len(columns) != len(self.lower):
            raise ValueError(
                f"this field takes points (b, n, {len(self.lower)}), got {len(columns)} coordinates"
            )
        parts: list[Streams] = []
        for x, a, b, wraps in zip(columns, self.lower, self.upper, self.periodic, strict=True):
            scaled = (x + -0.5 * (a + b)) * (2 / (b - a))
            parts += (
                [jet.compose(ACTIVATIONS[f], scaled * math.pi) for f in ("sin", "cos")]
                if wraps
                else [scaled]
            )
        return apply(self.network, jet.cat(parts))


@dataclass(frozen=True, kw_only=True)
class PINNOptions:
    """A PINN apart from its channels and box."""

    periodic: Sequence[bool] = ()  # which axes wrap around; they enter as sine and cosine
    hidden: Widths = (64, 64, 64, 64)  # width of each inner layer
    activation: Literal["tanh", "gelu", "silu", "sin", "softplus", "sigmoid", "cos", "siren"] = (
        "tanh"
    )
    omega: Positive = 30.0  # frequency of the sines of "siren"
    embedding: Annotated[int, Bound(0)] = 0  # octaves of sines and cosines of the position


@takes(PINNOptions)
class PINN(nn.Module):
    """A field that ignores the input function. Options are the fields of `PINNOptions`.

    Shapes: OperatorInput -> field (b, n, dim) -> (b, n, out_channels).
    """

    def __init__(
        self,
        out_channels: int,
        dim: int,
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        options: PINNOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(PINNOptions, options, names, "PINN")
        lower, upper = box or ((-1.0,) * dim, (1.0,) * dim)
        self.lower, self.upper = tuple(map(float, lower)), tuple(map(float, upper))
        self.periodic = tuple(options.periodic) or (False,) * dim
        inputs = sum(2 if p else 1 for p in self.periodic)
        embed = Sinusoidal(inputs, options.embedding, "octaves") if options.embedding else None
        sizes = (embed.size if embed else inputs, *options.hidden, out_channels)
        body = (
            Siren(sizes, options.omega, options.omega, generator)
            if options.activation == "siren"
            else MLP(sizes, options.activation, generator)
        )
        self.network = nn.Sequential(embed, body) if embed else body

    def forward(self, inputs: OperatorInput) -> NetworkField:
        return NetworkField(self.network, self.lower, self.upper, self.periodic, inputs.ansatz)
