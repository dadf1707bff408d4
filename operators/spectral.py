"""Spectral convolution in 1-3 dimensions: a learned matrix for every low Fourier mode, dense or Tucker-factorised.

Parameters are stored real, with a trailing axis (real, imaginary), so that every optimiser and file format takes them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from operators.mlp import seeded


def check_modes(modes: Sequence[int], shape: Sequence[int]) -> None:
    """Raises: ValueError where the grid cannot hold the modes."""
    for axis, (m, n) in enumerate(zip(modes, shape, strict=True)):
        if not 1 <= m <= n // 2:
            raise ValueError(f"{m} modes on axis {axis} with {n} nodes; a grid of n nodes holds 1 to n // 2 = {n // 2}")


def kept(modes: Sequence[int]) -> tuple[int, ...]:
    """Number of stored frequencies per axis: -m .. m-1, and 0 .. m-1 on the last axis, where the rest is the conjugate."""
    return (*(2 * m for m in modes[:-1]), modes[-1])


def _low(spectrum: Tensor, modes: Sequence[int]) -> Tensor:
    """The kept corner of a half spectrum. Shapes: (b, c, n1, .., n_d // 2 + 1) -> (b, c, 2 m1, .., m_d)."""
    spectrum = spectrum.narrow(-1, 0, modes[-1])
    for axis, m in enumerate(modes[:-1], start=2):
        spectrum = torch.cat([spectrum.narrow(axis, 0, m), spectrum.narrow(axis, spectrum.shape[axis] - m, m)], axis)
    return spectrum


def _widen(corner: Tensor, modes: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Zeros between the kept frequencies: the inverse of `_low`."""
    for axis, (m, n) in enumerate(zip(modes[:-1], shape[:-1], strict=True), start=2):
        if n > 2 * m:
            gap = corner.new_zeros(1).expand(*corner.shape[:axis], n - 2 * m, *corner.shape[axis + 1 :])
            corner = torch.cat([corner.narrow(axis, 0, m), gap, corner.narrow(axis, m, m)], axis)
    return corner  # irfftn itself pads the last axis


def tucker_ranks(sizes: Sequence[int], share: float) -> tuple[int, ...]:
    """Ranks, all the same fraction of their size, for which core and factors hold `share` of the dense entries."""
    if not 0 < share <= 1:
        raise ValueError(f"the rank of a Tucker weight is a share of the dense parameters in (0, 1], got {share}")
    if share == 1:
        return tuple(sizes)
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        ranks = [max(1, round(middle * n)) for n in sizes]
        count = math.prod(ranks) + sum(r * n for r, n in zip(ranks, sizes, strict=True))
        low, high = (middle, high) if count < share * math.prod(sizes) else (low, middle)
    return tuple(max(1, round(low * n)) for n in sizes)


class SpectralConv(nn.Module):
    """v -> irfft(W(k) rfft(v)(k)) for the low frequencies k.

    Shapes: (b, c_in, x..) -> (b, c_out, x..). `modes` m per axis keeps |k| up to m (see `kept`). `rank`: None for a dense weight, else the
    share of dense parameters (or the ranks themselves) of a Tucker factorisation, contracted factor by factor.
    The same weights act on any grid that holds the modes. Raises: ValueError on a grid too coarse.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        modes: Sequence[int],
        rank: float | Sequence[int] | None = None,
        gain: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        generator = seeded(generator)
        self.modes = tuple(int(m) for m in modes)
        sizes = (*kept(self.modes), in_channels, out_channels)
        std = gain / math.sqrt(2 * in_channels)  # per real component: E |W|^2 = gain^2 / in_channels
        if rank is None:
            self.weight = nn.Parameter(torch.randn(*sizes, 2, generator=generator) * std)
            self.factors = None
        else:
            ranks = tucker_ranks(sizes, rank) if isinstance(rank, (int, float)) else tuple(min(int(r), n) for r, n in zip(rank, sizes, strict=True))
            root = (2 * math.prod(ranks)) ** (-0.5 / (len(sizes) + 1))  # each entry of the product of core and factors has variance std^2 * 2
            scale = root * (gain / math.sqrt(in_channels)) ** (1 / (len(sizes) + 1)) * 2**0.5
            self.weight = nn.Parameter(torch.randn(*ranks, 2, generator=generator) * scale / 2**0.5)
            self.factors = nn.ParameterList(
                torch.randn(n, r, 2, generator=generator) * scale / 2**0.5 for n, r in zip(sizes, ranks, strict=True)
            )

    def forward(self, v: Tensor) -> Tensor:
        shape = v.shape[2:]
        if len(shape) != len(self.modes):
            raise ValueError(f"a spectral convolution with modes {self.modes} takes (b, c, {len(self.modes)} grid axes), got {tuple(v.shape)}")
        check_modes(self.modes, shape)
        axes = tuple(range(2, v.dim()))
        corner = _low(torch.fft.rfftn(v, dim=axes), self.modes)
        mixed = self.contract(corner.permute(*axes, 0, 1))  # (k.., b, c)
        return torch.fft.irfftn(_widen(mixed.permute(-2, -1, *range(len(axes))), self.modes, shape), s=shape, dim=axes)

    def contract(self, corner: Tensor) -> Tensor:
        """Apply the weight mode by mode. Shapes: (k.., b, c_in) -> (k.., b, c_out), complex."""
        weight = torch.view_as_complex(self.weight)
        if self.factors is None:
            return corner @ weight
        *of_mode, of_input, of_output = (torch.view_as_complex(f) for f in self.factors)
        for axis, factor in enumerate(of_mode):
            weight = torch.tensordot(factor, weight, dims=([1], [axis])).movedim(0, axis)
        return corner @ of_input @ weight @ of_output.mT

    def dense(self) -> Tensor:
        """The weight as one complex tensor. Shapes: (2 m1, .., m_d, c_in, c_out)."""
        weight = torch.view_as_complex(self.weight)
        for axis, factor in enumerate(self.factors or ()):
            weight = torch.tensordot(torch.view_as_complex(factor), weight, dims=([1], [axis])).movedim(0, axis)
        return weight

    def extra_repr(self) -> str:
        kind = "dense" if self.factors is None else f"Tucker {tuple(self.weight.shape[:-1])}"
        return f"modes={self.modes}, {kind}"


def frequencies(modes: Sequence[int], device: torch.device | str = "cpu") -> Tensor:
    """Whole frequencies in the order of `kept`. Shapes: (2 m1 * .. * m_d, d), float64."""
    axes = [[*range(m), *range(-m, 0)] for m in modes[:-1]] + [list(range(modes[-1]))]
    return torch.tensor(list(itertools.product(*axes)), dtype=torch.float64, device=device)
