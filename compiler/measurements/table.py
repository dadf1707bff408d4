"""Measured values as rows: points, values, weights and samples, from arrays in either of two
layouts.

Points: every coordinate and every value is an array of one shape, a column. Grid: a coordinate is a
1-D array of places, a value an array with an axis for each coordinate, in the order of the
problem's coordinates, time last. Families have a column `sample`, or a first axis of samples. A
vector has its components by name (`v.x` or `v_x`), or one array with a last axis of components.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from compiler.arrays import Array, IntArray
from compiler.measurements.readers import SAMPLE, Arrays, Axes
from pdespec.errors import fail, suggestion

WEIGHTS = ("weight", "sigma")
ALIKE = 3  # rows from which on samples of one content are one sample


@dataclass(frozen=True)
class Table:
    """Rows of measured values. Shapes: points "n D", time last; values "n c"; weights "n", of mean
    one; sigma "n", the standard deviations where the file has them; samples "n", numbers of `keys`,
    the samples' names. `left_out` rows had no number; `units` by name."""

    points: Array
    values: Array
    weights: Array
    samples: IntArray
    keys: tuple[str, ...] = ("0",)
    sigma: Array | None = None
    left_out: int = 0
    units: Mapping[str, str] = field(default_factory=dict)
    family: bool = False

    def __len__(self) -> int:
        return len(self.points)

    @property
    def width(self) -> int:
        """How many components there are."""
        return self.values.shape[1]

    @property
    def low(self) -> Array:
        """The least of each coordinate and component. Shapes: "D+c"."""
        return np.concatenate([self.points.min(0), self.values.min(0)])

    @property
    def high(self) -> Array:
        """The largest. Shapes: "D+c"."""
        return np.concatenate([self.points.max(0), self.values.max(0)])

    @property
    def square(self) -> Array:
        """The mean square. Shapes: "D+c"."""
        return np.concatenate([np.mean(each**2, 0) for each in (self.points, self.values)])

    def numbered(self, keys: Sequence[str]) -> Table:
        """The rows of samples in `keys`, numbered as there, of which it has all."""
        place = {key: k for k, key in enumerate(keys)}
        numbers = np.array([place.get(key, -1) for key in self.keys])[self.samples]
        return replace(self.take(numbers >= 0), samples=numbers[numbers >= 0], keys=tuple(keys))

    def take(self, rows: NDArray[Any]) -> Table:
        """Some of the rows."""
        return replace(
            self,
            points=self.points[rows],
            values=self.values[rows],
            weights=self.weights[rows],
            samples=self.samples[rows],
            sigma=None if self.sigma is None else self.sigma[rows],
        )

    def points_of(self, number: int) -> Array:
        """The points of one sample."""
        return self.points[self.rows[number]]

    def sample(self, number: int) -> Table:
        """The rows of one sample."""
        return self.take(self.rows[number])

    @cached_property
    def rows(self) -> list[IntArray]:
        """The rows of each sample, in their order."""
        order = np.argsort(self.samples, kind="stable")
        ends = np.cumsum(np.bincount(self.samples, minlength=len(self.keys)))
        return np.split(order, ends[:-1])


@dataclass(frozen=True)
class Columns:
    """What a table is made of: the names of coordinates, and of values by what else they may be
    called. `whole`: one array that holds all components along its last axis."""

    axes: Axes
    components: tuple[str, ...]
    whole: str = ""

    def names(self) -> set[str]:
        """Every name that is read."""
        found = {*self.axes.names, *WEIGHTS, SAMPLE, "time", self.whole}
        for each in self.components:
            found |= set(spellings(each))
        return found


def spellings(component: str) -> tuple[str, ...]:
    """What a column of a component may be called: `v.x`, `v_x`; `psi.re`, `psi_re`."""
    return (component, component.replace(".", "_"))


def tabulated(arrays: Arrays, columns: Columns, file: str, repeated: bool | None = False) -> Table:
    """The rows of arrays; `repeated` ones are refused, or taken once.

    Raises: ProblemError D02 for what is absent or does not fit together, D03 where no row has
    numbers, D06 for rows and samples that are there twice, D07 for samples without a name each, D08
    for weights that are none.
    """
    found = _Found(arrays, columns, file)
    places = [found.coordinate(name) for name in columns.axes.names]
    values = found.values()  # components last
    shape = values.shape[:-1]
    keys = found.keys()
    if all(each.shape == shape for each in places) and not _named_rows(keys, shape):  # points
        points = np.stack([each.ravel() for each in places], -1)
        samples, keys, family = _of_points(keys, shape, file)
    elif _rows_of_samples([each.shape for each in places], shape, keys):
        points = np.stack([np.broadcast_to(each, shape).ravel() for each in places], -1)
        samples, keys, family = _of_rows(keys, shape, file)
    elif all(each.ndim == 1 for each in places):
        points, samples, keys, family = found.grid(places, shape, keys)
        repeated = None  # of which there are none, since there are none along any axis
    else:
        raise found.mismatch(places, shape)
    flat = values.reshape(-1, values.shape[-1])
    weights, sigma = found.weights(shape, family)
    numbers = np.isfinite(points).all(1) & np.isfinite(flat).all(1) & np.isfinite(weights)
    if not numbers.any():
        raise fail(
            "D03",
            f"none of {len(numbers)} rows of {file} has numbers for all of"
            f" {', '.join((*columns.axes.names, *columns.components))}",
            "rows with empty cells, NaN or the fill value are left out",
        )
    table = Table(points, flat, weights, samples, keys, sigma, 0, dict(found.units), family).take(
        numbers
    )
    table = replace(
        table, weights=table.weights / table.weights.mean(), left_out=int((~numbers).sum())
    )
    if repeated:
        rows = np.column_stack([table.samples, table.points, table.values])
        table = table.take(np.sort(np.unique(rows, axis=0, return_index=True)[1]))
    elif repeated is not None:
        refuse_repeated(table, file)
    return _renumbered(table)


def _renumbered(table: Table) -> Table:
    """Without samples of which nothing is left."""
    present = np.unique(table.samples)
    if len(present) == len(table.keys):
        return table
    keys = tuple(table.keys[k] for k in present)
    return replace(table, samples=np.searchsorted(present, table.samples), keys=keys)


def _named_rows(keys: NDArray[Any] | None, shape: tuple[int, ...]) -> bool:
    """Whether there is a name for each row of 2-D arrays."""
    return keys is not None and len(shape) == 2 and keys.shape == shape[:1]


def _rows_of_samples(
    places: Sequence[tuple[int, ...]], shape: tuple[int, ...], keys: NDArray[Any] | None
) -> bool:
    """Whether values have a first axis of samples over one axis of points: several coordinates of
    one length, which are no grid unless the values are square and nothing names samples."""
    if len(shape) != 2 or any(each not in (shape, shape[1:]) for each in places):
        return False
    return _named_rows(keys, shape) or (len(places) > 1 and shape[0] != shape[1])


def _of_points(
    keys: NDArray[Any] | None, shape: tuple[int, ...], file: str
) -> tuple[IntArray, tuple[str, ...], bool]:
    """The samples of rows, with a column of them or without."""
    if keys is None:
        return np.zeros(int(np.prod(shape)), dtype=np.int64), ("0",), False
    if keys.shape != shape:
        raise fail(
            "D07",
            f"{file} names the samples of {keys.size} rows and holds {int(np.prod(shape))}",
            "give one name for each row",
        )
    names, numbers = np.unique(keys.ravel(), return_inverse=True)
    return numbers.reshape(-1).astype(np.int64), tuple(map(_name, names)), True


def _of_rows(
    keys: NDArray[Any] | None, shape: tuple[int, int], file: str
) -> tuple[IntArray, tuple[str, ...], bool]:
    """The samples of arrays with a first axis of them."""
    names = keys_of(keys, shape[0], file)
    return np.repeat(np.arange(shape[0]), shape[1]), names, True


def keys_of(keys: NDArray[Any] | None, count: int, file: str) -> tuple[str, ...]:
    """Raises: ProblemError D06 for a name that is there twice."""
    names = tuple(map(str, range(count))) if keys is None else tuple(map(_name, keys.ravel()))
    if len(set(names)) < len(names):
        twice = next(each for each in names if names.count(each) > 1)
        raise fail(
            "D06", f"{file} holds sample {twice} twice", "give each sample a name of its own"
        )
    return names


def _name(key: Any) -> str:
    """A sample's name: whole numbers without their point."""
    try:
        number = float(key)
    except ValueError:
        return str(key)
    return str(int(number)) if number.is_integer() else str(number)


class _Found:
    """The arrays of a table, looked up by name."""

    def __init__(self, arrays: Arrays, columns: Columns, file: str) -> None:
        self.arrays, self.columns, self.file = arrays, columns, file
        self.units: dict[str, str] = {}

    def array(self, names: Sequence[str], called: str) -> tuple[str, NDArray[Any]] | None:
        for name in names:
            if name in self.arrays.values:
                if name in self.arrays.units:
                    self.units[called] = self.arrays.units[name]
                return name, self.arrays.values[name]
        return None

    def absent(self, name: str) -> Exception:
        held = ", ".join(self.arrays.names[:12]) or "nothing"
        return fail(
            "D02",
            f"{self.file} has no `{name}`; it has {held}",
            suggestion(name, self.arrays.names, "name its columns as the problem does"),
        )

    def coordinate(self, name: str) -> NDArray[Any]:
        names = (name, "time") if name == self.columns.axes.time else (name,)
        found = self.array(names, name)
        if found is None:
            raise self.absent(name)
        return _column(found[1])

    def values(self) -> NDArray[Any]:
        """All components, along the last axis."""
        whole, names = self.columns.whole, self.columns.components
        found = [self.array(spellings(each), each) for each in names]
        if all(each is not None for each in found):
            stored = [_column(each[1]) for each in found]  # type: ignore[index]
            if len({each.shape for each in stored}) > 1:
                raise fail(
                    "D02",
                    f"{self.file} has {', '.join(names)} in shapes"
                    f" {', '.join(str(each.shape) for each in stored)}",
                    "give all components at the same points",
                )
            if any(np.iscomplexobj(each) for each in stored):
                raise fail(
                    "D02",
                    f"`{found[0][0]}` in {self.file} is complex",  # type: ignore[index]
                    f"name it `{whole}`, or give {names[0]} as real numbers",
                )
            return self.turned(np.stack(stored, -1), found[0][0])  # type: ignore[index]
        one = self.array((whole,), whole) if whole else None
        if one is None:
            raise self.absent(next(n for n, each in zip(names, found, strict=True) if each is None))
        values = one[1]
        if np.iscomplexobj(values):
            values = np.stack([values.real, values.imag], -1)
            values = values if len(names) == 2 else values.reshape(*values.shape[:-2], -1)
        # what formats of meshes write in three components
        if values.ndim > 1 and values.shape[-1] == 3 and len(names) == 2:
            values = values[..., :2]
        if values.ndim < 2 or values.shape[-1] != len(names):
            raise fail(
                "D02",
                f"`{whole}` in {self.file} has shape {values.shape}; its last axis must hold"
                f" {', '.join(names)}",
                f"or give {', '.join(names)} as arrays of their own",
            )
        return self.turned(values, one[0])

    def turned(self, values: NDArray[Any], name: str) -> NDArray[Any]:
        """Values with their axes in the order of the problem, where the file names them: one of
        samples, the coordinates, and what follows them. Axes of length one are left out.

        Raises: ProblemError D02 for an axis that the problem does not know.
        """
        dims, names = self.arrays.dims.get(name), self.columns.axes.names
        if dims is None or len(dims) < values.ndim - 1:
            return values
        dims = dims[: values.ndim - 1]
        called = {"time": self.columns.axes.time}
        dims = [(called.get(each) or each) if each not in names else each for each in dims]
        if not set(names) <= set(dims):
            return values
        rest = [k for k, each in enumerate(dims) if each not in names and values.shape[k] > 1]
        if any(dims[k] != SAMPLE for k in rest):
            raise fail(
                "D02",
                f"`{name}` in {self.file} has an axis {dims[rest[-1]]}, which the problem does not"
                " know",
                "take one of its places, or call it sample",
            )
        alone = [k for k, each in enumerate(dims) if each not in names and values.shape[k] == 1]
        order = [*rest, *(dims.index(each) for each in names)]
        after = range(len(dims), values.ndim)
        return values.transpose(*alone, *order, *after).reshape(
            *(values.shape[k] for k in (*order, *after))
        )

    def keys(self) -> NDArray[Any] | None:
        found = self.array((SAMPLE,), SAMPLE)
        return None if found is None else _column(found[1])

    def grid(
        self,
        places: Sequence[NDArray[Any]],
        shape: tuple[int, ...],
        keys: NDArray[Any] | None,
    ) -> tuple[NDArray[Any], IntArray, tuple[str, ...], bool]:
        """Points and samples of values on a grid."""
        names = self.columns.axes.names
        own = tuple(len(each) for each in places)
        family = len(shape) == len(own) + 1
        if shape[-len(own) :] != own or len(shape) > len(own) + 1:
            raise self.mismatch(places, shape)
        refuse_places_twice(places, self.file, names)
        mesh = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, len(own))
        if not family:
            if keys is not None and keys.size > 1:
                raise self.mismatch(places, shape)
            return mesh, np.zeros(len(mesh), dtype=np.int64), ("0",), False
        if keys is not None and keys.size != shape[0]:
            raise fail(
                "D07",
                f"{self.file} names {keys.size} samples and holds {shape[0]}",
                "give one name for each",
            )
        samples = np.repeat(np.arange(shape[0]), len(mesh))
        return np.tile(mesh, (shape[0], 1)), samples, keys_of(keys, shape[0], self.file), True

    def mismatch(self, places: Sequence[NDArray[Any]], shape: tuple[int, ...]) -> Exception:
        """What is said of coordinates and values that do not fit together."""
        names = self.columns.axes.names
        lengths = ", ".join(f"{n} {each.shape}" for n, each in zip(names, places, strict=True))
        own = [each.size for each in places]
        turned = [
            order
            for order in permutations(range(len(own)))
            if tuple(own[k] for k in order) == shape[-len(own) :]
        ]
        hint = (
            f"its axes are ({', '.join(names[k] for k in turned[0])}); order them as"
            f" ({', '.join(names)})"
            if turned
            else "give one value for each point, or an axis for each coordinate"
        )
        return fail(
            "D02",
            f"{self.file} has values of shape {shape} at coordinates {lengths}",
            hint,
        )

    def weights(self, shape: tuple[int, ...], family: bool) -> tuple[Array, Array | None]:
        """Weights, from those in the file or from standard deviations: 1/sigma^2; of a family also
        those of the points of any sample. Shapes: "n"."""
        given = {name: self.array((name,), name) for name in WEIGHTS}
        given = {name: each for name, each in given.items() if each is not None}
        size = int(np.prod(shape))
        if not given:
            return np.ones(size), None
        if len(given) == 2:
            raise fail(
                "D08",
                f"{self.file} has both weight and sigma",
                "give one: the weight of a row is 1/sigma^2",
            )
        ((name, (_, values)),) = given.items()
        values = self.turned(_column(values)[..., None], name)[..., 0]
        if values.shape not in (shape, (), (1,), *((shape[1:],) if family else ())):
            raise fail(
                "D02",
                f"`{name}` in {self.file} has shape {values.shape}, the values {shape}",
                "give one for each value, or a number",
            )
        flat = np.broadcast_to(values, shape).ravel().astype(float)
        known = flat[np.isfinite(flat)]
        if not (known > 0).all() if name == "sigma" else not ((known >= 0).all() and known.any()):
            least = f"the least is {known.min():.6g}" if known.size else "none is a number"
            raise fail(
                "D08", f"`{name}` in {self.file} must be positive; {least}", "leave such rows out"
            )
        return (flat, None) if name == "weight" else (flat.astype(float) ** -2.0, flat)


def _column(values: NDArray[Any]) -> NDArray[Any]:
    """An array without the axes of length one that MATLAB gives a column or a row."""
    return values.reshape(-1) if values.ndim == 2 and 1 in values.shape else values


def refuse_places_twice(places: Sequence[NDArray[Any]], file: str, names: Sequence[str]) -> None:
    """Raises: ProblemError D06 for an axis of a grid that has a place twice."""
    for name, each in zip(names, places, strict=True):
        if len(np.unique(each)) < len(each):
            raise fail(
                "D06",
                f"{file} holds places along {name} twice",
                "give each place once, or the values as points",
            )


def refuse_repeated(table: Table, file: str) -> None:
    """Raises: ProblemError D06 for rows that are there twice."""
    rows = np.column_stack([table.samples, table.points, table.values])
    order = np.lexsort(rows.T)
    same = (rows[order][1:] == rows[order][:-1]).all(1)
    if same.any():
        place = rows[order][1:][same][0][1 : 1 + table.points.shape[1]]
        raise fail(
            "D06",
            f"{file} holds {int(same.sum())} rows twice, one at"
            f" ({', '.join(f'{x:.6g}' for x in place)})",
            "leave repeated rows out: they would count twice",
        )


def refuse_alike(table: Table, file: str) -> None:
    """Raises: ProblemError D06 for samples that are another's under a name of their own."""
    met: dict[bytes, str] = {}
    for number, key in enumerate(table.keys if len(table.keys) > 1 else ()):
        own = table.sample(number)
        content = hashlib.blake2b(own.points.tobytes() + own.values.tobytes()).digest()
        if len(own) >= ALIKE and content in met:
            raise fail(
                "D06",
                f"samples {met[content]} and {key} of {file} are the same",
                "leave one of them out: they would count twice",
            )
        met[content] = key
