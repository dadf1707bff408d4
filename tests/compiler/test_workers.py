"""Tasks in other processes: the order and the numbers of a loop, and what survives the death of a
worker."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from compiler.workers import DEATHS, WorkerError, Workers


def square(number: int) -> int:
    return number**2


def test_results_come_in_the_order_of_the_tasks():
    assert list(Workers(2).map(square, range(7))) == [k**2 for k in range(7)]


def test_one_worker_is_a_plain_loop():
    pids = list(Workers().map(lambda _: os.getpid(), range(2)))
    assert pids == [os.getpid()] * 2


def test_what_a_task_raises_is_raised():
    with pytest.raises(ZeroDivisionError):
        list(Workers(2).map(lambda k: 1 // k, [1, 0, 2]))


def test_a_worker_that_is_killed_is_replaced(tmp_path: Path):
    def dying(number: int) -> int:
        mark = tmp_path / str(number)
        if number == 2 and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return square(number)

    with pytest.warns(UserWarning, match="a worker process died"):
        assert list(Workers(2).map(dying, range(5))) == [k**2 for k in range(5)]


def test_a_task_that_kills_every_worker_is_given_up():
    with (
        pytest.warns(UserWarning),
        pytest.raises(WorkerError, match=f"{DEATHS} worker processes died over task 1 of 2"),
    ):
        list(Workers(2).map(lambda _: os.kill(os.getpid(), signal.SIGKILL), range(2)))


@pytest.mark.parametrize("count", [0, -1, 1.5, True])
def test_a_count_that_is_none_is_refused(count):
    with pytest.raises(WorkerError, match="take 1 or more"):
        Workers(count)


def test_a_scheduler_that_does_not_answer_is_said():
    with pytest.raises(WorkerError, match="no Dask scheduler answers at tcp://127.0.0.1:9"):
        list(Workers(scheduler="tcp://127.0.0.1:9").map(square, [1]))
