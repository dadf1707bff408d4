"""Independent tasks in several processes of this machine, or on a cluster.

Results come in the order of the tasks and are those of a plain loop. A process that dies, killed or
out of memory, is replaced, and what it had not finished is done again.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from pdespec.errors import PdespecError

Task = TypeVar("Task")
Result = TypeVar("Result")
AHEAD = 2  # tasks a worker that wait for it; more would only be held in memory
DEATHS = 3  # of workers over one task, after which it is given up
THREADS = "OMP_NUM_THREADS MKL_NUM_THREADS OPENBLAS_NUM_THREADS NUMEXPR_NUM_THREADS"
ALONE = dict.fromkeys(THREADS.split(), "1")  # environment of a process that has others next to it


class WorkerError(PdespecError):
    """Workers that cannot be had, or that die over a task."""


@dataclass(frozen=True)
class Workers:
    """`count` processes of one thread each; with 1 the tasks are done in this process. `scheduler`:
    the address of a Dask scheduler, "tcp://host:8786", whose workers are taken instead.
    """

    count: int = 1
    scheduler: str | None = None

    def __post_init__(self) -> None:
        if isinstance(self.count, bool) or not isinstance(self.count, int) or self.count < 1:
            raise WorkerError(f"{self.count!r} workers asked for; take 1 or more")

    def map(self, function: Callable[[Task], Result], tasks: Iterable[Task]) -> Iterator[Result]:
        """The results in the order of the tasks, each as soon as those before it are there.

        What a task raises is raised here. Raises: WorkerError where workers cannot be reached, or a
        task kills DEATHS of them.
        """
        tasks = list(tasks)
        if self.scheduler is not None:
            return _on_cluster(self.scheduler, function, tasks)
        if self.count == 1 or len(tasks) < 2:
            return map(function, tasks)
        return _in_processes(min(self.count, len(tasks)), function, tasks)


def _in_processes(
    count: int, function: Callable[[Task], Result], tasks: list[Task]
) -> Iterator[Result]:
    # loky does not run the caller's script again in its workers, as the standard library does, and
    # sends closures
    from loky import ProcessPoolExecutor

    done, deaths = 0, 0
    while done < len(tasks):
        pool = ProcessPoolExecutor(max_workers=count, env=ALONE)
        try:
            for result in _in_order(pool.submit, function, tasks[done:], count):
                yield result
                done, deaths = done + 1, 0
        except BrokenProcessPool as error:
            deaths += 1
            if deaths == DEATHS:
                raise WorkerError(
                    f"{DEATHS} worker processes died over task {done + 1} of {len(tasks)} or one"
                    " close to it; it may need more memory than there is: take fewer workers"
                ) from error
            warnings.warn("a worker process died; its tasks are done again", stacklevel=2)
        finally:
            pool.shutdown(wait=True, kill_workers=True)


def _on_cluster(
    address: str, function: Callable[[Task], Result], tasks: list[Task]
) -> Iterator[Result]:
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise WorkerError(
            "a scheduler is spoken to through Dask: pip install 'pdespec[cluster]'"
        ) from error
    try:
        client = Client(address, timeout=10)
    except (OSError, ValueError) as error:
        raise WorkerError(f"no Dask scheduler answers at {address}: {error}") from error
    with client:
        count = max(1, sum(client.nthreads().values()))
        try:
            yield from _in_order(partial(client.submit, pure=False), function, tasks, count)
        except KilledWorker as error:
            raise WorkerError(f"the workers at {address} die over a task: {error}") from error


def _in_order(
    submit: Callable[..., Future], function: Callable[..., Any], tasks: list[Any], count: int
) -> Iterator[Any]:
    waiting: list[Future] = []
    for task in tasks:
        waiting.append(submit(function, task))
        if len(waiting) == AHEAD * count:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()
