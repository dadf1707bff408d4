"""From a text to its problem: read, evaluate statement by statement, assemble, check; every
mistake in one report."""

from __future__ import annotations

from dataclasses import replace

import sympy as sp

from pdespec.errors import Diagnostic, ProblemError, Source, Span
from pdespec.notation import short
from pdespec.rules.check import check
from pdespec.statements.problem import Problem
from pdespec.text.read import (
    budget,
    state,  # noqa: F401 - enters the meaning of equations, conditions and requirements
)
from pdespec.text.read.declare import Draft, declare, declared
from pdespec.text.read.scope import BROKEN, Entry, Scope
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.parser import Document, read
from pdespec.text.syntax.source import attach
from pdespec.text.syntax.units import check_units
from pdespec.words import bare

STATED = frozenset(
    (
        "in",
        "on",
        "at",
        "minimize",
        "stationary",
        "space",
        "time",
        "domain",
        "boundary",
        "periodic",
        "unknown",
        "input",
        "lost",
    )
)

MAX_SPELLED = 300  # operations of a definition that is looked for in messages

RELIES_ON: dict[str, frozenset[str]] = {
    "W01": STATED,
    "W02": STATED | {"data"},
    "W05": STATED | {"data", "require"},
    "W06": STATED,
    "V01": STATED,
    "V03": STATED | {"require"},
}
"""Kinds of statements that must all be understood before it can be said that something is missing.
What is wrong with the rest is reported even so.
"""


def problem_of(source: Source) -> Problem:
    """The problem a text states.

    Raises: `ProblemError` with every mistake found, or with those found until the text had taken
    more work than `budget.MOST`.
    """
    unread: list[Diagnostic] = []
    document = read(source, unread)
    report, draft = unread, _draft(document, unread)

    def work() -> Problem:
        nonlocal report, draft
        report = list(unread)
        draft = _draft(document, report)
        return _read(document, draft, report, source)

    try:
        return budget.bounded(work, budget.MOST - budget.A_CHARACTER * len(source.text))
    except budget.Spent:
        where = f"`{_kind(draft.reading)}`" if draft.reading else "the checks of the whole"
        report.append(
            Diagnostic(
                "S02",
                f"the problem takes too much work: its reading ended at {where}",
                "simplify it: powers and functions in one another, functions of numbers, and"
                " derivatives of long expressions grow fastest; an unknown can stand for a part",
                span=draft.reading.span if draft.reading else Span(source, 1, 1, 1, 2),
            )
        )
        raise ProblemError(_sorted(report)) from None


def _read(document: Document, draft: Draft, report: list[Diagnostic], source: Source) -> Problem:
    for statement in document.statements:
        draft.reading = statement
        before = len(report)
        declare(statement, draft)
        for name in declared(statement):
            draft.scope.later.pop(name.name, None)
        if len(report) > before:
            draft.broken.add(_kind(statement))
            for name in declared(statement):
                draft.scope.entries.setdefault(name.name, Entry(BROKEN, "name", name.span))
    draft.reading = None
    if draft.name is None and not report:
        report.append(
            Diagnostic(
                "S02",
                "the problem has no name",
                "begin with `problem NAME`",
                span=Span(source, 1, 1, 1, 2),
            )
        )
    if not any(each.severity == "error" for each in report):
        report += check_units(document.statements)
    problem = _problem(draft, report)
    if problem is not None:
        without = [code for code, kinds in RELIES_ON.items() if kinds & draft.broken]
        # the name of a region is refused where it is read, and the region kept for the checks
        without += ["S03"] if any(each.code == "S03" for each in report) else []
        # any statement that was lost may have held it
        without += ["W11"] if any(each.severity == "error" for each in report) else []
        found = check(problem, without=without)
        spelled = _spellings(draft.scope) if found else {}
        report += [_placed(each, spelled, draft) for each in found]
    if problem is None or any(each.severity == "error" for each in report):
        raise ProblemError(_sorted(report))
    definitions = {
        name: entry.value
        for name, entry in draft.scope.entries.items()
        if entry.kind == "definition"
    }
    return attach(problem, document.statements, definitions).revised(
        warnings=tuple(_sorted(report))
    )


def _problem(draft: Draft, report: list[Diagnostic]) -> Problem | None:
    """The problem of a draft. When statements have been lost it is that of the rest, for what
    can be said about it."""
    references = {
        draft.scope.entries[name].value: value for name, value in draft.references.items()
    }
    try:
        return Problem(
            bare(draft.name.name) if draft.name else "problem",
            equations=draft.equations,
            conditions=draft.conditions,
            minimize=list(draft.functionals),
            require=draft.requirements,
            output=draft.outputs,
            data=draft.data,
            reference=references,
            unknowns=draft.unknowns,
            inputs=draft.inputs,
            params=draft.params,
            regions=draft.regions,
            coordinates=draft.scope.coordinates,
            time=draft.scope.time,
        )
    except ProblemError as error:
        if not report:
            report += error.diagnostics
        return None


def _draft(document: Document, report: list[Diagnostic]) -> Draft:
    """An empty draft that knows which names come later, and what is periodic: domains are made
    with it."""
    later = {
        name.name: name.span
        for statement in reversed(document.statements)
        for name in declared(statement)
    }
    periodic = [statement for statement in document.statements if isinstance(statement, t.Periodic)]
    scope = Scope(report, document.lost, later=later, in_place=_in_place(document))
    return Draft(scope, periodic=periodic, broken=set(document.broken))


def _in_place(document: Document) -> tuple[t.Node, ...]:
    """The boundaries that are written where conditions hold, but for those that are left over."""
    heads = [each.head for each in document.statements if isinstance(each, t.Block)]
    regions = [each.region for each in heads if each.kind == "on" and each.region is not None]
    return tuple(
        each
        for each in regions
        if isinstance(each, t.Call)
        and each.function in ("boundary", "side", "inner", "outer", "group")
    )


def _kind(statement: t.Node) -> str:
    """The word a statement begins with."""
    if isinstance(statement, (t.Declaration, t.Extremum)):
        return statement.kind
    return (
        statement.head.kind if isinstance(statement, t.Block) else type(statement).__name__.lower()
    )


def _spellings(scope: Scope) -> dict[str, str]:
    """How messages spell what the user's definitions mean, and the names of these."""
    definitions = {
        name: entry.value for name, entry in scope.entries.items() if entry.kind == "definition"
    }
    told = {
        name: each for name, each in definitions.items() if isinstance(each, sp.Expr) and each.args
    }
    return {
        short(each)[1:-1]: name
        for name, each in told.items()
        if scope.extent(each).nodes < MAX_SPELLED
    }


def _placed(diagnostic: Diagnostic, spelled: dict[str, str], draft: Draft) -> Diagnostic:
    """The diagnostic at the declaration or statement its label names, in the words of the user's
    definitions."""
    message, hint = diagnostic.message, diagnostic.hint
    for spelling, name in spelled.items():
        message, hint = message.replace(spelling, name), hint.replace(spelling, name)
    spans = {**draft.labels, **{name: entry.span for name, entry in draft.scope.entries.items()}}
    if draft.name is not None:
        spans.setdefault(bare(draft.name.name), draft.name.span)
    return replace(diagnostic, message=message, hint=hint).at(spans.get(diagnostic.label))


def _sorted(report: list[Diagnostic]) -> list[Diagnostic]:
    """Each once, by place; those without a place at the end."""
    return sorted(
        dict.fromkeys(report),
        key=lambda each: (each.line is None, each.line or 0, each.column or 0),
    )
