"""Functions from values at points: a caller's measurements as input functions that can be asked,
and differentiated, anywhere.

Both are exact at the points given, C2 elsewhere, and differentiable in the values as well as in the
place that is asked.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from pdespec.errors import fail

MOST = 4000  # scattered points: the spline solves a dense system of that size


@dataclass(frozen=True)
class ScatteredSpline:
    """The polyharmonic spline `sum_j w_j |x - x_j|^3 + a + b . x` through values at scattered
    points.

    Shapes: points and nodes "b n d" to values "b n c"; nodes "m d", weights "b m c", affine "b 1+d
    c". Source: Duchon 1977, Splines minimizing rotation-invariant semi-norms in Sobolev spaces.
    """

    nodes: Tensor
    weights: Tensor
    affine: Tensor
    centre: Tensor
    scale: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        device = points.device
        nodes, weights, affine = (e.to(device) for e in (self.nodes, self.weights, self.affine))
        at = (points.to(nodes) - self.centre.to(device)) / self.scale.to(device)
        values = _cubes(at, nodes) @ weights + affine[:, :1] + at @ affine[:, 1:]
        return values.to(points.dtype)


def scattered(points: Tensor, values: Tensor, name: str = "the input") -> ScatteredSpline:
    """Shapes: points "m d", values "b m c". Raises: ProblemError B01 for too few, too many,
    repeated or infinite points."""
    nodes, values = points.detach().double(), values.double()
    count, dim = nodes.shape
    if values.ndim != 3 or values.shape[1] != count:
        raise fail(
            "B01",
            f"`{name}` has values of shape {tuple(values.shape)} at {count} points",
            "give one value for each point",
        )
    if not (nodes.isfinite().all() and values.isfinite().all()):
        raise fail(
            "B01", f"`{name}` has values or points that are not finite", "leave these points out"
        )
    if not dim + 1 <= count <= MOST:
        raise fail(
            "B01",
            f"`{name}` is given at {count} points; {dim + 1} to {MOST} are needed",
            "thin them out, or give a grid or a callable",
        )
    centre, scale = nodes.mean(0), (nodes.amax(0) - nodes.amin(0)).max()
    nodes = (nodes - centre) / scale
    ones = torch.cat([nodes.new_ones(count, 1), nodes], 1)
    matrix = torch.cat(
        [
            torch.cat([_cubes(nodes[None], nodes)[0], ones], 1),
            torch.cat([ones.T, nodes.new_zeros(dim + 1, dim + 1)], 1),
        ],
        0,
    )
    right = torch.cat([values, values.new_zeros(len(values), dim + 1, values.shape[2])], 1)
    try:
        found = torch.linalg.solve(matrix, right)
    except RuntimeError as error:
        raise fail(
            "B01",
            f"`{name}` is given twice at one point, or on a straight line",
            "leave such points out",
        ) from error
    return ScatteredSpline(nodes, found[:, :count], found[:, count:], centre, scale)


def _cubes(points: Tensor, nodes: Tensor) -> Tensor:
    """|x - x_j|^3. Shapes: "b n d", "m d" -> "b n m"."""
    square = (points[:, :, None] - nodes).square().sum(-1)
    return square * torch.where(square > 0, square, 1).sqrt()


@dataclass(frozen=True)
class GridSpline:
    """The tensor product of cubic splines, not-a-knot, through values on a regular or graded grid;
    constant beyond it.

    Shapes: points "b n d" -> "b n c"; knots "m_a + 4" along axis a, coefficients "b c m_1 .. m_d".
    """

    knots: tuple[Tensor, ...]
    degrees: tuple[int, ...]
    coefficients: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        at = points.double()
        found, first = [], []
        for axis, (knots, degree) in enumerate(zip(self.knots, self.degrees, strict=True)):
            weights, start = _basis(
                at[..., axis].clamp(knots[0], knots[-1]), knots.to(at.device), degree
            )
            found.append(weights)
            first.append(start)
        result = 0
        batch = (
            torch.arange(len(at), device=at.device)[:, None] if len(self.coefficients) > 1 else 0
        )
        for offsets in np.ndindex(*(degree + 1 for degree in self.degrees)):
            index = tuple(start + k for start, k in zip(first, offsets, strict=True))
            # b n
            weight = torch.stack([w[..., k] for w, k in zip(found, offsets, strict=True)]).prod(0)
            result = (
                result
                + weight[..., None]
                * self.coefficients.to(at.device).movedim(1, -1)[(batch, *index)]
            )
        return torch.as_tensor(result).to(points.dtype)


def gridded(axes: Sequence[Tensor], values: Tensor, name: str = "the input") -> GridSpline:
    """Shapes: axes "m_a" each, increasing; values "b m_1 .. m_d c". Raises: ProblemError B01 for
    what is not a grid."""
    shape = tuple(len(axis) for axis in axes)
    if values.ndim != len(axes) + 2 or tuple(values.shape[1:-1]) != shape:
        raise fail(
            "B01",
            f"`{name}` has values of shape {tuple(values.shape[1:-1])} on a grid of {shape}",
            "give one value for each node",
        )
    if not values.isfinite().all():
        raise fail(
            "B01",
            f"`{name}` has values that are not finite",
            "fill the gaps, or give the points that have values",
        )
    coefficients, knots, degrees = values.double().movedim(-1, 1), [], []
    for k, axis in enumerate(axes):
        places = axis.detach().double().cpu().numpy()
        if len(places) < 2 or not np.all(np.diff(places) > 0):
            raise fail(
                "B01",
                f"axis {k + 1} of the grid of `{name}` does not increase",
                "sort it, and leave repeated places out",
            )
        own, matrix = _spline_of_axis(places.tobytes())
        knots.append(own)
        degrees.append(min(3, len(places) - 1))
        # values along the axis -> coefficients
        matrix = matrix.to(coefficients.device)
        coefficients = torch.tensordot(coefficients, matrix, dims=([k + 2], [1])).movedim(-1, k + 2)
    return GridSpline(tuple(knots), tuple(degrees), coefficients)


@dataclass(frozen=True)
class UniformSpline:
    """`GridSpline` through values on equally spaced nodes, by the one cubic B-spline that all
    nodes then share: nothing is searched, so that it can be part of a program that is traced.

    Units: lower and steps are lengths. Shapes: points "b n d" -> "b n c"; lower and steps "d",
    coefficients "b m_1 + 2 .. m_d + 2 c".
    """

    lower: tuple[float, ...]
    steps: tuple[float, ...]
    coefficients: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        batch, count = points.shape[:2]
        sizes = self.coefficients.shape[1:-1]
        at = points.double()
        weight = at.new_ones(batch, count, 1)
        index = torch.zeros(batch, count, 1, dtype=torch.long, device=at.device)
        for k, (low, step, size) in enumerate(zip(self.lower, self.steps, sizes, strict=True)):
            place = ((at[..., k] - low) / step).clamp(0, size - 3)  # beyond it, constant
            first = place.detach().floor().clamp(0, size - 4)
            s = place - first
            parts = torch.stack(
                [
                    (1 - s) ** 3 / 6,
                    2 / 3 - s * s * (1 - s / 2),
                    2 / 3 - (1 - s) * (1 - s) * (1 + s) / 2,
                    s**3 / 6,
                ],
                -1,
            )  # b n 4
            weight = (weight[..., None] * parts[..., None, :]).flatten(-2)
            own = first.long()[..., None] + torch.arange(4, device=at.device)
            index = (index[..., None] * size + own[..., None, :]).flatten(-2)
        samples = torch.arange(batch, device=at.device)[:, None, None] * math.prod(sizes)
        rows = self.coefficients.to(at.device).flatten(0, -2)
        values = rows.index_select(0, (index + samples).flatten())
        values = values.reshape(batch, count, weight.shape[-1], rows.shape[-1])
        return (weight[..., None] * values).sum(2).to(points.dtype)


def uniform(lower: Sequence[float], upper: Sequence[float], values: Tensor) -> UniformSpline:
    """The spline through values on a grid of equally spaced nodes, both ends among them, at least
    four along each axis. Shapes: values "b m_1 .. m_d c"."""
    found = values.double()
    for k, size in enumerate(values.shape[1:-1], start=1):
        matrix = cardinal_matrix(size).to(found.device)
        found = (found.movedim(k, -1) @ matrix.T).movedim(-1, k)
    rows = zip(lower, upper, values.shape[1:-1], strict=True)
    steps = tuple((high - low) / (size - 1) for low, high, size in rows)
    return UniformSpline(tuple(lower), steps, found)


@lru_cache(maxsize=16)
def cardinal_matrix(size: int) -> Tensor:
    """From values at m equally spaced nodes to the coefficients of the m + 2 cubic B-splines, of
    whole numbers as knots, that are not zero between them; not-a-knot. Shapes: "m + 2 m"."""
    rows = torch.zeros(size + 2, size + 2, dtype=torch.float64)
    for k in range(size):
        rows[k, k : k + 3] = torch.tensor([1.0, 4.0, 1.0], dtype=torch.float64) / 6
    jump = torch.tensor([1.0, -4.0, 6.0, -4.0, 1.0])  # of the third derivative, over that of one
    rows[size, :5], rows[size + 1, -5:] = jump, jump
    return torch.linalg.inv(rows)[:, :size].contiguous()


@lru_cache(maxsize=16)
def _spline_of_axis(places: bytes) -> tuple[Tensor, Tensor]:
    """The knots along an axis, and the matrix that takes values there to coefficients: the same for
    all samples of a grid. Shapes: "m + 4", "m m"."""
    # a quarter of what `pdespec solve` imports, for data that lie on no uniform grid
    from scipy.interpolate import make_interp_spline

    at = np.frombuffer(places)
    spline = make_interp_spline(at, np.eye(len(at)), k=min(3, len(at) - 1))
    return torch.from_numpy(spline.t), torch.from_numpy(spline.c)


def _basis(x: Tensor, knots: Tensor, degree: int) -> tuple[Tensor, Tensor]:
    """The B-splines that are not zero at x, and the number of the first of them. Shapes: "b n" ->
    "b n degree+1", "b n".

    Source: the recursion of Cox and de Boor (de Boor, A Practical Guide to Splines, X.5).
    """
    span = (
        torch.searchsorted(knots, x.detach().contiguous(), right=True).clamp(
            degree + 1, len(knots) - degree - 1
        )
        - 1
    )
    found = [torch.ones_like(x)]
    for order in range(1, degree + 1):
        raised = [torch.zeros_like(x) for _ in range(order + 1)]
        for k in range(order):
            right, left = knots[span + k + 1], knots[span + k + 1 - order]
            share = found[k] / (right - left)
            raised[k] = raised[k] + (right - x) * share
            raised[k + 1] = raised[k + 1] + (x - left) * share
        found = raised
    return torch.stack(found, -1), span - degree
