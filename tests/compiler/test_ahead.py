"""Batches that are drawn ahead are those that are drawn when their turn comes."""

import threading

import pytest
import torch

import pdespec
from compiler.batches.build import build
from compiler.training import objective
from compiler.training.ahead import Ahead
from compiler.training.callbacks import Callback
from compiler.training.checkpoint import load_tree
from compiler.training.loop import train
from compiler.training.options import TrainOptions
from tests.compiler.test_train import same

TEXT = """problem plate
space    x, y
param    c ~ uniform(-0.2, 0.2)
domain   Omega = star(radius = 1 + c*cos(4*theta))
input    f : scalar on Omega ~ gaussians(count = 2, width = 1)
unknown  u : scalar on Omega
in Omega: lap(u) = f
on boundary(Omega): u = 0
"""
OPTIONS = TrainOptions(
    steps=6,
    batch=2,
    points={"interior": 8, "boundary": 4, "operator": 16},
    optimizer="soap",
    validation=0,
    checkpoint_every=3,
)


class StopAt(Callback):
    """Stops after a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step(self, moment):
        return "asked to" if moment.step == self.step else None


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """Trains with a spare core or none, and gives the last state but for its clock, and in which
    threads batches were drawn."""

    def run(name, spare, resume=False, callbacks=()):
        threads, sample = [], objective.sampling.sample

        def drawn(*arguments, **keywords):
            threads.append(threading.current_thread().name.partition("_")[0])
            return sample(*arguments, **keywords)

        monkeypatch.setattr(objective, "spare_core", lambda processes: spare)
        monkeypatch.setattr(objective.sampling, "sample", drawn)
        problem = pdespec.parse(TEXT)
        model = build(problem, "gino", hidden=4, modes=2, layers=1, latent=(8, 8))
        train(problem, model, OPTIONS, tmp_path / name, resume=resume, callbacks=callbacks)
        monkeypatch.setattr(objective.sampling, "sample", sample)
        tree = load_tree(tmp_path / name / "checkpoints" / "last.safetensors")
        del tree["seconds"]
        return tree, threads

    return run


def test_a_training_that_draws_ahead_takes_the_same_steps_bit_for_bit(trained):
    in_turn, own = trained("in_turn", False)
    ahead, other = trained("ahead", True)
    assert "draws" not in own and other.count("draws") == OPTIONS.steps - 1
    assert same(in_turn, ahead)


def test_a_run_that_draws_ahead_is_resumed_bit_for_bit(trained):
    through, _ = trained("through", True)
    half, _ = trained("halves", True, callbacks=[StopAt(3)])
    resumed, _ = trained("halves", True, resume=True)
    assert half["step"] == 3 and resumed["step"] == OPTIONS.steps
    assert same(through, resumed)


def test_what_a_draw_raises_comes_when_it_is_asked_for():
    def draw(step):
        if step == 1:
            raise ValueError("no such sample")
        return torch.tensor(step)

    ahead = Ahead(draw, 3)
    assert ahead.at(0) == 0
    with pytest.raises(ValueError, match="no such sample"):
        ahead.at(1)
    assert ahead.at(2) == 2
