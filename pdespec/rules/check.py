"""Well-posedness check of a problem: all rules run, and all diagnostics are reported together.

A rule is a function from the `Analysis` of a problem to diagnostics; it is defined in
`pdespec/rules`. Adding one is: write it, decorate it, add its malformed example to the tests.
Mistakes that keep a problem from being built at all (names, syntax, ranks) are found where it is
built; the rules look at the finished value."""

from __future__ import annotations

from collections.abc import Container

from pdespec import rules
from pdespec.errors import Diagnostic
from pdespec.rules.registry import RULES, Analysis
from pdespec.statements.problem import Problem


def check(problem: Problem, without: Container[str] = ()) -> tuple[Diagnostic, ...]:
    """Everything that is wrong or doubtful about a problem, errors first, in the order of its
    statements.

    Each diagnostic has a span when the problem was parsed and a label when it was built in Python.
    The rules of the codes in `without` are left out: the reader of texts asks only what can be said
    when some statements could not be understood.
    """
    analysis = Analysis(problem)
    found = [
        diagnostic
        for code in sorted(RULES)
        if code not in without
        for each in RULES[code]
        for diagnostic in each(analysis)
    ]
    return tuple(sorted(dict.fromkeys([*analysis.failures, *found]), key=_order))


def _order(diagnostic: Diagnostic) -> tuple:
    place = (diagnostic.span.line, diagnostic.span.column) if diagnostic.span else (0, 0)
    return diagnostic.severity != "error", place


__all__ = ["RULES", "check", "rules"]
