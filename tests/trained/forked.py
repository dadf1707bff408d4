"""The processes of a training as a launcher would start them, forked: nothing is imported anew."""

from __future__ import annotations

import os
import signal
import socket
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from compiler.training.runs import RunError

REFUSED = 3  # the exit code of a process that ends with a RunError


def forked(
    count: int, work: Callable[[int], object], said: Path | None = None, seconds: int = 300
) -> list[int]:
    """The exit codes of `count` processes of one run that do `work(rank)`; one that does not end
    in so many seconds is killed by SIGALRM. What they raise is written to `said`, a line each: of
    a RunError its rank and message, unless another process has said it.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    children = []
    for rank in range(count):
        child = os.fork()
        if not child:
            signal.alarm(seconds)
            _work(rank, count, port, work, said)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def _work(
    rank: int, count: int, port: int, work: Callable[[int], object], said: Path | None
) -> None:
    """Never returns."""
    code = 4
    try:
        own = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": count, "LOCAL_WORLD_SIZE": count}
        own |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
        os.environ.update({key: str(value) for key, value in own.items()})
        torch.set_num_threads(1)
        work(rank)
        code = 0
    except RunError as error:
        code = REFUSED
        if said and not getattr(error, "said", False):
            _write(said, f"{rank} {error}")
    except BaseException:
        _write(said, f"{rank} {' '.join(traceback.format_exc().split())[-300:]}")
    finally:
        os._exit(code)


def _write(said: Path | None, line: str) -> None:
    if said is None:
        print(line, flush=True)
        return
    with said.open("a", encoding="utf-8") as file:
        file.write(line + "\n")
