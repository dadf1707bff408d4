"""Mesh and data files: a small mesh, table or file of measured values with tokens, lines, counts
and bytes changed, then read."""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np

import pdespec
from compiler.fem.meshing.mesh_report import report
from compiler.measurements.measured import refuse_wrong_files
from compiler.prediction.columns import read_points
from compiler.training.runs import RunError

SQUARE = Path(__file__).parents[1] / "text" / "diagnostics" / "square.msh"
TOKENS = (
    "0",
    "-1",
    "1",
    "2",
    "3",
    "99",
    "1000000000",
    "-5",
    "1e400",
    "nan",
    "inf",
    "x",
    "",
    "1.5",
    "$EndNodes",
    "4294967296",
)
TABLE = "x,y,u\n0,0,1\n0.5,0.25,2\n1,1,3\n"


def attempt(rng: random.Random) -> str:
    with tempfile.TemporaryDirectory() as place:
        if rng.random() < 0.7:
            return _mesh(Path(place), rng)
        return (_table if rng.random() < 0.5 else _measured)(Path(place), rng)


def _spoilt(text: str, rng: random.Random, separator: str) -> str:
    lines = text.split("\n")
    for _ in range(rng.choice([1, 1, 2, 5])):
        k = rng.randrange(len(lines))
        words, way = lines[k].split(separator), rng.random()
        if way < 0.6:
            words[rng.randrange(len(words))] = rng.choice(TOKENS)
            lines[k] = separator.join(words)
        elif way < 0.75 and len(lines) > 1:
            del lines[k]
        elif way < 0.9:
            lines.insert(k, rng.choice(lines))
        else:
            lines[k] = lines[k][: rng.randrange(len(lines[k]) + 1)]
    return "\n".join(lines)


def _said(check: Callable[[pdespec.Problem], object], path: Path) -> str:
    try:
        check(pdespec.load(path))
    except pdespec.ProblemError as error:
        assert str(error)
        return f"refused {error.diagnostics[0].code}"
    return "accepted"


def _mesh(place: Path, rng: random.Random) -> str:
    data = _spoilt(SQUARE.read_text(), rng, " ").encode()
    if rng.random() < 0.2:
        data = data[: rng.randrange(len(data))]
    (place / "square.msh").write_bytes(data)
    text = (
        'problem p\nspace x, y\ndomain D = mesh("square.msh")\nunknown u : scalar on D\nin D:'
        " lap(u) = 1\non boundary(D): u = 0\n"
    )
    (place / "p.pde").write_text(text)
    return _said(report, place / "p.pde")


def _table(place: Path, rng: random.Random) -> str:
    kind = rng.choice([".csv", ".csv", ".npz", ".h5", ".txt"])
    path = place / f"table{kind}"
    if kind == ".npz":
        np.savez(
            path,
            x=np.arange(3.0),
            y=rng.choice(
                [
                    np.arange(3.0),
                    np.arange(4),
                    np.array(["a", "b", "c"]),
                    np.zeros((3, 1)),
                    np.array(1),
                ]
            ),
        )
    else:
        path.write_text(_spoilt(TABLE, rng, ","))
    data = path.read_bytes()
    if rng.random() < 0.4:
        path.write_bytes(data[: rng.randrange(len(data))])
    try:
        points = read_points(path, ["x", "y"])
    except (RunError, pdespec.ProblemError) as error:
        assert str(error)
        return f"refused {type(error).__name__}"
    assert points.ndim == 2 and points.dtype == float
    return "accepted"


def _measured(place: Path, rng: random.Random) -> str:
    """A file that a problem names. Those of MATLAB are left out: scipy's reader crashes on some."""
    kind = rng.choice([".csv", ".npz", ".h5"])
    path, grid = place / f"u{kind}", np.linspace(0, 1, 3)
    if kind == ".npz":
        np.savez(path, x=grid, y=grid, u=np.arange(18.0).reshape(2, 3, 3), sample=["a", "b"])
    elif kind == ".h5":
        with h5py.File(path, "w") as file:
            file["x"], file["y"], file["u"] = grid, grid, np.arange(9.0).reshape(3, 3)
            file["u"].attrs.update({"units": "K", "_FillValue": -1.0})
    else:
        path.write_text(_spoilt(TABLE, rng, ","))
    data = bytearray(path.read_bytes())
    for _ in range(rng.choice([1, 3, 20]) if kind != ".csv" else rng.choice([0, 1])):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randrange(len(data))] if rng.random() < 0.2 else data)
    (place / "p.pde").write_text(
        "problem p\nspace x, y\ndomain D = rectangle([0, 0], [1, 1])\nunknown u : scalar on D [K]\n"
        f'in D: lap(u) = 1\non boundary(D): u = 0\ndata u on D from "u{kind}"\n'
    )
    return _said(refuse_wrong_files, place / "p.pde")
