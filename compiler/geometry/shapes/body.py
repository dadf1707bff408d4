"""The interface of shapes whose numbers are tensors (`Body`), and `bind`, which makes a body of
a shape."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import singledispatch
from typing import Protocol

from torch import Tensor

from compiler.geometry.shapes.numbers import Numbers
from compiler.geometry.shapes.piece import Piece
from compiler.geometry.shapes.remembered import remembered
from pdespec.geometry import Shape

Selection = Callable[[Piece], bool]


class Body(Protocol):
    """A shape in every sample of a batch. Everything is differentiable in the points and in the
    numbers of the shape.

    Shapes: points x "b n d"; d the dimension of space, the same in all samples.
    """

    def distance(self, x: Tensor) -> Tensor:
        """Signed distance to the boundary, negative inside. Shapes: "b n"."""
        ...

    def inside(self, x: Tensor) -> Tensor:
        """Whether points lie in the open shape. Shapes: "b n", bool."""
        ...

    def boundary_function(self, selected: Selection, x: Tensor) -> Tensor | None:
        """A smooth function, positive inside, that vanishes with slope about 1 on the selected
        pieces; None when none is. Shapes: "b n".

        Outside it may have any sign.
        """
        ...

    def approximate_distance(self, x: Tensor) -> Tensor:
        """A function positive inside, zero on the whole boundary with slope 1, negative outside,
        smooth but at corners. Shapes: "b n"."""
        ...

    def pieces(self) -> tuple[Piece, ...]:
        """The boundary, in parts that a condition can name."""
        ...

    def bounds(self) -> tuple[Tensor, Tensor]:
        """Lower and upper corner of a box around the shape. Shapes: "b d" both."""
        ...

    def reach(self, directions: Tensor) -> Tensor:
        """The largest x . v of all points, or a number above it. Shapes: "b k d" -> "b k"."""
        ...

    def feature_size(self) -> Tensor:
        """The smallest length of its features: corners are rounded over a part of it in
        boundary-defining functions. Shapes: "b"."""
        ...

    def center(self) -> Tensor:
        """The point about which polar angles are measured. Shapes: "b d"."""
        ...

    def measure(self) -> Tensor:
        """Length, area or volume. Shapes: "b"."""
        ...

    def draw(self, cube: Tensor) -> Tensor | None:
        """Points of the shape from points of the unit cube by a map that preserves measure up to a
        factor; None where there is none.

        Shapes: "b n d" -> "b n d".
        """
        ...


@dataclass(frozen=True)
class Ambient:
    """What a shape needs to know beyond its own numbers: periodic coordinates, the box over
    which a lattice is laid, and whether holes are known to lie well inside of what they are cut
    from."""

    periodic: tuple[bool, ...]
    enclosing: tuple[Tensor, Tensor] | None = None
    apart: bool = False


@singledispatch
def bind(shape: Shape, numbers: Numbers, around: Ambient) -> Body:
    """The body of a shape with these numbers. A new shape registers its rule here."""
    raise TypeError(
        f"no geometry for {type(shape).__name__}; register a rule with"
        " compiler.geometry.shapes.bind"
    )


def everything(piece: Piece) -> bool:
    """The selection of the whole boundary."""
    return True


@remembered
def extent(body: Body) -> Tensor:
    """The smallest side of the box around a body. Shapes: "b"."""
    lower, upper = body.bounds()
    return (upper - lower).amin(-1)
