"""Labelled samples, used as training data in addition to the physics or in its place: drawn and
solved once, kept with the run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from compiler.fem import SampleError
from compiler.geometry.metrics import Misfit, interior, misfit
from compiler.solvers import solve
from compiler.training.checkpoint import load_tree, save_tree
from compiler.training.progress import Display
from compiler.training.runs import SOLUTIONS as FILE
from compiler.training.runs import RunError, refuse_unlike
from pdespec.statements.problem import Problem

LABEL = "data"  # of the term, also in `TrainOptions.weights`
POINTS = 1024  # of each solved sample; a step takes as many of them as it has interior points


@dataclass(frozen=True)
class Solutions:
    """Solved samples. Shapes: values "s m c", at the interior points of the batch of s samples."""

    problem: Problem
    batch: Any
    values: Tensor

    def misfit(
        self,
        model: Callable[[Any], Callable[[Tensor], Tensor]],
        samples: Sequence[int],
        points: Tensor,
    ) -> Tensor:
        """Mean over samples and unknowns of the squared relative error (see
        `compiler.geometry.metrics`) over some of the points, numbered by `points` "k". Shapes: ->
        "".
        """
        batch, expected = self.batch.select(samples), self.values[list(samples)][:, points]
        at = interior(self.problem, batch)[:, points]
        return (
            misfit(self.problem, at, model(batch.inputs)(at), expected).squared(self.scale).mean()
        )

    @cached_property
    def scale(self) -> dict[str, Tensor]:
        """The mean square of each unknown over all samples."""
        found: Misfit = misfit(
            self.problem, interior(self.problem, self.batch), self.values, self.values
        )
        return found.scale()

    def to(self, dtype: torch.dtype, device: torch.device) -> Solutions:
        return Solutions(
            self.problem, self.batch.to(dtype).to(device), self.values.to(device, dtype)
        )


def solve_unless_saved(
    problem: Problem, draw: Callable[[int], Any], count: int, directory: Path, display: Display
) -> None:
    """Solves the samples `draw(count)`, unless `directory` holds their values already.

    Raises: RunError where the solver failed on all of them.
    """
    path = directory / FILE
    if path.is_file():
        return
    batch = draw(count).to(torch.float64)
    points = interior(problem, batch)
    found: dict[int, Tensor] = {}
    failure = None
    display.start(f"solve {problem.name}", 0, count, "samples")
    try:
        for k in range(count):
            try:
                found[k] = solve(problem, batch.select([k]))(points[k : k + 1])[0]
            except SampleError as error:
                failure = error
            display.step({"step": k + 1}, ())
    finally:
        display.stop()
    if not found:
        raise RunError(f"the reference solver failed on all {count} samples, last with: {failure}")
    save_tree(
        path, {"count": count, "samples": list(found), "values": torch.stack(list(found.values()))}
    )


def load_solutions(
    problem: Problem, draw: Callable[[int], Any], count: int, directory: Path
) -> Solutions:
    """The samples that `solve_unless_saved` solved, without those the solver gave up on. Raises:
    RunError where there are others."""
    saved = load_tree(directory / FILE)
    refuse_unlike(saved, {"count": int, "samples": [int], "values": Tensor}, directory / FILE)
    if not all(0 <= k < saved["count"] for k in saved["samples"]) or saved["values"].dim() != 3:
        raise RunError(f"{directory / FILE} is damaged: its samples are {saved['samples'][:8]}")
    if saved["count"] != count:
        raise RunError(
            f"{directory / FILE} holds {saved['count']} solved samples, the run asks for {count};"
            " name another directory"
        )
    return Solutions(problem, draw(count).select(saved["samples"]), saved["values"])
