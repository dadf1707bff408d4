"""What the numbers of a shape must satisfy for it to have an inside: one rule for each shape."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from typing import Any

import sympy as sp
from mpmath import iv

from pdespec.geometry import (
    Ball,
    Box,
    Cylinder,
    Disk,
    Extruded,
    Interval,
    Polygon,
    Rectangle,
    Scaled,
    Shape,
    Star,
    subshapes,
)
from pdespec.probe import PLAIN
from pdespec.shapes.described import Described, kinds
from pdespec.symbols import Param, Scalar

ANGLES = 256  # of a star, at which its radius is looked at
# values tried of each number drawn, between the ends of its law's reach; the ends alone of more
# numbers
SHARES = {1: 17, 2: 9, 3: 5}
ENCLOSED = {sp.cos: iv.cos, sp.sin: iv.sin, sp.exp: iv.exp}
ROUNDING = 1e-12  # of the largest value tried, below which one counts as zero
Corner = tuple[float, ...]
Segment = tuple[Corner, Corner]

# numbers drawn whose ends are tried in all combinations; of more, one after the other
MOST_DRAWN = 10


@dataclass(frozen=True)
class Need:
    """`value > 0`, called `name`; at every value of the symbol `angle` where there is one."""

    name: str
    value: sp.Expr
    angle: sp.Symbol | None = None

    @property
    def scalars(self) -> tuple[Scalar, ...]:
        """The params and constants it depends on, by name."""
        return tuple(sorted(self.value.atoms(Scalar), key=lambda symbol: symbol.name))


@singledispatch
def needs(shape: Shape) -> tuple[Need, ...]:
    """What must be positive of one shape, its parts left out. A shape without a rule here needs
    nothing."""
    return ()


@needs.register(Interval)
@needs.register(Rectangle)
@needs.register(Box)
def _(shape: Interval | Rectangle | Box) -> tuple[Need, ...]:
    names = ("length",) if isinstance(shape, Interval) else ("width", "height", "depth")
    return tuple(
        Need(f"the {name}", high - low)
        for name, low, high in zip(names, shape.lower, shape.upper, strict=False)
    )


@needs.register(Disk)
@needs.register(Ball)
def _(shape: Disk | Ball) -> tuple[Need, ...]:
    return (Need("the radius", shape.radius),)


@needs.register
def _(shape: Described) -> tuple[Need, ...]:
    return tuple(
        Need(f"the {kind.called}", each)
        for name, kind in kinds(type(shape)).items()
        if kind.called
        for each in (getattr(shape, name) if kind.many else (getattr(shape, name),))
    )


@needs.register
def _(shape: Cylinder) -> tuple[Need, ...]:
    return Need("the radius", shape.radius), Need("the height", shape.height)


@needs.register
def _(shape: Extruded) -> tuple[Need, ...]:
    return (Need("the height", shape.height),)


@needs.register
def _(shape: Scaled) -> tuple[Need, ...]:
    return (Need("the factor", shape.factor),)


@needs.register
def _(shape: Star) -> tuple[Need, ...]:
    return (Need("the radius", shape.radius, shape.angle),)


def needed(shape: Shape) -> tuple[Need, ...]:
    """What must be positive of a shape and all its parts, each once."""
    found = (need for each in subshapes(shape) for need in needs(each))
    return tuple(dict.fromkeys(need for need in found if not need.value.is_positive))


def sides(shape: Shape) -> tuple[float, ...]:
    """The sides of an interval, rectangle or box, its params in the middle of what their laws
    reach; none of another shape, or unknown."""
    if not isinstance(shape, (Interval, Rectangle, Box)):
        return ()
    found = []
    for need in needs(shape):
        ranges = {symbol: reach(symbol) for symbol in need.scalars}
        if any(each is None for each in ranges.values()):
            return ()
        middles = {symbol: (low + high) / 2 for symbol, (low, high) in ranges.items()}  # type: ignore[misc]
        length = need.value.subs(middles).evalf()
        if not length.is_real:  # complex numbers and infinite ones are told by rules of their own
            return ()
        found.append(float(length))
    return tuple(found) if all(length > 0 for length in found) else ()


def counterexample(need: Need) -> tuple[Mapping[str, float], float] | None:
    """Numbers within the reach of their laws at which a need is not met, and what its value is
    there; None where none is found.

    Params without a law count at their declared value; where one has neither, nothing is known.
    """
    ranges = [reach(symbol) for symbol in need.scalars]
    if any(each is None for each in ranges):
        return None
    symbols = [*need.scalars, *([need.angle] if need.angle is not None else [])]
    turn = [(0, 2 * math.pi)] if need.angle is not None else []
    held = enclosure(
        need.value, {s: iv.mpf(each) for s, each in zip(symbols, [*ranges, *turn], strict=True)}
    )
    if held is not None and held.a > 0:
        return None
    evaluate = sp.lambdify(symbols, need.value, PLAIN)
    angles = (
        [(2 * math.pi * k / ANGLES,) for k in range(ANGLES)] if need.angle is not None else [()]
    )
    found: list[tuple[float, tuple[float, ...]]] = []
    for values, angle in itertools.product(_tried(ranges), angles):
        try:
            found.append((float(evaluate(*values, *angle)), values))
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            continue
    least, where = min(found, default=(math.inf, ()))
    # a law that ends where the value is zero does not draw its end
    varies = any(low < high for low, high in ranges)
    largest = max((abs(each) for each, _ in found), default=0.0)
    if least >= -ROUNDING * largest if varies else least > 0:
        return None
    return {str(s): v for s, v in zip(need.scalars, where, strict=True)}, least


def enclosure(expression: sp.Expr, ranges: Mapping[sp.Basic, Any]) -> Any | None:
    """An interval of mpmath that holds all values of an expression while its symbols run through
    theirs; None of an expression that has more than sums, products, powers and `ENCLOSED`.

    Source: R. E. Moore, Interval Analysis (1966), natural extension.
    """
    if expression in ranges:
        return ranges[expression]
    if isinstance(expression, sp.Rational):
        return iv.mpf(int(expression.p)) / int(expression.q)
    parts: list[Any] = [enclosure(each, ranges) for each in expression.args]
    if not parts or any(each is None for each in parts):
        return None
    if isinstance(expression, sp.Add):
        return sum(parts)
    if isinstance(expression, sp.Mul):
        return math.prod(parts)
    if isinstance(expression, sp.Pow) and isinstance(expression.exp, sp.Integer):
        return parts[0] ** int(expression.exp) if expression.exp > 0 else None
    return ENCLOSED[expression.func](*parts) if expression.func in ENCLOSED else None


def crossing(shape: Polygon) -> tuple[Segment, Segment, str] | None:
    """Two sides of a polygon that meet where they should not, and the params at which they do;
    None where none is found."""
    scalars = sorted(
        set().union(*(each.atoms(Scalar) for point in shape.points for each in point)),
        key=lambda symbol: symbol.name,
    )
    ranges = [reach(symbol) for symbol in scalars]
    if any(each is None for each in ranges):
        return None
    evaluate = sp.lambdify(scalars, [list(point) for point in shape.points], PLAIN)
    for values in dict.fromkeys(_tried(ranges)):
        try:
            corners = [tuple(map(float, point)) for point in evaluate(*values)]
        except (ValueError, ZeroDivisionError, OverflowError, TypeError):
            continue
        segments = list(zip(corners, corners[1:] + corners[:1], strict=True))
        for i, first in enumerate(segments):
            for k in range(i + 1, len(segments)):
                if _meet(
                    first, segments[k], adjacent=k == i + 1 or (i == 0 and k == len(segments) - 1)
                ):
                    return (
                        first,
                        segments[k],
                        ", ".join(f"{s} = {v:.6g}" for s, v in zip(scalars, values, strict=True)),
                    )
    return None


def _meet(first: Segment, second: Segment, adjacent: bool) -> bool:
    """Whether two sides have a point in common; of neighbours, more than their corner."""
    (a, b), (c, d) = first, second
    turn = (_turn(a, b, c), _turn(a, b, d), _turn(c, d, a), _turn(c, d, b))
    size = max(math.dist(a, b), math.dist(c, d)) ** 2
    turn = tuple(0.0 if abs(each) <= ROUNDING * size else each for each in turn)
    if adjacent:  # they fold back onto each other
        shared, p, q = (b, a, d) if b == c else (a, b, c)
        return (
            not any(turn)
            and sum((x - s) * (y - s) for x, y, s in zip(p, q, shared, strict=True)) > 0
        )
    if any(turn):
        return turn[0] * turn[1] <= 0 and turn[2] * turn[3] <= 0
    # on one line
    return all(
        max(min(a[i], b[i]), min(c[i], d[i])) <= min(max(a[i], b[i]), max(c[i], d[i]))
        for i in range(2)
    )


def _turn(a: Corner, b: Corner, c: Corner) -> float:
    """Twice the area of a triangle, with the sign of its orientation."""
    return (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])


def reach(symbol: Scalar) -> tuple[float, float] | None:
    """The ends of what the law of a param draws, twice its value where it has one; None where
    neither is known."""
    declaration: Param = symbol.declaration
    if declaration.law is not None:
        low, high = declaration.law.reach  # type: ignore[attr-defined]
        return float(low), float(high)
    if declaration.value is None or declaration.kind == "trainable":
        return None
    return float(declaration.value), float(declaration.value)


def _tried(ranges: Sequence[Any]) -> Iterator[tuple[float, ...]]:
    """Ends of the ranges and values between."""
    drawn = sum(low < high for low, high in ranges)
    count = SHARES.get(drawn, 2)
    choices = [
        [low + (high - low) * k / (count - 1) for k in range(count)] if low < high else [low]
        for low, high in ranges
    ]
    if drawn <= MOST_DRAWN:
        yield from itertools.product(*choices)
    middle = tuple((low + high) / 2 for low, high in ranges)
    yield middle
    for place, (low, high) in enumerate(ranges):
        for end in (low, high):
            yield (*middle[:place], end, *middle[place + 1 :])
