"""Fourier neural operator on a regular grid, and its output as a function of points."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from operators.mlp import Activation, Linear, seeded
from operators.spectral import SpectralConv, check_modes

Norm = Literal["none", "group"]


class Pointwise(Linear):
    """A linear map of the channels at every grid node. Shapes: (b, c_in, x..) -> (b, c_out, x..)."""

    def forward(self, v: Tensor) -> Tensor:
        flat = torch.baddbmm(self.bias[:, None], self.weight.expand(v.shape[0], -1, -1), v.flatten(2))
        return flat.unflatten(2, v.shape[2:])


class FourierBlock(nn.Module):
    """v + M(g(N(K v) + S v)): spectral convolution K, linear skip S, norm N, channel MLP M, smooth activation g.

    Shapes: (b, c, x..) -> (b, c, x..).
    """

    def __init__(
        self,
        channels: int,
        modes: Sequence[int],
        rank: float | Sequence[int] | None = None,
        expansion: float = 2.0,
        norm: Norm = "none",
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if norm not in ("none", "group"):
            raise ValueError(f"no norm {norm!r}; known: none, group")
        generator = seeded(generator)
        wide = max(1, round(expansion * channels))
        self.spectral = SpectralConv(channels, channels, modes, rank, generator=generator)
        self.skip = Pointwise(channels, channels, generator=generator)
        self.inner = Pointwise(channels, wide, generator=generator)
        self.outer = Pointwise(wide, channels, generator=generator)
        self.norm = nn.GroupNorm(1, channels) if norm == "group" else nn.Identity()
        self.activation = Activation(activation)

    def forward(self, v: Tensor) -> Tensor:
        mixed = self.activation(self.norm(self.spectral(v)) + self.skip(v))
        return v + self.outer(self.activation(self.inner(mixed)))


class FourierTrunk(nn.Module):
    """Lifting and Fourier blocks: functions on a grid to latent functions on the same grid.

    Shapes: (b, c_in, x..) -> (b, hidden, x..). Raises: ValueError where a grid of `shape` cannot hold the modes.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        modes: Sequence[int],
        shape: Sequence[int] | None = None,
        layers: int = 4,
        rank: float | Sequence[int] | None = None,
        expansion: float = 2.0,
        norm: Norm = "none",
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if shape is not None:
            check_modes(modes, shape)
        self.in_channels = in_channels
        generator = seeded(generator)
        self.lift = Pointwise(in_channels, hidden, generator=generator)
        self.blocks = nn.ModuleList(FourierBlock(hidden, modes, rank, expansion, norm, activation, generator) for _ in range(layers))

    def forward(self, v: Tensor) -> Tensor:
        v = self.lift(v)
        for block in self.blocks:
            v = block(v)
        return v
