"""The directory of a run: what is in it, and how it is written so that no interruption leaves half
a file. No torch here.

DIR/problem.pde                 the problem's text
DIR/part.msh                    a copy of each file that the problem reads, meshes and measured
values, where its path does not lead out of its folder and all are small
DIR/run.json                    options, model recipe, versions, one entry a session
DIR/run.toml                    the same options as a file that repeats the run
DIR/history.csv                 losses, learning rate, gradient norm, validation:
one row every `log_every` steps DIR/checkpoints/last.safetensors, best.safetensors
DIR/solutions.safetensors       solved samples that training sees
DIR/solved/data-3.safetensors   one of them while they are solved; validation-3 of those of
validation, which stay
DIR/trainables.json             what was found for the problem's trainable numbers
DIR/evaluation.json, report.html, pictures/    written by `pdespec evaluate`
"""

from __future__ import annotations

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import os
import reprlib
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pdespec
from compiler.batches.recipe import Recipe
from compiler.files import LOCK, Busy, append, drafted, forget_drafts, held, write_atomically
from compiler.measurements.named import sources
from compiler.training.options import OptionError, TrainOptions, fixed, from_json, renamed
from compiler.training.run_file import repeated
from pdespec.errors import PdespecError
from pdespec.geometry import meshes
from pdespec.statements.problem import Problem

PROBLEM = "problem.pde"
RUN = "run.json"
META = "meta.json"  # in place of it, of a learned start
REPEAT = "run.toml"
HISTORY = "history.csv"
EVALUATION = "evaluation.json"
CHECKPOINTS = "checkpoints"
NOTHING: Mapping[str, Any] = MappingProxyType({})
SOLUTIONS = "solutions.safetensors"
SOLVED = "solved"  # a folder of samples that are solved, one by one
PICTURES = "pictures"


READ = "meshes"  # in run.json: the files that the problem reads, meshes and others
FILES = {"folder": (str, type(None)), "files": {str: {"sha256": str}}}
COPIED = 2**26  # bytes of all files that a problem reads, above which they stay where they are
SEVERAL = (".xdmf", ".xmf", ".pvd")  # kinds of files that name further ones
INSTANCES = {"size": int, "params": {str: list}, "inputs": {str: list}}
LONGEST = 2**24  # bytes of run.json
# of a run: since 3 the amplitude of a network's output is found as it is now, since 4 conditions
# are built into positive unknowns, since 5 an operator is told of sources where nothing is built
# in, and its nodes lie by the lengths of inputs, since 6 an unknown into which nothing is built has
# a level
FORMAT = 6
RECORD = {
    "problem": str,
    "preset": (str, type(None)),
    "model": (dict, type(None)),
    "options": dict,
    "sessions": [{"processes": int, "device": str}],
}


class RunError(PdespecError):
    """Something on disk is not as it must be; the text says what, where, and what to do."""


@dataclass(frozen=True)
class Run:
    """A training run on disk.

    `preset` names where its options came from, `step` is that of its last checkpoint, `model` the
    network where this process trained or loaded it, `trainables` the values found for the problem's
    trainable scalars. `notes` say what could not be checked. `instances` records the samples that
    it was trained on alone, where these were given (see `compiler.training.instances`). `format` is
    that of the build which began it.
    """

    directory: Path
    problem: Problem
    options: TrainOptions
    recipe: Recipe | None = None
    preset: str | None = None
    model: Any = None
    step: int = 0
    trainables: Mapping[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    format: int = FORMAT
    instances: Mapping[str, Any] | None = None

    def __repr__(self) -> str:
        return (
            f"<Run of {self.problem.name} in {self.directory}: step {self.step} of"
            f" {self.options.steps}>"
        )

    @property
    def finished(self) -> bool:
        """Whether the run has come to its last step."""
        return self.step >= self.options.steps

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv, a mapping each from columns to numbers; empty cells are left
        out."""
        return read_history(self.directory)

    def checkpoint(self, which: str = "last") -> Path:
        """The file of the checkpoint `last` or `best`."""
        return checkpoint_path(self.directory, which)


def is_rank_zero() -> bool:
    """Whether this is the process that writes, known before the processes of a run have found
    each other."""
    return int(os.environ.get("RANK", os.environ.get("LOCAL_RANK", 0))) == 0


def checkpoint_path(directory: Path, which: str) -> Path:
    """The file of the checkpoint `last` or `best` of a run."""
    return directory / CHECKPOINTS / f"{which}.safetensors"


def holds_run(directory: Path) -> bool:
    """Whether a run was begun in a directory."""
    return (directory / RUN).is_file()


def refuse_occupied(directory: Path) -> None:
    """Raises `RunError` unless a new run may be put in `directory`: it does not exist, is empty, or
    holds only what a run has left that was killed before it was written down.
    """
    if directory.exists() and not directory.is_dir():
        raise RunError(f"{directory} is a file; name a directory")
    if holds_run(directory):
        raise RunError(
            f"{directory} already holds a run; continue it with --resume, or name another directory"
            " with --out"
        )
    if directory.is_dir() and not _abandoned(directory):
        raise RunError(f"{directory} is not empty; name another directory with --out")


def _abandoned(directory: Path) -> bool:
    """Whether nothing is there but a lock, and with it the first files of a run."""
    names = {each.name for each in directory.iterdir() if not drafted(each)}
    inner = directory / CHECKPOINTS
    bare = not inner.exists() or inner.is_dir() and all(map(drafted, inner.iterdir()))
    return names <= {LOCK} or (LOCK in names and bare and names <= {LOCK, PROBLEM, CHECKPOINTS})


@contextlib.contextmanager
def claimed(directory: Path, fresh: bool) -> Iterator[None]:
    """Holds a directory while a run is trained in it. A `fresh` run that fails before there is
    anything to go on from leaves nothing.

    Raises: RunError where another process trains there.
    """
    made = [each for each in (directory, *directory.parents) if not each.exists()]
    try:
        with held(directory):
            refuse_links(directory)
            for each in (directory, directory / CHECKPOINTS):
                forget_drafts(each)
            try:
                yield
            except BaseException:
                if fresh and not _begun(directory):
                    _forget(directory, made)
                raise
    except Busy:
        raise RunError(
            f"another process trains in {directory}; wait for it, end it, or name another directory"
            " with --out"
        ) from None


def _begun(directory: Path) -> bool:
    """Whether a run has anything that another session could go on from."""
    return (
        any((directory / CHECKPOINTS).glob("*.safetensors"))
        or (directory / SOLUTIONS).is_file()
        or any((directory / SOLVED).glob("*.safetensors"))
        or bool(read_history(directory))
    )


def _forget(directory: Path, made: Sequence[Path]) -> None:
    """Removes the files of a run that never began, and the folders that were made for it."""
    files = [PROBLEM, RUN, META, REPEAT, HISTORY]
    with contextlib.suppress(RunError):
        files += (
            _read_record(directory).get(READ, {}).get("files", {}) if holds_run(directory) else []
        )
    for name in files:
        if (directory / name).resolve().is_relative_to(directory.resolve()):
            (directory / name).unlink(missing_ok=True)
    folders = {
        parent
        for name in files
        for parent in (directory / name).parents
        if directory in parent.parents
    }
    if directory in made:
        (directory / LOCK).unlink(missing_ok=True)
    for each in (
        directory / CHECKPOINTS,
        *sorted(folders, key=lambda each: -len(each.parts)),
        *made,
    ):
        with contextlib.suppress(OSError):  # not there, or somebody has put something there
            each.rmdir()


def refuse_links(directory: Path) -> None:
    """Raises: RunError for a run whose folders lead elsewhere: what is written there would
    replace files outside of it."""
    for name in (CHECKPOINTS, PICTURES, SOLVED):
        if (directory / name).is_symlink():
            raise RunError(
                f"{directory / name} is a link, and a run writes into its own folders only; put the"
                " folder itself there"
            )


def free_directory(name: str, root: Path = Path("runs")) -> Path:
    """`runs/NAME`, or the first of `runs/NAME-2`, `runs/NAME-3`, .. that is free."""
    candidate, number = root / name, 1
    while candidate.exists() and any(each.name != LOCK for each in candidate.iterdir()):
        number += 1
        candidate = root / f"{name}-{number}"
    return candidate


def create_run(
    run: Run,
    session: Mapping[str, Any],
    choice: Mapping[str, Any] = NOTHING,
    rules: Mapping[str, str] = NOTHING,
) -> None:
    """Puts a new run on disk. `choice` says what it lowers, `rules` by what it was fitted to the
    problem.

    `run.json` comes last: a directory with it is a whole run.
    """
    text = run.problem.to_dsl()
    if pdespec.parse(text, source=PROBLEM) != run.problem:
        raise RunError(
            f"problem `{run.problem.name}` is another one after `to_dsl` and `parse`, so that its"
            " run could not be evaluated"
        )
    run.directory.mkdir(parents=True, exist_ok=True)
    (run.directory / CHECKPOINTS).mkdir(exist_ok=True)
    write_atomically(run.directory / PROBLEM, text.encode())
    record = {
        "format": FORMAT,
        "problem": run.problem.name,
        "preset": run.preset,
        "model": dataclasses.asdict(run.recipe) if run.recipe else None,
        "options": dataclasses.asdict(run.options),
        "loss": dict(choice),
        "rules": dict(rules),
        "sessions": [dict(session)],
    }
    if run.instances is not None:
        record["instances"] = run.instances
    if files := files_read(run.problem):
        record[READ] = copy_files(files, run.directory)
    write_atomically(run.directory / RUN, _json(record))
    _write_repeat(run, record)


def identity(run: Run) -> dict[str, Any]:
    """What a checkpoint belongs to: the text of the problem by its digest, the recipe of the
    model, and the options that cannot change."""
    recipe = (
        json.loads(json.dumps(dataclasses.asdict(run.recipe), default=list)) if run.recipe else None
    )
    return {
        "problem": digest(run.directory / PROBLEM),
        "model": recipe,
        "options": fixed(run.options),
    }


def refuse_foreign(run: Run, saved: Mapping[str, Any] | None, checkpoint: Path) -> tuple[str, ...]:
    """What is to be said of a checkpoint that does not tell what it belongs to: builds before this
    one wrote none.

    Raises: RunError where it is the checkpoint of another problem, model or setting than the
    directory holds.
    """
    if saved is None:
        return (
            (
                f"{checkpoint} does not say which problem and options it belongs to: it is of an"
                " older version, and is believed"
            ),
        )
    own = identity(run)
    # an option that there was not yet has its default, as it has when the run is read
    default = {**fixed(TrainOptions()), "level": run.options.level}
    saved = {**saved, "options": {**default, **renamed(saved.get("options", {}))}}
    for key, file in (("problem", PROBLEM), ("model", RUN), ("options", RUN)):
        if own[key] != saved.get(key):
            changed = (
                [name for name in own[key] if own[key][name] != saved[key].get(name)]
                if key == "options"
                else []
            )
            what = f"{key} ({', '.join(changed)})" if changed else key
            raise RunError(
                f"{run.directory / file} has changed since {checkpoint} was written: its {what} is"
                " not what was trained; put the file back, or train anew"
            )
    return ()


def continue_run(
    run: Run, session: Mapping[str, Any], choice: Mapping[str, Any], rules: Mapping[str, str]
) -> None:
    """Notes that another session goes on with a run, with the options it now has."""
    record = _read_record(run.directory)
    record["loss"], record["rules"] = dict(choice), dict(rules)
    record["options"] = dataclasses.asdict(run.options)
    record["sessions"].append(dict(session))
    write_atomically(run.directory / RUN, _json(record))
    _write_repeat(run, record)


def end_session(directory: Path, found: Mapping[str, Any]) -> None:
    """Notes what is known at the end of the last session of a run."""
    record = _read_record(directory)
    record["sessions"][-1] |= found
    write_atomically(directory / RUN, _json(record))


def _write_repeat(run: Run, record: Mapping[str, Any]) -> None:
    """Puts the file next to the problem that repeats the run; of a run on given samples, or on a
    model that no recipe builds, there is none."""
    if run.recipe is not None and run.instances is None:
        text = repeated(
            run.preset,
            run.recipe.operator,
            run.recipe.options,
            record["options"],
            record.get(READ, {}).get("folder"),
        )
        write_atomically(run.directory / REPEAT, text.encode())


def open_run(directory: str | Path) -> Run:
    """The run in a directory, without its weights. Raises `RunError` where there is none,
    `ProblemError` for a damaged problem."""
    directory = Path(directory)
    record = _read_record(directory)
    if not (directory / PROBLEM).is_file():
        raise RunError(f"{directory / PROBLEM} is missing; the run is not whole")
    for key, schema in (
        ("model", {"operator": str, "options": dict}),
        (READ, FILES),
        ("loss", dict),
        ("instances", INSTANCES),
        ("format", int),
    ):
        if record.get(key) is not None:
            refuse_unlike(record[key], schema, directory / RUN, key)
    problem = _with_files(directory, record)
    try:
        options = from_json(record["options"])
        recipe = (
            Recipe(record["model"]["operator"], record["model"]["options"])
            if record["model"]
            else None
        )
    except (TypeError, OptionError) as error:
        raise RunError(f"{directory / RUN} is damaged or of another version ({error})") from error
    return Run(
        directory,
        problem,
        options,
        recipe,
        record.get("preset"),
        format=record.get("format", 1),
        instances=record.get("instances"),
    )


@dataclass(frozen=True)
class Named:
    """A file that a problem reads: its path as it is written, relative to `folder`, and what it is
    called in messages."""

    path: str
    folder: str
    what: str

    @property
    def file(self) -> Path:
        """Where the file lies."""
        return Path(self.folder) / self.path


def files_read(problem: Problem) -> tuple[Named, ...]:
    """The files that a problem reads, each path once."""
    found = [mesh for domain in problem.domains.values() for mesh in meshes(domain.shape)]
    named = {each.path: Named(each.path, each.folder, "mesh") for each in found}
    inputs = {each.source for each in problem.inputs.values()}
    named |= {
        path: Named(path, each.folder, "input" if path in inputs else "data")
        for path, each in sources(problem).items()
    }
    return tuple(named.values())


def copy_files(files: Sequence[Named], directory: Path) -> dict[str, Any]:
    """Copies the files that a problem reads into a run, and says where they were and what they
    held. None is copied where a path leads out of its folder, or they are large."""
    inside = all(
        not Path(each.path).is_absolute() and ".." not in Path(each.path).parts for each in files
    )
    inside = inside and not any(Path(each.path).suffix in SEVERAL for each in files)
    inside = inside and sum(each.file.stat().st_size for each in files) <= COPIED
    found = {each.path: {"sha256": digest(each.file)} for each in files}
    for each in files if inside else ():
        target = directory / each.path
        if target.exists():
            raise RunError(
                f"the {each.what} {each.path} has the name of a file of the run; give it another"
                " name"
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(target, each.file.read_bytes())
    return {"folder": None if inside else str(Path(files[0].folder).resolve()), "files": found}


def refuse_changed_files(problem: Problem, directory: Path, trains: bool = True) -> None:
    """Raises: RunError for files of a problem that are not those its run was trained on. Data are
    needed only by a run that `trains` on."""
    for each in files_read(problem):
        if each.what == "data" and not trains:
            continue
        known = _read_record(directory).get(READ, {}).get("files", {}).get(each.path)
        if not each.file.is_file():
            raise RunError(
                f"{directory} was trained on the {each.what} {each.file}, which is missing"
            )
        if known and digest(each.file) != known["sha256"]:
            raise RunError(
                f"{each.file} is not the {each.what} that {directory} was trained on: put that"
                " back, or train anew"
            )


def _with_files(directory: Path, record: Mapping[str, Any]) -> Problem:
    """The problem of a run, the files it reads taken from the run, or from where they were."""
    folder = record.get(READ, {}).get("folder")
    problem = pdespec.load(directory / PROBLEM)
    if folder is not None:
        problem = pdespec.parse(
            (directory / PROBLEM).read_text(encoding="utf-8"), source=str(Path(folder) / PROBLEM)
        )
    refuse_changed_files(problem, directory, trains=False)
    return problem


def digest(path: Path) -> str:
    """What a file holds, as a number: SHA-256."""
    with path.open("rb") as file:
        found = hashlib.sha256()
        while block := file.read(2**24):
            found.update(block)
        return found.hexdigest()


def choice(directory: Path) -> dict[str, Any] | None:
    """What the last session lowered, see `compiler.training.choice`; None in runs of before that
    was chosen."""
    return _read_record(directory).get("loss")


def sessions(directory: Path) -> list[dict[str, Any]]:
    """What is noted of each session of a run: processes, device, versions, times. Raises:
    RunError."""
    return _read_record(directory)["sessions"]


OWN_COLUMNS = frozenset("step seconds lr gradient total validation error prediction".split())
OWN_PREFIXES = ("weight ", "violated ", "validation ")  # of columns that hold another name
FORMULA = tuple("=+-@")  # at the beginning of a cell


def column(name: str, others: Collection[str] = ()) -> str:
    """The column of history.csv for a term or a trainable number: its name, in backticks where
    another column has that.

    A name that a spreadsheet would take for a formula is written in backticks too.
    """
    taken = name in OWN_COLUMNS or name in others or name.startswith((*OWN_PREFIXES, *FORMULA))
    return f"`{name}`" if taken else name


def read_history(directory: Path) -> list[dict[str, float]]:
    """The rows of history.csv without their empty cells. A last line cut short by a kill is left
    out."""
    path = directory / HISTORY
    if not path.is_file():
        return []
    try:
        text = path.read_text(encoding="utf-8")
        lines = text[: text.rfind("\n") + 1].splitlines()
        rows = [
            {key: float(value) for key, value in row.items() if value}
            for row in csv.DictReader(lines)
        ]
    except (ValueError, TypeError, csv.Error) as error:  # None for cells that no column has
        raise RunError(f"{path} is damaged ({error})") from error
    for k, row in enumerate(rows):
        refuse_unlike(
            row,
            dict.fromkeys(("step", "seconds", "lr", "gradient", "total"), float),
            path,
            f"row {k + 1}",
        )
    return rows


def write_history(
    directory: Path, columns: Sequence[str], rows: Sequence[Mapping[str, float]]
) -> None:
    """Writes the whole table anew, atomically."""
    write_atomically(
        directory / HISTORY, _csv([columns, *(_cells(columns, row) for row in rows)]).encode()
    )


def append_history(directory: Path, columns: Sequence[str], row: Mapping[str, float]) -> None:
    """Adds a row to the history of a run, its cells in the order of `columns`."""
    append(directory / HISTORY, _csv([_cells(columns, row)]))


def _cells(columns: Sequence[str], row: Mapping[str, float]) -> list[str]:
    return [repr(row[column]) if column in row else "" for column in columns]


def _csv(lines: Sequence[Sequence[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(lines)
    return text.getvalue()


def _read_record(directory: Path) -> dict[str, Any]:
    path = Path(directory) / RUN
    if not path.is_file():
        raise RunError(
            f"{directory} holds no run ({RUN} is missing); `pdespec train FILE --out {directory}`"
            " makes one"
        )
    if path.stat().st_size > LONGEST:
        raise RunError(f"{path} is {path.stat().st_size} bytes long, more than any record of a run")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({error})") from error
    refuse_unlike(record, RECORD, path)
    return record


def refuse_unlike(value: Any, schema: Any, path: Path, place: str = "") -> None:
    """Raises: RunError, with the place, for a value that is not as its schema says: a type or
    several; a mapping of the keys that must be there; a list of one schema, for all entries; `{str:
    schema}`, for all values of a mapping.
    """
    if isinstance(schema, dict):
        fits = isinstance(value, Mapping)
        for key, inner in schema.items() if fits else ():
            if key is str:
                for name, each in value.items():
                    refuse_unlike(each, inner, path, f"{place}.{name}".lstrip("."))
            elif key not in value:
                raise RunError(
                    f"{path} is damaged or of another version: {f'{place}.{key}'.lstrip('.')} is"
                    " missing"
                )
            else:
                refuse_unlike(value[key], inner, path, f"{place}.{key}".lstrip("."))
    elif isinstance(schema, list):
        fits = isinstance(value, (list, tuple))
        for k, each in enumerate(value if fits else ()):
            refuse_unlike(each, schema[0], path, f"{place}[{k}]")
    else:
        fits = isinstance(value, schema) and not (isinstance(value, bool) and schema is not bool)
    if not fits:
        raise RunError(
            f"{path} is damaged or of another version: {place or 'it'} is {reprlib.repr(value)}"
        )


def _json(record: Mapping[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, default=list) + "\n").encode()
