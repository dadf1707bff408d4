"""What a training found: the trainable numbers of its problem, and how sure they are."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

from compiler.estimation import LEVEL, EstimateError, described, uncertainty
from compiler.fem import SolverError
from compiler.files import write_atomically
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
            record["lines"] = described(found)
    write_atomically(run.directory / FILE, (json.dumps(record, indent=2) + "\n").encode())
    for line in lines(record):
        display.message(line)


def lines(record: dict[str, Any]) -> list[str]:
    """What is said of a record."""
    told = record.get("lines") or [f"{k} = {v:.6g}" for k, v in record["values"].items()]
    return told + ([f"no uncertainty: {record['reason']}"] if "reason" in record else [])


def read_found(directory: Path) -> list[str]:
    """What was said at the end of a run; nothing where it has not ended, or is of an older
    version."""
    path = directory / FILE
    if not path.is_file():
        return []
    try:
        return lines(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # damaged: the numbers stand in the checkpoint
