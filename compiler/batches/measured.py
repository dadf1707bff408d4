"""The samples that measured values belong to, as a batch."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from compiler.batches.sample import Batch, instance
from compiler.chance import Chance, seeded
from compiler.data.from_files import Interpolated, Splines, periods_of
from compiler.measurements.measured import Measurements
from pdespec.statements.problem import Problem


def measured_batch(
    problem: Problem,
    found: Measurements,
    points: Mapping[str, int],
    seed: int,
    form: Mapping[str, Any],
) -> Batch:
    """The samples of measured values, in float64; `form`: of their fields, as `instance` takes
    it."""
    count = len(found.keys)
    inputs = {}
    for name, table in found.inputs.items():
        splines = Splines(table, name, periods_of(problem.inputs[name]))
        numbers = torch.arange(count) if table.family else torch.zeros(count)
        inputs[name] = Interpolated(splines, numbers.double())
    few = {"interior": 1, "boundary": 1, "initial": 1, "point": 1, **points}
    chance = Chance(seeded(seed, "measured", 0), count)
    params = {name: torch.as_tensor(value) for name, value in found.params.items()}
    return instance(problem, params, inputs, few, chance, dtype=torch.float64, size=count, **form)
