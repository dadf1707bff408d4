"""Descriptions of loss terms in words, for labels such as `out.a.b.2`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from compiler.training.dual import LABEL as WEAK
from compiler.training.solved_samples import LABEL as DATA
from pdespec.statements.problem import Problem
from pdespec.text.write.summary import statements

LONGEST = 60  # characters of a statement
OWN = {WEAK: "weak residual, in its dual norm on a coarse mesh", DATA: "solved samples"}
ERROR = ".error"  # ends the label of the error that an equation's residual causes


WEIGHT = "weight "  # begins the column of the weight of a term


def terms(history: Sequence[Mapping[str, float]]) -> list[str]:
    """The labels of the terms that a training lowered or watched, from the rows of its history."""
    first = history[0] if history else {}
    return [name.removeprefix(WEIGHT) for name in first if name.startswith(WEIGHT)]


def meanings(problem: Problem, labels: Iterable[str]) -> dict[str, str]:
    """What each term of the loss is, empty where nothing is known of it."""
    known, found = statements(problem), {}
    for label in labels:
        what = (known.get(label) or OWN.get(label, "")).replace(f" {label}:", "")
        of = known.get(label.removesuffix(ERROR))
        if not what and of:
            what = f"error in u that the residual causes, {of}"
        found[label] = what
    return found


def described(problem: Problem, labels: Iterable[str]) -> dict[str, str]:
    """Each label of a term of the loss with what it is, cut to the length of a legend."""
    found = {}
    for label, what in meanings(problem, labels).items():
        cut = what if len(what) <= LONGEST else f"{what[: LONGEST - 2]} .."
        found[label] = f"{label} ({cut})" if cut else label
    return found
