"""A problem taken apart for the rules of `check`: equations and conditions row by row,
derivatives expanded. And the rules' registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import sympy as sp

from pdespec.calculus import entries
from pdespec.errors import Diagnostic, ProblemError, Span
from pdespec.jets import Jet, jets_of
from pdespec.statements.natural import naturals
from pdespec.statements.normalise import fields_of
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Condition, Equation
from pdespec.symbols import Unknown, UnknownField

Rule = Callable[["Analysis"], Iterable[Diagnostic]]
RULES: dict[str, list[Rule]] = {}


def rule(code: str) -> Callable[[Rule], Rule]:
    """Registers a rule under the code of the diagnostics it gives."""

    def register(function: Rule) -> Rule:
        RULES.setdefault(code, []).append(function)
        return function

    return register


def counted(number: int, noun: str) -> str:
    """`1 equation`, `2 equations`."""
    return f"{number} {noun}" + ("" if number == 1 else "s")


@dataclass(frozen=True)
class Row:
    """One scalar equation or condition, lhs - rhs in jet form, with the statement it belongs to."""

    label: str
    form: sp.Expr
    region: Any
    span: Span | None
    condition: Any = None  # the `Condition` it belongs to, None for an equation

    @cached_property
    def unknown_jets(self) -> tuple[Jet, ...]:
        """The unknowns and derivatives of them that the row holds."""
        return jets_of(self.form, UnknownField)

    @cached_property
    def unknowns(self) -> tuple[Unknown, ...]:
        """The unknowns that it holds, each once, in order."""
        return tuple(dict.fromkeys(jet.field.func.declaration for jet in self.unknown_jets))

    def report(
        self, code: str, message: str, hint: str = "", cause: str = "", severity: str = "error"
    ) -> Diagnostic:
        """A diagnostic at the place of this statement, under its label."""
        return Diagnostic(code, message, hint, cause, self.span, self.label, severity)


class Analysis:
    """A problem with its equations and conditions in jet form, row by row. What cannot be
    brought there is a failure."""

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        self.failures: list[Diagnostic] = []
        self.stated = list(self._rows(problem.equations.items()))
        self.varied = list(
            self._rows(self._attempt(lambda: problem.stationarity, "", None, {}).items())
        )
        self.equations = [*self.stated, *self.varied]
        self.conditions = list(self._rows(problem.conditions.items()))

    def _rows(self, statements: Iterable[tuple[str, Equation | Condition]]) -> Iterator[Row]:
        for label, each in statements:
            for entry in entries(each.lhs - each.rhs):
                find = partial(self.problem.derivative_form, entry)
                form = self._attempt(find, label, each.span, None)
                if form is not None:
                    yield Row(
                        label,
                        form,
                        each.region,
                        each.span,
                        each if isinstance(each, Condition) else None,
                    )

    def _attempt(
        self, action: Callable[[], Any], label: str, span: Span | None, default: Any
    ) -> Any:
        try:
            return action()
        except ProblemError as error:
            self.failures += [diagnostic.at(span, label) for diagnostic in error.diagnostics]
            return default

    @cached_property
    def densities(self) -> list[Row]:
        """The terms of all functionals."""
        terms = [
            (functional, *term)
            for functional in self.problem.functionals
            for term in functional.terms
        ]
        forms = [
            (
                functional,
                self._attempt(partial(self.problem.derivative_form, density), "", None, None),
                region,
            )
            for functional, density, region in terms
        ]
        return [
            Row(functional.kind, form, region, functional.span)
            for functional, form, region in forms
            if form is not None
        ]

    @cached_property
    def natural(self) -> list[Row]:
        """The natural conditions of all functionals; their densities where those are not
        derived."""
        rows = []
        for functional in self.problem.functionals:
            try:
                found = list(naturals(self.problem, functional))
            except ProblemError:
                return self.densities
            rows += [
                Row(
                    functional.kind,
                    self.problem.derivative_form(natural.flux),
                    natural.region,
                    functional.span,
                )
                for natural in found
            ]
        return rows

    @cached_property
    def boundary_rows(self) -> list[Row]:
        """Conditions on boundaries, one for each component."""
        return [
            row
            for row in self.conditions
            if row.condition is not None and row.condition.kind == "boundary"
        ]

    @cached_property
    def initial_rows(self) -> list[Row]:
        """Conditions at the start, one for each component."""
        return [
            row
            for row in self.conditions
            if row.condition is not None and row.condition.kind == "initial"
        ]

    @cached_property
    def point_rows(self) -> list[Row]:
        """Conditions at a point, one for each component."""
        return [
            row
            for row in self.conditions
            if row.condition is not None and row.condition.kind == "point"
        ]

    @cached_property
    def measured(self) -> set[str]:
        """Names of the unknowns of which data are given."""
        return {
            field.func.declaration.name
            for data in self.problem.data
            for field in fields_of(data.value)
        }

    @cached_property
    def minimised(self) -> set[str]:
        """Names of the unknowns of functionals."""
        return {name for functional in self.problem.functionals for name in functional.unknowns}

    def order(
        self, component: Any, *variables: sp.Symbol, rows: Iterable[Row] | None = None
    ) -> int:
        """The highest total order in the given variables in which equations hold a component."""
        jets = (
            jet
            for row in (self.equations if rows is None else rows)
            for jet in row.unknown_jets
            if jet.field == component
        )
        return max((sum(jet.over(variables)) for jet in jets), default=0)

    def first(self, component: Any, rows: Iterable[Row] | None = None) -> Row | None:
        """The first equation (or given row) that holds a component: where to report what is
        wrong with it."""
        rows = self.equations if rows is None else rows
        return next(
            (row for row in rows if any(jet.field == component for jet in row.unknown_jets)), None
        )
