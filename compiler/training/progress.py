"""Display of a training: a bar in a terminal, plain lines elsewhere, or nothing."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from compiler.training.runs import column

Row = Mapping[str, float]


def percent(share: float) -> str:
    """In hundredths with two decimals, small ones with two digits."""
    return f"{100 * share:.2f} %" if not abs(share) < 1e-3 else f"{100 * share:.2g} %"


class Display(Protocol):
    """Told of the start, of every step with the row that history.csv would get, of remarks, and
    of the end."""

    def start(self, name: str, step: int, steps: int, unit: str = "steps") -> None:
        """Work of `steps` steps begins, of which `step` are done; `unit` is what is counted."""
        ...

    def step(self, row: Row, labels: tuple[str, ...]) -> None:
        """A step is done; `labels` are the terms of the loss that the row has."""
        ...

    def message(self, text: str) -> None:
        """A remark in one line."""
        ...

    def stop(self) -> None:
        """The work ended, by itself or by an interruption."""
        ...


class Silent:
    """Shows nothing: the way of `compiler.train` called from Python."""

    def start(self, name: str, step: int, steps: int, unit: str = "steps") -> None: ...
    def step(self, row: Row, labels: tuple[str, ...]) -> None: ...
    def message(self, text: str) -> None: ...
    def stop(self) -> None: ...


class Bar:
    """A bar with the loss terms, the last validation and the time left."""

    def __init__(self, console: Console) -> None:
        self.console = console
        columns = (
            "[bold]{task.description}",
            BarColumn(bar_width=24),
            "{task.completed}/{task.total}",
            TimeElapsedColumn(),
            "left",
        )
        self.progress = Progress(
            *(TextColumn(each) if isinstance(each, str) else each for each in columns),
            TimeRemainingColumn(elapsed_when_finished=False),
            TextColumn("{task.fields[losses]}"),
            console=console,
            refresh_per_second=4,
        )
        self.validated = ""

    def start(self, name: str, step: int, steps: int, unit: str = "steps") -> None:
        self.progress.start()
        self.task = self.progress.add_task(name, total=steps, completed=step, losses="")

    def step(self, row: Row, labels: tuple[str, ...]) -> None:
        self.validated = validation_text(row) or self.validated
        self.progress.update(
            self.task, completed=row["step"], losses=f"{terms_text(row, labels)} {self.validated}"
        )

    def message(self, text: str) -> None:
        self.progress.console.print(text, highlight=False)

    def stop(self) -> None:
        self.progress.stop()


class Lines:
    """A plain line at every validation, at the last step, and otherwise at most one in
    `seconds`."""

    def __init__(self, console: Console, seconds: float = 30.0) -> None:
        self.console, self.seconds = console, seconds

    def start(self, name: str, step: int, steps: int, unit: str = "steps") -> None:
        self.first, self.steps, self.began, self.shown = step, steps, time.monotonic(), -math.inf
        self.message(f"{name}: {unit} {step} to {steps}")

    def step(self, row: Row, labels: tuple[str, ...]) -> None:
        now = time.monotonic()
        if row["step"] == self.steps or "validation" in row or now - self.shown >= self.seconds:
            self.shown = now
            left = (
                (now - self.began) * (self.steps - row["step"]) / max(1, row["step"] - self.first)
            )
            width = len(str(self.steps))
            self.message(
                f"{row['step']:>{width}}/{self.steps}  {clock(left)} left "
                f" {terms_text(row, labels)}  {validation_text(row)}".rstrip()
            )

    def message(self, text: str) -> None:
        self.console.print(text, highlight=False, soft_wrap=True)

    def stop(self) -> None: ...


def terms_text(row: Row, labels: tuple[str, ...]) -> str:
    """The loss terms, and the requirements that are violated somewhere."""
    violated = [
        f"{name} {100 * share:.2g} %"
        for name, share in row.items()
        if name.startswith("violated ") and share > 0
    ]
    return "  ".join([*(f"{label} {row[column(label)]:.2e}" for label in labels), *violated])


def validation_text(row: Row) -> str:
    """Validation loss and relative error of a row, those that it has."""
    found = [f"validation {row['validation']:.2e}"] if "validation" in row else []
    found += [f"relative error {percent(row['error'])}"] if "error" in row else []
    return "  ".join(found)


def clock(seconds: float) -> str:
    """`75.2` -> `1:15`, `3700` -> `1:01:40`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
