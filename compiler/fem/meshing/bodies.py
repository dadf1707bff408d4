"""The shapes of the compiler in one sample, for meshes: which piece of the boundary a facet lies
on, and the way onto it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import sympy as sp
import torch
from numpy.typing import NDArray

from compiler.arrays import Array
from compiler.fem.errors import SolverError
from compiler.geometry.domain import Geometry
from compiler.geometry.shapes import (
    Ambient,
    Body,
    Numbers,
    Piece,
    bind,
)
from compiler.geometry.shapes.piece import zero
from pdespec.geometry import Domain, Shape, shape_symbols
from pdespec.symbols import Scalar

Values = Mapping[sp.Symbol, float]
STEPS = 6  # of Newton's method, onto a curved piece from within a cell of it


def geometry_of(domain: Domain, values: Values) -> Geometry:
    """The domain with the numbers of one sample, in float64.

    Raises: SolverError naming a parameter without a value.
    """
    return Geometry(domain, numbers_of(domain.shape, values), 1, torch.float64)


def body_of(shape: Shape, values: Values) -> Body:
    """A bare shape with the numbers of one sample."""
    numbers = Numbers(numbers_of(shape, values), 1, torch.float64, torch.device("cpu"))
    return bind(shape, numbers, Ambient((False,) * shape.dim))


def numbers_of(shape: Shape, values: Values) -> dict[str, torch.Tensor]:
    """The params of a shape, by name, as a batch of one sample."""
    found: dict[str, torch.Tensor] = {}
    missing = []
    for symbol in shape_symbols(shape):
        if not isinstance(symbol, Scalar) or (
            symbol not in values and symbol.declaration.value is None
        ):
            missing.append(symbol.name)
            continue
        declared = symbol.declaration
        value = float(values.get(symbol, declared.value))
        if declared.size is None:
            found[declared.name] = torch.tensor([value], dtype=torch.float64)
        else:
            found.setdefault(declared.name, torch.zeros(1, declared.size, dtype=torch.float64))[
                0, symbol.index
            ] = value
    if missing:
        raise SolverError(f"the shape needs a value of {', '.join(sorted(missing))}")
    return found


def box_of(body: Body) -> tuple[Array, Array]:
    """Lower and upper corner of the box of a body."""
    lower, upper = body.bounds()
    return lower[0].numpy(), upper[0].numpy()


def owners(pieces: Sequence[Piece], points: Array) -> NDArray[np.int64]:
    """The piece on which each point lies, or nearly. Shapes: points "d n" -> "n"."""
    at = torch.as_tensor(np.ascontiguousarray(points.T))[None]
    return torch.stack([zero(piece, at)[0].abs() for piece in pieces]).argmin(0).numpy()


def onto(piece: Piece) -> Callable[[Array], Array] | None:
    """The map of points near a curved piece onto the surface that it is part of; None for a
    straight one."""
    if piece.flat:
        return None

    def moved(points: Array) -> Array:
        at = torch.as_tensor(np.ascontiguousarray(points.T))[None]
        for _ in range(STEPS):
            at = at.detach().requires_grad_(True)
            level = piece.carrier(at)
            (slope,) = torch.autograd.grad(level.sum(), at)
            at = at.detach() - (level.detach() / slope.square().sum(-1))[..., None] * slope
        return np.ascontiguousarray(at[0].numpy().T)

    return moved


def on_pieces(pieces: Sequence[Piece], points: Array, normals: Array) -> tuple[Array, Array]:
    """Points near a boundary, and outward normals there, moved onto the curved pieces that they
    are nearest to. Shapes: "d n" all."""
    points, normals = points.copy(), normals.copy()
    owner = owners(pieces, points)
    for k in np.unique(owner):
        move, chosen = onto(pieces[k]), owner == k
        if move is None:
            continue
        points[:, chosen] = move(points[:, chosen])
        at = torch.as_tensor(np.ascontiguousarray(points[:, chosen].T))[None].requires_grad_(True)
        (slope,) = torch.autograd.grad(pieces[k].carrier(at).sum(), at)
        outward = -slope[0].numpy().T  # the carrier is positive inside
        normals[:, chosen] = outward / np.linalg.norm(outward, axis=0)
    return points, normals
