"""A network of the position whose weights are adapted to every sample: what meta-learning of
physics-informed networks trains.

    u(x) = e^s_out * W_L sin(omega W_(L-1) .. sin(omega (W_1 e^s_in x + b_1)) ..) + b_L

All weights of a network are one row of numbers, so that b samples have a matrix of them, and an
optimiser steps through rows. Source: Qin, Beatson, Oktay, McGreivy, Adams 2022 (Meta-PDE), with the
learned scales of input and output of its public code; Sitzmann et al. 2020 (arXiv 2006.09661).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.field import Ansatz, Capabilities, OperatorInput
from operators.jets import jet
from operators.jets.derivative_tables import ACTIVATIONS
from operators.jets.jet import Jet, JetSpace, Streams
from operators.layers.mlp import seeded
from operators.models.pinn import Siren
from operators.options import Positive, Widths, filled, takes


@dataclass(frozen=True)
class Layout:
    """How a row of numbers is the weights of a network: widths of its layers, the box that it
    scales to [-1, 1], and the axes that enter as sine and cosine."""

    sizes: tuple[int, ...]
    omega: float
    lower: tuple[float, ...]
    upper: tuple[float, ...]
    periodic: tuple[bool, ...]

    @property
    def parts(self) -> tuple[int, ...]:
        """Lengths in turn: scales of the input, weight and bias of each layer, scales of the
        output."""
        pairs = zip(self.sizes[:-1], self.sizes[1:], strict=True)
        layers = [n for i, o in pairs for n in (i * o, o)]
        return (self.sizes[0], *layers, self.sizes[-1])

    def __call__(self, weights: Float[Tensor, "b p"], columns: tuple[Streams, ...]) -> Streams:
        """The networks of b samples. Shapes: D columns (b, n, 1) -> (b, n, c)."""
        first, *layers, last = weights.split(self.parts, 1)
        x = self._position(columns)
        # one row of scales and biases a sample, the same at all its points
        x = x * first.exp()[:, None]
        count = len(layers) // 2
        for k in range(count):
            weight = layers[2 * k].unflatten(1, (self.sizes[k + 1], self.sizes[k]))  # (b, o, i)
            x = _product(x, weight) + layers[2 * k + 1][:, None]
            if k < count - 1:
                x = jet.compose(ACTIVATIONS["sin"], x * self.omega)
        return x * last.exp()[:, None]

    def _position(self, columns: tuple[Streams, ...]) -> Streams:
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
        return jet.cat(parts)


def _product(x: Streams, weight: Float[Tensor, "b o i"]) -> Streams:
    """Rows times the weights of their sample; a stream that is one row for all becomes one row a
    sample. Shapes: (b, n, i) -> (b, n, o)."""
    return x.map(lambda v: v @ weight.mT) if isinstance(x, Jet) else x @ weight.mT


@dataclass(frozen=True)
class AdaptedField:
    """The networks of b samples as one field. `latent`: their weights (b, p)."""

    layout: Layout
    latent: tuple[Tensor]
    ansatz: Ansatz | None = None

    def __repr__(self) -> str:
        return f"<AdaptedField of {len(self.latent[0])} networks {self.layout.sizes}>"

    @property
    def capabilities(self) -> Capabilities:
        """What periodic axes it has; it carries jets."""
        return Capabilities(periodic=self.layout.periodic, taylor=True)

    def with_latent(self, latent: Sequence[Tensor]) -> AdaptedField:
        """Networks of the same form with other weights."""
        return replace(self, latent=tuple(latent))

    def plan(self, points: Tensor) -> None:
        """Nothing to prepare for a set of points."""

    def __call__(self, points: Tensor, plan: None = None) -> Float[Tensor, "b n c"]:
        self._check(points)
        values = self.layout(self.latent[0], points.split(1, -1))
        return values if self.ansatz is None else self.ansatz(points, values)

    def taylor(self, points: Tensor, space: JetSpace, plan: None = None) -> Jet:
        """Value and the derivatives of `space` at once. Shapes: points (b, n, D) -> streams (b,
        n, c)."""
        self._check(points)
        values = self.layout(self.latent[0], jet.coordinates(points, space)).dense()
        return values if self.ansatz is None else self.ansatz.jet(points, values)

    def _check(self, points: Tensor) -> None:
        batch = self.latent[0].shape[0]
        if points.dim() != 3 or points.shape[0] != batch:
            raise ValueError(f"this field takes points ({batch}, n, D), got {tuple(points.shape)}")


@dataclass(frozen=True, kw_only=True)
class MetaPINNOptions:
    """A MetaPINN apart from its channels and box."""

    hidden: Widths = (64, 64, 64)  # width of each inner layer
    omega: Positive = 30.0  # frequency of the sines
    scale: Positive = 0.1  # that inputs and outputs begin with
    periodic: Sequence[bool] = ()  # which axes wrap around; they enter as sine and cosine


@takes(MetaPINNOptions)
class MetaPINN(nn.Module):
    """Where the networks of all samples begin: `theta`, one row of weights. Options are the fields
    of `MetaPINNOptions`.

    Called on an input it gives the network as it begins, the same for every sample;
    `model.field(inputs, weights)` that of adapted weights (b, p). Shapes: OperatorInput -> field
    (b, n, dim) -> (b, n, out_channels).
    """

    # trained by compiler.meta_train: a step of it is not a step on one function of all samples
    adapts = True

    def __init__(
        self,
        out_channels: int,
        dim: int,
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        options: MetaPINNOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(MetaPINNOptions, options, names, "MetaPINN")
        lower, upper = box or ((-1.0,) * dim, (1.0,) * dim)
        periodic = tuple(options.periodic) or (False,) * dim
        inputs = sum(2 if wraps else 1 for wraps in periodic)
        sizes = (inputs, *options.hidden, out_channels)
        self.layout = Layout(
            sizes, options.omega, tuple(map(float, lower)), tuple(map(float, upper)), periodic
        )
        siren = Siren(sizes, options.omega, options.omega, seeded(generator))
        scale = math.log(options.scale)
        rows = [torch.full((inputs,), scale)]
        for k, layer in enumerate(siren.layers):
            bias = layer.bias.detach() * (k < len(siren.layers) - 1)  # none of the output's
            rows += [layer.weight.detach().flatten(), bias]
        rows.append(torch.full((out_channels,), scale))
        self.theta = nn.Parameter(torch.cat(rows))

    def forward(self, inputs: OperatorInput) -> AdaptedField:
        return self.field(inputs, self.theta.expand(inputs.batch, -1))

    def field(self, inputs: OperatorInput, weights: Float[Tensor, "b p"]) -> AdaptedField:
        """The field of adapted weights, with the conditions that are built into the input."""
        return AdaptedField(self.layout, (weights,), inputs.ansatz)
