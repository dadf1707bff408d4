"""Tables of points and values in files: columns by name, as a caller's measurements come, and as
answers leave."""

from __future__ import annotations

import csv
import io
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from compiler.files import write_atomically
from compiler.training.runs import RunError

Array = NDArray[np.float64]
KINDS = (".csv", ".npz", ".h5")


def read_columns(path: Path) -> dict[str, Array]:
    """The columns of a file by name: .csv with a heading, .npz and .h5 with one-dimensional arrays
    of one length.

    Raises: RunError for a file that is missing, of another kind, damaged, or whose columns differ
    in length.
    """
    if not path.is_file():
        raise RunError(f"there is no file {path}")
    if path.suffix not in KINDS:
        raise RunError(f"{path} is none of {', '.join(KINDS)}")
    try:
        found = {".csv": _csv, ".npz": _npz, ".h5": _h5}[path.suffix](path)
    except (
        OSError,
        ValueError,
        TypeError,
        LookupError,
        EOFError,
        ArithmeticError,
        zlib.error,
        zipfile.BadZipFile,
        csv.Error,
    ) as error:
        raise RunError(f"{path} cannot be read as {path.suffix[1:]}: {error}") from error
    lengths = {name: values.shape for name, values in found.items()}
    if (
        not found
        or any(len(shape) != 1 for shape in lengths.values())
        or len(set(lengths.values())) != 1
    ):
        raise RunError(
            f"{path} holds {lengths or 'nothing'}; columns are one-dimensional and of one length"
        )
    return found


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


def _csv(path: Path) -> dict[str, Array]:
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    heading, body = (
        [name.strip() for name in rows[0]],
        np.array([[float(each) for each in row] for row in rows[1:] if row]),
    )
    return {name: body[:, k] for k, name in enumerate(heading)}


def _npz(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return {name: np.asarray(file[name], dtype=float) for name in file.files}


def _h5(path: Path) -> dict[str, Array]:
    import h5py

    with h5py.File(path, "r") as file:
        return {name: np.asarray(file[name], dtype=float) for name in file}
