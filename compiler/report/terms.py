"""Descriptions of loss terms in words, for labels such as `out.a.b.2`."""

from __future__ import annotations

from collections.abc import Iterable

from compiler.training.dual import LABEL as WEAK
from compiler.training.solved_samples import LABEL as DATA
from pdespec.statements.problem import Problem
from pdespec.text.write.summary import statements

LONGEST = 60  # characters of a statement
OWN = {WEAK: "weak residual, in its dual norm on a coarse mesh", DATA: "solved samples"}
ERROR = ".error"  # ends the label of the error that an equation's residual causes


def described(problem: Problem, labels: Iterable[str]) -> dict[str, str]:
    """Each label of a term of the loss with what it is."""
    known, found = statements(problem), {}
    for label in labels:
        what = (known.get(label) or OWN.get(label, "")).replace(f" {label}:", "")
        of = known.get(label.removesuffix(ERROR))
        if not what and of:
            what = f"error in u that the residual causes, {of}"
        cut = what if len(what) <= LONGEST else f"{what[: LONGEST - 2]} .."
        found[label] = f"{label} ({cut})" if cut else label
    return found
