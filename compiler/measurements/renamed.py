"""Columns of files under other names than the problem's: `from "run.csv" (x = "position")`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from compiler.measurements.readers import TEXTS, Arrays, Axes, Wanted, heading, read
from pdespec.errors import fail, suggestion
from pdespec.words import spell


def read_as(path: Path, wanted: Wanted, axes: Axes, called: Sequence[tuple[str, str]]) -> Arrays:
    """The arrays of a file by the names of the problem, `called` being pairs of those and of the
    file's, in a text with or without the unit of its heading. A column of the file with a name that
    another one stands for is left out.

    Raises: ProblemError as `read`; D02 for a name that the problem does not read, or a column that
    the file does not have.
    """
    if not called:
        return _spelt(path, wanted, axes)
    if path.suffix.lower() in TEXTS:
        called = [(name, heading(column)[0]) for name, column in called]
    for side in zip(*called, strict=True):
        if twice := next((each for each in side if side.count(each) > 1), None):
            raise fail("D02", f"`{twice}` is named twice", "give every name one column of its own")
    theirs = dict(called)
    ours = {column: name for name, column in called}
    for name in theirs:
        if not wanted(name):
            raise fail(
                "D02",
                f"`{name}` is not a column that is read here",
                "name coordinates, the time, components, `sigma`, `weight` or `sample`",
            )

    def asked(column: str) -> bool:
        return column in ours or (wanted(column) and column not in theirs)

    places = tuple(theirs.get(name, name) for name in axes.space)
    time = None if axes.time is None else theirs.get(axes.time, axes.time)
    found = _spelt(path, asked, Axes(places, time))
    for name, column in called:
        if column not in found.names:
            listed = f"{path.name} has {', '.join(found.names[:12])}"
            hint = suggestion(column, found.names, listed)
            raise fail("D02", f"{path.name} has no column `{column}` for `{name}`", hint)

    def by_name(given: Any) -> dict[str, Any]:
        return {ours.get(key, key): value for key, value in given.items() if asked(key)}

    names = tuple(ours.get(key, key) for key in found.names if key in ours or key not in theirs)
    dims = {
        key: tuple(ours.get(axis, axis) for axis in each)
        for key, each in by_name(found.dims).items()
    }
    return Arrays(by_name(found.values), names, by_name(found.units), dims)


def _spelt(path: Path, wanted: Wanted, axes: Axes) -> Arrays:
    """The arrays of a file, those with Greek names by the names that the language has for them."""
    found = read(path, lambda name: wanted(name) or wanted(spell(name)), axes)
    taken = {name for name in found.names if wanted(name)}

    def plain(name: str) -> str:
        spelt = spell(name)
        return spelt if name not in taken and spelt not in found.names and wanted(spelt) else name

    values, units, dims = (
        {plain(name): each for name, each in given.items()}
        for given in (found.values, found.units, found.dims)
    )
    return Arrays(values, tuple(map(plain, found.names)), units, dims)
