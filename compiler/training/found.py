"""The trainables that a training found, with their standard deviations."""

from __future__ import annotations

import contextlib
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from compiler.estimation import (
    LEVEL,
    EstimateError,
    FieldEstimate,
    described,
    fields_of,
    uncertainty,
)
from compiler.fem import SolverError
from compiler.files import write_atomically
from compiler.trainable_fields import found_fields
from compiler.training.progress import Display
from compiler.training.runs import Run
from pdespec.errors import ProblemError

FILE = "trainables.json"
RESOLUTION = 16  # of the reference solutions whose differences say how sure a number is


def tell_found(run: Run, display: Display) -> None:
    """Says what was found, and keeps it in the run as `trainables.json`: values, and where the
    problem has data standard deviations and 95 % intervals, or why there are none."""
    if not run.trainables:
        return
    record: dict[str, Any] = {"values": dict(run.trainables)}
    functions = found_functions(run)
    inside = [c for each in functions.values() for c in each.declared.components]
    if run.problem.data and run.options.uncertainty:
        display.message("solving for the uncertainty of what was found")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = uncertainty(run.problem, run.trainables, resolution=RESOLUTION)
        except (EstimateError, SolverError, ProblemError) as error:
            record["reason"] = str(error)
        else:
            record |= {"std": found.std, "interval": found.interval(LEVEL), "noise": found.noise}
            record |= {"known": found.known, "freedom": found.freedom}
            if found.fields:
                record["covariance"] = found.covariance.tolist()
            record["lines"] = described(found)
    if functions and "lines" not in record:
        record |= {"inside": inside, "functions": list(map(str, functions.values()))}
    write_atomically(run.directory / FILE, (json.dumps(record, indent=2) + "\n").encode())
    for line in lines(record):
        display.message(line)


def found_functions(run: Run) -> dict[str, FieldEstimate]:
    """The trainable functions of a problem as a run found them, by name; with what was said of how
    sure they are, where that was for the same values."""
    declared, names = found_fields(run.problem), list(run.trainables)
    if not declared or not names:
        return {}
    record: dict[str, Any] = {}
    with contextlib.suppress(OSError, ValueError):
        record = json.loads((run.directory / FILE).read_text(encoding="utf-8"))
    theta = np.array([run.trainables[name] for name in names])
    same = record.get("values") == dict(run.trainables) and "covariance" in record
    if not same:
        return fields_of(declared, names, theta)
    covariance = np.array(record["covariance"], dtype=float)
    return fields_of(declared, names, theta, covariance, record["known"], record["freedom"])


def lines(record: dict[str, Any]) -> list[str]:
    """What is said of a record."""
    told = record.get("lines") or [
        f"{k} = {v:.6g}" for k, v in record["values"].items() if k not in record.get("inside", ())
    ]
    return (
        told
        + record.get("functions", [])
        + ([f"no uncertainty: {record['reason']}"] if "reason" in record else [])
    )


def read_found(directory: Path) -> list[str]:
    """What was said at the end of a run; nothing where it has not ended, or is of an older
    version."""
    path = directory / FILE
    if not path.is_file():
        return []
    try:
        return lines(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # damaged: the numbers are in the checkpoint
