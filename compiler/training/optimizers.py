"""Optimisers and learning-rate schedules of a run, by name."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch

from compiler.training.lbfgs import LBFGS
from compiler.training.soap import SOAP
from operators.registry import Registry

OPTIMIZERS = Registry("optimizer")
"""Optimisers by name: `torch.optim.Optimizer` classes."""
OPTIMIZERS.register("adam")(torch.optim.Adam)
OPTIMIZERS.register("adamw")(torch.optim.AdamW)
OPTIMIZERS.register("soap")(SOAP)
OPTIMIZERS.register("lbfgs")(LBFGS)

SCHEDULES = Registry("schedule")
"""Learning-rate schedules by name: factors of the rate as functions of the step."""


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of a run: step of steps, and the validation loss measured since the last step,
    if one was."""

    step: int
    steps: int
    validation: float | None = None


@dataclass(frozen=True, slots=True)
class Schedule:
    """A pure pair: `factor, state = schedule.update(progress, state)`; the step's learning rate
    is `factor` times the option `lr`."""

    init: Callable[[], Any]
    update: Callable[[Progress, Any], tuple[float, Any]]


class Nothing(NamedTuple):
    """The state of a schedule that is a function of the step."""


class Patience(NamedTuple):
    """The state of a plateau schedule: best validation loss, validations since, factor so far."""

    best: float = math.inf
    waited: int = 0
    factor: float = 1.0


@SCHEDULES.register("constant")
def constant(warmup: int = 0) -> Schedule:
    """The option `lr` throughout, after `warmup` steps of linear rise."""
    _bounded(warmup=(warmup, 0, math.inf))
    return _of_step(lambda step, steps: _warm(step, warmup))


@SCHEDULES.register("cosine")
def cosine(warmup: int = 0, floor: float = 0.01) -> Schedule:
    """Linear rise over `warmup` steps, then half a cosine down to `floor` times `lr` at the last
    step."""
    _bounded(warmup=(warmup, 0, math.inf), floor=(floor, 0, 1))

    def factor(step: int, steps: int) -> float:
        share = min(1.0, max(0.0, (step - warmup) / max(1, steps - 1 - warmup)))
        return _warm(step, warmup) * (floor + (1 - floor) * 0.5 * (1 + math.cos(math.pi * share)))

    return _of_step(factor)


@SCHEDULES.register("plateau")
def plateau(
    factor: float = 0.5,
    patience: int = 5,
    threshold: float = 1e-4,
    floor: float = 1e-4,
    warmup: int = 0,
) -> Schedule:
    """`lr` times `factor` whenever more than `patience` validations in a row have not lowered
    the best by the share `threshold`."""
    _bounded(
        factor=(factor, 0, 1),
        patience=(patience, 0, math.inf),
        threshold=(threshold, 0, 1),
        floor=(floor, 0, 1),
    )
    _bounded(warmup=(warmup, 0, math.inf))

    def update(progress: Progress, state: Patience) -> tuple[float, Patience]:
        if progress.validation is not None:
            if progress.validation < state.best * (1 - threshold):
                state = Patience(progress.validation, 0, state.factor)
            elif state.waited >= patience:
                state = Patience(state.best, 0, max(floor, state.factor * factor))
            else:
                state = state._replace(waited=state.waited + 1)
        return state.factor * _warm(progress.step, warmup), state

    return Schedule(Patience, update)


def _bounded(**values: tuple[float, float, float]) -> None:
    """Raises: ValueError for a number that is not between its bounds."""
    for name, (value, least, most) in values.items():
        if (
            isinstance(value, bool)
            or not isinstance(value, (int, float))
            or not least <= value <= most
        ):
            raise ValueError(f"{name} is a number from {least} to {most}, not {value!r}")


def _of_step(factor: Callable[[int, int], float]) -> Schedule:
    return Schedule(Nothing, lambda progress, state: (factor(progress.step, progress.steps), state))


def _warm(step: int, warmup: int) -> float:
    return min(1.0, (step + 1) / warmup) if warmup else 1.0
