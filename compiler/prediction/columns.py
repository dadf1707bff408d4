"""Tables of points and values in files: points as they come, and answers as they leave."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from compiler.arrays import Array
from compiler.files import write_atomically
from compiler.measurements.readers import read
from compiler.training.runs import RunError

KINDS = (".csv", ".npz", ".h5")


def read_points(path: Path, names: Sequence[str]) -> Array:
    """The points in a file of any kind that is read (docs/data.md), from a column for each name.
    Shapes: -> "n D".

    Raises: ProblemError D01 for a file that is missing, of another kind or damaged; RunError for
    columns that are missing, no numbers, or of different lengths.
    """
    arrays = read(path, set(names).__contains__)
    columns = [arrays.values[name] for name in names if name in arrays.values]
    if len(columns) < len(names):
        absent = next(name for name in names if name not in arrays.values)
        raise RunError(
            f"{path} has no column {absent!r}; the points need {', '.join(names)}, it has"
            f" {', '.join(arrays.names)}"
        )
    if any(each.ndim != 1 or each.dtype.kind != "f" for each in columns) or (
        len({each.shape for each in columns}) > 1
    ):
        shapes = ", ".join(f"{n} {each.shape}" for n, each in zip(names, columns, strict=True))
        raise RunError(f"{path} holds {shapes}; points are columns of numbers of one length")
    return np.stack(columns, 1)


def write_columns(path: Path, columns: Mapping[str, Array]) -> None:
    """Raises: RunError for a file of another kind."""
    out = io.BytesIO()
    if path.suffix == ".csv":
        text = io.StringIO(newline="")
        writer = csv.writer(text)
        writer.writerow(columns)
        writer.writerows(zip(*(values.tolist() for values in columns.values()), strict=True))
        out.write(text.getvalue().encode())
    elif path.suffix == ".npz":
        np.savez(out, **columns)
    elif path.suffix == ".h5":
        import h5py

        with h5py.File(out, "w") as file:
            for name, values in columns.items():
                file[name] = values
    else:
        raise RunError(f"{path} is none of {', '.join(KINDS)}")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, out.getvalue())
