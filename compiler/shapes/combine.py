"""Union, difference and intersection of shapes, and exteriors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor

from compiler.shapes.blend import both, conjunction, conjunctions, disjunction
from compiler.shapes.body import Body, Selection, Surroundings, bind, extent
from compiler.shapes.numbers import Numbers
from compiler.shapes.piece import Cut, Piece, cut, flux, owned, zero
from pdespec.geometry import Difference, Exterior, Intersection, Shape, Union

OFFSET = 1e-7  # by which surfaces that coincide are told apart, relative to the size of the first shape


@dataclass(frozen=True)
class Combined:
    """a or b ("union"), a and not b ("difference"), a and b ("intersection"). With `apart`, b is known to lie well inside a.

    The distance follows the min and max rules: its sign and zero set are exact, and its size is exact except around the corners where two
    boundaries meet, where it is a lower bound.
    """

    kind: str
    a: Body
    b: Body
    shape: Shape
    apart: bool = False

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
            return self.implicit(x)
        as_part = lambda piece: selected(replace(piece, owners=(*piece.owners, self.shape)))  # noqa: E731
        first = self.a.vanishing(as_part, x)
        second = self._hole(selected, x) if self.kind == "difference" else self.b.vanishing(as_part, x)
        if first is None or second is None:
            return second if first is None else first
        return conjunction(first, second, self._corner[:, None])

    def implicit(self, x: Tensor) -> Tensor:
        first, second = self.a.implicit(x), self.b.implicit(x)
        if self.kind == "union":
            return disjunction(first, second)
        return both(first, -second if self.kind == "difference" else second)

    def pieces(self) -> tuple[Piece, ...]:
        return self._pieces

    def bounds(self) -> tuple[Tensor, Tensor]:
        if self.kind == "difference":
            return self.a.bounds()
        (lower, upper), (other_lower, other_upper) = self.a.bounds(), self.b.bounds()
        if self.kind == "union":
            return torch.minimum(lower, other_lower), torch.maximum(upper, other_upper)
        return torch.maximum(lower, other_lower), torch.minimum(upper, other_upper)

    def finest(self) -> Tensor:
        return torch.stack([self.a.finest(), self.b.finest(), extent(self)]).amin(0)

    def center(self) -> Tensor:
        lower, upper = self.bounds()
        return (lower + upper) / 2

    def measure(self) -> Tensor:
        """By the divergence theorem, `1/d integral of x . n` over the boundary."""
        if self.apart:
            return self.a.measure() - self.b.measure()
        return torch.stack([flux(piece, self.center()) for piece in self.pieces()]).sum(0) / self.shape.dim

    def draw(self, cube: Tensor) -> None:
        return None

    @cached_property
    def _pieces(self) -> tuple[Piece, ...]:
        """What is left of both boundaries. Where they coincide, a stretch belongs to the first shape, if the combination has a boundary
        there at all: points a little to both sides of it decide."""
        if self.apart:
            return (
                *(owned(piece, self.shape) for piece in self.a.pieces()),
                *(owned(piece, self.shape, True) for piece in self.b.pieces()),
            )
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
            [cut(piece, keep_a, lambda x: -of_b * self.b.implicit(x), self.shape) for piece in self.a.pieces()]
            + [cut(piece, keep_b, lambda x: -of_a * self.a.implicit(x), self.shape, hole) for piece in self.b.pieces()]
        )

    @cached_property
    def _corner(self) -> Tensor:
        """The length by which edges are rounded in samples where the two boundaries meet. Shapes: "b"."""
        met = torch.zeros_like(extent(self.a), dtype=torch.bool)
        for piece in self.pieces()[len(self.a.pieces()) :]:
            if isinstance(piece, Cut):
                met = met | (piece.measure < (1 - 1e-5) * piece.base.measure)
        return torch.where(met, self.finest() / 8, 0)

    def _hole(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Vanishing on the selected pieces of the hole, positive outside it."""
        own = self.pieces()[len(self.a.pieces()) :]
        chosen = [piece for piece in own if selected(piece)]
        if not chosen:
            return None
        return -self.b.implicit(x) if len(chosen) == len(own) else conjunctions([zero(piece, x) for piece in chosen])


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
    return _combined("difference", shape, shape.farfield, shape.body, numbers, around, apart=True)


def _combined(
    kind: str, shape: Shape, first: Shape, second: Shape, numbers: Numbers, around: Surroundings, apart: bool = False
) -> Combined:
    a = bind(first, numbers, around)
    return Combined(kind, a, bind(second, numbers, replace(around, periodic=(False,) * shape.dim, enclosing=a.bounds())), shape, apart)
