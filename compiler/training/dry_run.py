"""A training that is set up and not begun: every option, where it comes from, and what it comes to
for this problem."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import nn

from compiler.batches.build import FITTED
from compiler.batches.recipe import Recipe
from compiler.training.processes import lost_process
from compiler.training.progress import Display
from compiler.training.rules import fitted
from compiler.training.runs import Run
from compiler.training.set_up import set_up
from compiler.training.start import DEFAULT, Start, entries
from compiler.training.threads import kept
from pdespec.statements.problem import Problem

DECIDED = {
    **dict.fromkeys(("dual", "error_estimate", "form"), "loss"),
    "causal": "weights in time",
    "threads": "threads",
}
"""Options that leave something to a rule, and the subject of the rule."""


@dataclasses.dataclass(frozen=True)
class Row:
    """An option by its key of `--set`; `origin` is where its value comes from, `rule` what that
    comes to for the problem."""

    key: str
    value: Any
    origin: str
    rule: str = ""


@dataclasses.dataclass(frozen=True)
class Rehearsal:
    """`rows` are the options, `rules` what was fitted to the problem, by subject."""

    rows: tuple[Row, ...]
    rules: Mapping[str, str]


def rehearse(
    problem: Problem, model: nn.Module, begun: Start, directory: Path, display: Display
) -> Rehearsal:
    """Sets a training up, so that what is wrong with its options is said, and neither trains nor
    writes. No sample is solved but what a rule asks for.

    Raises: as `compiler.train`.
    """
    options = begun.options
    run = Run(directory, problem, options, Recipe(begun.operator, begun.model), model=model)
    with lost_process(directory, options.timeout) as roll, kept():
        training, _ = set_up(run, False, None, None, display, roll, validated=False)
    rules = fitted(problem) | dict(training.reasons)
    rows = [Row("operator", begun.operator, begun.origins["operator"])]
    for key, value in entries(options).items():
        name = key.partition(".")[0]
        rule = rules.get(DECIDED.get(name, ""), "") if value not in (None, False) else ""
        if name == "accelerator":
            rule = str(training.fabric.device)
        rows.append(Row(key, value, begun.origins[key], rule))
    return Rehearsal((*rows, *_of_model(model, begun)), rules)


def _of_model(model: nn.Module, begun: Start) -> list[Row]:
    """Options of the operator: given, fitted to the problem by rule, and its own defaults."""
    found = getattr(model, "fitted", {})
    defaults = {each.name: each.default for each in dataclasses.fields(type(model).Options)}
    rows = []
    for name, value in (defaults | found | dict(begun.model)).items():
        given = begun.origins.get(f"model.{name}")
        origin = given or ("rule" if name in found else DEFAULT)
        rule = FITTED[name] if origin == "rule" else ""
        rows.append(Row(f"model.{name}", value, origin, rule))
    return rows
