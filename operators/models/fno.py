"""Fourier neural operator on a regular grid, and its output as a function of points."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.field import Ansatz, Capabilities, OperatorInput
from operators.graph.grid import Lattice, place_channels, positional_encoding
from operators.jets.jet import Jet, JetSpace, factorial
from operators.layers.jet_rules import apply, missing
from operators.layers.mlp import MLP, Activation, seeded, uniform
from operators.layers.spectral import SpectralConv, check_modes, spectrum_by_matrices
from operators.options import Count, Counts, Positive, filled, takes

Norm = Literal["none", "group"]


class Pointwise(nn.Module):
    """A linear map of the channels at every grid node. Shapes: (b, c_in, x..) -> (b, c_out,
    x..)."""

    def __init__(self, inputs: int, outputs: int, generator: torch.Generator) -> None:
        super().__init__()
        bound = 1 / math.sqrt(inputs)
        self.weight, self.bias = (
            uniform((outputs, inputs), bound, generator),
            uniform((outputs, 1), bound, generator),
        )

    def forward(self, v: Float[Tensor, "b i *x"]) -> Float[Tensor, "b o *x"]:
        flat = torch.baddbmm(self.bias, self.weight.expand(v.shape[0], -1, -1), v.flatten(2))
        return flat.unflatten(2, v.shape[2:])


class FourierBlock(nn.Module):
    """v + M(g(N(K v) + S v)): spectral convolution K, linear skip S, norm N, channel MLP M, smooth
    activation g.

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
        self.skip = Pointwise(channels, channels, generator)
        self.inner = Pointwise(channels, wide, generator)
        self.outer = Pointwise(wide, channels, generator)
        self.norm = nn.GroupNorm(1, channels) if norm == "group" else nn.Identity()
        self.activation = Activation(activation)

    def forward(self, v: Float[Tensor, "b c *x"]) -> Float[Tensor, "b c *x"]:
        mixed = self.activation(self.norm(self.spectral(v)) + self.skip(v))
        return v + self.outer(self.activation(self.inner(mixed)))


@dataclass(frozen=True, kw_only=True)
class TrunkOptions:
    """Fourier blocks on a regular grid."""

    hidden: Count = 32  # channels of the latent functions
    modes: Counts = 12  # frequencies kept on each axis, |k| up to it
    layers: Count = 4  # Fourier blocks
    # share of the dense parameters, or the ranks, of a Tucker factorisation; None: dense
    rank: float | Sequence[int] | None = None
    expansion: Positive = 2.0  # width of a block's channel network over `hidden`
    norm: Norm = "none"
    activation: str = "gelu"  # of blocks and projection


@dataclass(frozen=True, kw_only=True)
class GridOptions(TrunkOptions):
    """An operator that carries functions on a regular grid through Fourier blocks."""

    periodic: Sequence[bool] = ()  # which axes wrap around; none by default
    feature_channels: int = 0  # channels of `OperatorInput.features`
    input_dim: int | None = None  # coordinates of the input; None: all `dim` of the output
    # width of the network from latent to output channels, or that network
    projection: Count | nn.Module = 64


@dataclass(frozen=True, kw_only=True)
class FNOOptions(GridOptions):
    """An FNO apart from its channels, grid and box."""

    padding: float = 0.25  # share of its length by which an axis is extended that is not periodic


@takes(TrunkOptions)
class FourierTrunk(nn.Module):
    """Lifting and Fourier blocks: functions on a grid to latent functions on the same grid.

    Options are the fields of `TrunkOptions`. Shapes: (b, c_in, x..) -> (b, hidden, x..). Raises:
    ValueError where a grid of `shape` cannot hold the modes.
    """

    def __init__(
        self,
        in_channels: int,
        shape: Sequence[int] | None = None,
        *,
        options: TrunkOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(TrunkOptions, options, names, "FourierTrunk")
        modes = options.modes
        if isinstance(modes, int):
            if shape is None:
                raise ValueError(f"modes = {modes} says no dimension; give one number per axis")
            modes = (modes,) * len(shape)
        if shape is not None:
            check_modes(modes, shape)
        self.in_channels = in_channels
        generator = seeded(generator)
        self.lift = Pointwise(in_channels, options.hidden, generator)
        self.blocks = nn.ModuleList(
            FourierBlock(
                options.hidden,
                modes,
                options.rank,
                options.expansion,
                options.norm,
                options.activation,
                generator,
            )
            for _ in range(options.layers)
        )

    def forward(self, v: Float[Tensor, "b i *x"]) -> Float[Tensor, "b hidden *x"]:
        v = self.lift(v)
        for block in self.blocks:
            v = block(v)
        return v


# ---- from the grid to all points


def extend(v: Float[Tensor, "b c *x"], pads: Sequence[int]) -> Float[Tensor, "b c *wide"]:
    """Make a function on a grid periodic: `pads` more nodes on each axis, faded from the last
    node's value to the first's.

    Shapes: (b, c, n1, ..) -> (b, c, n1 + pad1, ..).
    """
    for axis, pad in enumerate(pads, start=2):
        if pad:
            t = torch.arange(1, pad + 1, dtype=v.dtype, device=v.device) / (pad + 1)
            fade = (t**3 * (10 + t * (6 * t - 15))).reshape(-1, *[1] * (v.dim() - 1 - axis))
            first, last = v.narrow(axis, 0, 1), v.narrow(axis, v.shape[axis] - 1, 1)
            v = torch.cat([v, last + (first - last) * fade], axis)
    return v


@dataclass(frozen=True)
class SpectralField:
    """u(x) = P(sum_k V_k exp(i k (x - lower))): the trigonometric interpolant of latent grid
    functions, then a pointwise projection P.

    `latent`: one leaf (b, 2 modes, hidden), real and imaginary parts of the half spectrum in turn.
    Derivatives of the interpolant are exact multiplications by i k, so a jet costs one matrix
    product for all its streams.
    """

    projection: nn.Module
    lattice: Lattice
    length: tuple[float, ...]  # period of the interpolant per axis
    shape: tuple[int, ...]  # nodes per period
    latent: tuple[Tensor]
    nodes: Tensor  # latent functions on the lattice (b, hidden, x..)
    ansatz: Ansatz | None = None

    def __repr__(self) -> str:
        return f"<SpectralField on a grid of {self.lattice.shape} nodes, {len(self.nodes)} samples>"

    @property
    def capabilities(self) -> Capabilities:
        """Its own grid, periodic axes, and whether every layer carries jets."""
        reason = missing(self.projection)
        return Capabilities(
            grid=self.lattice, periodic=self.lattice.periodic, taylor=not reason, reason=reason
        )

    def with_latent(self, latent: Sequence[Tensor]) -> SpectralField:
        """The same interpolation of other latent tensors."""
        return replace(self, latent=tuple(latent))

    def plan(self, points: Tensor) -> None:
        """Nothing to prepare for a set of points."""

    def on_grid(self) -> Float[Tensor, "b c *x"]:
        """Values at the lattice nodes without interpolation. Shapes: (b, c, x..)."""
        values = self.projection(self.nodes.movedim(1, -1))
        if self.ansatz is not None:
            points = self.lattice.points(values.dtype, values.device).expand(
                values.shape[0], -1, -1
            )
            values = self.ansatz(points, values.flatten(1, -2)).reshape(values.shape)
        return values.movedim(-1, 1)

    def __call__(self, points: Tensor, plan: None = None) -> Float[Tensor, "b n c"]:
        values = self.projection(self._waves(points) @ self.latent[0])
        return values if self.ansatz is None else self.ansatz(points, values)

    def taylor(self, points: Tensor, space: JetSpace, plan: None = None) -> Jet:
        """Value and the derivatives of `space` at once. Shapes: points (b, n, D) -> streams (b,
        n, c)."""
        numbers = wave_numbers(self.shape, self.length, points)
        spectrum = torch.view_as_complex(
            self.latent[0].unflatten(1, (-1, 2)).movedim(2, -1).contiguous()
        )
        scales = [_derivative(numbers, a) / factorial(a) for a in space.lower]
        scales += [
            torch.stack([c * _derivative(numbers, a) for a, c in form.items()]).sum(0)
            for form in space.operators.values()
        ]
        stacked = torch.cat([spectrum * scale[:, None] for scale in scales], -1)
        rows = torch.view_as_real(stacked).movedim(-1, 2).flatten(1, 2)
        found = dict(
            zip(space.streams, (self._waves(points) @ rows).chunk(len(scales), -1), strict=True)
        )
        streams = Jet(
            space, {a: found[a] for a in space.lower}, {n: found[n] for n in space.operators}
        )
        values = apply(self.projection, streams).dense()
        return values if self.ansatz is None else self.ansatz.jet(points, values)

    def _waves(self, points: Tensor) -> Tensor:
        """cos and sin of every wave at every point, in turn. Shapes: (b, n, D) -> (b, n, 2
        modes)."""
        if (
            points.dim() != 3
            or points.shape[0] != self.latent[0].shape[0]
            or points.shape[2] != self.lattice.dim
        ):
            raise ValueError(
                f"this field takes points ({self.latent[0].shape[0]}, n, {self.lattice.dim}), got"
                f" {tuple(points.shape)}"
            )
        real, imaginary = torch.ones_like(points[..., :1]), torch.zeros_like(points[..., :1])
        for k, axis in enumerate(_axis_numbers(self.shape, self.length)):
            number = torch.tensor(axis, dtype=points.dtype, device=points.device)
            phase = (points[..., k : k + 1] - self.lattice.lower[k]) * number
            cosine, sine = phase.cos()[..., None, :], phase.sin()[..., None, :]
            real, imaginary = (
                (real[..., None] * cosine - imaginary[..., None] * sine).flatten(-2),
                (real[..., None] * sine + imaginary[..., None] * cosine).flatten(-2),
            )
        return torch.stack([real, imaginary], -1).flatten(-2)


def _axis_numbers(shape: Sequence[int], length: Sequence[float]) -> list[list[float]]:
    """Angular wave numbers 2 pi k / L in the order of `rfftn`, axis by axis."""
    whole = [[k if 2 * k < n else k - n for k in range(n)] for n in shape[:-1]] + [
        list(range(shape[-1] // 2 + 1))
    ]
    return [
        [2 * math.pi * k / width for k in axis] for axis, width in zip(whole, length, strict=True)
    ]


def wave_numbers(
    shape: Sequence[int], length: Sequence[float], like: Tensor
) -> Float[Tensor, "modes d"]:
    """Shapes: (modes, d), last axis fastest."""
    return torch.tensor(
        list(itertools.product(*_axis_numbers(shape, length))), dtype=like.dtype, device=like.device
    )


def _derivative(numbers: Tensor, alpha: Sequence[int]) -> Tensor:
    """conj((i k)^alpha): the factor of d^alpha on a conjugate spectrum. Shapes: (modes, d) ->
    (modes,)."""
    power = torch.tensor(alpha, device=numbers.device)
    return (-1j) ** sum(alpha) * (numbers**power).prod(-1)


def spectrum_rows(
    v: Float[Tensor, "b c *x"], by_matrices: bool = False
) -> Float[Tensor, "b rows c"]:
    """Rows that `SpectralField` multiplies waves with: (Re, -Im) of the half spectrum, counted
    twice where its conjugate is not stored. By a fast transform, or by products with matrices.

    Shapes: (b, c, x..) -> (b, 2 modes, c).
    """
    axes = tuple(range(2, v.dim()))
    size = v.shape[-1]
    twice = torch.tensor(
        [1.0 if k in (0, size / 2) else 2.0 for k in range(size // 2 + 1)],
        dtype=v.dtype,
        device=v.device,
    )
    if by_matrices:
        real, imaginary = spectrum_by_matrices(v, [range(n) for n in v.shape[2:-1]])
        scale = twice / math.prod(v.shape[2:])
        return torch.stack([real * scale, -imaginary * scale], -1).flatten(2).mT
    spectrum = torch.fft.rfftn(v, dim=axes, norm="forward") * twice
    return torch.view_as_real(spectrum.conj().resolve_conj()).flatten(2).mT


def projection(options: GridOptions, outputs: int, generator: torch.Generator) -> nn.Module:
    """The pointwise network from latent to output channels: that of the options, or a new one."""
    if isinstance(options.projection, nn.Module):
        return options.projection
    return MLP((options.hidden, options.projection, outputs), options.activation, generator)


@takes(FNOOptions)
class FNO(nn.Module):
    """Fourier neural operator: input values on a regular grid over the box to a field.

    The grid has both ends as nodes, on a periodic axis not the upper one. Axes that are not
    periodic are extended by `padding` of their length, channels faded from one end to the other.
    Inputs with fewer coordinates than the output (space against space and time) are repeated along
    the last axes. Shapes: OperatorInput with points = grid nodes, row-major (b, nodes, d), values
    (b, nodes, in_channels) -> field (b, n, dim) -> (b, n, out_channels). Raises: ValueError where
    the input's points are not the grid, and on a grid too coarse for the modes.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dim: int,
        grid: Sequence[int] = (64, 64),
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        options: FNOOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(FNOOptions, options, names, "FNO")
        generator = seeded(generator)
        lower, upper = box or ((0.0,) * dim, (1.0,) * dim)
        self.lattice = Lattice(
            tuple(map(float, lower)), tuple(map(float, upper)), tuple(grid), tuple(options.periodic)
        )
        self.pads = tuple(
            0 if p else max(1, round(options.padding * n))
            for n, p in zip(self.lattice.shape, self.lattice.periodic, strict=True)
        )
        self.shape = tuple(n + p for n, p in zip(self.lattice.shape, self.pads, strict=True))
        self.length = tuple(n * h for n, h in zip(self.shape, self.lattice.spacing, strict=True))
        self.in_channels, self.feature_channels = in_channels, options.feature_channels
        self.input_dim = dim if options.input_dim is None else options.input_dim
        width = place_channels(self.lattice) + in_channels + self.feature_channels
        self.fixed_shapes = False  # see `operators.models.fixed_shapes`
        self.trunk = FourierTrunk(width, self.shape, options=options, generator=generator)
        self.projection = projection(options, out_channels, generator)

    def forward(self, inputs: OperatorInput) -> SpectralField:
        v = self.trunk(extend(self.channels(inputs), self.pads))
        inside = v
        for axis, n in enumerate(self.lattice.shape, start=2):
            inside = inside.narrow(axis, 0, n)
        return SpectralField(
            self.projection,
            self.lattice,
            self.length,
            self.shape,
            (spectrum_rows(v, self.fixed_shapes),),
            inside,
            inputs.ansatz,
        )

    def channels(self, inputs: OperatorInput) -> Float[Tensor, "b c *x"]:
        """Position, input values and features on the grid. Shapes: (b, c, x..)."""
        nodes = self.lattice.points(inputs.points.dtype, inputs.points.device)
        parts = [positional_encoding(nodes, self.lattice).expand(inputs.batch, -1, -1)]
        if self.in_channels:
            parts.append(self._on_grid(inputs))
        if self.feature_channels:
            parts.append(inputs.known_at(nodes, self.feature_channels))
        return torch.cat(parts, -1).mT.unflatten(2, self.lattice.shape)

    def _on_grid(self, inputs: OperatorInput) -> Float[Tensor, "b nodes c"]:
        known = self.lattice.first(self.input_dim)
        grid = known.points(inputs.points.dtype, inputs.points.device)
        step = torch.tensor(known.spacing, dtype=grid.dtype, device=grid.device)
        if (
            inputs.points.shape[1:] != grid.shape
            or ((inputs.points - grid) / step).abs().max() > 1e-3
        ):
            raise ValueError(
                f"an FNO reads its input at the {'x'.join(map(str, known.shape))} nodes of its grid"
                f" in row-major order; got points {tuple(inputs.points.shape)} elsewhere; sample"
                " there, or use GINO, which reads scattered points"
            )
        if inputs.values.shape[2] != self.in_channels:
            raise ValueError(
                f"this FNO reads {self.in_channels} channels, got values"
                f" {tuple(inputs.values.shape)}"
            )
        return inputs.values.repeat_interleave(math.prod(self.lattice.shape[self.input_dim :]), 1)
