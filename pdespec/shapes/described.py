"""`described`: shapes whose fields are annotated with their roles, which define printing, reading
and checks.

    @described
    @dataclass(frozen=True)
    class Ellipse(Described):
        dim: ClassVar[int] = 2
        radii: Annotated[Point, Lengths("radius")]
        center: Annotated[Point, Place()] = (sp.S.Zero, sp.S.Zero)

Its word in the text, how it is read and printed, what must be positive of it and how it is carried
to other units follow from the fields; which points it holds and the box around it are its methods.
Its numerics are a module of `compiler/geometry/shapes`. A shape that is made of others needs none:
see `Composed`.
"""

from __future__ import annotations

import dataclasses
import typing
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import sympy as sp
from sympy.core.function import AppliedUndef

from pdespec.coordinates import Coordinate, as_exact, check_name, is_scalar
from pdespec.errors import fail
from pdespec.geometry import Domain, Point, Shape


@dataclass(frozen=True)
class Kind:
    """What a field of a shape is: one number, or one for each coordinate (`many`). Where it is
    `called` something it must be positive, and messages call it so."""

    called: str = ""
    many: ClassVar[bool] = False

    def carried(self, value: Any, length: Callable[..., Any], place: Callable[..., Any]) -> Any:
        """The value in other units, given what becomes of a length and of a point."""
        return value


class Number(Kind):
    """A number that no unit changes, such as an angle."""


class Length(Kind):
    """A length."""

    def carried(self, value: Any, length: Callable[..., Any], place: Callable[..., Any]) -> Any:
        return length(value)


class Lengths(Kind):
    """A length along each coordinate."""

    many = True

    def carried(self, value: Any, length: Callable[..., Any], place: Callable[..., Any]) -> Any:
        return tuple(map(length, value))


class Place(Kind):
    """A point."""

    many = True

    def carried(self, value: Any, length: Callable[..., Any], place: Callable[..., Any]) -> Any:
        return place(value)


class Described(Shape):
    """A shape whose fields say what they are."""

    dim: ClassVar[int]

    @abstractmethod
    def inside(self, x: tuple[Any, ...]) -> Any:
        """The SymPy condition under which the point x lies in the open shape."""

    @abstractmethod
    def box(self) -> tuple[Point, Point]:
        """Lower and upper corner of a box around the shape, as expressions of its numbers."""


class Composed(Shape):
    """A word for a shape made of others, which takes its place at once: problems hold, print and
    mesh what `composed` returns. Its fields say what they are, as those of `Described`."""

    dim: ClassVar[int]

    @abstractmethod
    def composed(self) -> Shape:
        """The shape in terms of others."""


SHAPES: dict[str, type[Described | Composed]] = {}
"""The described shapes by their word in the text: the name of the class in small letters."""

S = TypeVar("S", bound="Described | Composed")


def described(kind: type[S]) -> type[S]:
    """Makes a shape known to the language."""
    SHAPES[kind.__name__.lower()] = kind
    return kind


def kinds(shape: type[Described | Composed]) -> dict[str, Kind]:
    """What the fields of a shape are, in order."""
    hints = typing.get_type_hints(shape, include_extras=True)
    return {each.name: hints[each.name].__metadata__[0] for each in dataclasses.fields(shape)}


def required(shape: type[Described | Composed]) -> int:
    """How many fields have no default; they come first."""
    return sum(each.default is dataclasses.MISSING for each in dataclasses.fields(shape))


def instantiate(shape: type[Described | Composed], *values: Any, **named: Any) -> Shape:
    """A shape from numbers and points. Raises: ProblemError T05 or T06 for what is not a number or
    point, S02 for what must be positive and is not."""
    word, fields = shape.__name__.lower(), kinds(shape)
    given = dict(zip(fields, values, strict=False)) | named
    checked = {
        name: point(word, value, shape.dim) if fields[name].many else scalars(word, value)
        for name, value in given.items()
    }
    for name, numbers in checked.items():
        if fields[name].called:
            for each in numbers:
                positive(word, fields[name].called, each, f"; write {word}({', '.join(fields)})")
    made = shape(**{name: n if fields[name].many else n[0] for name, n in checked.items()})
    return made.composed() if isinstance(made, Composed) else made


def domain(name: str, shape: Shape, coordinates: tuple[Coordinate, ...]) -> Domain:
    """A named shape in the space of the coordinates. Raises: ProblemError T05 or T06 where they
    are not all of the problem's."""
    check_name(name, "a domain")
    kind = type(shape).__name__.lower()
    for coordinate in coordinates:
        if not isinstance(coordinate, Coordinate):
            raise fail(
                "T05",
                f"{kind} needs coordinates, {coordinate!r} given",
                f'write x, y = space("x y") and {kind}(x, y, ...)',
            )
    if tuple(coordinate.name for coordinate in coordinates) != coordinates[0].frame:
        frame = ", ".join(coordinates[0].frame)
        message = (
            f"{kind} lies in {len(coordinates)}D, the space of the problem has the coordinates"
            f" {frame}"
        )
        raise fail("T06", message, "give all of them, in order")
    return Domain(name, shape, coordinates)


def scalars(shape: str, *values: Any) -> Point:
    """Numbers of a shape. Raises: ProblemError T05 for what is none."""
    result = tuple(as_exact(value) for value in values)
    for value in result:
        if not is_scalar(value):
            listed = isinstance(value, sp.MatrixBase)
            shown = list(value) if listed else value
            raise fail(
                "T05",
                f"{shape}: {shown} is not a number",
                f"a number comes first; name what you give: center = {shown}"
                if listed
                else "shapes are made of numbers and params",
            )
        if value.atoms(Coordinate, AppliedUndef):
            raise fail(
                "T05",
                f"{shape}: {value} is not a number",
                "shapes are made of numbers and params, not of coordinates or fields",
            )
    return result


def point(shape: str, values: Any, dim: int) -> Point:
    """A point of a shape. Raises: ProblemError T06 for another number of coordinates."""
    values = tuple(values)
    if len(values) != dim:
        raise fail(
            "T06", f"{shape}: a point of {len(values)} coordinates in {dim}D", f"give {dim} numbers"
        )
    return scalars(shape, *values)


def positive(shape: str, what: str, value: Any, usage: str = "") -> sp.Expr:
    """A number of a shape that may be positive. Raises: ProblemError S02 where it cannot be, with
    the usage of the shape."""
    (value,) = scalars(shape, value)
    if value.is_nonpositive:
        raise fail(
            "S02", f"{shape}: the {what} {value} is not positive", f"give a positive {what}{usage}"
        )
    return value
