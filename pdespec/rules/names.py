"""S03, T04: names and units."""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.calculus import entries
from pdespec.coordinates import Coordinate
from pdespec.errors import Diagnostic, ProblemError
from pdespec.rules.dimensions import agree, unit_of
from pdespec.rules.registry import Analysis, rule


@rule("S03")
def names_are_free(analysis: Analysis) -> Iterator[Diagnostic]:
    """No declared name is a coordinate or the time. (The words of the language are written in
    backticks in a text.)"""
    problem = analysis.problem
    variables = {
        variable.name: "a coordinate" if isinstance(variable, Coordinate) else "the time"
        for variable in problem.variables
    }
    tables = (
        problem.unknowns,
        problem.inputs,
        problem.params,
        problem.constants,
        problem.trainables,
        problem.domains,
        problem.boundaries,
    )
    for name in dict.fromkeys(name for table in tables for name in table):
        if name in variables:
            yield Diagnostic(
                "S03",
                f"`{name}` is also the name of {variables[name]}",
                "rename one of them",
                label=name,
            )


@rule("T04")
def units_agree(analysis: Analysis) -> Iterator[Diagnostic]:
    """Both sides of every statement have one unit, where both are known. (What was parsed has
    been checked as it was written.)"""
    problem = analysis.problem
    for label, each in (*problem.equations.items(), *problem.conditions.items()):
        if each.span is not None:
            continue
        for left, right in zip(entries(each.lhs), entries(each.rhs), strict=True):
            try:
                agree(unit_of(left), unit_of(right), "this equation")
            except ProblemError as error:
                yield from (diagnostic.at(label=label) for diagnostic in error.diagnostics)
