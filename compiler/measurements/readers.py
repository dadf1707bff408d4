"""Readers of data files, one for each format: arrays by name.

Nothing in a file is executed: pickles and arrays of Python objects are refused.
"""

from __future__ import annotations

import csv
import importlib
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
from numpy.typing import NDArray
from scipy.io.matlab import MatReadError

from compiler.geometry.shapes.meshfile import Unreadable, guarded
from compiler.measurements.stored import IN_MEMORY, Stored
from pdespec.errors import fail, suggestion

Wanted = Callable[[str], bool]
FILL = ("_FillValue", "missing_value")  # attributes that name the number written for no value
# that of netCDF for floats that were never written; libraries other than netCDF4 show it as it is
NEVER_WRITTEN = 9.969209968386869e36
LARGEST = 2**33  # bytes of the arrays of a file that are loaded
EXTRAS = {"pyarrow": "data", "xarray": "xarray", "meshio": "mesh", "h5netcdf": "data"}


class Axes(NamedTuple):
    """What the coordinates and the time of a problem are called."""

    space: tuple[str, ...] = ()
    time: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """The coordinates in order, time last."""
        return (*self.space, *(() if self.time is None else (self.time,)))


UNNAMED = Axes()


@dataclass(frozen=True)
class Arrays:
    """The arrays of a file that were asked for, by name (`group/name` in a group); the names of all
    that it holds; units, and names of axes, where it gives them. Numbers are float64, NaN where
    there is none; labels are strings. What is large in an HDF5 file is `Stored`."""

    values: Mapping[str, Any]
    names: tuple[str, ...]
    units: Mapping[str, str] = field(default_factory=dict)
    dims: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def group(self, name: str) -> Arrays:
        """The arrays of a group, by their names in it."""
        start = f"{name}/"

        def inner(given: Mapping[str, Any]) -> dict[str, Any]:
            return {
                key.removeprefix(start): value
                for key, value in given.items()
                if key.startswith(start)
            }

        names = tuple(each.removeprefix(start) for each in self.names if each.startswith(start))
        return Arrays(inner(self.values), names, inner(self.units), inner(self.dims))


def read(path: Path, wanted: Wanted = lambda name: True, axes: Axes = UNNAMED) -> Arrays:
    """The arrays of a file whose names, without their group, are `wanted`; others are not loaded.

    `axes`: what coordinates are called, for formats that hold points without names. Raises:
    ProblemError D01 for a file that is missing, of another kind or damaged, and for one that holds
    Python objects.
    """
    if not path.exists():
        hint = "paths are relative to the folder of the text that names them"
        beside = (each.name for each in path.parent.glob("*") if each.is_file())
        raise fail("D01", f"there is no file {path}", suggestion(path.name, beside, hint, quote=""))
    if not path.is_file():
        raise fail("D01", f"{path} is not a regular file", "name a file with measured values")
    if path.suffix.lower() not in READERS:
        raise fail(
            "D01",
            f"{path} is of no kind that is read",
            f"write {', '.join(READERS)}",
        )
    try:
        refuse_large(path.stat().st_size if path.suffix.lower() in TEXTS else 0)
        return READERS[path.suffix.lower()](path, wanted, axes)
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        ArithmeticError,
        RuntimeError,
        AttributeError,
        NameError,  # of scipy's reader of .mat, in files that are damaged
        AssertionError,
        struct.error,
        zlib.error,
        zipfile.BadZipFile,
        ElementTree.ParseError,
        csv.Error,
        MatReadError,
        Unreadable,
    ) as error:
        if getattr(error, "diagnostics", None):
            raise
        what = str(error) or type(error).__name__
        if "pickle" in what or "Object arrays" in what:
            raise fail(
                "D01",
                f"{path} holds Python objects, which are not read: loading them runs code",
                "save arrays of numbers",
            ) from error
        raise fail(
            "D01",
            f"{path} cannot be read as {path.suffix[1:]}: {what}",
            "write the file anew, or as .csv, .npz or .h5",
        ) from error


def refuse_large(bytes_: int) -> None:
    """Before arrays are loaded, which may be packed in a small file. Raises: ValueError."""
    if bytes_ > LARGEST:
        raise ValueError(
            f"its arrays take {bytes_ / 2**30:.3g} GiB, more than {LARGEST / 2**30:.3g}; thin them"
            " out"
        )


def library(name: str) -> Any:
    """A library that a format needs. Raises: ProblemError D01 with the extra that brings it."""
    try:
        return importlib.import_module(name)
    except ImportError:
        raise fail(
            "D01",
            f"files of this kind are read by {name}, which is not installed",
            f"pip install 'pdespec[{EXTRAS[name.partition('.')[0]]}]', or write .csv, .npz or .h5",
        ) from None


def numbers(values: NDArray[Any], fills: Iterable[float] = ()) -> NDArray[Any]:
    """An array as float64, complex128 or strings; NaN where it has one of the fill values.

    Raises: ValueError for Python objects and records.
    """
    values = np.asarray(
        np.ma.filled(values.astype(float), np.nan) if np.ma.isMA(values) else values
    )
    if values.dtype.kind in "SU":
        return values.astype(str)
    if values.dtype.kind == "O":
        if all(isinstance(each, (str, bytes)) for each in values.flat):
            texts = [each.decode() if isinstance(each, bytes) else each for each in values.flat]
            return np.array(texts, dtype=str).reshape(values.shape)
        raise ValueError("Object arrays are not read")
    if values.dtype.kind not in "biufc":
        raise ValueError(f"values of kind {values.dtype} are not numbers")
    fills = [float(each) for each in fills]
    holes = np.isin(values, np.array(fills, dtype=values.dtype)) if fills else None
    found = values.astype(complex if values.dtype.kind == "c" else float)
    if holes is not None:
        found[holes] = np.nan
    if found.dtype.kind == "f":
        found[np.isclose(found, NEVER_WRITTEN, rtol=1e-6)] = np.nan
    return found


# --------------------------------------------------------------------------------------------------
# text


def _csv(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    """Columns under a heading: separated by commas, semicolons or tabs, or by blanks; with a comma
    for the decimal point where it separates nothing. Units are in the heading, `T [K]` or
    `T (K)`, or in a row below it."""
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    notes = [line.lstrip("#% ") for line in lines if line.lstrip()[:1] in ("#", "%")]
    rows = [line for line in lines if line.strip() and line.lstrip()[:1] not in ("#", "%")]
    if not rows:
        raise ValueError("it has no rows")
    split, decimal = _separated(rows[0])
    table = [split(line) for line in rows]
    if all(_is_number(each, decimal) for each in table[0]) and notes:
        split, _ = _separated(notes[-1])
        table.insert(0, split(notes[-1]))
    names, units = zip(*map(heading, table[0]), strict=True)
    units = {name: unit for name, unit in zip(names, units, strict=True) if unit}
    body = table[1:]
    if body and not any(_is_number(each, decimal) for each in body[0]) and any(body[0]):
        units |= {n: u.strip("[]() ") for n, u in zip(names, body[0], strict=False) if u.strip()}
        body = body[1:]
    if len(set(names)) < len(names):
        raise ValueError(f"columns are named twice: {', '.join(names)}")
    for k, row in enumerate(body):
        if len(row) != len(names):
            raise ValueError(f"row {k + 1} has {len(row)} cells under {len(names)} names")
    values = {
        name: _column([row[k] for row in body], name, decimal)
        for k, name in enumerate(names)
        if wanted(name)
    }
    return Arrays(values, names, units)


def _separated(line: str) -> tuple[Callable[[str], list[str]], str]:
    """How a heading, and the lines below it, fall into cells; and the decimal point of numbers."""
    mark = next((each for each in (";", "\t", ",") if each in line), None)
    if mark is None:
        return str.split, ","

    def split(text: str) -> list[str]:
        return [each.strip() for each in next(csv.reader([text], delimiter=mark))]

    return split, "." if mark == "," else ","


HEADING = re.compile(
    r"(?P<name>.*?)(?:\s*\[(?P<unit>[^\]\d][^\]]*)\]|\s+\((?P<other>[^)]*)\))?\s*$"
)


def heading(cell: str) -> tuple[str, str]:
    """The name and the unit in a cell of a heading."""
    found = HEADING.match(cell)
    if found is None or not found["name"]:
        return cell, ""
    return found["name"], found["unit"] or found["other"] or ""


NOTHING = ("", "nan", "na", "n/a", "null", "none", "-")


def _is_number(cell: str, decimal: str) -> bool:
    try:
        float(cell.replace(decimal, "."))
    except ValueError:
        return False
    return True


def _column(cells: Sequence[str], name: str, decimal: str) -> NDArray[Any]:
    """Numbers; strings where the column is that of samples and holds other words."""
    try:
        return np.array(
            [
                np.nan if each.lower() in NOTHING else float(each.replace(decimal, "."))
                for each in cells
            ]
        )
    except ValueError as error:
        if name == SAMPLE:
            return np.array(list(cells), dtype=str)
        raise ValueError(f"column {name}: {error}") from error


SAMPLE = "sample"  # the name of the key of families


# --------------------------------------------------------------------------------------------------
# arrays


def _npz(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    with np.load(path, allow_pickle=False) as file:
        chosen = [name for name in file.files if wanted(name.split("/")[-1])]
        sizes = {each.filename: each.file_size for each in file.zip.infolist()}
        refuse_large(sum(sizes.get(f"{name}.npy", sizes.get(name, 0)) for name in chosen))
        return Arrays({name: numbers(file[name]) for name in chosen}, tuple(file.files))


def _h5(path: Path, wanted: Wanted, axes: Axes, matlab: bool = False) -> Arrays:
    """Datasets by their path. Attributes: `units`, `_FillValue`; dimension scales or labels name
    axes. MATLAB 7.3 writes its arrays with their axes reversed."""
    import h5py

    values, names, units, dims = {}, [], {}, {}

    def visit(name: str, each: Any) -> None:
        if not isinstance(each, h5py.Dataset) or name.startswith("#refs#"):
            return
        names.append(name)
        if not wanted(name.split("/")[-1]):
            return
        fills = tuple(float(np.ravel(each.attrs[key])[0]) for key in FILL if key in each.attrs)
        large = 8 * int(each.size or 0) > IN_MEMORY and each.ndim > 1 and each.dtype.kind in "iuf"
        if large and not matlab:
            values[name] = Stored(path, name, each.shape, partial(numbers, fills=fills))
        else:
            held = (found.size for found in values.values() if isinstance(found, np.ndarray))
            refuse_large(8 * (int(each.size or 0) + sum(held)))
            found = numbers(each[()], fills)
            values[name] = found.T if matlab else found
        if "units" in each.attrs:
            unit = each.attrs["units"]
            units[name] = unit.decode() if isinstance(unit, bytes) else str(unit)
        labels = [
            (axis.label or (list(axis.keys()) or [""])[0]).split("/")[-1] for axis in each.dims
        ]
        if each.ndim and all(labels) and not matlab:
            dims[name] = tuple(labels)

    with h5py.File(path, "r") as file:
        file.visititems(visit)
    return Arrays(values, tuple(names), units, dims)


def _mat(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    """Variables, axes as in MATLAB."""
    import h5py
    from scipy.io import loadmat, whosmat

    if h5py.is_hdf5(path):
        return _h5(path, wanted, axes, matlab=True)
    held = {name: int(np.prod(shape)) for name, shape, _ in whosmat(str(path))}
    names = tuple(held)
    chosen = [name for name in names if wanted(name)]
    refuse_large(8 * sum(held[name] for name in chosen))
    found = loadmat(str(path), variable_names=chosen) if chosen else {}
    return Arrays({name: numbers(found[name]) for name in chosen}, names)


def _parquet(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    parquet = library("pyarrow.parquet")
    names = parquet.read_schema(path).names
    table = parquet.read_table(path, columns=[name for name in names if wanted(name)])
    found = {
        name: numbers(table.column(name).to_numpy(zero_copy_only=False))
        for name in table.column_names
    }
    return Arrays(found, tuple(names))


def _netcdf(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    """Variables with named axes, unpacked. A time `.. since ..` is left in its numbers and unit."""
    import h5py

    xarray = library("xarray")
    if h5py.is_hdf5(path):
        library("h5netcdf")
    with xarray.open_dataset(path, decode_times=False) as dataset:
        found = {name: dataset[name] for name in map(str, dataset.variables) if wanted(name)}
        units = {
            name: str(each.attrs["units"]).partition(" since ")[0]
            for name, each in found.items()
            if "units" in each.attrs
        }
        return Arrays(
            {name: numbers(each.values) for name, each in found.items()},
            tuple(map(str, dataset.variables)),
            units,
            {name: tuple(map(str, each.dims)) for name, each in found.items()},
        )


# --------------------------------------------------------------------------------------------------
# meshes


def _vtu(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    return _joined([(None, _mesh(path))], wanted, axes)


def _mesh(path: Path) -> Any:
    meshio = library("meshio")
    return guarded(lambda: meshio.read(path))


def _pvd(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    """The files of a collection, each at its time; meshio cannot read one."""
    if b"<!" in path.read_bytes()[:4096]:  # no entities, which could refer to other files
        raise ValueError("it declares entities")
    sets = ElementTree.parse(path).getroot().iter("DataSet")
    found = [(float(each.attrib["timestep"]), each.attrib["file"]) for each in sets]
    return _joined([(t, _mesh(path.parent / name)) for t, name in found], wanted, axes)


def _xdmf(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    """One mesh, or a series, which meshio reads by another class."""
    if not _is_series(path):
        return _joined([(None, _mesh(path))], wanted, axes)
    meshio = library("meshio")

    def read_series() -> tuple[Any, Any, list[Any]]:
        with meshio.xdmf.TimeSeriesReader(path) as reader:
            points, cells = reader.read_points_cells()
            return points, cells, [reader.read_data(k) for k in range(reader.num_steps)]

    points, cells, steps = guarded(read_series)
    return _joined(
        [
            (t, meshio.Mesh(points, cells, point_data, cell_data))
            for t, point_data, cell_data in steps
        ],
        wanted,
        axes,
    )


def _is_series(path: Path) -> bool:
    text = path.read_text(encoding="utf-8")
    return 'CollectionType="Temporal"' in text


def _joined(steps: Sequence[tuple[float | None, Any]], wanted: Wanted, axes: Axes) -> Arrays:
    """Values at the points of meshes, one mesh a time, as columns; those of cells at their
    middles, where the points have none."""
    columns: dict[str, list[NDArray[Any]]] = {}
    names: dict[str, None] = {}
    timed = axes.time is not None and any(time is not None for time, _ in steps)
    for time, mesh in steps:
        at = np.asarray(mesh.points, dtype=float)
        data = dict(mesh.point_data)
        if not any(map(wanted, data)) and mesh.cell_data:
            at = np.concatenate([at[block.data].mean(1) for block in mesh.cells])
            data = {name: np.concatenate(blocks) for name, blocks in mesh.cell_data.items()}
        names |= dict.fromkeys(data)
        found = {name: at[:, k] for k, name in enumerate(axes.space[: at.shape[1]])}
        if timed:
            found[axes.time] = np.full(len(at), time)
        found |= {name: numbers(np.asarray(each)) for name, each in data.items() if wanted(name)}
        for name, each in found.items():
            columns.setdefault(name, []).append(each)
    values = {name: np.concatenate(parts) for name, parts in columns.items()}
    return Arrays(values, (*axes.names, *names))


TEXTS = (".csv", ".txt", ".tsv")
Reader = Callable[[Path, Wanted, Axes], Arrays]
READERS: dict[str, Reader] = {
    ".csv": _csv,
    ".txt": _csv,
    ".tsv": _csv,
    ".npz": _npz,
    ".h5": _h5,
    ".hdf5": _h5,
    ".mat": _mat,
    ".parquet": _parquet,
    ".nc": _netcdf,
    ".vtu": _vtu,
    ".vtk": _vtu,
    ".pvd": _pvd,
    ".xdmf": _xdmf,
}
