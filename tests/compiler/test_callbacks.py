"""Callbacks: when they are called, how they stop a training, what they leave on disk."""

from __future__ import annotations

import pytest

import compiler
from compiler.training.callbacks import CALLBACKS, EarlyStopping
from compiler.training.options import OptionError, with_settings
from tests.compiler import tiny

OPTIONS = {
    "batch": 4,
    "points": {"interior": 8},
    "validation": 4,
    "validate_every": 2,
    "log_every": 1,
}


def train(directory, *callbacks, resume=False, **options):
    given = compiler.TrainOptions(**{**OPTIONS, **options})
    return compiler.train(
        tiny.problem(),
        tiny.Operator(),
        given,
        directory,
        sampler=tiny.sample,
        callbacks=callbacks,
        resume=resume,
    )


class Told(compiler.Callback):
    def __init__(self, stop_at=None):
        self.calls, self.stop_at = [], stop_at

    def on_start(self, moment):
        self.calls.append(("start", moment.step))

    def on_step(self, moment):
        assert moment.row["step"] == moment.step and moment.row["total"] > 0
        self.calls.append(("step", moment.step))
        return "seen enough" if moment.step == self.stop_at else None

    def on_validation(self, moment):
        assert moment.run.history[-1]["validation"] == moment.row["validation"]
        self.calls.append(("validation", moment.step))

    def on_end(self, moment):
        self.calls.append(("end", moment.step))


def test_each_is_called_in_its_turn_and_a_reason_stops(tmp_path):
    display = tiny.Said()
    told = Told(stop_at=3)
    options = compiler.TrainOptions(**OPTIONS, steps=6)
    run = compiler.train(
        tiny.problem(),
        tiny.Operator(),
        options,
        tmp_path / "run",
        sampler=tiny.sample,
        callbacks=[told],
        display=display,
    )
    steps = [("step", 1), ("step", 2), ("validation", 2), ("step", 3)]
    assert told.calls == [("start", 0), *steps, ("end", 3)]
    assert (
        run.step == 3 and not run.finished and "stopped after step 3: seen enough" in display.texts
    )
    again = Told()
    whole = train(tmp_path / "run", again, resume=True, steps=6)
    assert again.calls[0] == ("start", 3) and whole.finished
    straight = train(tmp_path / "straight", steps=6)
    assert [row["total"] for row in whole.history] == [row["total"] for row in straight.history]


def test_the_step_of_a_training_that_is_out_of_time_is_told_too(tmp_path):
    told = Told()
    train(tmp_path / "run", told, steps=6, seconds=1e-9)
    assert told.calls == [("start", 0), ("step", 1), ("end", 1)]


def test_early_stopping_waits_for_the_best_validation(tmp_path):
    # a rate of 1e-30 changes nothing: no validation is below the first
    run = train(tmp_path / "run", steps=40, lr=1e-30, callbacks={"early_stopping": {"patience": 3}})
    assert run.step == 8  # validations at 2, 4, 6, 8: the first and three more
    assert train(tmp_path / "falling", EarlyStopping(3), steps=10, lr=1e-2).finished


def test_early_stopping_goes_on_where_it_was_left(tmp_path):
    given = {"steps": 40, "lr": 1e-30, "callbacks": {"early_stopping": {"patience": 3}}}
    assert train(tmp_path / "run", Told(stop_at=5), **given).step == 5
    assert train(tmp_path / "run", resume=True, **given).step == 8


def test_snapshots_are_checksampling_their_step(tmp_path):
    run = train(tmp_path / "run", steps=5, callbacks={"snapshots": {"every": 2}})
    names = sorted(each.stem for each in (run.directory / "checkpoints").glob("*.safetensors"))
    assert names == ["best", "last", "step-2", "step-4"]
    assert compiler.load_run(run.directory, "step-4", tiny.Operator()).step == 4


def test_tensorboard_holds_the_columns_of_the_history(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    words = {"callbacks": {"tensorboard": {"every": 1}}}
    train(tmp_path / "run", Told(stop_at=3), steps=5, **words)
    run = train(tmp_path / "run", steps=5, resume=True, **words)
    found = EventAccumulator(str(run.directory / "tensorboard"))
    found.Reload()
    total = [(each.step, each.value) for each in found.Scalars("total")]
    assert total == [(row["step"], pytest.approx(row["total"])) for row in run.history]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        ({"early_stop": {}}, "early_stopping"),
        ({"early_stopping": {"patence": 3}}, "patience"),
        ({"early_stopping": {"patience": 0}}, "whole number from 1"),
        ({"early_stopping": {"of": "error"}}, "set references"),
        ({"snapshots": {"every": 0.5}}, "whole number from 1"),
        ({"snapshots": 3}, "callbacks.snapshots"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(tmp_path, callbacks, message):
    with pytest.raises(OptionError, match=message):
        train(tmp_path / "run", steps=2, callbacks=callbacks)
    assert not (tmp_path / "run").exists()


def test_words_of_the_command_line_reach_them():
    found = with_settings(
        compiler.TrainOptions(),
        {"callbacks.early_stopping": '{"patience": 3}', "callbacks.tensorboard": "{}"},
    )
    assert found.callbacks == {"early_stopping": {"patience": 3}, "tensorboard": {}}
    assert set(found.callbacks) < set(CALLBACKS)
