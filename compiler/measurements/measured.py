"""The files that a problem names, read and checked against it: measured values of what it finds,
functions that it is given, and the params that they belong to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from compiler.arrays import Array
from compiler.geometry.domain import Geometry, box
from compiler.measurements.named import Stamp, path_of, sources, stamp, stamps
from compiler.measurements.readers import SAMPLE, Arrays, Axes
from compiler.measurements.renamed import read_as
from compiler.measurements.streamed import Streamed, rows_of
from compiler.measurements.table import Columns, Table, keys_of, refuse_alike
from pdespec.calculus import entries
from pdespec.coordinates import Time
from pdespec.errors import ProblemError, Span, fail, placed
from pdespec.geometry import Boundary, Domain, shape_symbols
from pdespec.statements.problem import Problem, once
from pdespec.statements.statements import Data
from pdespec.symbols import Input, Param, Scalar, Unknown, UnknownField
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.text.write.written import statements_of
from pdespec.units import Measure, measure, product_of
from pdespec.words import bare

INSIDE = 1e-6  # of the extent of a domain, by which points may lie outside of it through rounding
ON_BOUNDARY = (
    1e-2  # of the extent, by which measured points may lie off the boundary they belong to
)
COVERED = 0.1  # of the extent of a domain, which values of an input may leave out at each side


@dataclass(frozen=True)
class Measured:
    """What one `data` statement says: the values of `components`, or of the expressions of
    `statement`, in the rows of a table. `label` names its term in the loss."""

    label: str
    statement: Data
    path: Path
    components: tuple[str, ...]
    table: Table | Streamed

    @property
    def whole(self) -> Table:
        """The table, for what looks at all of its rows. Raises: ProblemError D01 where they do not
        fit in memory."""
        if isinstance(self.table, Streamed):
            raise fail(
                "D01",
                f"the values of `{self.label}` in {self.path.name} do not fit in memory",
                "training streams them; here all are needed: give fewer samples",
                span=self.statement.span,
            )
        return self.table

    @property
    def direct(self) -> bool:
        """Whether the values are components of the unknowns, not expressions in them."""
        return all(isinstance(each, UnknownField) for each in entries(self.statement.value))


@dataclass(frozen=True)
class Measurements:
    """All measured values of a problem, by sample. `keys` name the samples; `params` are the
    numbers of each, "S" or "S k"; `inputs` the values of input functions, their samples numbered as
    `keys`."""

    terms: tuple[Measured, ...]
    keys: tuple[str, ...]
    params: Mapping[str, Array]
    inputs: Mapping[str, Table | Streamed]


# --------------------------------------------------------------------------------------------------
# measured values


def measurements(problem: Problem) -> Measurements:
    """Everything that the `data` of a problem say. Raises: ProblemError D01 to D09, with the place
    of the statement."""
    return _measurements(problem, stamps(problem), tuple(each.folder for each in problem.data))


@lru_cache(maxsize=8)
def _measurements(
    problem: Problem, read: tuple[Stamp | None, ...], folders: tuple[str, ...]
) -> Measurements:
    varying = _varying(problem)
    found: list[tuple[Measured, Arrays]] = []
    for statement, label in zip(problem.data, labels(problem), strict=True):
        with placed(statement.span, "data"):
            found.append(_read_data(problem, statement, label, bool(varying)))
    family = [each.table for each, _ in found if each.table.family]
    keys = tuple(dict.fromkeys(key for each in family for key in each.keys))
    terms, params, inputs = [], {}, {}
    for each, arrays in found:
        with placed(each.statement.span, "data"):
            table = _numbered(each.table, keys, str(each.path))
            terms.append(replace(each, table=table))
            own = _params(problem, each, arrays, keys)
            _refuse_others(own, params, each.path.name)
            params |= own
            inputs |= _inputs_beside(problem, arrays, keys, str(each.path))
    for name, declaration in problem.inputs.items():
        if declaration.source is not None:
            table = input_table(problem, name)
            with placed(input_span(problem, name), name):
                inputs[name] = _numbered(table, keys, str(path_of(declaration)))
    result = Measurements(tuple(terms), keys or ("0",), params, inputs)
    _refuse_without(problem, varying, result)
    for each in terms:
        with placed(each.statement.span, "data"):
            _refuse_outside(problem, each, params)
    return result


@once
def referenced(problem: Problem) -> Problem:
    """The problem with the values that it names as its reference in place of its data."""
    return problem.revised(data=problem.reference_files, reference_files=(), written=None)


def labels(problem: Problem) -> tuple[str, ...]:
    """The names of the terms of the loss that compare with measured values: `data.u`, of several
    of one quantity `data.u.2` and so on."""
    written = [each for each in statements_of(problem) if isinstance(each, t.Data)]
    found: list[str] = []
    for statement, each in zip(problem.data, written, strict=True):
        name = f"data.{_quantity(statement, each)}"
        count = sum(each == name or each.startswith(f"{name}.") for each in found)
        found.append(name if not count else f"{name}.{count + 1}")
    return tuple(found)


def _quantity(statement: Data, written: t.Data) -> str:
    """The unknown or component that is measured, or the expression as it is written."""
    parts = entries(statement.value)
    if all(isinstance(each, UnknownField) for each in parts):
        unknown: Unknown = parts[0].func.declaration
        if list(parts) == list(unknown.fields):
            return unknown.name
    return text(written.value)


def _read_data(
    problem: Problem, statement: Data, label: str, families: bool
) -> tuple[Measured, Arrays]:
    """The rows of one statement, and the arrays they are made of. Samples of a problem in which
    nothing varies are repetitions of one."""
    path, names = path_of(statement), _names(statement, label)
    columns = Columns(_axes(statement.region, problem.time), names[0], names[1])
    extra = {c for each in problem.params.values() for c in (each.name, *each.components)}
    extra |= {c for each in problem.inputs.values() for c in (each.name, *each.components)}
    wanted = columns.names() | extra | {each.replace(".", "_") for each in extra}
    arrays = read_as(path, wanted.__contains__, columns.axes, statement.columns)
    table = _at_all_times(arrays, columns, statement, problem.time, path.name)
    if table is None:
        table = rows_of(arrays, columns, path.name)
    if isinstance(table, Table):
        refuse_alike(table, path.name)
    _refuse_units(problem, statement, table, path.name)
    if not families and isinstance(table, Streamed):
        raise fail(
            "D07",
            f"{path.name} holds {len(table.keys)} samples that do not fit in memory, and nothing"
            f" varies in {problem.name}",
            "declare the input or the param that they differ in, or give fewer",
        )
    if not families:
        table = replace(table, samples=np.zeros_like(table.samples), keys=("0",), family=False)
    return Measured(label, statement, path, names[0], table), arrays


def _names(statement: Data, label: str) -> tuple[tuple[str, ...], str]:
    """What the columns of the values are called, and the array of all of them."""
    parts, name = entries(statement.value), label.removeprefix("data.")
    if all(isinstance(each, UnknownField) for each in parts):
        own = tuple(each.func.__name__ for each in parts)
        declared = parts[0].func.declaration.name
        return own, declared if len(own) > 1 or own[0] != declared else ""
    if len(parts) == 1:
        return (name,), ""
    axes = [each.name for each in statement.region.coordinates]
    suffixes = axes if len(parts) == len(axes) else [a + b for a in axes for b in axes]
    return tuple(f"{name}.{each}" for each in suffixes), name


def _at_all_times(
    arrays: Arrays, columns: Columns, statement: Data, time: Time | None, file: str
) -> Table | None:
    """Rows without a time, at the start, of what does not change in time; None where it does, or
    the file says when it was measured."""
    fields = {field for each in entries(statement.value) for field in each.atoms(UnknownField)}
    if time is None or any(time in each.args for each in fields):
        return None
    if {columns.axes.time, "time"} & {*arrays.names}:
        return None
    found = rows_of(arrays, replace(columns, axes=_axes(statement.region, None)), file)
    if not isinstance(found, Table):
        return None
    start = np.full((len(found.points), 1), float(time.start))
    return replace(found, points=np.concatenate((found.points, start), 1))


def _axes(region: Domain | Boundary, time: Time | None) -> Axes:
    names = tuple(each.name for each in region.coordinates)
    return Axes(names, None if time is None else time.name)


def _varying(problem: Problem) -> dict[str, Param | Input]:
    """What a sample is made of: inputs, and params that are drawn or have no value."""
    params = {n: p for n, p in problem.params.items() if p.law is not None or p.value is None}
    return {**problem.inputs, **params}


def _numbered(table: Table | Streamed, keys: tuple[str, ...], file: str) -> Table | Streamed:
    """A table with its samples numbered as in `keys`, none of which are those of one sample
    without a name.

    Raises: ProblemError D07 where it lacks one, or there is no telling which is meant.
    """
    if max(len(table.keys), len(keys)) > 1 and not (table.family and keys):
        raise fail(
            "D07",
            f"{Path(file).name} holds {_count(len(table.keys))}, the data"
            f" {_count(max(1, len(keys)))}",
            "say with `sample`, in each file, which values belong together",
        )
    if isinstance(table, Table) and not (table.family and keys):
        return replace(table, keys=keys or ("0",), family=False)
    lacking = [key for key in keys if key not in table.keys]
    if lacking:
        raise fail(
            "D07",
            f"{Path(file).name} holds {len(table.keys)} samples, the data {len(keys)}: it lacks"
            f" {', '.join(lacking[:6])}",
            "name the samples alike in all files",
        )
    return table.numbered(keys)


def _count(samples: int) -> str:
    return "one sample" if samples == 1 else f"{samples} samples"


def _params(
    problem: Problem, measured: Measured, arrays: Arrays, keys: tuple[str, ...]
) -> dict[str, Array]:
    """The params that a file of data holds: a number, one for each sample, or a column that is
    the same in all rows of a sample. Raises: ProblemError D07."""
    found, keys = {}, keys or ("0",)
    for name, param in problem.params.items():
        parts = [each for each in param.components if each in arrays.values]
        if name not in arrays.values and len(parts) < len(param.components):
            continue
        values = (
            np.stack([np.ravel(arrays.values[each]) for each in parts], -1)
            if param.size is not None and len(parts) == len(param.components)
            else arrays.values[name].reshape(-1, param.size or 1)
        )
        table = measured.table
        rows = len(table) + table.left_out
        if len(values) == 1:
            values = np.repeat(values, len(keys), 0)
        elif len(values) == rows and rows != len(keys):
            # rows that were left out are still in the column: by sample all are one number
            values = _of_samples(arrays, values, keys, name, measured.path.name)
        elif len(values) != len(keys):
            raise fail(
                "D07",
                f"{measured.path.name} has {len(values)} values of `{name}` for"
                f" {len(keys)} samples",
                "give one number for each sample, or a column",
            )
        elif table.family:  # in the order of this file, which another one may not share
            own = arrays.values.get(SAMPLE)
            alike = own is not None and own.size == len(values)
            names = keys_of(np.asarray(own), own.size, measured.path.name) if alike else table.keys
            place = {key: k for k, key in enumerate(names)}
            values = values[[place[key] for key in keys]]
        found[name] = values if param.size is not None else values[:, 0]
    return found


def _refuse_others(own: Mapping[str, Array], known: Mapping[str, Array], file: str) -> None:
    """Raises: ProblemError D07 where another file has said otherwise."""
    for name in own:
        if name in known and not np.allclose(own[name], known[name], rtol=1e-9, atol=0):
            raise fail(
                "D07",
                f"`{name}` in {file} is not what another file of data says of the same samples",
                "a param is one number in a sample: give it in one file, or alike in all",
            )


def _of_samples(
    arrays: Arrays, values: Array, keys: tuple[str, ...], name: str, file: str
) -> Array:
    """A column as one value for each sample."""
    column = arrays.values.get("sample")
    named = np.zeros(len(values)) if column is None else column.ravel()
    found = []
    for key in keys:
        own = (
            values[np.array([_same(each, key) for each in named])] if column is not None else values
        )
        own = own[np.isfinite(own).all(1)]
        if not len(own) or not np.allclose(own, own[0], rtol=1e-9, atol=0):
            raise fail(
                "D07",
                f"`{name}` in {file} is not one number in sample {key}",
                "a param is the same in all rows of a sample",
            )
        found.append(own[0])
    return np.array(found)


def _same(cell: Any, key: str) -> bool:
    try:
        return float(cell) == float(key)
    except ValueError:
        return str(cell) == key


def _inputs_beside(
    problem: Problem, arrays: Arrays, keys: tuple[str, ...], file: str
) -> dict[str, Table]:
    """Values of input functions in a file of data: in a group of the input's name, or as columns
    in addition to the measured values."""
    found = {}
    for name, declaration in problem.inputs.items():
        if declaration.source is not None:
            continue
        group = arrays.group(name)
        own = group if group.names else arrays
        columns = _columns(declaration)
        if not ({*columns.components, columns.whole} & set(own.names)):
            continue
        table = rows_of(own, columns, file, repeated=own is arrays)
        found[name] = _numbered(table, keys, file)
    return found


def _columns(declaration: Input) -> Columns:
    components = declaration.components
    whole = declaration.name if len(components) > 1 else ""
    return Columns(_axes(declaration.region, declaration.time), components, whole)


def _refuse_without(
    problem: Problem, varying: Mapping[str, Param | Input], found: Measurements
) -> None:
    """Raises: ProblemError D09 where nothing says which input or param the values belong to."""
    for name, each in varying.items():
        if name in found.inputs or name in found.params:
            continue
        what = "input" if isinstance(each, Input) else "param"
        file = found.terms[0].path.name
        hint = (
            f"give its values in {file}, in a group `{name}` or as a column, or write `from` a file"
            if what == "input"
            else f"give a column `{name}` in {file}, or a value in the problem"
        )
        span = found.terms[0].statement.span
        raise fail(
            "D09",
            f"the data from {file} do not say which `{name}` they were measured with",
            hint,
            f"every sample has its own {what} `{name}`",
            span,
            "data",
        )


def _refuse_outside(problem: Problem, measured: Measured, params: Mapping[str, Array]) -> None:
    """Raises: ProblemError D04 for points outside of the domain, off the boundary, or beyond the
    time."""
    region, table = measured.statement.region, measured.table
    domain = region if isinstance(region, Domain) else region.domain
    file, names = measured.path.name, [each.name for each in problem.variables]
    if problem.time is not None:
        start, end = float(problem.time.start), float(problem.time.end)
        slack = INSIDE * (end - start)
        k = len(table.low) - table.width - 1
        if table.low[k] < start - slack or table.high[k] > end + slack:
            raise _outside_time(table, (start, end), slack, names, file)
    symbols = {each for each in shape_symbols(domain.shape) if isinstance(each, Scalar)}
    known = {name: torch.as_tensor(values) for name, values in params.items()}
    if any(each.declaration.kind == "trainable" for each in symbols):
        return  # the shape is not known yet
    low, high = (np.array(each) for each in box(domain))
    extent = float((high - low).max())
    slack = ON_BOUNDARY if isinstance(region, Boundary) else INSIDE
    alike = isinstance(table, Streamed) and table.shared and not symbols
    for number in range(1 if alike else len(table.keys)):
        own = {name: values[number : number + 1] for name, values in known.items()}
        geometry = Geometry(domain, own, 1, torch.float64)
        points = table.points_of(number)
        away = geometry.signed_distance(torch.as_tensor(points[None, :, : domain.dim]))[0].numpy()
        away = np.abs(away) if isinstance(region, Boundary) else away
        if (away > slack * extent).any():
            worst = int(away.argmax())
            sample = f", of sample {table.keys[number]}" if table.family else ""
            raise fail(
                "D04",
                f"{int((away > slack * extent).sum())} of {len(points)} rows of {file} lie outside"
                f" of `{region.name}`, one {away[worst]:.3g} away at"
                f" {_point(names, points[worst])}{sample}",
                "leave these rows out, or look at the units and the order of the coordinates",
            )


def _outside_time(
    table: Table | Streamed,
    span: tuple[float, float],
    slack: float,
    names: list[str],
    file: str,
) -> Exception:
    """What is said of rows before the start or after the end."""
    late, total, place = 0, 0, None
    for number in range(len(table.keys)):
        points = table.points_of(number)
        outside = (points[:, -1] < span[0] - slack) | (points[:, -1] > span[1] + slack)
        late, total = late + int(outside.sum()), total + len(points)
        place = points[outside][0] if place is None and outside.any() else place
    assert place is not None
    return fail(
        "D04",
        f"{late} of {total} rows of {file} lie outside of the time {span[0]:g} to {span[1]:g},"
        f" one at {_point(names, place)}",
        "leave these rows out, or declare a longer time",
    )


def _point(names: Iterable[str], values: Array) -> str:
    return ", ".join(f"{name} = {x:.6g}" for name, x in zip(names, values, strict=False))


def _refuse_units(
    problem: Problem, statement: Data | Input, table: Table | Streamed, file: str
) -> None:
    """Raises: ProblemError D05 where a unit in the file is known and is not the one declared."""
    declared = {str(each.name): getattr(each, "unit", None) for each in problem.variables}
    owner: Any = statement
    if isinstance(statement, Data):
        parts = entries(statement.value)
        owner = parts[0].func.declaration if isinstance(parts[0], UnknownField) else None
    if owner is not None:
        declared |= dict.fromkeys((owner.name, *owner.components), owner.unit)
    for name, written in table.units.items():
        own, other = _measure(declared.get(name)), _measure(written)
        if own is None or other is None or own == other:
            continue
        raise fail(
            "D05",
            f"`{name}` is in {written} in {file}, and in {declared[name]} in the problem",
            "numbers are not converted: declare the unit of the file, or convert the file",
        )


def _measure(unit: str | None) -> Measure | None:
    try:
        return measure(product_of(unit.strip("[]() "))) if unit else None
    except ProblemError:
        return None  # a unit that nobody knows is not compared


# --------------------------------------------------------------------------------------------------
# input functions


def input_table(problem: Problem, name: str) -> Table | Streamed:
    """The values of an input that a problem reads from a file. Raises: ProblemError D01 to D08."""
    declaration = problem.inputs[name]
    with placed(input_span(problem, name), name):
        table = declared_table(declaration)
        _refuse_units(problem, declaration, table, path_of(declaration).name)
        _refuse_short(declaration, table, path_of(declaration).name)
        return table


def declared_table(declaration: Input) -> Table | Streamed:
    """The same, of the declaration alone."""
    path = path_of(declaration)
    return _declared_table(stamp(path), path, _columns(declaration), declaration.columns)


@lru_cache(maxsize=16)
def _declared_table(
    read_at: Stamp | None, path: Path, columns: Columns, called: tuple[tuple[str, str], ...]
) -> Table | Streamed:
    names = columns.names()
    arrays = read_as(path, names.__contains__, columns.axes, called)
    return rows_of(arrays, columns, path.name)


def _refuse_short(declaration: Input, table: Table | Streamed, file: str) -> None:
    """Raises: ProblemError D04 for values that leave a part of the domain, or of the time, out:
    beyond them an input would be constant, or nonsense."""
    domain = (
        declaration.region.domain
        if isinstance(declaration.region, Boundary)
        else declaration.region
    )
    if any(
        isinstance(each, Scalar) and each.declaration.kind != "const"
        for each in shape_symbols(domain.shape)
    ):
        return
    low, high = (list(each) for each in box(domain))
    names = [each.name for each in domain.coordinates]
    if declaration.time is not None:
        low.append(float(declaration.time.start))
        high.append(float(declaration.time.end))
        names.append(declaration.time.name)
    first, last = table.low, table.high  # of the coordinates, then of the components
    for k, name in enumerate(names):
        slack = COVERED * (high[k] - low[k])
        if first[k] > low[k] + slack or last[k] < high[k] - slack:
            raise fail(
                "D04",
                f"`{declaration.name}` is given in {file} for {name} from {first[k]:.6g} to"
                f" {last[k]:.6g}, and needed from {low[k]:.6g} to {high[k]:.6g}",
                "give values on the whole domain",
            )


def input_span(problem: Problem, name: str) -> Span | None:
    """Where an input is declared."""
    items: Iterator[t.Node] = (
        item
        for each in statements_of(problem)
        if isinstance(each, t.Declaration) and each.kind == "input"
        for item in each.items
    )
    return next(
        (
            item.span
            for item in items
            if isinstance(item, t.GivenFunction) and bare(item.name.name) == name
        ),
        None,
    )


def shared_keys(declarations: Iterable[Input]) -> tuple[str, ...] | None:
    """The samples that the files of inputs have in common; None where none holds several. Raises:
    ProblemError D07 where they share none."""
    shared: tuple[str, ...] | None = None
    for each in declarations:
        table = declared_table(each)
        if not table.family:
            continue
        own = set(table.keys)
        found = table.keys if shared is None else tuple(key for key in shared if key in own)
        if not found:
            raise fail(
                "D07",
                f"{path_of(each).name} has no sample in common with the files of other inputs:"
                f" {table.keys[0]}, .. and {shared[0] if shared else ''}, ..",
                "name the samples alike in all files",
                label=each.name,
            )
        shared = found
    return shared


# --------------------------------------------------------------------------------------------------
# all files


def refuse_wrong_files(problem: Problem) -> None:
    """Reads all files that a problem names. Raises: ProblemError D01 to D09."""
    for name, each in problem.inputs.items():
        if each.source is not None:
            input_table(problem, name)
    for each in (problem, referenced(problem)):
        if each.data:
            measurements(each)


def report(problem: Problem) -> list[str]:
    """A line for each file that a problem names: what it holds, or that it is not there. Raises:
    ProblemError D01 to D09 for what is wrong with one."""
    lines = []
    absent = [name for name, each in sources(problem).items() if not path_of(each).exists()]
    for name in absent:
        lines.append(f"{name}: not there")
    for name, each in problem.inputs.items():
        if each.source is not None and each.source not in absent:
            table = input_table(problem, name)
            lines.append(f"{each.source}: {name}, {_described(table, problem, each.components)}")
    for stated in (problem, referenced(problem)) if not absent else ():
        found = measurements(stated) if stated.data else None
        for each in found.terms if found is not None else ():
            beside = [*found.params, *(n for n in found.inputs if problem.inputs[n].source is None)]
            lines.append(
                f"{each.statement.source}: {'reference ' if stated is not problem else ''}"
                f"{each.label.removeprefix('data.')},"
                f" {_described(each.table, problem, each.components)}"
                + (f"; with {', '.join(beside)}" if beside else "")
            )
    return lines


def _described(table: Table | Streamed, problem: Problem, components: tuple[str, ...]) -> str:
    names = [each.name for each in problem.variables][: len(table.low) - table.width]
    parts = [f"{len(table)} rows"]
    if table.family:
        parts[0] += f" of {len(table.keys)} samples"
    parts += [
        f"{name} {low:.4g} to {high:.4g}"
        for name, low, high in zip(
            (*names, *components),
            table.low,
            table.high,
            strict=True,
        )
    ]
    if table.sigma is not None:
        parts.append(f"sigma {table.sigma.min():.4g} to {table.sigma.max():.4g}")
    if table.left_out:
        parts.append(f"{table.left_out} rows without a number left out")
    return ", ".join(parts)
