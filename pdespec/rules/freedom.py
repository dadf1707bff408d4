"""Freedoms that a problem leaves open, such as the level of a pressure or the sign of a mode.
Errors are measured modulo these."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations
from typing import Any

import sympy as sp

from pdespec.calculus import Integral, entries
from pdespec.jets import jets_of
from pdespec.nodes import nodes_of
from pdespec.probe import TOLERANCE, vanishes
from pdespec.rules.null_space import Mode, changes, modes_of, noticing
from pdespec.rules.registry import Analysis
from pdespec.statements.problem import Problem
from pdespec.statements.statements import IntegralRequirement
from pdespec.symbols import UnknownField

MOST_UNKNOWNS = 4  # of which all groups are tried for a common sign


@lru_cache(maxsize=64)
def gauges(problem: Problem) -> tuple[Mode, ...]:
    """The modes (constants, rotations, linear functions) by which an unknown may be shifted and
    nothing that is stated notices, but for requirements that an integral be zero: these pick one of
    the solutions that the rest leaves.
    """
    analysis = Analysis(problem)
    modes = [mode for unknown in problem.unknowns.values() for mode in modes_of(analysis, unknown)]
    if analysis.failures or not analysis.equations:
        return ()
    found = list(range(len(modes)))
    for form, place in noticing(analysis, gauges=False):
        if not found:
            break
        rows = list(changes(form, place, [modes[k] for k in found]))
        found = [
            k for column, k in enumerate(found) if all(abs(row[column]) < TOLERANCE for row in rows)
        ]
    return tuple(modes[k] for k in found)


@lru_cache(maxsize=64)
def signs(problem: Problem) -> tuple[frozenset[str], ...]:
    """The smallest groups of unknowns whose common sign can be turned and every statement stays
    what it was: with u, -u is a solution."""
    names = [name for name, unknown in problem.unknowns.items() if not unknown.positive]
    statements = _statements(problem)
    found: list[frozenset[str]] = []
    for size in range(1, min(len(names), MOST_UNKNOWNS) + 1):
        for group in map(frozenset, combinations(names, size)):
            if any(group & other for other in found):
                continue
            if statements is not None and all(
                _stays(form, group, either) for form, either in statements
            ):
                found.append(group)
    return tuple(found)


def _statements(problem: Problem) -> list[tuple[Any, bool]] | None:
    """Every expression that may notice a sign, and whether it may turn its own sign with it (as
    what is to be zero may)."""
    analysis = Analysis(problem)
    if analysis.failures:
        return None
    found = [(row.form, True) for row in (*analysis.stated, *analysis.conditions)]
    found += [(row.form, False) for row in analysis.densities]
    for each in problem.requirements:
        if isinstance(each, IntegralRequirement):
            found.append((problem.derivative_form(each.density), each.value == 0))
        else:
            found.append((problem.derivative_form(each.lhs - each.rhs), False))
    found += [
        (problem.derivative_form(entry), False)
        for data in problem.data
        for entry in entries(data.value)
    ]
    return found


def _stays(form: Any, group: frozenset[str], either: bool) -> bool:
    jets = [jet for jet in jets_of(form, UnknownField) if jet.field.func.declaration.name in group]
    integrals = [
        node for node in nodes_of(form, Integral) if any(name in group for name in _names(node))
    ]
    if integrals:
        return False
    if not jets:
        return True
    turned = form.xreplace({jet: -jet for jet in jets})
    return vanishes(turned - form) or (either and vanishes(turned + form))


def _names(node: Any) -> Iterator[str]:
    return (each.func.declaration.name for each in nodes_of(node.density, UnknownField))


@dataclass(frozen=True)
class Normalisation:
    """A requirement that fixes the size of some unknowns and nothing else: `integral(q, region) = c
    > 0`, q >= 0 homogeneous of `degree` in them, whose conditions all hold for their multiples too.
    Then `(c / integral(q))^(1/degree) u` meets it for every field u.
    """

    number: int  # among the problem's requirements, from 1
    unknowns: frozenset[str]
    degree: int


@lru_cache(maxsize=64)
def normalisations(problem: Problem) -> tuple[Normalisation, ...]:
    """The requirements that a scale of the field can meet exactly, where nothing depends on
    time."""
    analysis = Analysis(problem)
    if problem.time is not None or analysis.failures:
        return ()
    fixed = [
        each
        for each in problem.requirements
        if isinstance(each, IntegralRequirement) and each.value != 0
    ]
    found: list[Normalisation] = []
    for number, each in enumerate(problem.requirements, 1):
        if not isinstance(each, IntegralRequirement) or not sp.sympify(each.value).is_positive:
            continue
        form = problem.derivative_form(each.density)
        names = frozenset(_held(form))
        degree = next(
            (d for d in (1, 2, 3, 4) if vanishes(_doubled(form, names) - 2**d * form)), None
        )
        shared = sum(
            1 for other in fixed if names & set(_held(problem.derivative_form(other.density)))
        )
        if (
            not names
            or degree is None
            or not form.is_nonnegative
            or shared > 1
            or names & analysis.measured
        ):
            continue
        rows = (row.form for row in analysis.conditions)
        if any(problem.unknowns[name].positive for name in names) or not all(
            _linear(form, names) for form in rows
        ):
            continue
        found.append(Normalisation(number, names, degree))
    return tuple(found)


def _held(form: Any) -> set[str]:
    return {jet.field.func.declaration.name for jet in jets_of(form, UnknownField)}


def _doubled(form: Any, names: frozenset[str]) -> Any:
    return form.xreplace(
        {
            jet: 2 * jet
            for jet in jets_of(form, UnknownField)
            if jet.field.func.declaration.name in names
        }
    )


def _linear(form: Any, names: frozenset[str]) -> bool:
    """Whether what is to vanish still does when the unknowns are multiplied by a number."""
    return not names & _held(form) or vanishes(_doubled(form, names) - 2 * form)
