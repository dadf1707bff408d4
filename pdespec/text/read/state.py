"""Evaluation of statements: equations, conditions, functionals, requirements, outputs, data and
references."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sympy as sp

from pdespec import complexes
from pdespec.errors import ProblemError, Span
from pdespec.geometry import Boundary, Domain
from pdespec.statements import normalise as forms
from pdespec.statements.statements import (
    Condition,
    Data,
    Equation,
    Output,
    Requirement,
    promote,
)
from pdespec.text.read.declare import Draft, declare, numbers
from pdespec.text.read.evaluate import expression, region
from pdespec.text.read.scope import BROKEN, Broken, Scope, folder_of
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.words import bare, key

# ---- equations and conditions


@declare.register
def _block(block: t.Block, draft: Draft) -> None:
    scope, head = draft.scope, block.head
    scope.place = ""
    where: Any = BROKEN
    at: Any = None
    place: Any = ()
    if head.kind == "in" and head.region is not None:
        where = region(head.region, scope, (Domain,))
    elif head.kind == "on" and head.region is not None:
        where = region(head.region, scope, (Boundary,))
    elif head.kind == "at":
        where = region(head.region, scope, (Domain,)) if head.region is not None else None
        place = _point(head, scope)
        at = _moment(head, scope) if place == () else None
    for member in block.members:
        if not _member(member, head.kind, where, at, place, draft):
            draft.broken.add(head.kind)


def _point(head: t.Head, scope: Scope) -> Any:
    """The coordinates of a point, its time last where it has one; empty where the head gives a
    time alone."""
    names = [x.name for x in scope.coordinates]
    if head.time is not None:
        alone = [bare(head.time.name)] == names
        values = (
            {head.time.name: expression(head.value, scope)}
            if alone and head.value is not None
            else {}
        )
    elif isinstance(head.point[0], t.Keyword):
        values = {
            bare(each.name): expression(each.value, scope)
            for each in head.point
            if isinstance(each, t.Keyword)
        }
        if scope.time is not None and scope.time.name in values:
            names = [*names, scope.time.name]
        if len(values) < len(head.point) or sorted(values) != sorted(names):
            return scope.fail(
                "T01",
                f"`{text(head)}` names no point",
                head.span,
                f"give each of {', '.join(names)} once",
            )
        values = {name: values[name] for name in names}
    else:
        values = dict(enumerate(expression(each, scope) for each in head.point))
    return (
        BROKEN
        if any(isinstance(each, Broken) for each in values.values())
        else tuple(values.values())
    )


def _moment(head: t.Head, scope: Scope) -> Any:
    if scope.time is None or head.time is None or head.time.name != scope.time.name:
        name = head.time.name if head.time else "t"
        if name in scope.lost or isinstance(
            getattr(scope.entries.get(name), "value", None), Broken
        ):
            return BROKEN
        hint = (
            f"write at {scope.time.name} = {scope.time.start}"
            if scope.time
            else "declare it: time t in [0, 1]"
        )
        if name in [x.name for x in scope.coordinates]:
            domain = next(
                (each for each, entry in scope.entries.items() if isinstance(entry.value, Domain)),
                "Omega",
            )
            value = text(head.value) if head.value is not None else "0"
            hint = (
                f"what holds on a side is a boundary condition, on side({domain}, {name} ="
                f" {value}): ...; a point has all coordinates"
            )
        return scope.fail(
            "S01", f"`{name}` is not the time", head.time.span if head.time else head.span, hint
        )
    (moment,) = numbers((head.value,), scope)  # type: ignore[arg-type]
    return moment


def _member(member: t.Equality, kind: str, where: Any, at: Any, place: Any, draft: Draft) -> bool:
    """Adds an equation or condition to the draft; whether that went well."""
    scope = draft.scope
    label = _label(member, draft)
    scope.place = label or ""
    left, right = expression(member.left, scope), expression(member.right, scope)
    if any(isinstance(each, Broken) for each in (left, right, where, at, place)):
        return False
    try:
        lhs, rhs = complexes.sides(*promote(left, right))
        if kind == "in":
            equation = Equation(lhs, rhs, where, member.span, member)
            draft.equations[label or forms.free_label("eq", draft.equations)] = equation
            return True
        home = where if where is not None else forms.domain_of(lhs, rhs)
        if place:
            condition = forms.at_point(lhs, rhs, home, place)
        else:
            condition = Condition(lhs, rhs, home, "boundary" if kind == "on" else "initial", at)
    except ProblemError as error:
        scope.adopt(error, member.span)
        return False
    condition = replace(condition, span=member.span, written=member)
    draft.conditions[label or forms.condition_label(condition, draft.conditions)] = condition
    return True


def _label(member: t.Equality, draft: Draft) -> str | None:
    """The label of a member, unless another has it already."""
    if member.label is None:
        return None
    label = bare(member.label.name)
    if label in draft.labels:
        first = draft.labels[label]
        where = f" (line {first.line})" if first else ""
        draft.scope.fail(
            "S05",
            f"the label `{label}` is used twice{where}",
            member.label.span,
            "labels are unique",
        )
        return None
    draft.labels[label] = member.label.span
    return label


# ---- the rest


@declare.register
def _extremum(statement: t.Extremum, draft: Draft) -> None:
    scope = draft.scope
    scope.place = statement.kind
    energy = expression(statement.value, scope)
    over = [_unknown_named(name, scope) for name in statement.over]
    made = None
    if not isinstance(energy, Broken) and not any(isinstance(each, Broken) for each in over):
        made = _attempt(
            lambda: forms.to_functional(statement.kind, (energy, over) if over else energy),
            statement.span,
            scope,
        )
    if made is None:
        draft.broken.add(statement.kind)
    else:
        draft.functionals.append(replace(made, span=statement.span, written=statement))


def _attempt(action: Callable[[], Any], span: Span | None, scope: Scope) -> Any:
    """The result of `action`, or None when it failed, which is reported."""
    try:
        return action()
    except ProblemError as error:
        scope.adopt(error, span)
        return None


def _unknown_named(name: t.Name, scope: Scope) -> Any:
    entry = scope.entries.get(key(name.name, scope.variables))
    if entry is None:
        return scope.lookup(name.name, name.span)
    if isinstance(entry.value, Broken):
        return BROKEN
    if entry.kind != "unknown":
        unknowns = [each for each, known in scope.entries.items() if known.kind == "unknown"]
        hint = (
            f"the unknowns are {', '.join(unknowns)}"
            if unknowns
            else "declare it: unknown u : scalar on Omega"
        )
        return scope.fail(
            "T05", f"`{name.name}` is not an unknown but a {entry.kind}", name.span, hint
        )
    return entry.value


@declare.register
def _require(statement: t.Require, draft: Draft) -> None:
    draft.scope.place = "require"
    made = _requirement(statement, draft.scope)
    if made is None:
        draft.broken.add("require")
    else:
        draft.requirements.append(replace(made, span=statement.span, written=statement))


def _requirement(statement: t.Require, scope: Scope) -> Any:
    left, right = expression(statement.left, scope), expression(statement.right, scope)
    where = region(statement.region, scope) if statement.region is not None else None
    if any(isinstance(each, Broken) for each in (left, right, where)):
        return None
    if isinstance(left, sp.MatrixBase) or isinstance(right, sp.MatrixBase):
        scope.fail(
            "T05",
            "a requirement compares scalars",
            statement.span,
            "require something of each component: v.x > 0",
        )
        return None
    what = "a side of the requirement"
    real = _attempt(
        lambda: [complexes.real_valued(each, what) for each in (left, right)],
        statement.span,
        scope,
    )
    if real is None:
        return None
    left, right = real
    if statement.operator == "=":
        return _attempt(lambda: forms.to_requirement((left, right)), statement.span, scope)
    if where is None and not forms.fields_of(left - right):
        hint = (
            f"write require {text(statement.left)} {statement.operator} {text(statement.right)} in"
            " Omega"
        )
        scope.fail("T05", "the requirement does not say where it holds", statement.span, hint)
        return None
    return _attempt(
        lambda: Requirement(left, statement.operator, right, where or forms.domain_of(left, right)),
        statement.span,
        scope,
    )


@declare.register
def _output(statement: t.Output, draft: Draft) -> None:
    scope = draft.scope
    scope.place = statement.name.name
    result = expression(statement.value, replace(scope, pointwise=True))
    if bare(statement.name.name) in draft.outputs:
        scope.fail(
            "S05",
            f"output `{statement.name.name}` is declared twice",
            statement.name.span,
            "give each output its own name",
        )
    if not isinstance(result, Broken):
        result = complexes.stacked(result)
        draft.outputs[bare(statement.name.name)] = Output(
            bare(statement.name.name), result, statement.span, statement
        )


@declare.register
def _data(statement: t.Data, draft: Draft) -> None:
    scope = draft.scope
    result, where = expression(statement.value, scope), region(statement.region, scope)
    if not isinstance(result, Broken) and not isinstance(where, Broken):
        value, folder = complexes.stacked(result), folder_of(statement)
        draft.data.append(
            Data(
                value, where, statement.source, statement.span, statement, folder, statement.columns
            )
        )


@declare.register
def _reference(statement: t.Reference, draft: Draft) -> None:
    scope = draft.scope
    scope.place = "reference"
    unknown = _unknown_named(statement.name, scope)
    known = None if statement.value is None else expression(statement.value, scope)
    if isinstance(unknown, Broken) or isinstance(known, Broken):
        return
    name = key(statement.name.name, scope.variables)
    if name in draft.references:
        scope.fail(
            "S05", f"`{name}` has two references", statement.span, "state one known solution"
        )
    if known is None:
        where, folder = forms.declaration_of(unknown).region, folder_of(statement)
        value = complexes.stacked(unknown)
        draft.references[name] = Data(
            value, where, statement.source, statement.span, None, folder, statement.columns
        )
        return
    solution = _attempt(
        lambda: forms.known_solution(forms.declaration_of(unknown), known), statement.span, scope
    )
    if solution is not None:
        draft.references[name] = solution
