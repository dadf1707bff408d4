"""Comparison of runs: the options in which they differ, and their errors. Imports no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.training.runs import EVALUATION, Run, RunError, open_run, refuse_unlike, sessions
from compiler.training.start import entries

ABSENT = "-"


@dataclass(frozen=True)
class RunTable:
    """`options` that differ, and `results`, by name with a value for each of `runs`; None where
    a run has none."""

    runs: tuple[str, ...]
    options: Mapping[str, tuple[Any, ...]]
    results: Mapping[str, tuple[float | None, ...]]

    def as_json(self) -> dict[str, Any]:
        """By part, name and run."""

        def by_run(rows: Mapping[str, tuple[Any, ...]]) -> dict[str, dict[str, Any]]:
            return {
                name: dict(zip(self.runs, values, strict=True)) for name, values in rows.items()
            }

        return {
            "runs": list(self.runs),
            "options": by_run(self.options),
            "results": by_run(self.results),
        }


def compare_runs(directories: Sequence[str | Path]) -> RunTable:
    """Compares runs by what they keep. Errors are those of their last evaluation; a loss can be
    compared only where the runs lower the same one. Units: seconds; CPU time is that of the process
    that writes the run, all sessions together, setting up included.

    Raises: RunError where there is no run, or what it keeps is damaged.
    """
    found = [open_run(each) for each in directories]
    all_options = [_options(run) for run in found]
    results = [_results(run) for run in found]
    options = _rows(all_options)
    return RunTable(
        tuple(str(each) for each in directories),
        {name: values for name, values in options.items() if any(v != values[0] for v in values)},
        _rows(results),
    )


def _rows(columns: Sequence[Mapping[str, Any]]) -> dict[str, tuple[Any, ...]]:
    """Every name that one of the columns has, in their order, with its values."""
    names = dict.fromkeys(name for column in columns for name in column)
    return {name: tuple(column.get(name) for column in columns) for name in names}


def _options(run: Run) -> dict[str, Any]:
    found = {"problem": run.problem.name, "preset": run.preset}
    if run.recipe is not None:
        found["operator"] = run.recipe.operator
        found |= {f"model.{name}": value for name, value in run.recipe.options.items()}
    return found | entries(run.options)


def _results(run: Run) -> dict[str, float | None]:
    history, parts = run.history, sessions(run.directory)
    last = {name: value for row in history for name, value in row.items()}
    cpu = [each.get("cpu_seconds") for each in parts]
    found = {
        "steps": last.get("step"),
        "final loss": last.get("total"),
        "validation loss": last.get("validation"),
        "validation error": last.get("error"),
        "training, s": last.get("seconds"),
        "CPU time, s": None if None in cpu else sum(cpu),
    }
    path = run.directory / EVALUATION
    if not path.is_file():
        return found
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({error})") from error
    number = (int, float)
    schema = {"unknowns": {str: {"mean": number}}, "seconds": {"operator": number}, "step": int}
    refuse_unlike(stored, schema, path)
    errors = {f"error of {name}": each["mean"] for name, each in stored["unknowns"].items()}
    answer = {"operator, s a sample": stored["seconds"]["operator"]}
    return found | errors | answer | {"evaluated at step": stored["step"]}
