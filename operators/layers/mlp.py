"""Small networks on points, initialised from a generator; their forward takes tensors and jets
alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from operators.jets import jet
from operators.jets.derivative_tables import ACTIVATIONS, Smooth
from operators.jets.jet import Streams


def seeded(generator: torch.Generator | None) -> torch.Generator:
    """The generator given, or a fresh one of seed 0: the global seed is never read."""
    return torch.Generator().manual_seed(0) if generator is None else generator


def uniform(shape: Sequence[int], bound: float, generator: torch.Generator) -> nn.Parameter:
    """A parameter drawn uniformly from [-bound, bound]."""
    return nn.Parameter((2 * torch.rand(*shape, generator=generator) - 1) * bound)


class Linear(nn.Module):
    """x W^T + b with entries uniform in +-gain / sqrt(inputs)."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        bias: bool = True,
        gain: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        generator = seeded(generator)
        bound = gain / math.sqrt(max(inputs, 1))
        self.weight = uniform((outputs, inputs), bound, generator)
        self.bias = uniform((outputs,), bound, generator) if bias else None

    def forward(self, x: Streams) -> Streams:
        return jet.linear(x, self.weight, self.bias)

    def extra_repr(self) -> str:
        return f"{self.weight.shape[1]}, {self.weight.shape[0]}, bias={self.bias is not None}"


class Activation(nn.Module):
    """A smooth activation by name: gelu, tanh, silu, softplus, sigmoid, sin, cos. No kinks: a
    field must have derivatives."""

    def __init__(self, name: str = "gelu") -> None:
        super().__init__()
        self.function: Smooth = ACTIVATIONS[name]

    def forward(self, x: Streams) -> Streams:
        return jet.compose(self.function, x)

    def extra_repr(self) -> str:
        return repr(self.function)


class MLP(nn.Module):
    """Linear layers with a smooth activation between them. Shapes: (.., sizes[0]) -> (..,
    sizes[-1])."""

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if len(sizes) < 2:
            raise ValueError(f"an MLP needs an input and an output size, got {tuple(sizes)}")
        generator = seeded(generator)
        self.layers = nn.ModuleList(
            Linear(i, o, generator=generator) for i, o in zip(sizes[:-1], sizes[1:], strict=True)
        )
        self.activation = Activation(activation)

    def forward(self, x: Streams) -> Streams:
        for layer in self.layers[:-1]:
            x = self.activation(layer(x))
        return self.layers[-1](x)


class Sinusoidal(nn.Module):
    """Coordinates to sines and cosines: (.., d) -> (.., 2 d frequencies).

    Formula: sin(w_k x), cos(w_k x) with w_k = max_positions^(-2 k / frequencies) ("transformer") or
    2^k pi ("octaves"). Units: coordinates over the length that `scale` stands for. Source: the
    transformer embedding of the authors' library.
    """

    def __init__(
        self,
        dim: int,
        frequencies: int = 16,
        kind: Literal["transformer", "octaves"] = "transformer",
        max_positions: float = 600.0,
    ) -> None:
        super().__init__()
        if kind not in ("transformer", "octaves"):
            raise ValueError(f"no embedding {kind!r}; known: transformer, octaves")
        k = torch.arange(frequencies, dtype=torch.float64)
        omega = max_positions ** (-2 * k / frequencies) if kind == "transformer" else math.pi * 2**k
        self.weight: Tensor
        self.register_buffer(
            "weight",
            torch.kron(torch.eye(dim, dtype=torch.float64), omega[:, None]).to(
                torch.get_default_dtype()
            ),
        )
        self.size = 2 * dim * frequencies

    def forward(self, x: Streams) -> Streams:
        phase = jet.linear(x, self.weight)
        return jet.cat(
            [jet.compose(ACTIVATIONS["sin"], phase), jet.compose(ACTIVATIONS["cos"], phase)]
        )
