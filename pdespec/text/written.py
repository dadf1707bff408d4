"""What a problem looks like when written: the user's own statements where it came from text, made from its meaning otherwise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import tree as t

if TYPE_CHECKING:
    from ..problem import Problem

PARTS = (
    "name coordinates time domains boundaries unknowns inputs params constants trainables equations conditions functionals "
    "requirements outputs data references"
).split()


@dataclass(frozen=True, slots=True)
class Written:
    """The statements of a text and the parts of the problem they made, to notice when the problem was revised since."""

    statements: tuple[t.Node, ...]
    parts: tuple[Any, ...]


def attach(problem: Problem, statements: tuple[t.Node, ...]) -> Problem:
    """The problem with its statements riding along."""
    return problem.revised(written=Written(statements, tuple(getattr(problem, name) for name in PARTS)))


def statements_of(problem: Problem) -> tuple[t.Node, ...]:
    """The statements of a problem, in the order of a file."""
    written = problem.written
    if isinstance(written, Written) and all(getattr(problem, name) is part for name, part in zip(PARTS, written.parts, strict=True)):
        return written.statements
    from .recover import recover

    return recover(problem)
