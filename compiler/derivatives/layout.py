"""Layout of collocation points, as it is found in them: a uniform grid in C order, or
scattered."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class GriddedPoints:
    """Given points that lie on a uniform grid, `x_i = origin + i * spacing` along each axis, listed
    in C order (last coordinate fastest).

    `spacing` and `origin` are measured, to the rounding of `dtype`; an axis with one point has
    spacing 0. `period` is the length after which the data repeat along an axis by the problem, None
    where they do not; it may contradict the spacing, as where the end point is listed again, which
    `refuse_period` tells. A grid that a model lays out itself is an `operators.Lattice`: exact, two
    nodes or more along each axis, and its spacing follows from its period.
    """

    shape: tuple[int, ...]
    spacing: tuple[float, ...]
    origin: tuple[float, ...]
    period: tuple[float | None, ...]
    names: tuple[str, ...]
    dtype: torch.dtype

    @property
    def periodic(self) -> tuple[bool, ...]:
        """Which axes repeat."""
        return tuple(length is not None for length in self.period)

    @property
    def extent(self) -> tuple[float, ...]:
        """The length of each axis: the period where it repeats, else from the first node to the
        last."""
        return tuple(
            (n - 1) * h if length is None else length
            for n, h, length in zip(self.shape, self.spacing, self.period, strict=True)
        )

    @property
    def count(self) -> int:
        """The number of nodes of one sample."""
        return math.prod(self.shape)

    def __str__(self) -> str:
        return "grid " + " x ".join(map(str, self.shape))


@dataclass(frozen=True)
class ScatteredPoints:
    """Points without order; `extent` is the length of their bounding box along each axis, over
    the batch."""

    count: int
    extent: tuple[float, ...]
    names: tuple[str, ...]
    dtype: torch.dtype

    def __str__(self) -> str:
        return f"{self.count} scattered points"


Layout = GriddedPoints | ScatteredPoints


@dataclass(frozen=True)
class Axes:
    """What is known of the coordinates before any points are: after which length the data repeat
    (None: never), and their names.

    One entry a coordinate, or none at all for "nothing repeats" and x, y, z.
    """

    period: tuple[float | None, ...] = ()
    names: tuple[str, ...] = ()


def recognise(points: Tensor, axes: Axes | None = None) -> Layout:
    """`GriddedPoints` when every sample lists the same uniform grid in C order to round-off, else
    `ScatteredPoints`.

    Shapes: points "b n D".
    """
    dim = points.shape[-1]
    axes = axes or Axes()
    period, names = axes.period or (None,) * dim, axes.names or default_names(dim)
    if len(period) != dim or len(names) != dim:
        raise ValueError(
            f"points have {dim} coordinates, but period has {len(period)} entries and names has"
            f" {len(names)}"
        )
    x = points.detach().to(torch.float64)
    # a few roundings of a coordinate
    slack = 8 * torch.finfo(points.dtype).eps * float(x.abs().max())
    shape = _lengths(x[0], slack)
    low, high = x[0, 0], x[0, -1]
    counts = torch.tensor(shape, dtype=torch.float64, device=x.device)
    spacing = (high - low) / (counts - 1).clamp(min=1)
    ticks = [low[d] + spacing[d] * torch.arange(n, device=x.device) for d, n in enumerate(shape)]
    # a hundred thousandth of a cell moves no derivative visibly
    tolerance = slack + 1e-5 * spacing.abs()
    if math.prod(shape) == x.shape[1]:
        # n D, last coordinate fastest
        ideal = torch.stack(torch.meshgrid(*ticks, indexing="ij"), dim=-1).reshape(-1, dim)
        if ((x - ideal).abs() <= tolerance).all() and all(
            n == 1 or h > 2 * slack for n, h in zip(shape, spacing.tolist(), strict=True)
        ):
            return GriddedPoints(
                shape,
                tuple(spacing.tolist()),
                tuple(low.tolist()),
                tuple(period),
                tuple(names),
                points.dtype,
            )
    flat = x.reshape(-1, dim)  # (b n) D
    return ScatteredPoints(
        x.shape[1], tuple((flat.amax(0) - flat.amin(0)).tolist()), tuple(names), points.dtype
    )


def default_names(dim: int) -> tuple[str, ...]:
    """x, y, z as far as they go."""
    return ("x", "y", "z")[:dim] if dim <= 3 else tuple(f"x{i}" for i in range(dim))


def _lengths(x: Tensor, slack: float) -> tuple[int, ...]:
    """Points along each axis of a C-ordered grid (n, D): a run along one axis ends where a
    slower coordinate changes."""
    lengths: list[int] = []
    for axis in reversed(range(x.shape[-1])):
        changed = ((x[:, :axis] - x[0, :axis]).abs() > slack).any(-1).nonzero()
        run = int(changed[0]) if len(changed) else len(x)
        lengths.append(run)
        x = x[::run]
    return tuple(reversed(lengths))
