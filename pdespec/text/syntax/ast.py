"""What was written: the syntax tree of the text form, as frozen values with spans that do not
count for equality."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from fractions import Fraction

from pdespec.errors import Span


def _place() -> Span | None:
    return field(default=None, compare=False, repr=False)


class Node:
    """Anything written. Each kind is a frozen dataclass that ends in the span of what was
    written."""

    __slots__ = ()
    span: Span | None


# ---- expressions: numbers, names and what is made of them; regions, shapes and laws too


@dataclass(frozen=True, slots=True)
class Number(Node):
    """A decimal number as written, without sign: `0.01`, `1e-3`."""

    text: str
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Name(Node):
    """A name; in backticks where it would otherwise be a word of the language or an operator:
    "`n`"."""

    name: str
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Quoted(Node):
    """`"wall"` among the arguments of a call: the name of a file, or of something in it."""

    text: str
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Component(Node):
    """`v.x`"""

    base: Node
    name: str
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Keyword(Node):
    """`key = c` among the arguments of a call."""

    name: str
    value: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Call(Node):
    """`f(a, b, key = c)`"""

    function: str
    arguments: tuple[Node, ...]
    keywords: tuple[Keyword, ...] = ()
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Negative(Node):
    """`-a`"""

    operand: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Transpose(Node):
    """`T'`"""

    operand: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Power(Node):
    """`a^b`"""

    base: Node
    exponent: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Product(Node):
    """`first*b/c`; rest holds (`*` or `/`, factor), from left to right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Sum(Node):
    """`first + b - c`; rest holds (`+` or `-`, term), from left to right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Intersection(Node):
    """`A & B` of two regions"""

    left: Node
    right: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Bracket(Node):
    """`[a, b]`, a vector; `[[a, b], [c, d]]`, a tensor."""

    items: tuple[Node, ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Comparison(Node):
    """`0 < x <= 1`; rest holds (comparison, side), from left to right."""

    first: Node
    rest: tuple[tuple[str, Node], ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Not(Node):
    """`not x < 1`"""

    operand: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Logic(Node):
    """`x < 1 and y < 1`; the word is `and` or `or`."""

    word: str
    operands: tuple[Node, ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Unit(Node):
    """`[kg*m/s^2]` as (name, power) pairs in the order written; the name `1` has no dimension."""

    factors: tuple[tuple[str, Fraction], ...]
    span: Span | None = _place()


# ---- statements


@dataclass(frozen=True, slots=True)
class ProblemName(Node):
    """`problem name`"""

    name: Name
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Space(Node):
    """`space x, y [m]`: one unit for all coordinates; `space r, z axisymmetric`."""

    names: tuple[Name, ...]
    unit: Unit | None = None
    system: Name | None = None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Time(Node):
    """`time t in [0, 1] [s]`"""

    name: Name
    start: Node
    end: Node
    unit: Unit | None = None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Periodic(Node):
    """`periodic x, y`, `periodic x on A`"""

    names: tuple[Name, ...]
    domains: tuple[Name, ...] = ()
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Region(Node):
    """`Omega = rectangle(...)`, `lid = side(Omega, y = 1)`"""

    name: Name
    value: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Given(Node):
    """A constant, parameter or trainable: `nu = 0.01`, `c ~ uniform(0, 1)`, `a = 0, size = 4`."""

    name: Name
    value: Node | None
    law: Node | None
    unit: Unit | None = None
    size: Node | None = None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class GivenFunction(Node):
    """`f : scalar on Omega over t ~ law`, or `from "file" (f = "column")`."""

    name: Name
    rank: Name
    region: Node
    over: Name | None
    law: Node | None
    source: str | None
    unit: Unit | None = None
    columns: tuple[tuple[str, str], ...] = ()
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class FoundFunction(Node):
    """`k = 1 : scalar on Omega over t > 0 ~ law, modes = 6`: a function to be found."""

    name: Name
    value: Node | None
    rank: Name
    region: Node
    over: Name | None
    positive: tuple[str, Node] | None
    law: Node | None
    unit: Unit | None = None
    modes: Node | None = None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class UnknownFunction(Node):
    """`u : scalar on Omega steady > 0`"""

    name: Name
    rank: Name
    region: Node
    steady: bool
    positive: tuple[str, Node] | None
    unit: Unit | None = None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Declaration(Node):
    """A line of declarations of one kind: domain, boundary, const, param, trainable, input,
    unknown."""

    kind: str
    items: tuple[Node, ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Definition(Node):
    """`F := I + grad(u)`, or with parameters `k(w) := 1 + w^2`."""

    name: Name
    parameters: tuple[Name, ...] | None
    body: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Equality(Node):
    """A member of a block."""

    label: Name | None
    left: Node
    right: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Head(Node):
    """`in REGION`, `on REGION`, `at t = t0`, `at (x0, y0)`, `at x = x0, y = y0`; the latter three
    with `in REGION`.

    `point` holds the coordinates, as keywords where they are given by name.
    """

    kind: str
    region: Node | None
    time: Name | None = None
    value: Node | None = None
    point: tuple[Node, ...] = ()
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Block(Node):
    """`in Omega: a = b; c = d`, and blocks on boundaries and at times and points"""

    head: Head
    members: tuple[Equality, ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Extremum(Node):
    """`minimize E over u`, `stationary E`."""

    kind: str
    value: Node
    over: tuple[Name, ...]
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Require(Node):
    """`require a > b in Omega`; an integral has no region"""

    left: Node
    operator: str
    right: Node
    region: Node | None
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Output(Node):
    """`output name := value`"""

    name: Name
    value: Node
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Data(Node):
    """`data u on L from "file" (x = "position")`; `columns`: what they are called in the file."""

    value: Node
    region: Node
    source: str
    columns: tuple[tuple[str, str], ...] = ()
    span: Span | None = _place()


@dataclass(frozen=True, slots=True)
class Reference(Node):
    """`reference u = sin(x)`, `reference u from "file"`"""

    name: Name
    value: Node | None
    source: str | None = None
    columns: tuple[tuple[str, str], ...] = ()
    span: Span | None = _place()


def children(node: Node) -> Iterator[Node]:
    """The nodes directly below a node."""
    for each in fields(node):  # type: ignore[arg-type]
        if each.name != "span":
            yield from _nodes(getattr(node, each.name))


def walk(node: Node) -> Iterator[Node]:
    """The node and all below it, without recursion."""
    stack = [node]
    while stack:
        top = stack.pop()
        yield top
        stack.extend(reversed(tuple(children(top))))


def _nodes(value: object) -> Iterator[Node]:
    if isinstance(value, Node):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from _nodes(item)
