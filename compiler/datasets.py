"""Data sets of a problem: samples drawn by its laws and solved by finite elements, in HDF5 files.

A sample follows from the problem, the seed and its number alone, whoever solves it and in whatever
company. Files are named by a key of all that decides the numbers and hold SHARD samples each; they
are written whole or not at all, so that a run that was killed goes on where it stopped.

Layout of a file: attributes `format`, `key`, `problem` (its text), `seed`, `options` (JSON),
`coordinates` (names, the order of the columns of `points`); a group for each sample, named by its
number, with `points` (n, D), `params/NAME`, `unknowns/NAME` (n,) or (n, c), `inputs/NAME/points`
and `inputs/NAME/values`, `outputs/NAME` for those that are numbers, and the attribute `warnings`
where there are any; or the attribute `failed` alone, with the solver's words.
"""

from __future__ import annotations

import hashlib
import io
import json
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch

from compiler.arrays import Array
from compiler.batches.sample import sample
from compiler.chance import seeded
from compiler.fem import SampleError, SolverWarning
from compiler.fem.solution import SampleSolution
from compiler.files import Busy, forget_drafts, held, write_atomically
from compiler.functionals.outputs import FieldOutput, outputs
from compiler.geometry.metrics import interior
from compiler.solvers import FINITE_ELEMENTS, candidates, solve
from compiler.workers import Workers
from pdespec.errors import PdespecError
from pdespec.statements.problem import Problem
from pdespec.text.front import parse

FORMAT = "pdespec samples 1"
SHARD = 16  # samples a file: what a kill can lose
POINTS = 4096  # of a sample, uniform in the domain of the unknowns
PLACES = UNIFORM, NODES = "uniform", "nodes"


class DatasetError(PdespecError):
    """A data set that cannot be made or read."""


@dataclass(frozen=True)
class Recorded:
    """One sample. Shapes: points "n D"; unknowns "n" or "n c"; inputs (points "m d", values "m" or
    "m c"). `failed`: the solver's words where it gave the sample up; all else is empty then.
    `warnings`: what makes the solution doubtful."""

    number: int
    points: Array = field(default_factory=lambda: np.zeros((0, 0)))
    params: Mapping[str, Array] = field(default_factory=dict)
    unknowns: Mapping[str, Array] = field(default_factory=dict)
    inputs: Mapping[str, tuple[Array, Array]] = field(default_factory=dict)
    outputs: Mapping[str, Array] = field(default_factory=dict)
    failed: str = ""
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Dataset:
    """The files of one problem, seed and choice of options in a directory. `dataset[k]` reads
    sample k; iterating reads those that were solved."""

    directory: Path
    key: str
    samples: int

    @cached_property
    def problem(self) -> Problem:
        """The problem whose text the files hold."""
        return parse(self._attributes["problem"], source=str(self.directory))

    @cached_property
    def _attributes(self) -> dict[str, Any]:
        with h5py.File(self._file(0), "r") as file:
            return dict(file.attrs)

    def _file(self, number: int) -> Path:
        return self.directory / f"{self.key}-{number // SHARD * SHARD:06d}.h5"

    def __len__(self) -> int:
        return self.samples

    def __getitem__(self, number: int) -> Recorded:
        if not 0 <= number < self.samples:
            raise IndexError(f"sample {number} of {self.samples}")
        path = self._file(number)
        try:
            with h5py.File(path, "r") as file:
                return _read(number, file[str(number)])
        except (OSError, KeyError, ValueError) as error:
            raise DatasetError(f"{path} is damaged: {error}") from error

    def __iter__(self) -> Iterator[Recorded]:
        found = (self[number] for number in range(self.samples))
        return (each for each in found if not each.failed)


def dataset(
    problem: Problem,
    samples: int,
    directory: str | Path,
    *,
    seed: int = 0,
    points: int = POINTS,
    at: str = UNIFORM,
    workers: Workers | int = 1,
    display: Callable[[int], None] = lambda done: None,
    **options: Any,
) -> Dataset:
    """Draws and solves samples 0 .. `samples` - 1 of a problem, what `directory` holds already left
    as it is. at: "uniform", so many `points` in each domain, or "nodes", those of the reference
    solution's mesh, which are closer where a domain is large and its solution is not: about a
    section in a far field. `options`: of `compiler.solve`. `display` gets the number of samples
    done.

    Raises: DatasetError where another process writes there, or the directory holds something of
    that name that is no such file; SolverError.
    """
    if samples < 1 or points < 1:
        raise DatasetError(f"{samples} samples of {points} points asked for; take 1 or more")
    if at not in PLACES:
        raise DatasetError(f"no points are taken {at!r}; one of {', '.join(PLACES)}")
    workers = workers if isinstance(workers, Workers) else Workers(workers)
    directory, text = Path(directory), problem.to_dsl()
    method = options.get("method", "auto")
    if method == "auto":
        method = candidates(problem, set(options) - {"method"})[0]
    decides = {k: v for k, v in options.items() if k != "method"}
    decides |= {} if method == FINITE_ELEMENTS else {"method": method}
    try:
        where = {"points": points} if at == UNIFORM else {"at": at}
        said = json.dumps({**where, **decides}, sort_keys=True)
    except TypeError as error:
        raise DatasetError(f"options of a data set are numbers and words: {error}") from error
    key = hashlib.blake2b(f"{FORMAT}\n{text}\n{seed}\n{said}".encode(), digest_size=6).hexdigest()
    found = Dataset(directory, key, samples)
    stamp = {"format": FORMAT, "key": key, "problem": text, "seed": seed, "options": said}
    stamp["coordinates"] = [each.name for each in problem.variables]
    try:
        with held(directory):
            forget_drafts(directory)
            shards = [
                range(first, min(first + SHARD, samples)) for first in range(0, samples, SHARD)
            ]
            open_ = [shard for shard in shards if _missing(found._file(shard[0]), shard, key)]
            done = samples - sum(map(len, open_))
            display(done)
            numbers = [number for shard in open_ for number in shard]
            solved = workers.map(_Maker(problem, seed, points, options, at), numbers)
            for shard in open_:
                rows = []
                for _ in shard:
                    rows.append(next(solved))
                    done += 1
                    display(done)
                write_atomically(found._file(shard[0]), _written(stamp, rows))
    except Busy as error:
        raise DatasetError(str(error)) from error
    return found


@dataclass(frozen=True)
class _Maker:
    """Draws and solves one sample by its number; goes to the workers."""

    problem: Problem
    seed: int
    points: int
    options: Mapping[str, Any]
    at: str = UNIFORM

    def __call__(self, number: int) -> Recorded:
        counts = {"interior": self.points, "operator": 1}
        generator = seeded(self.seed, "dataset", number)
        batch = sample(
            self.problem, 1, counts, generator, dtype=torch.float64, hard_conditions=False
        )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SolverWarning)  # kept with the sample
                truth = solve(self.problem, batch, **self.options)
        except SampleError as error:
            return Recorded(number, failed=str(error))
        places = interior(self.problem, batch) if self.at == UNIFORM else _nodes(truth)
        values = dict(zip(self.problem.components, truth(places)[0].unbind(-1), strict=True))
        unknowns = {
            name: torch.stack([values[each] for each in unknown.components], -1)
            for name, unknown in self.problem.unknowns.items()
        }
        inputs = {}
        for name, each in self.problem.inputs.items():
            at = batch.points[each.region.name].points
            inputs[name] = _plain(at[0]), _flat(batch.evaluate(name, at)[0])
        numbers = {
            name: _plain(value[0])
            for name, value in outputs(self.problem, truth, batch).items()
            if not isinstance(value, FieldOutput)
        }
        return Recorded(
            number,
            _plain(places[0]),
            {name: _plain(value[0]) for name, value in batch.params.items()},
            {name: _flat(value) for name, value in unknowns.items()},
            inputs,
            numbers,
            warnings=truth.warnings,
        )


def _nodes(truth: Any) -> torch.Tensor:
    """The nodes of the mesh of a reference solution in space. Shapes: "1 n d". Raises: DatasetError
    where it has none, or times."""
    sample = truth.samples[0] if getattr(truth, "samples", None) else None
    if not isinstance(sample, SampleSolution) or sample.times is not None:
        raise DatasetError('at="nodes" needs a stationary reference solution on a mesh')
    return torch.from_numpy(sample.spaces.mesh.p.T.copy())[None]


def _flat(values: torch.Tensor) -> Array:
    """Shapes: "n 1" -> "n"; others as they are."""
    return _plain(values[:, 0] if values.shape[1] == 1 else values)


def _plain(values: torch.Tensor) -> Array:
    return values.detach().numpy()


def _missing(path: Path, shard: range, key: str) -> bool:
    """Whether a file lacks one of its samples. Raises: DatasetError for a file of another kind."""
    if not path.exists():
        return True
    try:
        with h5py.File(path, "r") as file:
            if file.attrs["key"] != key:
                raise DatasetError(f"{path} holds other samples than its name says")
            return not {str(number) for number in shard} <= set(file)
    except (OSError, KeyError) as error:
        raise DatasetError(f"{path} is damaged ({error}); remove it to solve it again") from error


def _written(stamp: Mapping[str, Any], rows: Sequence[Recorded]) -> bytes:
    out = io.BytesIO()
    with h5py.File(out, "w", track_order=True) as file:
        for name, value in stamp.items():
            file.attrs[name] = value
        for row in rows:
            group = file.create_group(str(row.number))
            if row.failed:
                group.attrs["failed"] = row.failed
                continue
            group["points"] = row.points
            if row.warnings:
                group.attrs["warnings"] = list(row.warnings)
            for part in ("params", "unknowns", "outputs"):
                for name, value in getattr(row, part).items():
                    group[f"{part}/{name}"] = value
            for name, (at, values) in row.inputs.items():
                group[f"inputs/{name}/points"], group[f"inputs/{name}/values"] = at, values
    return out.getvalue()


def _read(number: int, group: Any) -> Recorded:
    if "failed" in group.attrs:
        return Recorded(number, failed=str(group.attrs["failed"]))

    def part(name: str) -> dict[str, Array]:
        return {each: np.asarray(group[name][each]) for each in group.get(name, ())}

    inputs = {
        name: (np.asarray(each["points"]), np.asarray(each["values"]))
        for name, each in group.get("inputs", {}).items()
    }
    return Recorded(
        number,
        np.asarray(group["points"]),
        part("params"),
        part("unknowns"),
        inputs,
        part("outputs"),
        warnings=tuple(map(str, group.attrs.get("warnings", ()))),
    )
