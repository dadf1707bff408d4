"""Text to problem."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import Diagnostic, ProblemError, Source, Span
from . import tree as t

if TYPE_CHECKING:
    from ..problem import Problem


def load(path: str | os.PathLike[str]) -> Problem:
    """The problem in a `.pde` file.

    Raises: `ProblemError` as `parse` does; `OSError` when the file cannot be read.
    """
    raw = Path(path).read_bytes()
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw[: error.start].count(b"\n") + 1
        source = Source(str(path), raw.decode("utf-8", errors="replace"))
        hint = "save the file as UTF-8 text; is this a .pde file?"
        raise ProblemError(Diagnostic("S02", "the file is not text in UTF-8", hint, span=Span(source, line, 1, line, 2))) from None
    return parse(text, source=str(path))


def parse(text: str, source: str = "<text>") -> Problem:
    """The problem a text states. Nothing of the text is executed.

    Raises: `ProblemError` with every mistake found, each with its place.
    """
    if not isinstance(text, str):
        raise TypeError(f"parse takes the text of a problem, {type(text).__name__} given; load(path) reads a file")
    named = Source(source, text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", " ").replace("\v", " "))
    try:
        return _parse(named)
    except RecursionError:
        message = "the problem is nested too deeply"
        raise ProblemError(Diagnostic("S02", message, "name inner parts by definitions", span=Span(named, 1, 1, 1, 2))) from None


def _parse(source: Source) -> Problem:
    from .declare import Draft, declare, declared
    from .scope import BROKEN, Entry, Scope
    from .syntax import read
    from .units import check_units

    report: list[Diagnostic] = []
    document = read(source, report)
    draft = Draft(Scope(report, document.lost))
    scope = draft.scope
    scope.later = {name.name: name.span for statement in reversed(document.statements) for name in declared(statement)}
    draft.periodic = {
        name.name: name.span
        for statement in document.statements
        if isinstance(statement, t.Declaration) and statement.kind == "periodic"
        for name in statement.items
        if isinstance(name, t.Name)
    }
    for statement in document.statements:
        before = len(report)
        declare(statement, draft)
        for name in declared(statement):
            scope.later.pop(name.name, None)
            if len(report) > before:
                scope.entries.setdefault(name.name, Entry(BROKEN, "name", name.span))
        scope.place = ""
    if draft.name is None and not report:
        report.append(Diagnostic("S02", "the problem has no name", "begin with `problem NAME`", span=Span(source, 1, 1, 1, 2)))
    if not report:
        report += check_units(document.statements)
    problem = _assembled(draft, document.statements, source, report)
    report = _sorted(report)
    if problem is None or any(each.severity == "error" for each in report):
        raise ProblemError(report)
    return problem.revised(warnings=tuple(report))


def _assembled(draft: Any, statements: tuple[t.Node, ...], source: Source, report: list[Diagnostic]) -> Problem | None:
    from ..problem import Problem
    from .written import attach

    if report:
        return None
    try:
        problem = Problem(
            draft.name.name,
            equations=draft.equations,
            conditions=draft.conditions,
            minimize=list(draft.functionals),
            require=draft.requirements,
            output=draft.outputs,
            data=draft.data,
            reference={draft.scope.entries[name].value: value for name, value in draft.references.items()},
            unknowns=draft.unknowns,
            inputs=draft.inputs,
            params=draft.params,
            regions=draft.regions,
            coordinates=draft.scope.coordinates,
            time=draft.scope.time,
        )
    except ProblemError as error:
        report += error.diagnostics
        return None
    return attach(problem, statements)


def _sorted(report: list[Diagnostic]) -> list[Diagnostic]:
    """Errors first to last by place, those without a place at the end."""
    return sorted(dict.fromkeys(report), key=lambda each: (each.line is None, each.line or 0, each.column or 0))
