"""The files that a problem names for measured values: where they are, and what tells them from
others of the same name. No torch here."""

from __future__ import annotations

from pathlib import Path

from pdespec.statements.problem import Problem
from pdespec.statements.statements import Data
from pdespec.symbols import Input

Stamp = tuple[str, int, int]


def path_of(each: Data | Input) -> Path:
    """The file that a statement names."""
    return Path(each.folder) / (each.source or "")


def sources(problem: Problem) -> dict[str, Data | Input]:
    """The statements that name files, by the paths as they are written, each path once."""
    named = (
        *problem.data,
        *problem.reference_files,
        *(each for each in problem.inputs.values() if each.source),
    )
    return {str(each.source): each for each in named}


def stamps(problem: Problem) -> tuple[Stamp | None, ...]:
    """What tells the files from others of the same name; None for one that is not there. Part of
    the keys of caches."""
    return tuple(stamp(path_of(each)) for each in sources(problem).values())


def input_stamps(problem: Problem) -> tuple[Stamp | None, ...]:
    """The same of the files of inputs alone, on which the sizes of a problem hang."""
    return tuple(stamp(path_of(each)) for each in problem.inputs.values() if each.source)


def stamp(path: Path) -> Stamp | None:
    """What tells a file from a later one at its path: place, size in bytes and time of change;
    None where there is none."""
    if not path.is_file():
        return None
    status = path.resolve().stat()
    return str(path.resolve()), status.st_size, status.st_mtime_ns
