"""What a training does in addition to its steps: callbacks, by name in the options or as objects of
one's own."""

from __future__ import annotations

import dataclasses
import importlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from compiler.training.options import OptionError
from compiler.training.runs import Run
from operators.registry import Registry


@dataclass(frozen=True)
class Moment:
    """The progress of a training when a callback is called. `row` is what history.csv has of the
    step; `model` is the one that is trained, its weights as they are; `save(name)` writes the
    checkpoint DIR/checkpoints/NAME.safetensors.
    """

    run: Run
    model: nn.Module
    step: int
    row: Mapping[str, float]
    save: Callable[[str], None]


class Callback:
    """Does nothing: override what is wanted. It is called in the process that writes the run. A
    text that `on_step` or `on_validation` returns stops the training, and is said as the reason; a
    run that is stopped so has its last state, and may be resumed.
    """

    def on_start(self, moment: Moment) -> None:
        """Before the first step of this session; the row is empty."""

    def on_step(self, moment: Moment) -> str | None:
        """After each step."""

    def on_validation(self, moment: Moment) -> str | None:
        """After a step with a validation, which is in the row and the last of `run.history`."""

    def on_end(self, moment: Moment) -> None:
        """After the last step of this session, however it ends but by an error."""


CALLBACKS: Registry[Callable[..., Callback]] = Registry("callback")
"""Callbacks by name: what `TrainOptions.callbacks` may hold, with options."""


@CALLBACKS.register("early_stopping")
@dataclass
class EarlyStopping(Callback):
    """Stops once `patience` validations in a row have not lowered the best one by the share
    `least`. `of` is a column of the history: validation, or error, the error in u of
    `references` solved samples.

    It goes by what is on disk, so that a resumed run stops where the whole one would.
    """

    patience: int = 5
    least: float = 0.0
    of: str = "validation"

    def __post_init__(self) -> None:
        if not isinstance(self.patience, int) or self.patience < 1:
            raise ValueError(f"patience is a whole number from 1, not {self.patience!r}")
        if not 0 <= self.least < 1:
            raise ValueError(f"least is a share, 0 <= least < 1, not {self.least!r}")
        if self.of not in ("validation", "error"):
            raise ValueError(f"of is validation or error, not {self.of!r}")

    def on_start(self, moment: Moment) -> None:
        wanted = "references" if self.of == "error" else "validation"
        if not getattr(moment.run.options, wanted):
            raise OptionError(f"early_stopping goes by the {self.of}; set {wanted}, e.g. 8")

    def on_validation(self, moment: Moment) -> str | None:
        best, waited = math.inf, 0
        for row in moment.run.history:
            if self.of in row:
                better = row[self.of] < best * (1 - self.least)
                best, waited = (row[self.of], 0) if better else (best, waited + 1)
        if waited < self.patience:
            return None
        return f"the {self.of} has not fallen below {best:.3g} in {waited} validations"


@CALLBACKS.register("snapshots")
@dataclass
class Snapshots(Callback):
    """Keeps a checkpoint `step-N` every so many steps, in addition to the last and the best."""

    every: int = 1000

    def __post_init__(self) -> None:
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every is a whole number from 1, not {self.every!r}")

    def on_step(self, moment: Moment) -> None:
        if moment.step % self.every == 0:
            moment.save(f"step-{moment.step}")


@CALLBACKS.register("tensorboard")
@dataclass
class TensorBoard(Callback):
    """The columns of the history for TensorBoard, in DIR/tensorboard or `directory`, every so many
    steps. Needs the package tensorboard."""

    every: int = 10
    directory: str | None = None
    writer: Any = field(default=None, init=False, repr=False)

    def on_start(self, moment: Moment) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as missing:
            raise OptionError(
                "the callback tensorboard needs the package tensorboard: pip install tensorboard"
            ) from missing
        place = Path(self.directory) if self.directory else moment.run.directory / "tensorboard"
        # what a session wrote after its last checkpoint is written again
        self.writer = SummaryWriter(str(place), purge_step=moment.step + 1)

    def on_step(self, moment: Moment) -> None:
        if moment.step % self.every == 0 or "validation" in moment.row:
            for name, value in moment.row.items():
                if name != "step":
                    self.writer.add_scalar(name, value, moment.step)

    def on_end(self, moment: Moment) -> None:
        self.writer.close()


@CALLBACKS.register("wandb")
@dataclass
class WeightsAndBiases(Callback):
    """The columns of the history for Weights & Biases, every so many steps; a resumed run goes on
    with its own. `mode`: online, or offline, which sends nothing. Needs the package wandb.
    """

    project: str = "pdespec"
    every: int = 10
    mode: str = "online"
    session: Any = field(default=None, init=False, repr=False)

    def on_start(self, moment: Moment) -> None:
        try:
            wandb = importlib.import_module("wandb")
        except ImportError as missing:
            raise OptionError(
                "the callback wandb needs the package wandb: pip install wandb"
            ) from missing
        run = moment.run
        self.session = wandb.init(
            project=self.project,
            name=run.directory.name,
            id=f"{run.problem.name}-{run.directory.name}",
            resume="allow",
            mode=self.mode,
            dir=str(run.directory),
            config=dataclasses.asdict(run.options),
        )

    def on_step(self, moment: Moment) -> None:
        if moment.step % self.every == 0 or "validation" in moment.row:
            self.session.log({k: v for k, v in moment.row.items() if k != "step"}, moment.step)

    def on_end(self, moment: Moment) -> None:
        self.session.finish()
