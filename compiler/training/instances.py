"""Training on samples of the caller's own: the same params and inputs at every step, at points
drawn anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from compiler.batches.sample import Batch, instance
from compiler.chance import seeded
from compiler.training.options import TrainOptions
from compiler.training.runs import RunError
from pdespec.statements.problem import Problem

PROBED = 8  # points at which the record of a run holds an input function
SAME = 1e-5  # relative difference of values that count as the same, in single precision

# What training further on given samples begins with, over the options of its run: there is nothing
# to hold out, and nothing to share.
FURTHER: dict[str, Any] = {
    "steps": 200,
    "lr": 3e-3,
    "schedule": "cosine",
    "schedule_options": {"floor": 0.01},
    "physics": True,
    "validation": 0,
    "references": 0,
    "solutions": 0,
    "accumulate": 1,
    "devices": 1,
}


@dataclass(frozen=True)
class Instances:
    """A sampler of `size` samples whose params and inputs are given.

    `params`: numbers, or tensors of `size` of them; `inputs`: callables of points "b n d" to
    "b n c", SymPy expressions or numbers, as `compiler.instance` takes them.
    """

    params: Mapping[str, Any]
    inputs: Mapping[str, Callable[[Tensor], Tensor] | Any]
    size: int = 1

    def __call__(
        self,
        problem: Problem,
        size: int,
        points: Mapping[str, int] | None = None,
        generator: torch.Generator | None = None,
        **options: Any,
    ) -> Batch:
        """The samples at points from the generator. Raises: ValueError for another `size`."""
        if size != self.size:
            raise ValueError(f"{size} samples asked for, {self.size} given")
        return instance(problem, self.params, self.inputs, points, generator, size=size, **options)

    def record(self, problem: Problem) -> dict[str, Any]:
        """What a run keeps of the samples: params, and the values of each input at some points.
        Shapes: "b" or "b k" each; "b n c"."""
        batch = self(
            problem,
            self.size,
            {"interior": PROBED, "boundary": 1, "initial": 1, "operator": 1},
            seeded(0, "record", 0),
            dtype=torch.float64,
        )
        places = next(iter(batch.points.values())).points
        return {
            "size": self.size,
            "params": {name: batch.params[name].tolist() for name in problem.params},
            "inputs": {
                name: batch.draws.evaluate(name, places, continued=True).tolist()
                for name in problem.inputs
            },
        }


def refuse_other_samples(known: Mapping[str, Any] | None, own: Mapping[str, Any] | None) -> None:
    """Before a run goes on. Raises: RunError, with what differs, for samples that are not those
    of its record."""
    if (known is None) != (own is None):
        was, now = ("samples drawn by its laws", "given samples")[:: 1 if known is None else -1]
        raise RunError(f"this run was trained on {was}, not on {now}; train in another directory")
    for kind in ("params", "inputs") if known and own else ():
        for name in own[kind]:
            before, after = (
                torch.tensor(each[kind].get(name, ()), dtype=torch.float64) for each in (known, own)
            )
            same = before.shape == after.shape and torch.allclose(
                before, after, rtol=SAME, atol=SAME * float(before.abs().max())
            )
            if not same:
                raise RunError(
                    f"this run was trained on another `{name}`; give what it was begun with, or"
                    " train in another directory"
                )


def further(options: TrainOptions, size: int, measured: bool) -> TrainOptions:
    """The options with which `size` given samples are trained further on, by physics alone:
    solved samples and what a problem may have `measured` are of others."""
    own = {name: w for name, w in options.weights.items() if name.partition(".")[0] != "data"}
    weights = own | ({"data": 0.0} if measured else {})
    return replace(options, **FURTHER, batch=size, weights=weights, held_out=0)
