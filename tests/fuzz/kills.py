"""SIGKILL: a training is killed at random moments, some in the middle of writing a file and some
with a second trainer started, and resumed until it is done. Its weights must be those of one that
was never interrupted, bit for bit. Children are forked: nothing is imported anew.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import stat
import tempfile
import time
from pathlib import Path
from typing import Any

import torch

from compiler.training.loop import train
from compiler.training.options import TrainOptions
from compiler.training.runs import RunError, holds_run
from tests.compiler import tiny
from tests.compiler.test_train import same, state

OPTIONS = TrainOptions(
    steps=40,
    batch=2,
    points={"interior": 4},
    validation=2,
    validate_every=8,
    checkpoint_every=1,
    log_every=2,
    precision="float64",
    lr=1e-2,
)
PROBLEM = tiny.problem()
WRITES = 40  # so many files are put in place by a training at least: a checkpoint a step
STAGES = ("fsync", "replace")  # of a write: half of its bytes are there, all of them are


def _train(directory: Path, resume: bool) -> None:
    train(PROBLEM, tiny.Operator(), OPTIONS, directory, sampler=tiny.sample, resume=resume)


@functools.cache
def whole() -> tuple[dict, float]:
    """The last state of a training that nobody interrupts, and the seconds that it takes."""
    directory, began = Path(tempfile.mkdtemp()) / "whole", time.monotonic()
    _train(directory, False)
    return state(directory), time.monotonic() - began


def _forked(directory: Path, stage: str = "", write: int = 0) -> int:
    """A trainer; with a `stage`, one that dies there in its write of that number."""
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        if stage:
            _dies(stage, write)
        _train(directory, holds_run(directory))
        os._exit(0)
    except RunError:
        os._exit(3)
    except BaseException:
        os._exit(4)


def _dies(stage: str, write: int) -> None:
    """This process kills itself when it comes so far for the `write`-th time."""
    owner: Any = os if stage == "fsync" else Path
    known, count = getattr(owner, stage), 0

    def deadly(*given: Any) -> Any:
        nonlocal count
        count += stage != "fsync" or stat.S_ISREG(os.fstat(given[0]).st_mode)
        if count == write:
            if stage == "fsync":  # half of what was written is on the disk
                os.ftruncate(given[0], os.fstat(given[0]).st_size // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        return known(*given)

    setattr(owner, stage, deadly)


def attempt(rng: random.Random) -> str:
    """How many kills a training came through, how many of them in the middle of a write, and how
    many second trainers were started beside it."""
    expected, seconds = whole()
    kills = writing = others = 0
    most = rng.choice([2, 3, 4])
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place) / "run"
        for _ in range(60):
            deadly = kills < most and rng.random() < 0.4
            child = _forked(
                directory,
                rng.choice(STAGES) if deadly else "",
                rng.randrange(1, WRITES) if deadly else 0,
            )
            second = None
            if rng.random() < 0.3:
                time.sleep(rng.uniform(0, 0.3) * seconds)
                second = _forked(directory)
                others += 1
            if kills < most and not deadly:
                time.sleep(rng.uniform(0, 1.2) * seconds)
                os.kill(child, signal.SIGKILL)
            ended = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            assert ended in (0, 3, -signal.SIGKILL), f"ended with {ended}"
            kills += ended == -signal.SIGKILL
            writing += deadly and ended == -signal.SIGKILL
            if second is not None:
                other = os.waitstatus_to_exitcode(os.waitpid(second, 0)[1])
                assert other in (0, 3), f"second trainer ended with {other}"
            last = directory / "checkpoints" / "last.safetensors"
            if last.is_file() and state(directory)["step"] == OPTIONS.steps:
                break
        found = state(directory)
        assert same({**found, "identity": None}, {**expected, "identity": None}), "other weights"
    return f"accepted {kills} kills {writing} writing {others} second"
