"""The state of a training: what changes from step to step in addition to weights and moments, and
how a checkpoint holds it."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compiler.training.checkpoint import save_tree
from compiler.training.growth import GrowingModes
from compiler.training.placement import Placement
from compiler.training.runs import RunError


@dataclass
class TrainState:
    """`balance` and `schedule` are the states of balancer and schedule, `ema` the running mean of
    the weights, `best` the lowest validation loss, `pending` the one that the last step measured.
    `seconds` were spent in earlier sessions; this one `began` at a reading of the monotonic clock.
    `identity` is what its checkpoints belong to, see `compiler.training.runs.identity`.
    `placement` places points by the residual, `growth` adds Fourier modes, where that is asked for.
    """

    balance: Any
    schedule: Any
    ema: dict[str, Tensor] | None = None
    step: int = 0
    best: float = math.inf
    pending: float | None = None
    seconds: float = 0.0
    began: float = field(default_factory=time.monotonic)
    identity: Mapping[str, Any] | None = None
    placement: Placement | None = None
    growth: GrowingModes | None = None

    def elapsed(self) -> float:
        """Seconds of training, those of earlier sessions included."""
        return self.seconds + time.monotonic() - self.began

    def improved(self) -> bool:
        """Whether the last step measured the lowest validation loss; that is the best one then."""
        if self.pending is None or not self.pending < self.best or not math.isfinite(self.pending):
            return False
        self.best = self.pending
        return True

    def save(
        self,
        path: Path,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        weights: Mapping[str, float],
    ) -> None:
        """Writes it with the parameters of the objective, the moments of the optimiser, and the
        `weights` of the terms, which validation losses hang on."""
        tree: dict[str, Any] = {
            name: getattr(self, name) for name in ("ema", "step", "best", "pending", "identity")
        }
        tree |= {"balance": tuple(self.balance), "schedule": tuple(self.schedule)}
        tree |= {"seconds": self.elapsed(), "weights": dict(weights)}
        tree |= {"placement": self.placement.state()} if self.placement else {}
        tree |= {"growth": self.growth.state()} if self.growth else {}
        tree |= {"objective": objective.state_dict(), "optimizer": optimizer.state_dict()}
        save_tree(path, tree)

    def load(
        self,
        saved: Mapping[str, Any],
        path: Path,
        objective: nn.Module,
        optimizer: torch.optim.Optimizer,
        weights: Mapping[str, float],
    ) -> None:
        """Takes what `save` wrote, and puts the parameters of the objective and the moments of the
        optimiser in place. Where the terms had other `weights`, the best validation loss is
        forgotten.

        Raises: RunError where it is of another model, optimiser, balancer or schedule.
        """
        try:
            objective.load_state_dict(saved["objective"])
            optimizer.load_state_dict(saved["optimizer"])
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise RunError(
                f"checkpoint {path} does not fit this model and optimiser: {error}"
            ) from error
        for name in ("balance", "schedule"):
            fresh = getattr(self, name)
            if len(saved[name]) != len(fresh):
                raise RunError(
                    f"the checkpoint holds the state of another {name}; resume with the options of"
                    " the run"
                )
            setattr(self, name, type(fresh)(*saved[name]))
        if self.ema and saved["ema"]:
            device = next(iter(self.ema.values())).device
            self.ema = {name: value.to(device) for name, value in saved["ema"].items()}
        if self.placement and saved.get("placement"):
            self.placement.load(saved["placement"])
        if self.growth and saved.get("growth"):
            self.growth.load(saved["growth"])
        self.step, self.pending, self.seconds = saved["step"], saved["pending"], saved["seconds"]
        if saved.get("weights", weights) == weights:
            self.best = saved["best"]


def copied_weights(objective: nn.Module) -> dict[str, Tensor]:
    """The parameters of an objective by name, copied."""
    return {name: value.detach().clone() for name, value in objective.named_parameters()}


@torch.no_grad()
def put_weights(objective: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Puts such weights back, in place."""
    for name, value in objective.named_parameters():
        value.copy_(weights[name])


@torch.no_grad()
def follow(ema: Mapping[str, Tensor], objective: nn.Module, decay: float, step: int) -> None:
    """ema <- decay ema + (1 - decay) weights, with a shorter memory in the first steps."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    for name, value in objective.named_parameters():
        ema[name].lerp_(value, share)


@contextlib.contextmanager
def using(weights: Mapping[str, Tensor] | None, objective: nn.Module) -> Iterator[None]:
    """The model with other weights, averaged ones, if there are any."""
    if weights is None:
        yield
        return
    kept = copied_weights(objective)
    put_weights(objective, weights)
    try:
        yield
    finally:
        put_weights(objective, kept)
