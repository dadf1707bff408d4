"""The batch of the next step, drawn by a second thread while this step is trained on."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Drawn = TypeVar("Drawn")


def spare_core(processes: int) -> bool:
    """Whether this process has a core more than there are processes of the training on it."""
    if hasattr(os, "sched_getaffinity"):  # not on every system
        return len(os.sched_getaffinity(0)) > processes
    return (os.cpu_count() or 1) > processes


class Ahead(Generic[Drawn]):
    """`draw(step)` of steps below `last`, asked for one after the other.

    What `draw` gives follows from the step alone and from nothing that training changes: it is the
    same however early it is drawn, and so is what it raises, which comes when it is asked for.
    """

    def __init__(self, draw: Callable[[int], Drawn], last: int) -> None:
        self.draw, self.last = draw, last
        self.pool = ThreadPoolExecutor(1, "draws")
        self.step, self.pending = -1, Future[Drawn]()

    def at(self, step: int) -> Drawn:
        """What is drawn for a step; the next one is begun."""
        if step == self.step:
            found = self.pending.result()
        else:
            self.pending.cancel()
            found = self.draw(step)
        if step + 1 < self.last:
            self.step, self.pending = step + 1, self.pool.submit(self.draw, step + 1)
        return found
