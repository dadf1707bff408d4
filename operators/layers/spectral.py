"""Spectral convolution in 1-3 dimensions: a learned matrix for every low Fourier mode, dense or
Tucker-factorised.

Parameters are stored real, with an axis (real, imaginary) before the last, so that every optimiser
and file format takes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn

from operators.layers.mlp import seeded


def check_modes(modes: Sequence[int], shape: Sequence[int]) -> None:
    """Raises: ValueError where the grid cannot hold the modes."""
    for axis, (m, n) in enumerate(zip(modes, shape, strict=True)):
        if not 1 <= m <= n // 2:
            raise ValueError(
                f"{m} modes on axis {axis} with {n} nodes, which hold 1 to n // 2 = {n // 2}; set"
                f" modes to at most {n // 2}, or take a finer grid"
            )


def stored_frequencies(modes: Sequence[int]) -> tuple[int, ...]:
    """Number of stored frequencies per axis: -m .. m-1, and 0 .. m-1 on the last axis, where the
    rest is the conjugate."""
    return (*(2 * m for m in modes[:-1]), modes[-1])


def _low(spectrum: Tensor, modes: Sequence[int]) -> Tensor:
    """The kept corner of a half spectrum. Shapes: (b, c, n1, .., n_d // 2 + 1) -> (b, c, 2 m1,
    .., m_d)."""
    spectrum = spectrum.narrow(-1, 0, modes[-1])
    for axis, m in enumerate(modes[:-1], start=2):
        spectrum = torch.cat(
            [spectrum.narrow(axis, 0, m), spectrum.narrow(axis, spectrum.shape[axis] - m, m)], axis
        )
    return spectrum


def _widen(corner: Tensor, modes: Sequence[int], shape: Sequence[int]) -> Tensor:
    """Zeros between the kept frequencies: the inverse of `_low`."""
    for axis, (m, n) in enumerate(zip(modes[:-1], shape[:-1], strict=True), start=2):
        if n > 2 * m:
            gap = corner.new_zeros(1).expand(
                *corner.shape[:axis], n - 2 * m, *corner.shape[axis + 1 :]
            )
            corner = torch.cat([corner.narrow(axis, 0, m), gap, corner.narrow(axis, m, m)], axis)
    return corner  # irfftn itself pads the last axis


def tucker_ranks(sizes: Sequence[int], rank: float | Sequence[int]) -> tuple[int, ...]:
    """Ranks per axis: those given, or one fraction of every size, so that core and factors hold the
    share `rank` of the dense entries.

    Raises: ValueError on a share outside (0, 1] or a wrong number of ranks.
    """
    if not isinstance(rank, (int, float)):
        if len(rank) != len(sizes):
            raise ValueError(
                f"{len(rank)} Tucker ranks for a weight of shape {tuple(sizes)}; give one per axis"
                " or a share of the parameters"
            )
        return tuple(min(int(r), n) for r, n in zip(rank, sizes, strict=True))
    if not 0 < rank <= 1:
        raise ValueError(
            f"the rank of a Tucker weight is a share of the dense parameters in (0, 1], got {rank}"
        )
    low, high = 0.0, 1.0
    for _ in range(40):
        middle = 0.5 * (low + high)
        ranks = [max(1, round(middle * n)) for n in sizes]
        count = math.prod(ranks) + sum(r * n for r, n in zip(ranks, sizes, strict=True))
        low, high = (middle, high) if count <= rank * math.prod(sizes) else (low, middle)
    return tuple(max(1, round(low * n)) for n in sizes)


def as_complex(pairs: Float[Tensor, "*k 2 c"]) -> Complex[Tensor, "*k c"]:
    """Complex view of a tensor that holds real and imaginary parts on its last axis but one.
    Shapes: (.., 2, c) -> (.., c)."""
    return torch.view_as_complex(pairs.movedim(-2, -1).contiguous())


def mix(
    corner: Complex[Tensor, "*k b i"], weight: Float[Tensor, "*k i 2 o"]
) -> Complex[Tensor, "*k b o"]:
    """One matrix per mode, in real arithmetic: batched products of complex matrices are far slower.

    Shapes: corner (k.., b, i) complex, weight (k.., i, 2, o) real -> (k.., b, o) complex.
    """
    batch, outputs = corner.shape[-2], weight.shape[-1]
    parts = torch.view_as_real(corner).movedim(-1, -3).flatten(-3, -2)  # (k.., 2 b, i)
    products = (
        (parts @ weight.flatten(-2))
        .to(parts.dtype)
        .unflatten(-2, (2, batch))
        .unflatten(-1, (2, outputs))
    )
    real, imaginary = products.select(-4, 0), products.select(-4, 1)  # each (k.., b, 2, o)
    return torch.complex(
        real[..., 0, :] - imaginary[..., 1, :], real[..., 1, :] + imaginary[..., 0, :]
    )


class SpectralConv(nn.Module):
    """v -> irfft(W(k) rfft(v)(k)) for the low frequencies k.

    Shapes: (b, c_in, x..) -> (b, c_out, x..). `modes` m per axis keeps |k| up to m (see
    `stored_frequencies`; other libraries count 2 m). `rank`: None for a dense weight, else the
    share of dense parameters (or the ranks themselves) of a Tucker factorisation, contracted factor
    by factor. The same weights act on any grid that holds the modes. `active`, at most `modes`,
    are the frequencies that are computed with and learned; with the others' weights at zero (see
    `only`) the map is that of all. Raises: ValueError on a grid too coarse.
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
        self.modes = self.active = tuple(int(m) for m in modes)
        sizes = (*stored_frequencies(self.modes), in_channels, out_channels)
        ranks = sizes if rank is None else tucker_ranks(sizes, rank)
        parts = 1 if rank is None else 1 + len(sizes)
        # the dense entries get E |W|^2 = gain^2 / in_channels; a Tucker entry sums prod(ranks)
        # products of `parts` factors
        power = (gain**2 / in_channels / (1 if rank is None else math.prod(ranks))) ** (1 / parts)
        std = math.sqrt(0.5 * power)
        self.weight = nn.Parameter(
            torch.randn(*ranks[:-1], 2, ranks[-1], generator=generator) * std
        )
        shapes = () if rank is None else tuple(zip(sizes, ranks, strict=True))
        self.factors = nn.ParameterList(
            torch.randn(n, 2, r, generator=generator) * std for n, r in shapes
        )

    def forward(self, v: Float[Tensor, "b i *x"]) -> Float[Tensor, "b o *x"]:
        shape = v.shape[2:]
        if len(shape) != len(self.modes):
            raise ValueError(
                f"a spectral convolution with modes {self.modes} takes (b, c, {len(self.modes)}"
                f" grid axes), got {tuple(v.shape)}"
            )
        check_modes(self.modes, shape)
        axes = tuple(range(2, v.dim()))
        corner = _low(torch.fft.rfftn(v, dim=axes), self.active)
        mixed = self.contract(corner.permute(*axes, 0, 1))  # (k.., b, c)
        return torch.fft.irfftn(
            _widen(mixed.permute(-2, -1, *range(len(axes))), self.active, shape), s=shape, dim=axes
        )

    def contract(self, corner: Complex[Tensor, "*k b i"]) -> Complex[Tensor, "*k b o"]:
        """Apply the weight of the active modes. Shapes: (k.., b, c_in) -> (k.., b, c_out),
        complex."""
        if not self.factors:
            weight = self.weight
            for axis in range(len(self.modes)):
                weight = self._of_active(weight, axis, axis)
            return mix(corner, weight)
        *of_mode, of_input, of_output = (as_complex(f) for f in self.factors)
        of_mode = [self._of_active(each, axis, 0) for axis, each in enumerate(of_mode)]
        core = torch.view_as_real(_expand(as_complex(self.weight), of_mode)).movedim(-1, -2)
        return mix(corner @ of_input, core) @ of_output.mT

    def _of_active(self, stored: Tensor, axis: int, dim: int) -> Tensor:
        """The active ones of the frequencies of an axis, which `stored` holds along `dim`."""
        active, most = self.active[axis], self.modes[axis]
        if active == most:
            return stored
        if axis == len(self.modes) - 1:
            return stored.narrow(dim, 0, active)
        ends = (stored.narrow(dim, 0, active), stored.narrow(dim, 2 * most - active, active))
        return torch.cat(ends, dim)

    @torch.no_grad()
    def only(self, active: Sequence[int]) -> None:
        """Computes with these modes alone, and puts the weights of all others to zero. Raises:
        ValueError for more than there are."""
        if not all(1 <= a <= m for a, m in zip(active, self.modes, strict=True)):
            raise ValueError(f"{tuple(active)} active modes of {self.modes}; take 1 to all of them")
        self.active = tuple(int(a) for a in active)
        for axis, (few, most) in enumerate(zip(self.active, self.modes, strict=True)):
            last = axis == len(self.modes) - 1
            rest = slice(few, most if last else 2 * most - few)
            weight, dim = (self.factors[axis], 0) if self.factors else (self.weight, axis)
            weight.movedim(dim, 0)[rest] = 0

    def strengths(self) -> list[Float[Tensor, " modes"]]:
        """Along each axis, the sum of |W|^2 over all weights of each wave number |k| from 0 up to
        its number of modes less one; the most negative one counts there, too."""
        squares, found = self.dense().detach().abs().square(), []
        for axis, most in enumerate(self.modes):
            rows = squares.movedim(axis, 0).flatten(1).sum(1)
            if axis < len(self.modes) - 1:
                k = torch.arange(2 * most)
                k = torch.minimum(torch.minimum(k, 2 * most - k), torch.tensor(most - 1))
                rows = rows.new_zeros(most).index_add_(0, k.to(rows.device), rows)
            found.append(rows)
        return found

    def dense(self) -> Complex[Tensor, "*k i o"]:
        """The weight as one complex tensor. Shapes: (2 m1, .., m_d, c_in, c_out)."""
        return _expand(as_complex(self.weight), [as_complex(f) for f in self.factors])

    def extra_repr(self) -> str:
        kind = (
            f"Tucker {(*self.weight.shape[:-2], self.weight.shape[-1])}"
            if self.factors
            else "dense"
        )
        return f"modes={self.modes}, {kind}"


class RealSpectralConv(nn.Module):
    """The map of a `SpectralConv` by products with real matrices: no fast transform and no complex
    tensor, which few exchange formats have. Its weight is dense, in the dtype of the other's.

    Shapes: (b, c_in, x..) -> (b, c_out, x..).
    """

    def __init__(self, layer: SpectralConv) -> None:
        super().__init__()
        self.modes = layer.modes
        weight = torch.view_as_real(layer.dense().detach().resolve_conj())
        self.real: Tensor
        self.imaginary: Tensor
        self.register_buffer("real", weight[..., 0].contiguous())
        self.register_buffer("imaginary", weight[..., 1].contiguous())

    def forward(self, v: Float[Tensor, "b i *x"]) -> Float[Tensor, "b o *x"]:
        shape, last = v.shape[2:], v.dim() - 1
        ways = [(*range(m), *range(-m, 0)) for m in self.modes[:-1]]  # in the order of `_low`
        order = (*range(2, v.dim()), 0, 1)
        real, imaginary = (
            each.permute(order) for each in spectrum_by_matrices(v, ways, self.modes[-1])
        )  # (k.., b, i)
        mixed = (
            real @ self.real - imaginary @ self.imaginary,
            real @ self.imaginary + imaginary @ self.real,
        )
        back = (v.dim() - 2, v.dim() - 1, *range(v.dim() - 2))
        real, imaginary = (each.permute(back) for each in mixed)  # (b, o, k..)
        for axis, (way, n) in enumerate(zip(ways, shape[:-1], strict=True), start=2):
            cosine, sine = _waves(way, n, v)
            real, imaginary = (
                _along(real, cosine.T, axis) - _along(imaginary, sine.T, axis),
                _along(real, sine.T, axis) + _along(imaginary, cosine.T, axis),
            )
        cosine, sine = _waves(range(self.modes[-1]), shape[-1], v)
        twice = v.new_tensor([1.0 if k == 0 else 2.0 for k in range(self.modes[-1])])
        scale = (twice / math.prod(shape))[:, None]
        return _along(real, cosine.T * scale, last) - _along(imaginary, sine.T * scale, last)


def spectrum_by_matrices(
    v: Float[Tensor, "b c *x"], ways: Sequence[Sequence[int]], last: int | None = None
) -> tuple[Float[Tensor, "b c *modes"], Float[Tensor, "b c *modes"]]:
    """Real and imaginary part of sum_x v(x) exp(-i k x), as `rfftn` has it, for the wave numbers
    `ways` of each axis but the last one, and there for 0 .. `last` - 1, by default half of all.

    Shapes: (b, c, n_1, .., n_d) -> (b, c, len(ways[0]), .., last) both.
    """
    count = v.shape[-1] // 2 + 1 if last is None else last
    cosine, sine = _waves(range(count), v.shape[-1], v)
    real, imaginary = v @ cosine, -(v @ sine)
    for axis, way in enumerate(ways, start=2):
        cosine, sine = _waves(way, v.shape[axis], v)
        real, imaginary = (
            _along(real, cosine, axis) + _along(imaginary, sine, axis),
            _along(imaginary, cosine, axis) - _along(real, sine, axis),
        )
    return real, imaginary


def _waves(numbers: Sequence[int], size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    """cos and sin of 2 pi k x / size, computed in float64 from whole numbers. Shapes: (size,
    len(numbers)) both."""
    whole = torch.arange(size)[:, None] * torch.tensor(list(numbers)) % size
    angle = whole.double() * (2 * math.pi / size)
    return angle.cos().to(like), angle.sin().to(like)


def _along(v: Tensor, matrix: Tensor, axis: int) -> Tensor:
    """A product with a matrix along one axis. Shapes: n_axis -> matrix.shape[1]."""
    return (v.movedim(axis, -1) @ matrix).movedim(-1, axis)


def _expand(core: Tensor, factors: Sequence[Tensor]) -> Tensor:
    """core with its leading axes multiplied by the factors (n, r)."""
    for axis, factor in enumerate(factors):
        core = (core.movedim(axis, -1) @ factor.mT).movedim(-1, axis)
    return core
