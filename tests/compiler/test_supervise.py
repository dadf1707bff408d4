"""Solved samples in training: what they are, what is seen of them, and that they are solved
once."""

from __future__ import annotations

import dataclasses
import os
import signal

import pytest
import torch

import compiler
from compiler.chance import seeded
from compiler.geometry.metrics import squared_misfit
from compiler.training import solved_samples as supervise
from compiler.training.loop import Interrupted, train
from compiler.training.options import OptionError, TrainOptions, refuse_unseen
from compiler.training.progress import Silent
from compiler.training.runs import RunError, read_history
from compiler.training.solved_samples import FILE, load_solutions
from tests.compiler import tiny

PROBLEM = tiny.problem()  # u'' = a on (0, 1), u = 0 at both ends
DATA = TrainOptions(
    steps=60, batch=4, points={"interior": 16, "operator": 16}, lr=3e-3, physics=False, solutions=6,
    validation=4, references=4,
    validate_every=20, checkpoint_every=20, log_every=1, hard_conditions=False,
)  # fmt: skip


def model():
    return compiler.build(PROBLEM, "gino", latent=(16,), modes=4, hidden=8, layers=1)


def test_solved_samples_are_those_of_the_closed_form(tmp_path):
    run = train(PROBLEM, model(), dataclasses.replace(DATA, steps=1), tmp_path / "run")

    def draw(count):
        generator = seeded(0, "solutions", 0)
        points = {**run.options.points, "interior": supervise.POINTS}
        return compiler.sample(
            PROBLEM, count, points, generator, dtype=torch.float64, hard_conditions=False
        )

    solutions = load_solutions(PROBLEM, draw, 6, tmp_path / "run")
    x = solutions.batch.points["L"].points
    exact = solutions.batch.params["a"][:, None, None] * x * (x - 1) / 2
    torch.testing.assert_close(solutions.values, exact, rtol=1e-9, atol=1e-9)
    zero = solutions.misfit(lambda inputs: lambda points: 0 * points, [0, 3], torch.arange(8))
    assert float(zero) == pytest.approx(1.0)


def test_training_on_data_alone_lowers_the_error_in_u(tmp_path):
    run = train(PROBLEM, model(), dataclasses.replace(DATA, steps=80), tmp_path / "run")
    rows = run.history
    assert set(rows[0]) >= {"data", "weight data"} and "balance" not in rows[0]
    assert rows[-1]["data"] < 0.1 * rows[0]["data"]
    validated = [row for row in rows if "validation" in row]
    assert all(row["validation"] == row["error"] for row in validated) and len(validated) == 4


def test_physics_and_data_are_seen_together_with_their_weights(tmp_path):
    options = dataclasses.replace(
        DATA, steps=2, physics=True, weights={"data": 5.0, "balance": 0.5}
    )
    row = train(PROBLEM, model(), options, tmp_path / "run").history[-1]
    assert row["total"] == pytest.approx(
        0.5 * row["balance"] + row["ends"] + 5 * row["data"], rel=1e-5
    )
    assert row["validation"] != row["error"]


def test_a_resumed_run_solves_nothing_again_and_takes_the_same_steps(tmp_path, monkeypatch):
    train(PROBLEM, model(), DATA, tmp_path / "through")
    with pytest.raises(Interrupted):
        train(PROBLEM, model(), DATA, tmp_path / "halves", display=Stopping(30))
    monkeypatch.setattr(supervise, "solve", None)
    resumed = train(PROBLEM, model(), DATA, tmp_path / "halves", resume=True)
    histories = [
        [{**row, "seconds": None} for row in read_history(tmp_path / each)]
        for each in ("through", "halves")
    ]
    assert resumed.finished and histories[0] == histories[1]
    with pytest.raises(
        OptionError, match="solutions cannot change when a run is resumed: it was 6, not 7"
    ):
        train(
            PROBLEM,
            model(),
            dataclasses.replace(DATA, steps=80, solutions=7),
            tmp_path / "halves",
            resume=True,
        )


class Stopping(Silent):
    """Interrupts training at a step."""

    def __init__(self, step):
        self.at = step

    def step(self, row, labels):
        if labels and row["step"] == self.at:
            os.kill(os.getpid(), signal.SIGINT)


def _gives_up(monkeypatch, call):
    """The solver gives up on the sample of this call."""
    whole, calls = supervise.solve, []

    def solve(problem, batch):
        calls.append(batch)
        if len(calls) == call:
            raise supervise.SampleError("no way down")
        return whole(problem, batch)

    monkeypatch.setattr(supervise, "solve", solve)


def test_samples_that_the_solver_gives_up_on_are_left_out(tmp_path, monkeypatch):
    _gives_up(monkeypatch, 2)
    run = train(PROBLEM, model(), dataclasses.replace(DATA, steps=1), tmp_path / "run")
    saved = supervise.load_tree(run.directory / FILE)
    assert saved["samples"] == [0, 2, 3, 4, 5] and saved["values"].shape[:2] == (
        5,
        supervise.POINTS,
    )

    def never(problem, batch):
        raise supervise.SampleError("no way down")

    monkeypatch.setattr(supervise, "solve", never)
    with pytest.raises(RunError, match="failed on all 6 samples, last with: no way down"):
        train(PROBLEM, model(), DATA, tmp_path / "other")


def test_samples_are_kept_one_by_one_and_not_solved_again(tmp_path, monkeypatch):
    """A stop in the middle loses the sample that is being solved alone."""
    whole, calls = supervise.solve, []

    def stopped(problem, batch):
        if len(calls) == 8:  # six of training, two of four of validation
            raise KeyboardInterrupt
        calls.append(batch)
        return whole(problem, batch)

    options = dataclasses.replace(DATA, steps=2)
    train(PROBLEM, model(), options, tmp_path / "through")
    monkeypatch.setattr(supervise, "solve", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(PROBLEM, model(), options, tmp_path / "halves")
    solved = tmp_path / "halves" / "solved"
    assert sorted(each.stem for each in solved.iterdir()) == ["validation-0", "validation-1"]
    calls.clear()
    train(PROBLEM, model(), options, tmp_path / "halves", resume=True)
    assert len(calls) == 2
    one, other = (read_history(tmp_path / each)[-1]["error"] for each in ("through", "halves"))
    assert one == other


def test_a_validation_sample_that_was_drawn_otherwise_is_solved_again(tmp_path, monkeypatch):
    options = dataclasses.replace(DATA, steps=1)
    train(PROBLEM, model(), options, tmp_path / "run")
    whole, calls = supervise.solve, []
    monkeypatch.setattr(supervise, "solve", lambda *given: calls.append(given) or whole(*given))
    more = dataclasses.replace(options, steps=2, points={"interior": 8, "operator": 16})
    train(PROBLEM, model(), more, tmp_path / "run", resume=True)
    assert len(calls) == 4


def test_validation_samples_that_the_solver_gives_up_on_are_left_out_and_said(
    tmp_path, monkeypatch
):
    _gives_up(monkeypatch, 8)
    said = []
    display = Silent()
    display.message = said.append
    run = train(
        PROBLEM, model(), dataclasses.replace(DATA, steps=1), tmp_path / "run", display=display
    )
    assert any("gave up on 1 of 4 validation samples" in each for each in said)
    assert 0 < run.history[-1]["error"] < 10


def test_points_outside_of_the_mesh_do_not_count():
    found, expected = torch.ones(1, 4, 1), torch.tensor([[[2.0], [2.0], [float("nan")], [2.0]]])
    found.requires_grad_()
    misfit = squared_misfit(found, expected)
    misfit.sum().backward()
    assert float(misfit.detach()) == pytest.approx(0.25)
    assert found.grad[0, 2] == 0 and found.grad[0, 0] != 0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"physics": False}, "without physics, training needs at least one solved sample"),
        ({"physics": False, "solutions": 4}, "set references"),
        ({"weights": {"data": 2.0}}, "set solutions, e.g. solutions=64"),
        ({"solutions": -1}, "solutions = -1"),
    ],
)
def test_options_that_make_no_sense_together_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        refuse_unseen(TrainOptions(**options), seen=False)
