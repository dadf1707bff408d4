"""SIGKILL: a training is killed at a random moment, some while a checkpoint is written and some
with a second trainer started, and resumed until it is done. Its weights must be those of one that
was never interrupted, bit for bit. Children are forked: nothing is imported anew.
"""

from __future__ import annotations

import functools
import os
import random
import signal
import tempfile
import time
from pathlib import Path

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


def _train(directory: Path, resume: bool) -> None:
    train(PROBLEM, tiny.Operator(), OPTIONS, directory, sampler=tiny.sample, resume=resume)


@functools.cache
def whole() -> tuple[dict, float]:
    """The last state of a training that nobody interrupts, and the seconds that it takes."""
    directory, began = Path(tempfile.mkdtemp()) / "whole", time.monotonic()
    _train(directory, False)
    return state(directory), time.monotonic() - began


def _forked(directory: Path) -> int:
    child = os.fork()
    if child:
        return child
    try:
        torch.set_num_threads(1)
        _train(directory, holds_run(directory))
        os._exit(0)
    except RunError:
        os._exit(3)
    except BaseException:
        os._exit(4)


def attempt(rng: random.Random) -> str:
    expected, seconds = whole()
    with tempfile.TemporaryDirectory() as place:
        directory, kills, second = Path(place) / "run", 0, None
        for _ in range(60):
            child = _forked(directory)
            if rng.random() < 0.3:
                time.sleep(rng.uniform(0, 0.3) * seconds)
                second = _forked(directory)
            if kills < rng.choice([1, 2, 3]):
                time.sleep(rng.uniform(0, 1.2) * seconds)
                os.kill(child, signal.SIGKILL)
                kills += 1
            _, code = os.waitpid(child, 0)
            if second is not None:
                _, other = os.waitpid(second, 0)
                assert os.waitstatus_to_exitcode(other) in (0, 3), (
                    f"second trainer ended with {other}"
                )
                second = None
            ended = os.waitstatus_to_exitcode(code)
            assert ended in (0, 3, -signal.SIGKILL), f"ended with {ended}"
            if (
                holds_run(directory)
                and (directory / "checkpoints" / "last.safetensors").is_file()
                and state(directory)["step"] == OPTIONS.steps
            ):
                break
        found = state(directory)
        assert same({**found, "identity": None}, {**expected, "identity": None}), "other weights"
    return f"accepted after {kills} kills"
