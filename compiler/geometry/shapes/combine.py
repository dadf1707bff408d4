"""Union, difference and intersection of shapes, and exteriors."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from compiler.geometry.shapes.axis_box import AxisBox
from compiler.geometry.shapes.blend import both, conjunction, disjunction
from compiler.geometry.shapes.body import (
    Ambient,
    Body,
    Selection,
    bind,
    extent,
)
from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.once import once
from compiler.geometry.shapes.piece import (
    Clipped,
    Function,
    Piece,
    carrier_of,
    cut,
    flux,
    signed,
    whole,
    with_owner,
    zeros,
)
from pdespec.geometry import Difference, Exterior, Intersection, Shape, Union

# by which surfaces that coincide are distinguished, relative to the size of the first shape
OFFSET = 1e-7
TOUCHING = 1e-9  # of that size: how far apart surfaces that coincide may be


@dataclass(frozen=True)
class Combined:
    """a or b ("union"), a and not b ("difference"), a and b ("intersection"). With `apart`, b is
    known to lie well inside a.

    The distance follows the min and max rules: its sign and zero set are exact, and its size is
    exact except around the corners where two boundaries meet, where it is a lower bound.
    """

    kind: str
    a: Body
    b: Body
    shape: Shape
    apart: bool = False

    @once
    def distance(self, x: Tensor) -> Tensor:
        first, second = self.a.distance(x), self.b.distance(x)
        if self.kind == "union":
            least = torch.minimum(first, second)
            if not self._seamed or self.shape.dim == 3:
                return least
            plain, sided = (
                torch.stack(each)
                for each in zip(*(signed(piece, x) for piece in self.pieces()), strict=True)
            )
            nearest = plain.argmin(0, keepdim=True)
            plain, sided = plain.gather(0, nearest)[0], sided.gather(0, nearest)[0]
            return torch.where(sided.isinf(), torch.where(self.inside(x), -plain, plain), sided)
        return torch.maximum(first, -second if self.kind == "difference" else second)

    @once
    def inside(self, x: Tensor) -> Tensor:
        first, second = self.a.inside(x), self.b.inside(x)
        if self.kind == "union":
            return first | second | self._on_seam(x) if self._seamed else first | second
        return first & (~second if self.kind == "difference" else second)

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Rvachev functions of those of the parts; of the pieces alone where only some of a
        union or of a hole are selected."""
        pieces = self.pieces()
        chosen = [piece for piece in pieces if selected(piece)]
        if not chosen:
            return None
        if self._seamed or (self.kind == "union" and len(chosen) < len(pieces)):
            return zeros(chosen, x)
        if self.kind == "union":
            return self.approximate_distance(x)
        as_part = lambda piece: selected(replace(piece, owners=(*piece.owners, self.shape)))  # noqa: E731
        first = self.a.boundary_function(as_part, x)
        second = (
            self._hole(selected, x)
            if self.kind == "difference"
            else self.b.boundary_function(as_part, x)
        )
        if first is None or second is None:
            return second if first is None else first
        return conjunction(first, second, self._corner[:, None])

    @once
    def approximate_distance(self, x: Tensor) -> Tensor:
        if self._seamed:
            return torch.where(self.inside(x), 1, -1) * zeros(self.pieces(), x)
        first, second = self.a.approximate_distance(x), self.b.approximate_distance(x)
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

    def reach(self, directions: Tensor) -> Tensor:
        first = self.a.reach(directions)
        if self.kind == "difference":
            return first
        return (torch.maximum if self.kind == "union" else torch.minimum)(
            first, self.b.reach(directions)
        )

    def feature_size(self) -> Tensor:
        return torch.stack([self.a.feature_size(), self.b.feature_size(), extent(self)]).amin(0)

    def center(self) -> Tensor:
        lower, upper = self.bounds()
        return (lower + upper) / 2

    def measure(self) -> Tensor:
        """By the divergence theorem, `1/d integral of x . n` over the boundary."""
        if self.apart:
            return self.a.measure() - self.b.measure()
        walled = with_sides(self)
        if walled is not self:
            return walled.measure()
        return (
            torch.stack([flux(piece, self.center()) for piece in self.pieces()]).sum(0)
            / self.shape.dim
        )

    def draw(self, cube: Tensor) -> None:
        return None

    @cached_property
    def _pieces(self) -> tuple[Piece, ...]:
        """What is left of both boundaries. Where they coincide, a stretch belongs to the first
        shape, if the combination has a boundary there at all: whether the other shape holds the
        points a little to both sides of it decides.
        """
        if self.apart:
            return (
                *(with_owner(piece, self.shape) for piece in self.a.pieces()),
                *(with_owner(piece, self.shape, True) for piece in self.b.pieces()),
            )
        step = self._offset[:, None, None]

        def keep_a(x: Tensor, n: Tensor) -> Tensor:
            if self.kind == "union":
                return ~self.b.inside(x + step * n)
            return self.b.inside(x - step * n) == (self.kind == "intersection")

        def keep_b(x: Tensor, n: Tensor) -> Tensor:
            before, behind = self.a.inside(x - step * n), self.a.inside(x + step * n)
            return ~before & ~behind if self.kind == "union" else before & behind

        hole = self.kind == "difference"
        first, second = (
            [carrier_of(piece) for piece in body.pieces()] for body in (self.a, self.b)
        )
        return tuple(
            [
                cut(piece, second, keep_a, self._uncovered(i, True), self.shape)
                for i, piece in enumerate(self.a.pieces())
            ]
            + [
                cut(piece, first, keep_b, self._uncovered(i, False), self.shape, hole)
                for i, piece in enumerate(self.b.pieces())
            ]
        )

    @cached_property
    def _meetings(self) -> tuple[tuple[tuple[int, int], tuple[Piece, Piece], Tensor, Tensor], ...]:
        """Pieces of both shapes, by number, that lie on one line, plane or curve, in which samples
        they do, and whether both shapes are on the same side of it. Shapes: "b" both.
        """
        if self.apart:
            return ()
        found = []
        with torch.no_grad():
            shares = torch.linspace(0.1, 0.9, 5, **_like(extent(self.a)))
            shares = torch.stack([shares, shares.flip(0)], -1)[
                :, : max(1, self.shape.dim - 1)
            ].expand(len(extent(self.a)), -1, -1)
            tolerance = self._tolerance[:, None]
            for i, piece in enumerate(self.a.pieces()):
                points, normals = whole(piece).chart(shares)
                for k, other in enumerate(self.b.pieces()):
                    touching = (other.carrier(points).abs() <= tolerance).all(-1)
                    if bool(touching.any()):
                        inner = other.carrier(points - self._offset[:, None, None] * normals)
                        found.append(((i, k), (piece, other), touching, inner.mean(-1) > 0))
        return tuple(found)

    def _uncovered(self, number: int, of_a: bool) -> Function:
        """A smooth function, positive where a piece of one shape is kept and negative where the
        other shape takes it away.

        Where a piece of the other shape lies on the same line or plane, the other's own function
        vanishes along it and decides nothing; that piece's edges do. (Right where the other shape
        lies on one side of the plane.)
        """
        other = self.b if of_a else self.a
        meetings = [
            (pieces[of_a], touching, same)
            for numbers, pieces, touching, same in self._meetings
            if numbers[not of_a] == number
        ]
        turn = 1 if self.kind == "intersection" or (self.kind == "difference" and not of_a) else -1
        wanted = {
            ("union", True): (True, None),
            ("union", False): (None, None),
            ("difference", True): (None, True),
        }
        wanted |= {
            ("difference", False): (False, False),
            ("intersection", True): (None, False),
            ("intersection", False): (False, False),
        }

        def function(x: Tensor) -> Tensor:
            value = turn * other.approximate_distance(x)
            for met, touching, same in meetings:
                edges = value.new_tensor(1.0) if met.trim is None else met.trim(x)
                size = extent(self)[:, None]
                outcome = []
                for answer, on_same in zip(wanted[self.kind, of_a], (True, False), strict=True):
                    inside = self.kind == "intersection" and of_a and on_same
                    everywhere = size if answer else -size
                    outcome.append((edges if inside else -edges) if answer is None else everywhere)
                value = torch.where(
                    touching[:, None], torch.where(same[:, None], outcome[0], outcome[1]), value
                )
            return value

        return function

    @property
    def _tolerance(self) -> Tensor:
        """How far apart surfaces that coincide may be. Shapes: "b"."""
        scale = torch.stack([*self.a.bounds(), *self.b.bounds()]).abs().amax((0, 2))
        return (TOUCHING * extent(self.a) + 16 * torch.finfo(scale.dtype).eps * scale).detach()

    @property
    def _offset(self) -> Tensor:
        """By how much the two sides of a surface are distinguished. Shapes: "b"."""
        return OFFSET * extent(self.a).detach() + 4 * self._tolerance

    @property
    def uncut(self) -> bool:
        """Whether in all samples b lies well inside a, here and in what a and b are made of."""
        inner = all(part.uncut for part in (self.a, self.b) if isinstance(part, Combined))
        apart = self.apart or not (self._seamed or bool((self._corner > 0).any()))
        return self.kind == "difference" and inner and apart

    @property
    def _seamed(self) -> bool:
        """Whether in some sample the boundaries run along each other."""
        return bool(self._meetings)

    @cached_property
    def _corner(self) -> Tensor:
        """The length by which edges are rounded in samples where the two boundaries meet.
        Shapes: "b"."""
        met = torch.zeros_like(extent(self.a), dtype=torch.bool)
        for piece in self.pieces()[len(self.a.pieces()) :]:
            if isinstance(piece, Clipped):
                met = met | (piece.share < 1 - 1e-5)
        return torch.where(met, self.feature_size() / 8, 0)

    def _on_seam(self, x: Tensor) -> Tensor:
        """Whether points lie on both boundaries and not on that of the union. Shapes: "b n",
        bool."""
        tolerance = self._tolerance[:, None]
        near = torch.maximum(self.a.distance(x).abs(), self.b.distance(x).abs()) <= tolerance
        return near & (zeros(self.pieces(), x) > 1e3 * tolerance) if bool(near.any()) else near

    def _hole(self, selected: Selection, x: Tensor) -> Tensor | None:
        """Vanishing on the selected pieces of the hole, positive outside it."""
        own = self.pieces()[len(self.a.pieces()) :]
        chosen = [piece for piece in own if selected(piece)]
        if not chosen:
            return None
        return -self.b.approximate_distance(x) if len(chosen) == len(own) else zeros(chosen, x)


def _like(tensor: Tensor) -> dict[str, Any]:
    return {"dtype": tensor.dtype, "device": tensor.device}


def with_sides(body: Body) -> Body:
    """A box, or what is left of one, with the sides that are no boundary since it is periodic."""
    if isinstance(body, AxisBox) and any(body.periodic):
        return replace(body, periodic=(False,) * len(body.periodic))
    if isinstance(body, Combined) and body.kind == "difference":
        inner = with_sides(body.a)
        return body if inner is body.a else replace(body, a=inner)
    return body


@bind.register
def _(shape: Union, numbers: Numbers, around: Ambient) -> Combined:
    return _combined("union", shape, shape.a, shape.b, numbers, around)


@bind.register
def _(shape: Difference, numbers: Numbers, around: Ambient) -> Combined:
    return _combined("difference", shape, shape.a, shape.b, numbers, around)


@bind.register
def _(shape: Intersection, numbers: Numbers, around: Ambient) -> Combined:
    return _combined("intersection", shape, shape.a, shape.b, numbers, around)


@bind.register
def _(shape: Exterior, numbers: Numbers, around: Ambient) -> Combined:
    return _combined("difference", shape, shape.farfield, shape.body, numbers, around, apart=True)


def _combined(
    kind: str,
    shape: Shape,
    first: Shape,
    second: Shape,
    numbers: Numbers,
    around: Ambient,
    apart: bool = False,
) -> Combined:
    a = bind(first, numbers, around)
    return Combined(
        kind,
        a,
        bind(second, numbers, replace(around, periodic=(False,) * shape.dim, enclosing=a.bounds())),
        shape,
        apart or (kind == "difference" and around.apart),
    )
