"""Input functions that are read from files: splines through their values."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.chance import Chance
from compiler.data.distributions import Place, draw_functions
from compiler.geometry.domain import Geometry, box
from compiler.lowering.rewrite import Carried
from compiler.measurements.interpolation import gridded, scattered
from compiler.measurements.measured import declared_table
from compiler.measurements.named import path_of
from compiler.measurements.streamed import Streamed
from compiler.measurements.table import Table
from pdespec.geometry import Boundary
from pdespec.laws import FunctionLaw, Law
from pdespec.statements.problem import Problem
from pdespec.symbols import Input

KEPT = 2**25  # values of the splines of one input that are kept
WRAPPED = 4  # nodes by which a periodic grid is continued beyond its ends
WAYS = 1e-6  # of the period, by which the last node may lie off the end that it repeats


@dataclass(frozen=True)
class FromFile(FunctionLaw):
    """The law of an input that is read from a file: one of its samples, all equally likely."""

    declaration: Input


def law_of(declaration: Input) -> Law | None:
    """What an input is drawn from: its law, or the samples of its file; None where it is passed
    by the caller."""
    if declaration.law is None and declaration.source is not None:
        return FromFile(declaration)
    return declaration.law


def read_inputs(problem: Problem) -> dict[str, Input]:
    """The inputs that a problem reads from files, as the user declared them, also of a problem in
    another frame."""
    return {
        name: each.law.declaration if isinstance(each.law, Carried) else each
        for name, each in problem.inputs.items()
        if each.source is not None
    }


def varying(problem: Problem) -> list[str]:
    """The inputs that differ between samples: all but those whose files hold one. Raises:
    ProblemError D01 to D08."""
    read = read_inputs(problem)
    return [
        name
        for name in problem.inputs
        if name not in read or len(declared_table(read[name]).keys) > 1
    ]


@dataclass(frozen=True, eq=False)
class Splines:
    """Functions through the values of a table, one for each of its samples: of cubic splines where
    they lie on a grid, of polyharmonic ones elsewhere. They are made when they are asked for, and
    some kept."""

    table: Table | Streamed
    name: str
    periods: tuple[tuple[float, float] | None, ...]  # the interval that repeats along each axis

    @cached_property
    def _made(self) -> dict[int, Callable[[Tensor], Tensor]]:
        return {}

    def __getitem__(self, number: int) -> Callable[[Tensor], Tensor]:
        """The function of one sample. Shapes: points "1 n d" -> "1 n c". Raises: ProblemError
        B01."""
        if number not in self._made:
            own = self.table.sample(number)
            if len(self._made) >= max(64, KEPT // own.values.size):
                del self._made[next(iter(self._made))]
            self._made[number] = spline(own.points, own.values, self.name, self.periods)
        return self._made[number]


@dataclass(frozen=True, eq=False)
class Interpolated:
    """An input function of each sample of a batch, from the splines of a file. Shapes: samples "b",
    numbers of the splines; points "b n d" -> "b n c"."""

    splines: Splines
    samples: Tensor

    def __call__(self, points: Tensor) -> Tensor:
        width = self.splines.table.width
        found = points.new_empty(*points.shape[:-1], width)
        parts = []
        for number in self.samples.long().unique().tolist():
            own = (self.samples.long() == number).nonzero()[:, 0]
            at = points[own]
            values = self.splines[number](at.reshape(1, -1, at.shape[-1]))
            parts.append((own, values.reshape(*at.shape[:-1], width)))
        if len(parts) == 1:
            return parts[0][1]
        for own, values in parts:
            found = found.index_copy(0, own, values)
        return found

    def extend(self, points: Tensor, geometry: Geometry) -> Tensor:
        return self(points)

    def map(self, function: Callable[[Tensor], Tensor]) -> Interpolated:
        return replace(self, samples=function(self.samples))


def spline(
    points: Array,
    values: Array,
    name: str,
    periods: tuple[tuple[float, float] | None, ...],
) -> Callable[[Tensor], Tensor]:
    """The spline through values at points. Shapes: points "n d", values "n c". Raises: ProblemError
    B01 for what has none."""
    axes = [np.unique(each) for each in points.T]
    if len(points) != np.prod([len(each) for each in axes]) or any(len(each) < 2 for each in axes):
        return scattered(torch.as_tensor(points), torch.as_tensor(values)[None], name)
    order = np.lexsort(points.T[::-1])
    if not all(
        np.array_equal(column[order], wanted.ravel())
        for column, wanted in zip(points.T, np.meshgrid(*axes, indexing="ij"), strict=True)
    ):
        return scattered(torch.as_tensor(points), torch.as_tensor(values)[None], name)
    grid = values[order].reshape(*map(len, axes), -1)
    for k, period in enumerate(periods):
        if period is not None:
            axes[k], grid = wrapped(axes[k], grid, k, period)
    return gridded(list(map(torch.as_tensor, axes)), torch.as_tensor(grid)[None], name)


def wrapped(
    places: Array, values: Array, axis: int, period: tuple[float, float]
) -> tuple[Array, Array]:
    """A periodic grid, with its end or without it, continued beyond both ends."""
    length = period[1] - period[0]
    if places[-1] - places[0] > (1 - WAYS) * length:  # the last node repeats the first
        places, values = places[:-1], values.take(range(len(places) - 1), axis)
    count = min(WRAPPED, len(places))
    first, last = range(count), range(len(places) - count, len(places))
    return (
        np.concatenate([places[-count:] - length, places, places[:count] + length]),
        np.concatenate([values.take(last, axis), values, values.take(first, axis)], axis),
    )


def splines_of(declaration: Input) -> Splines:
    """The functions in the file of an input. Raises: ProblemError D01 to D08."""
    table = declared_table(declaration)
    return _splines(declaration, path_of(declaration), _Same(table))


@dataclass(frozen=True, eq=False)
class _Same:
    """A table by identity: it is remembered with its file, and read anew where that changes."""

    table: Table | Streamed

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Same) and self.table is other.table

    def __hash__(self) -> int:
        return id(self.table)


@lru_cache(maxsize=16)
def _splines(declaration: Input, path: Path, held: _Same) -> Splines:
    return Splines(held.table, declaration.name, periods_of(declaration))


def periods_of(declaration: Input) -> tuple[tuple[float, float] | None, ...]:
    """The interval that repeats along every axis of an input; None where it does not repeat."""
    region: Any = declaration.region
    domain = region.domain if isinstance(region, Boundary) else region
    found: list[tuple[float, float] | None] = [None] * domain.dim
    if domain.periodic:
        low, high = box(domain)
        found = [
            (low[k], high[k]) if each.name in domain.periodic else None
            for k, each in enumerate(domain.coordinates)
        ]
    if declaration.time is not None:
        time = declaration.time
        found.append((float(time.start), float(time.end)) if time.periodic else None)
    return tuple(found)


@draw_functions.register
def _(law: FromFile, components: int, place: Place, chance: Chance) -> Interpolated:
    """The samples that all inputs of the problem are read of, see `Place.keys`."""
    splines = splines_of(law.declaration)
    keys, size = splines.table.keys, place.geometry.size
    if not splines.table.family:
        return Interpolated(splines, torch.zeros(size, dtype=torch.float64, device=chance.device))
    numbers = [keys.index(key) for key in place.keys]
    return Interpolated(splines, torch.tensor(numbers, dtype=torch.float64, device=chance.device))
