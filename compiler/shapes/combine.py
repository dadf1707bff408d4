"""Union, difference and intersection of shapes, and exteriors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from compiler.shapes.blend import conjunction, conjunctions, disjunction
from compiler.shapes.body import Body, Selection, Surroundings, bind, everything, extent
from compiler.shapes.numbers import Numbers
from compiler.shapes.piece import Cut, Piece, cut, flux, zero
from pdespec.geometry import Difference, Exterior, Intersection, Shape, Union

OFFSET = 1e-7  # by which surfaces that coincide are told apart, relative to the size of the first shape


@dataclass(frozen=True)
class Combined:
    """a or b ("union"), a and not b ("difference"), a and b ("intersection").

    The distance follows the min and max rules: its sign and zero set are exact, and its size is exact except around the corners where two
    boundaries meet, where it is a lower bound.
    """

    kind: str
    a: Body
    b: Body
    shape: Shape

    def distance(self, x: Tensor) -> Tensor:
        first, second = self.a.distance(x), self.b.distance(x)
        if self.kind == "union":
            return torch.minimum(first, second)
        return torch.maximum(first, -second if self.kind == "difference" else second)

    def inside(self, x: Tensor) -> Tensor:
        first, second = self.a.inside(x), self.b.inside(x)
        if self.kind == "union":
            return first | second
        return first & (~second if self.kind == "difference" else second)

    def vanishing(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Rvachev functions of those of the parts; of the pieces alone where only some of a union or of a hole are selected."""
        pieces = self.pieces()
        chosen = [piece for piece in pieces if selected(piece)]
        if not chosen:
            return None
        if self.kind == "union":
            if len(chosen) < len(pieces):
                return conjunctions([zero(piece, x) for piece in chosen])
            return disjunction(self.a.vanishing(everything, x), self.b.vanishing(everything, x))
        first = self.a.vanishing(lambda piece: selected(self._as_part(piece, False)), x)
        second = (
            self._second(selected, x)
            if self.kind == "difference"
            else self.b.vanishing(lambda piece: selected(self._as_part(piece, False)), x)
        )
        if first is None or second is None:
            return second if first is None else first
        return conjunction(first, second, self._corner[:, None])

    def pieces(self) -> tuple[Piece, ...]:
        return self._pieces

    def bounds(self) -> tuple[Tensor, Tensor]:
        (lower, upper), (other_lower, other_upper) = self.a.bounds(), self.b.bounds()
        if self.kind == "difference":
            return lower, upper
        if self.kind == "union":
            return torch.minimum(lower, other_lower), torch.maximum(upper, other_upper)
        return torch.maximum(lower, other_lower), torch.minimum(upper, other_upper)

    def center(self) -> Tensor:
        lower, upper = self.bounds()
        return (lower + upper) / 2

    def measure(self) -> Tensor:
        """By the divergence theorem, `1/d integral of x . n` over the boundary."""
        return sum(flux(piece, self.center()) for piece in self.pieces()) / self.shape.dim

    def draw(self, cube: Tensor) -> None:
        return None

    @cached_property
    def _pieces(self) -> tuple[Cut, ...]:
        """What is left of both boundaries. Where they coincide, a stretch belongs to the first shape, if the combination has a boundary
        there at all: points a little to both sides of it decide."""
        step = OFFSET * extent(self.a)[:, None, None]
        outward = 1 if self.kind == "union" else -1
        of_b = 1 if self.kind in ("union", "difference") else -1
        of_a = 1 if self.kind == "union" else -1

        def keep_a(x: Tensor, n: Tensor) -> Tensor:
            return of_b * self.b.distance(x + outward * step * n)

        def keep_b(x: Tensor, n: Tensor) -> Tensor:
            return torch.minimum(of_a * self.a.distance(x + step * n), of_a * self.a.distance(x - step * n))

        hole = self.kind == "difference"
        return tuple(
            [cut(piece, keep_a, _smooth(self.b, -of_b), self.shape) for piece in self.a.pieces()]
            + [cut(piece, keep_b, _smooth(self.a, -of_a), self.shape, hole) for piece in self.b.pieces()]
        )

    @cached_property
    def _corner(self) -> Tensor:
        """The length by which edges are rounded in samples where the two boundaries meet. Shapes: "b"."""
        own = self.pieces()[-len(self.b.pieces()) :] if self.b.pieces() else ()
        met = torch.zeros_like(extent(self.a), dtype=torch.bool)
        for piece in own:
            met = met | (piece.measure < (1 - 1e-5) * piece.base.measure)
        return torch.where(met, extent(self.a) / 8, 0)

    def _as_part(self, piece: Piece, hole: bool) -> Piece:
        """A piece of a part with the marks it bears as a piece of the whole, by which selections know it."""
        return replace(piece, owners=(*piece.owners, self.shape), hole=piece.hole != hole)

    def _second(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Vanishing on the selected pieces of the hole, positive outside it."""
        own = self.pieces()[len(self.a.pieces()) :]
        chosen = [piece for piece in own if selected(piece)]
        if not chosen:
            return None
        return -self.b.vanishing(everything, x) if len(chosen) == len(own) else conjunctions([zero(piece, x) for piece in chosen])


def _smooth(body: Body, sign: int) -> Callable[[Tensor], Tensor]:
    """A smooth function of the sign that a body's signed distance has, times -`sign`; constant where the body has no boundary."""

    def function(x: Tensor) -> Tensor:
        values = body.vanishing(everything, x)
        return torch.full_like(x[..., 0], float(sign)) if values is None else sign * values

    return function


@bind.register
def _(shape: Union, numbers: Numbers, around: Surroundings) -> Combined:
    return _combined("union", shape, shape.a, shape.b, numbers, around)


@bind.register
def _(shape: Difference, numbers: Numbers, around: Surroundings) -> Combined:
    return _combined("difference", shape, shape.a, shape.b, numbers, around)


@bind.register
def _(shape: Intersection, numbers: Numbers, around: Surroundings) -> Combined:
    return _combined("intersection", shape, shape.a, shape.b, numbers, around)


@bind.register
def _(shape: Exterior, numbers: Numbers, around: Surroundings) -> Combined:
    return _combined("difference", shape, shape.farfield, shape.body, numbers, around)


def _combined(kind: str, shape: Shape, first: Shape, second: Shape, numbers: Numbers, around: Surroundings) -> Combined:
    a = bind(first, numbers, around)
    return Combined(kind, a, bind(second, numbers, replace(around, periodic=(False,) * shape.dim, enclosing=a.bounds())), shape)
