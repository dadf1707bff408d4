"""Requests to stop a training from outside, obeyed after a step."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

from compiler.training.runs import Run

STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
MAY_BE_IGNORED = STOPPING[2:]  # SIGHUP, under nohup


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside and has saved its state; `run` says where."""

    def __init__(self, run: Run) -> None:
        super().__init__(
            f"stopped at step {run.step} of {run.options.steps}; {run.directory} continues with"
            " --resume"
        )
        self.run = run


@contextlib.contextmanager
def stop_requests() -> Iterator[Callable[[], bool]]:
    """A first SIGINT, SIGTERM or SIGHUP is remembered, to be obeyed after the step; a second one
    acts at once.

    Only the main thread of a program may catch signals; elsewhere this never says stop.
    """
    requests: list[int] = []
    previous: dict[int, Any] = {}

    def remember(number: int, _frame: Any) -> None:
        requests.append(number)
        signal.signal(number, previous[number])

    with contextlib.suppress(ValueError):  # not the main thread
        for number in STOPPING:
            if number not in MAY_BE_IGNORED or signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
