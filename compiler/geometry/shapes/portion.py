"""Parts of a boundary piece that are given by inequalities of position."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, reduce

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.blend import both
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import (
    FullBoundary,
    Function,
    Piece,
    cut,
    whole,
)
from compiler.geometry.shapes.stretches import Carrier


@dataclass(frozen=True)
class Portion:
    """Where `inside`, smooth and like a length, is positive; its sign changes across zeros of
    the carriers only. None: everywhere."""

    carriers: tuple[Carrier, ...] = ()
    inside: Function | None = None

    def of(self, piece: Piece) -> Piece:
        """The portion of a piece."""
        inside = self.inside
        if inside is None:
            return piece
        if isinstance(piece, FullBoundary) and piece.select is not None:
            return piece.select(inside)
        return cut(piece, self.carriers, lambda x, n: inside(x) > 0, inside, None)


EVERYTHING = Portion()


def without(others: Sequence[Portion]) -> Portion | None:
    """What portions leave of a piece."""
    taken = [each.inside for each in others if each.inside is not None]
    if len(taken) < len(others):
        return None
    if not taken:
        return EVERYTHING
    carriers = tuple(carrier for each in others for carrier in each.carriers)
    return Portion(carriers, _all([_negative(function) for function in taken]))


def _negative(function: Function) -> Function:
    return lambda x: -function(x)


def bounded(
    where: Sequence[sp.StrictLessThan],
    coordinates: Sequence[sp.Symbol],
    piece: Piece,
    numbers: Numbers,
) -> Portion:
    """Where inequalities hold, each as a function of slope about 1 on the piece."""
    carriers = []
    for each in where:
        level = each.gts - each.lts
        flat = all(level.diff(x).free_symbols.isdisjoint(coordinates) for x in coordinates)
        carriers.append(Carrier(_scaled(numbers.position(level, coordinates), piece), flat))
    return Portion(tuple(carriers), _all([each.function for each in carriers]))


def _all(functions: Sequence[Function]) -> Function:
    """Positive exactly where all functions are."""
    return lambda x: reduce(both, (function(x) for function in functions))


def _scaled(function: Callable[[Tensor], Tensor], piece: Piece) -> Function:
    """A function over its mean slope on the piece, so that its values are lengths."""

    @cache
    def size() -> Tensor:
        base = whole(piece)
        shares = torch.linspace(0.05, 0.95, 7, dtype=base.measure.dtype, device=base.measure.device)
        with torch.no_grad():
            at = base.chart(
                torch.stack([shares, shares.flip(0)], -1)[:, : max(1, base.dim - 1)].expand(
                    len(base.measure), -1, -1
                )
            )[0]
        with torch.enable_grad():
            at = at.requires_grad_(True)
            (slope,) = torch.autograd.grad(function(at).sum(), at)
        mean = slope.square().sum(-1).mean(-1).sqrt().detach()
        return torch.where(mean > 0, mean, 1)[:, None]

    return lambda x: function(x) / size()
