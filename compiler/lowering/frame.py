"""A frame: in which coordinates and sizes a problem is computed, and the maps between them and the
user's own.

    x = origin + length X,    t = start + duration tau,    u = size v,    p = offset + size q

Left is what the user wrote, right what is computed with. Lengths and sizes are powers of ten, so
that a problem and its copy in metres or nanometres are computed with the same numbers, and one
whose numbers are about 1 already with its own.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import sympy as sp
import torch
from torch import Tensor

from pdespec.table import Table

# an extent of 0.71 to 7.1 is left as it is: the unit square, a disk of radius 1, one of 2 pi
EXTENT = 10**-0.15
AWAY = 4  # extents from the origin beyond which coordinates are counted from a point nearby

# lengths from the origin beyond which float32 cannot hold the user's coordinates to four digits:
# they are float64 there
FAR = 1000
ONE = sp.S.One


@dataclass(frozen=True)
class Frame:
    """Exact numbers. `fields` are the sizes of unknowns and inputs, `params` (offset, size),
    `statements` the sizes of residuals by label, `functionals` and `requirements` those of the
    others in order of declaration. What a table leaves out has size 1. `reasons` are the statements
    whose balance gave the sizes of unknowns.

    Shapes: points "b n d", or "b n d+1" with time last.
    """

    origin: tuple[sp.Expr, ...]
    length: sp.Expr = ONE
    start: sp.Expr = sp.S.Zero
    duration: sp.Expr = ONE
    fields: Table = field(default_factory=Table)
    params: Table = field(default_factory=Table)
    statements: Table = field(default_factory=Table)
    functionals: tuple[sp.Expr, ...] = ()
    requirements: tuple[sp.Expr, ...] = ()
    reasons: Table = field(default_factory=Table, compare=False)

    @property
    def trivial(self) -> bool:
        """Whether the problem is computed as it was written."""
        sizes = [
            self.length,
            self.duration,
            *self.fields.values(),
            *self.statements.values(),
            *self.functionals,
            *self.requirements,
        ]
        return (
            all(each == 1 for each in sizes)
            and not any((*self.origin, self.start))
            and all(p == (0, 1) for p in self.params.values())
        )

    @cached_property
    def far(self) -> bool:
        """Whether the user's coordinates, or a param, need float64."""
        shifts = [abs(x / self.length) for x in self.origin] + [abs(self.start / self.duration)]
        return max(*shifts, *(abs(offset / size) for offset, size in self.params.values()), 0) > FAR

    def size(self, name: str) -> float:
        """Of an unknown or an input."""
        return float(self.fields.get(name, ONE))

    def outer_dtype(self, dtype: torch.dtype) -> torch.dtype:
        """In which the user's points are held where those computed with are of `dtype`."""
        return torch.float64 if self.far else dtype

    def inward(self, points: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """The user's points in the frame."""
        shift, scale = self._affine(points.shape[-1])
        local = (
            (points - points.new_tensor(shift)) / points.new_tensor(scale)
            if any(shift)
            else points / points.new_tensor(scale)
        )
        return local.to(dtype or points.dtype)

    def outward(self, points: Tensor) -> Tensor:
        """Points of the frame as the user's."""
        shift, scale = self._affine(points.shape[-1])
        points = points.to(self.outer_dtype(points.dtype))
        scaled = points * points.new_tensor(scale)
        return scaled + points.new_tensor(shift) if any(shift) else scaled

    def steps(self, width: int) -> list[float]:
        """By how much the user's coordinates, and the time, grow as those of the frame do by
        one."""
        return self._affine(width)[1]

    def _affine(self, width: int) -> tuple[list[float], list[float]]:
        count = len(self.origin)
        shift, scale = [float(x) for x in self.origin], [float(self.length)] * count
        return (shift + [float(self.start)])[:width], (scale + [float(self.duration)])[:width]

    def param_inward(self, name: str, value: Tensor, dtype: torch.dtype | None = None) -> Tensor:
        """A param of the user's in the frame."""
        offset, size = map(float, self.params.get(name, (0, 1)))
        return ((value - offset) / size).to(dtype or value.dtype)

    def param_outward(self, name: str, value: Tensor) -> Tensor:
        """A param of the frame as the user's."""
        offset, size = map(float, self.params.get(name, (0, 1)))
        return offset + size * value.to(self.outer_dtype(value.dtype))

    def values_inward(
        self, function: Callable[[Tensor], Tensor], sizes: Tensor | float
    ) -> Callable[[Tensor], Tensor]:
        """A function of the user's points as one of the frame's; an answer of another dtype than
        it was asked in stays as it is."""

        def local(points: Tensor) -> Tensor:
            at = self.outward(points)
            values = function(at) / sizes
            return values.to(points.dtype) if values.dtype == at.dtype else values

        return local

    def __str__(self) -> str:
        if self.trivial:
            return "computed in the units and coordinates of the problem"
        lines = [f"lengths in {_text(self.length)}, from {', '.join(map(_text, self.origin))}"]
        if self.duration != 1 or self.start:
            lines.append(f"time in {_text(self.duration)}, from {_text(self.start)}")
        lines += [f"{name} in {_text(size)}" for name, size in self.fields.items() if size != 1]
        lines += [
            f"{name} in {_text(size)}, from {_text(offset)}"
            for name, (offset, size) in self.params.items()
            if (offset, size) != (0, 1)
        ]
        lines += [
            f"residual of {label} over {_text(size)}"
            for label, size in self.statements.items()
            if size != 1
        ]
        lines += [
            f"functional {k} over {_text(size)}"
            for k, size in enumerate(self.functionals, 1)
            if size != 1
        ]
        lines += [
            f"requirement {k} over {_text(size)}"
            for k, size in enumerate(self.requirements, 1)
            if size != 1
        ]
        return "computed with " + "; ".join(lines)


def decimal(size: float | sp.Expr, lowest: float) -> sp.Expr:
    """The power of ten P with `lowest <= size / P < 10 lowest`; 1 for a size of zero or none."""
    size = float(size)
    if not 0 < size < float("inf"):
        return ONE
    ratio = Fraction(repr(size)) / Fraction(repr(lowest))
    exponent = math.floor(math.log10(size) - math.log10(lowest))
    while Fraction(10) ** exponent > ratio:
        exponent -= 1
    while Fraction(10) ** (exponent + 1) <= ratio:
        exponent += 1
    return sp.Integer(10) ** exponent


def _text(value: sp.Expr) -> str:
    return f"{float(value):.6g}"


def around(lower: Sequence[float], upper: Sequence[float]) -> Frame:
    """The lengths and the origin of a frame for a box."""
    length = decimal(
        max((high - low for low, high in zip(lower, upper, strict=True)), default=1.0), EXTENT
    )
    return Frame(tuple(_origin(low, high) for low, high in zip(lower, upper, strict=True)), length)


def _origin(low: float, high: float) -> sp.Expr:
    """Zero, or for an interval far from it a round number inside."""
    middle, extent = float(low + high) / 2, float(high - low)
    if not 0 < extent < math.inf or abs(middle) <= AWAY * extent:
        return sp.S.Zero
    step = sp.Integer(10) ** math.floor(math.log10(extent) + 1e-9)
    return step * sp.Integer(round(sp.Rational(repr(middle)) / step))
