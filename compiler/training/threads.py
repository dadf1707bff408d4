"""How many threads of the processor a training computes with: all that torch takes, or one.

Small operators lose more by handing work from thread to thread than they gain, and where other
programs run, threads wait for one another: two can be far slower than one. What is faster is
measured, and kept for the run, since the last digits of sums hang on it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch

from compiler.training.objective import Objective

# the share of the time of one thread that all must do with: the next batch needs a core too
SOONER = 0.75
ROUNDS = 4  # of which the first is slow
FAR = 3  # times the best


@contextmanager
def kept() -> Iterator[None]:
    """Leaves torch the number of threads that it came with."""
    count = torch.get_num_threads()
    try:
        yield
    finally:
        torch.set_num_threads(count)


def set_threads(objective: Objective, step: int, sessions: Sequence[Mapping[str, Any]]) -> str:
    """Sets torch's threads: those that `options.threads` says, or the run began with; else, of one
    process on the processor, all or one, as measured. Gives the reason in words, none where there
    was no choice."""
    asked, most, fabric = objective.options.threads, torch.get_num_threads(), objective.fabric
    if asked != "auto":
        torch.set_num_threads(int(asked))
        return ""
    if most == 1 or fabric.world_size > 1 or fabric.device.type != "cpu":
        return ""
    if sessions:
        torch.set_num_threads(min(most, sessions[0]["threads"]))
        return f"{torch.get_num_threads()}, as the run began"
    spent = measured(objective, step, (1, most))
    torch.set_num_threads(most if spent[most] < SOONER * spent[1] else 1)
    one, all_of_them = (1000 * spent[count] for count in (1, most))
    return (
        f"{torch.get_num_threads()} of {most}: the operator and its gradient take {one:.3g} ms with"
        f" one, {all_of_them:.3g} ms with {most}"
    )


def measured(objective: Objective, step: int, counts: Sequence[int]) -> dict[int, float]:
    """Seconds of the field at the points of a batch, and of its gradient, by number of threads:
    the least of a few, of which no more are taken where one is far above the best so far."""
    # not ahead: the thread that draws there would keep the number of threads that it begins with
    batch = objective.draw("train", step, share=False)
    points = next(iter(batch.points.values())).points
    weights = [each for each in objective.model.parameters() if each.requires_grad]
    found: dict[int, float] = {}
    with torch.random.fork_rng(devices=[]), kept():  # a model may draw numbers
        for count in counts:
            torch.set_num_threads(count)
            for _ in range(ROUNDS):
                began = time.perf_counter()
                value = objective.model(batch.inputs)(points).square().mean()
                torch.autograd.grad(value, weights, allow_unused=True)
                spent = time.perf_counter() - began
                found[count] = min(found.get(count, spent), spent)
                if spent > FAR * min(found.values()):
                    break
    return found
