"""Families of samples that do not fit in memory: as a `Table`, but with the values left in their
HDF5 file, of which training reads the samples of a step."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.arrays import Array, IntArray
from compiler.measurements.readers import SAMPLE, Arrays, refuse_large
from compiler.measurements.stored import Stored, blocks
from compiler.measurements.table import (
    ALIKE,
    WEIGHTS,
    Columns,
    Table,
    keys_of,
    refuse_places_twice,
    spellings,
    tabulated,
)
from pdespec.errors import fail

Held = NDArray[Any] | Stored


@dataclass(frozen=True)
class Streamed:
    """Rows of samples that have equally many. `places` and `values` by coordinate and component, a
    first axis of samples, or none where all samples lie at the same points, which are "m" then;
    `kept`, "m", which of them have numbers; `order`, the numbers in the file of `keys`. `weights`
    "m" of mean one and `sigma` are alike in all samples. `low`, `high`, `square`: of each
    coordinate and component, its range and mean square.
    """

    places: tuple[Held, ...]
    values: tuple[Held, ...]
    whole: bool  # whether `values` is one array with the components along its last axis
    axes: tuple[int, ...]  # of a sample's array in the order of the problem
    width: int
    kept: IntArray
    order: IntArray
    keys: tuple[str, ...]
    weights: Array
    sigma: Array | None = None
    units: Mapping[str, str] = field(default_factory=dict)
    low: Array = field(default_factory=lambda: np.zeros(0))
    high: Array = field(default_factory=lambda: np.zeros(0))
    square: Array = field(default_factory=lambda: np.zeros(0))
    left_out: int = 0
    family = True

    def __len__(self) -> int:
        return len(self.order) * self.length

    @property
    def length(self) -> int:
        """Rows of a sample."""
        return len(self.kept)

    @property
    def shared(self) -> bool:
        """Whether all samples lie at the same points."""
        return all(each.ndim == 1 for each in self.places)

    def read(self, samples: Sequence[int] | IntArray) -> tuple[Array, Array]:
        """Points and values of samples. Shapes: "b m D", "b m c"."""
        own = self.order[np.asarray(samples, dtype=np.int64)]
        points, values = self._read(own)
        return points[:, self.kept], values[:, self.kept]

    def _read(self, own: IntArray | slice) -> tuple[Array, Array]:
        """The same by numbers in the file, with the rows that are left out."""
        found = [np.asarray(each[own]) for each in self.values]
        count = len(found[0])
        order = (0, *(1 + k for k in self.axes))
        if self.whole:
            values = found[0].transpose(*order, found[0].ndim - 1)
            values = values.reshape(count, -1, self.width)
        else:
            values = np.stack([each.transpose(order).reshape(count, -1) for each in found], -1)
        return self._points(own, count), values

    def _points(self, own: IntArray | slice, count: int) -> Array:
        flat = [each if each.ndim == 1 else np.asarray(each[own]) for each in self.places]
        shape = (count, flat[0].shape[-1])
        return np.stack([np.broadcast_to(each, shape) for each in flat], -1)

    def points_of(self, number: int) -> Array:
        """The points of one sample."""
        return self._points(self.order[[number]], 1)[0, self.kept]

    def sample(self, number: int) -> Table:
        """The rows of one sample."""
        points, values = self.read([number])
        zeros = np.zeros(len(self.kept), dtype=np.int64)
        return Table(points[0], values[0], self.weights, zeros, ("0",), self.sigma)

    def numbered(self, keys: Sequence[str]) -> Streamed:
        """With its samples as in `keys`, of which it has all."""
        place = {key: k for k, key in enumerate(self.keys)}
        return replace(self, keys=tuple(keys), order=self.order[[place[key] for key in keys]])


def rows_of(
    arrays: Arrays, columns: Columns, file: str, repeated: bool | None = False
) -> Table | Streamed:
    """The rows of arrays, see `tabulated`; those of a family that is large stay in the file.

    Raises: ProblemError D01 for what is large and no family, and as `tabulated`.
    """
    if any(isinstance(each, Stored) for each in arrays.values.values()):
        found = _streamed(arrays, columns, file)
        if found is not None:
            return found
        arrays = _loaded(arrays, file)
    return tabulated(arrays, columns, file, repeated)


def _loaded(arrays: Arrays, file: str) -> Arrays:
    """All of it in memory. Raises: ProblemError D01 for what does not fit."""
    try:
        refuse_large(8 * sum(each.size for each in arrays.values.values()))
    except ValueError as error:
        raise fail(
            "D01",
            f"{file} cannot be read: {error}",
            "a family of samples, their axis first, may be of any size",
        ) from None
    return replace(arrays, values={n: np.asarray(each) for n, each in arrays.values.items()})


def _streamed(arrays: Arrays, columns: Columns, file: str) -> Streamed | None:
    """A family whose values are stored; None where the arrays are no family of that form."""
    found = _values(arrays, columns)
    names = columns.axes.names
    places = [p for p in (_place(arrays, n, columns) for n in names) if p is not None]
    if found is None or len(places) < len(names):
        return None  # what is absent is named by `tabulated`
    called, values, whole = found
    inner = values[0].shape[1 : values[0].ndim - whole]
    axes = _axes(arrays.dims.get(called), names, columns.axes.time, len(inner))
    shape = tuple(inner[k] for k in axes)
    keys = arrays.values.get(SAMPLE)
    count, rows = len(values[0]), int(np.prod(shape))
    if keys is None and (
        (len(places) > 1 and shape == (count,))  # as well a grid of one sample
        or all(each.shape == values[0].shape for each in places)  # as well its points
    ):
        return None
    at = _at(dict(zip(names, places, strict=True)), shape, count, file)
    if at is None:
        return None
    if keys is not None and keys.size != count:
        text = f"{file} names {keys.size} samples and holds {count}"
        raise fail("D07", text, "give one name for each")
    weights, sigma = _weights(arrays, columns, axes, shape, file)
    streamed = Streamed(
        at,
        values,
        whole,
        axes,
        values[0].shape[-1] if whole else len(values),
        np.arange(rows),
        np.arange(count),
        keys_of(None if keys is None else np.asarray(keys), count, file),
        weights,
        sigma,
        {name: unit for name, unit in arrays.units.items() if "/" not in name},
    )
    return _looked_at(streamed, file)


def _values(arrays: Arrays, columns: Columns) -> tuple[str, tuple[Held, ...], bool] | None:
    """The arrays of the components with the name of the first, and whether it is one of all; None
    where they are not there as numbers, of one shape, with one of them stored."""
    names = [
        next((n for n in spellings(each) if n in arrays.values), None)
        for each in columns.components
    ]
    if all(names):
        found = tuple(arrays.values[str(name)] for name in names)
        alike = len({each.shape for each in found}) == 1 and found[0].ndim > 1
        stored = any(isinstance(each, Stored) for each in found)
        return (str(names[0]), found, False) if alike and stored else None
    one = arrays.values.get(columns.whole) if columns.whole else None
    if not isinstance(one, Stored) or one.ndim < 3 or one.shape[-1] != len(columns.components):
        return None
    return columns.whole, (one,), True


def _place(arrays: Arrays, name: str, columns: Columns) -> Held | None:
    names = (name, "time") if name == columns.axes.time else (name,)
    return next((arrays.values[each] for each in names if each in arrays.values), None)


def _axes(
    dims: Sequence[str] | None, names: tuple[str, ...], time: str | None, count: int
) -> tuple[int, ...]:
    """Which axes of a sample's array are those of the problem in their order, where the file names
    them behind that of the samples; as they are where it does not."""
    if dims is None or len(dims) < count + 1 or count != len(names):
        return tuple(range(count))
    own = [(time or each) if each == "time" and each not in names else each for each in dims]
    inner = own[1 : count + 1]
    return tuple(map(inner.index, names)) if set(inner) == set(names) else tuple(range(count))


def _at(
    named: Mapping[str, Held], shape: tuple[int, ...], samples: int, file: str
) -> tuple[Held, ...] | None:
    """The places of the rows: of a grid, of points that all samples share, or of each sample's own;
    None where they do not belong to values of that shape. Raises: ProblemError D06."""
    places = tuple(named.values())
    lines = [each.ndim == 1 for each in places]
    if len(shape) == len(places) and all(lines) and shape == tuple(each.size for each in places):
        nodes = [np.asarray(each) for each in places]
        refuse_places_twice(nodes, file, tuple(named))
        return tuple(each.ravel() for each in np.meshgrid(*nodes, indexing="ij"))
    if len(shape) == 1 and all(each.shape in (shape, (samples, *shape)) for each in places):
        return places
    return None


def _weights(
    arrays: Arrays, columns: Columns, axes: tuple[int, ...], shape: tuple[int, ...], file: str
) -> tuple[Array, Array | None]:
    """Weights of mean one, and standard deviations, of the rows of every sample; their axes lie as
    the file says, else as those of the values, `axes`.

    Raises: ProblemError D08 for those of each sample, or that are no weights.
    """
    rows = int(np.prod(shape))
    given = [name for name in WEIGHTS if name in arrays.values]
    if not given:
        return np.ones(rows), None
    values, dims = arrays.values[given[0]], arrays.dims.get(given[0])
    if dims is not None:
        axes = _axes((SAMPLE, *dims), columns.axes.names, columns.axes.time, len(dims))
    line = values.size in (1, rows) and values.size == max(values.shape, default=1)
    if values.ndim == len(axes) and values.size == rows:
        values = np.asarray(values).transpose(axes)
    elif axes != tuple(range(len(axes))):
        line = values.size == 1
    if len(given) > 1 or not (line or values.shape == shape):
        raise fail(
            "D08",
            f"{file} has {' and '.join(given)} in shape {values.shape}",
            "of a family that does not fit in memory give one number for each point, or one",
        )
    flat = np.broadcast_to(np.asarray(values, dtype=float).ravel(), (rows,))
    if not (np.isfinite(flat) & (flat > 0)).all():
        raise fail("D08", f"`{given[0]}` in {file} must be positive", "leave such points out")
    weights = flat if given[0] == "weight" else flat**-2.0
    return weights / weights.mean(), None if given[0] == "weight" else flat.copy()


class _Seen:
    """Ranges, and sums of mean squares, of coordinates and components in the samples so far."""

    def __init__(self) -> None:
        self.low: list[float] = []
        self.high: list[float] = []
        self.square: list[float] = []
        self.count = 0

    def take(self, points: Array, values: Array) -> None:
        """Points "1 m D" are those of all "b" samples."""
        count = len(values)
        columns = [each[..., k] for each in (points, values) for k in range(each.shape[-1])]
        low, high = ([f(each) for each in columns] for f in (np.min, np.max))
        square = [count * float(np.mean(each**2)) for each in columns]
        self.low = low if not self.count else list(map(min, self.low, low))
        self.high = high if not self.count else list(map(max, self.high, high))
        self.square = (
            square if not self.count else list(map(sum, zip(self.square, square, strict=True)))
        )
        self.count += count


def _looked_at(streamed: Streamed, file: str) -> Streamed:
    """With its ranges, and without the points that have no numbers in any sample.

    Raises: ProblemError D03 for other values that are no numbers, D06 for samples that are there
    twice.
    """
    met: dict[bytes, str] = {}
    first, kept, seen = np.zeros(0, bool), np.zeros(0, dtype=np.int64), _Seen()
    for some in blocks((len(streamed.order), len(streamed.kept), streamed.width)):
        points, values = streamed._read(some)
        if streamed.shared and some.start:
            points = points[:1]
        there = np.isfinite(points).all(2) & np.isfinite(values).all(2)
        first = there[0] if not some.start else first
        kept = first.nonzero()[0]
        wrong = (there != first).any(1)
        if wrong.any() or not len(kept):
            key = streamed.keys[some.start + int(wrong.argmax()) if len(kept) else 0]
            raise fail(
                "D03",
                f"sample {key} of {file} has numbers at other points than sample {streamed.keys[0]}"
                if len(kept)
                else f"sample {key} of {file} has no numbers",
                "of a family that does not fit in memory all samples lack the same points",
            )
        for k, key in enumerate(streamed.keys[some]):
            content = hashlib.blake2b(np.ascontiguousarray(values[k]), digest_size=16)
            if not streamed.shared:
                content.update(np.ascontiguousarray(points[k]))
            other = met.setdefault(content.digest(), key)
            if len(kept) >= ALIKE and other != key:
                raise fail(
                    "D06",
                    f"samples {other} and {key} of {file} are the same",
                    "leave one of them out: they would count twice",
                )
        if len(kept) < len(streamed.kept):
            points, values = points[:, kept], values[:, kept]
        seen.take(points, values)
    left_out = (len(streamed.kept) - len(kept)) * len(streamed.order)
    weights = streamed.weights[kept]
    return replace(
        streamed,
        kept=kept,
        weights=weights / weights.mean(),
        sigma=None if streamed.sigma is None else streamed.sigma[kept],
        low=np.array(seen.low),
        high=np.array(seen.high),
        square=np.array(seen.square) / seen.count,
        left_out=left_out,
    )
