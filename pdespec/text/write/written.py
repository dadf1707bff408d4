"""Written form of a problem: the user's own statements where it came from text, else made from
its meaning."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pdespec.calculus import entries
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.source import current
from pdespec.text.write.unparse import recover

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem


def statements_of(problem: Problem) -> tuple[t.Node, ...]:
    """The statements of a problem, in the order of a file."""
    written = current(problem)
    return written.statements if written is not None else recover(problem)


def abbreviations(problem: Problem) -> dict[Any, t.Node]:
    """What the user's definitions and the tensors and vectors among the outputs abbreviate: an
    expression to its name or component."""
    written = current(problem)
    named = {
        **(written.definitions if written else {}),
        **{name: each.value for name, each in problem.outputs.items()},
    }
    axes = [x.name for x in problem.coordinates]
    found: dict[Any, t.Node] = {}
    for name, value in named.items():
        if isinstance(value, sp.MatrixBase) and value.rows == len(axes):
            suffixes = axes if value.cols == 1 else [a + b for a in axes for b in axes]
            pairs = [
                (entry, t.Component(t.Name(name), suffix))
                for entry, suffix in zip(entries(value), suffixes, strict=True)
            ]
        else:
            pairs = [(value, t.Name(name))] if isinstance(value, sp.Expr) else []
        for entry, node in pairs:
            if not isinstance(entry, (sp.Symbol, sp.Number, AppliedUndef, sp.Derivative)):
                found.setdefault(entry, node)
    return found
