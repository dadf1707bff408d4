"""Regular latent grids, and grids that cover a box."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor


def per_axis(value: float | Sequence[float], dim: int, name: str) -> tuple[float, ...]:
    """A positive number for every axis. Raises: ValueError on a wrong count or sign."""
    values = (
        (float(value),) * dim if isinstance(value, (int, float)) else tuple(float(v) for v in value)
    )
    if len(values) != dim:
        raise ValueError(
            f"{name} has {len(values)} entries for {dim} axes; give one number or one per axis"
        )
    if not all(0 < v < math.inf for v in values):
        raise ValueError(f"{name} must be positive and finite, got {value}")
    return values


@dataclass(frozen=True)
class Lattice:
    """A regular grid with nodes lower + index * spacing. Both ends are nodes; on a periodic axis
    the upper end is the lower one again and is left out.

    Units: lower, upper, spacing are lengths. Node numbers run row-major, last axis fastest.
    """

    lower: tuple[float, ...]
    upper: tuple[float, ...]
    shape: tuple[int, ...]
    periodic: tuple[bool, ...] = ()

    def __post_init__(self) -> None:
        dim = len(self.shape)
        object.__setattr__(self, "periodic", tuple(self.periodic) or (False,) * dim)
        if not len(self.lower) == len(self.upper) == len(self.periodic) == dim:
            raise ValueError(
                f"a lattice of shape {self.shape} needs {dim} lower, upper and periodic entries, "
                f"got {self.lower}, {self.upper}, {self.periodic}"
            )
        if not all(a < b for a, b in zip(self.lower, self.upper, strict=True)):
            raise ValueError(
                f"the lower corner {self.lower} must lie below the upper corner {self.upper} on"
                " every axis"
            )
        if min(self.shape) < 2:
            raise ValueError(f"every axis of a lattice needs at least 2 nodes, got {self.shape}")

    @property
    def dim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """The number of nodes."""
        return math.prod(self.shape)

    @property
    def spacing(self) -> tuple[float, ...]:
        """Distance from one node to the next along each axis."""
        rows = zip(self.lower, self.upper, self.shape, self.periodic, strict=True)
        return tuple((b - a) / (n if p else n - 1) for a, b, n, p in rows)

    @property
    def cell(self) -> float:
        """Volume of a cell: the quadrature weight of a node."""
        return math.prod(self.spacing)

    @property
    def period(self) -> tuple[float, ...]:
        """Length of each periodic axis, inf on the others."""
        return tuple(
            b - a if p else math.inf
            for a, b, p in zip(self.lower, self.upper, self.periodic, strict=True)
        )

    def axis(
        self, k: int, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> Float[Tensor, " n"]:
        """Coordinates of axis k, computed in float64 and rounded once. Shapes: (n_k,)."""
        index = torch.arange(self.shape[k], dtype=torch.float64, device=device)
        return (self.lower[k] + index * self.spacing[k]).to(dtype)

    def points(
        self, dtype: torch.dtype, device: torch.device | str = "cpu"
    ) -> Float[Tensor, "nodes d"]:
        """All nodes. Shapes: (size, dim)."""
        axes = [self.axis(k, dtype, device) for k in range(self.dim)]
        return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(-1, self.dim)

    def first(self, axes: int) -> Lattice:
        """The lattice of the first `axes` axes."""
        return Lattice(
            self.lower[:axes], self.upper[:axes], self.shape[:axes], self.periodic[:axes]
        )


def cover(
    box: tuple[Sequence[float], Sequence[float]],
    shape: Sequence[int],
    radius: float | Sequence[float] | None = None,
    radius_in_spacings: float = 2.4,
    periodic: Sequence[bool] = (),
) -> tuple[Lattice, tuple[float, ...]]:
    """Lattice over the box padded by the radius, so that every query in the box sees full balls,
    and the radius per axis.

    Formula: with radius r the padded width is W + 2 r on an axis of width W (W if periodic). Where
    the radius is not given it is k = `radius_in_spacings` spacings: h = W / (n - 1 - 2 k), r = k h.
    Raises: ValueError where the latent grid is too coarse for the radius.
    """
    lower, upper = (tuple(float(v) for v in corner) for corner in box)
    dim, shape = len(shape), tuple(int(n) for n in shape)
    wraps = tuple(bool(p) for p in periodic) or (False,) * dim
    if len(lower) != dim or len(upper) != dim or len(wraps) != dim:
        raise ValueError(
            f"a latent grid of shape {shape} needs a box and periodic flags with {dim} entries, got"
            f" {box}, {periodic}"
        )
    width = tuple(b - a for a, b in zip(lower, upper, strict=True))
    if radius is None:
        k, axes = radius_in_spacings, tuple(zip(shape, wraps, strict=True))
        free = tuple(n if p else n - 1 - 2 * k for n, p in axes)
        if min(free) <= 0 or any(p and 2 * k >= n for n, p in axes):
            raise ValueError(
                f"a latent grid of {shape} nodes is too coarse for a radius of {k} spacings; use"
                " more nodes or a smaller radius"
            )
        radii = tuple(k * w / f for w, f in zip(width, free, strict=True))
    else:
        radii = per_axis(radius, dim, "radius")
    pad = tuple(0.0 if p else r for r, p in zip(radii, wraps, strict=True))
    lattice = Lattice(
        tuple(a - d for a, d in zip(lower, pad, strict=True)),
        tuple(b + d for b, d in zip(upper, pad, strict=True)),
        shape,
        wraps,
    )
    reach = sum((h / (2 * r)) ** 2 for h, r in zip(lattice.spacing, radii, strict=True))
    if reach >= 1:
        raise ValueError(
            f"a ball of radius {radii} can miss every node of the latent grid (spacing"
            f" {lattice.spacing}); raise the radius or the nodes"
        )
    if any(p and 2 * r >= w for r, p, w in zip(radii, wraps, width, strict=True)):
        raise ValueError(
            f"radius {radii} reaches around a periodic axis of the box {box}; it must stay below"
            " half the period"
        )
    return lattice, radii


def place_channels(lattice: Lattice) -> int:
    """Channels of `positional_encoding`: two on a periodic axis, else one."""
    return sum(2 if p else 1 for p in lattice.periodic)


def positional_encoding(
    nodes: Float[Tensor, "m d"], lattice: Lattice
) -> Float[Tensor, "m channels"]:
    """Positional encoding of grid nodes: coordinates scaled to [-1, 1]; (sin, cos) on periodic
    axes.

    Shapes: (m, d) -> (m, place_channels).
    """
    out = []
    for k, (a, b, wraps) in enumerate(
        zip(lattice.lower, lattice.upper, lattice.periodic, strict=True)
    ):
        share = (nodes[:, k] - a) / (b - a)
        out += (
            [torch.sin(2 * math.pi * share), torch.cos(2 * math.pi * share)]
            if wraps
            else [2 * share - 1]
        )
    return torch.stack(out, -1)
