"""The source text of statements, attached to the problem that was made from them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pdespec.statements.problem import Problem
from pdespec.text.syntax import ast as t

PARTS = (
    "name coordinates time domains boundaries unknowns inputs params constants trainables equations"
    " conditions functionals requirements outputs data references"
).split()


@dataclass(frozen=True, slots=True)
class Written:
    """The statements of a text, what its definitions mean, and the parts of the problem it made."""

    statements: tuple[t.Node, ...]
    definitions: Mapping[str, Any]
    parts: tuple[Any, ...]


def attach(
    problem: Problem, statements: tuple[t.Node, ...], definitions: Mapping[str, Any]
) -> Problem:
    """The problem with its statements riding along."""
    return problem.revised(
        written=Written(statements, definitions, tuple(getattr(problem, name) for name in PARTS))
    )


def current(problem: Problem) -> Written | None:
    """What was written, unless the problem was built in Python or has been revised since."""
    written = problem.written
    if isinstance(written, Written) and all(
        getattr(problem, name) is part for name, part in zip(PARTS, written.parts, strict=True)
    ):
        return written
    return None
