"""Fourier modes that are added while training: what is not active is zero and stays so, adding
changes nothing but what can be learned, and a resumed run takes the same steps."""

from __future__ import annotations

import pytest
import torch

import compiler
import pdespec
from compiler.training.growth import GROWTH, Explained, GrowingModes, Schedule, Seen
from compiler.training.options import OptionError
from operators import SpectralConv

HEAT = """problem line
space x
domain L = interval(0, 1)
periodic x
input f : scalar on L ~ grf(sigma = 10, tau = 3, alpha = 2)
unknown u : scalar on L
in L: u - dxx(u) = f
"""
MODEL = {"latent": (24,), "hidden": 6, "modes": 8, "layers": 2}
OPTIONS = {"steps": 12, "batch": 2, "points": {"interior": 16, "operator": 24}, "validation": 0}


def seen(step=0, active=(2, 2), most=(8, 6), strengths=None, steps=100):
    return Seen(step, steps, active, most, lambda: strengths)


@pytest.mark.parametrize("rank", [None, 0.5])
@pytest.mark.parametrize(
    ("shape", "modes", "few"), [((20,), (8,), (3,)), ((14, 12), (6, 5), (2, 4))]
)
def test_few_modes_are_all_modes_with_weights_of_zero(shape, modes, few, rank):
    generator = torch.Generator().manual_seed(0)
    layer = SpectralConv(2, 3, modes, rank, generator=generator).double()
    v = torch.randn(2, 2, *shape, generator=generator, dtype=torch.float64)
    whole = layer(v)
    layer.only(few)
    alone = layer(v)
    layer.active = layer.modes
    torch.testing.assert_close(layer(v), alone, rtol=0, atol=1e-13)
    assert (whole - alone).abs().max() > 1e-3


@pytest.mark.parametrize("rank", [None, 0.5])
def test_modes_that_were_added_learn(rank):
    layer = SpectralConv(1, 1, (4, 4), rank, generator=torch.Generator().manual_seed(0))
    layer.only((2, 2))
    layer.active = (3, 3)
    x = torch.arange(12) / 12
    v = torch.cos(2 * torch.pi * 2 * x)[None, None, None].expand(1, 1, 12, 12)
    layer(v).square().sum().backward()
    before = layer.dense().detach().abs()
    assert before[:, 2].max() == 0
    target = (layer(v) - v).square().sum()
    layer.zero_grad()
    target.backward()
    with torch.no_grad():
        for each in layer.parameters():
            each -= 1e-3 * each.grad
    assert layer.dense().abs()[:, 2].max() > 0
    assert layer.dense().abs()[:, 3].max() == 0


def test_a_schedule_reaches_all_modes_in_time_and_takes_none_back():
    rule = Schedule(start=2, until=0.5)
    counts = [rule.modes(seen(step)) for step in (0, 25, 49, 50, 99)]
    assert counts == [(2, 2), (5, 4), (7, 5), (8, 6), (8, 6)]
    assert rule.modes(seen(0, active=(6, 3))) == (6, 3)


def test_modes_are_added_where_the_highest_hold_much():
    rule, low, high = Explained(start=3, share=0.9, every=5), torch.zeros(8), torch.ones(8)
    low[:2] = 1
    assert rule.modes(seen(5, (3, 3), (8, 8), [low, high])) == (3, 4)
    assert rule.modes(seen(6, (3, 3), (8, 8), [low, high])) == (3, 3)
    assert rule.modes(seen(5, (3, 8), (8, 8), [low, high])) == (3, 8)


def test_strengths_are_the_squared_weights_by_wave_number():
    layer = SpectralConv(2, 2, (3, 4), generator=torch.Generator().manual_seed(0))
    first, last = layer.strengths()
    weights = layer.dense().detach().abs().square().sum((2, 3))  # rows 0 1 2 -3 -2 -1
    torch.testing.assert_close(last, weights.sum(0))
    rows = weights.sum(1)
    torch.testing.assert_close(
        first, torch.stack([rows[0], rows[1] + rows[5], rows[2] + rows[3] + rows[4]])
    )


def trained(directory, resume=False, **changes):
    problem = pdespec.parse(HEAT)
    model = compiler.build(problem, "fno_gno", **MODEL)
    options = compiler.TrainOptions(**{**OPTIONS, **changes})
    run = compiler.train(problem, model, options, directory, resume=resume)
    return run, [each for each in model.modules() if isinstance(each, SpectralConv)]


@pytest.mark.parametrize("optimizer", ["adamw", "soap"])
def test_weights_beyond_the_active_modes_stay_zero(optimizer, tmp_path):
    rule = {"incremental": "schedule", "incremental_options": {"start": 2, "until": 1.0}}
    run, layers = trained(tmp_path / "run", optimizer=optimizer, **rule)
    for layer in layers:  # 2 + 11/12 of 6 modes at the last step
        assert layer.active == layer.modes == (8,)
        assert layer.dense()[:7].abs().amin() > 0 and layer.dense()[7:].abs().max() == 0
    again = compiler.load_run(run.directory).model
    problem = pdespec.parse(HEAT)
    batch = compiler.sample(problem, 1, generator=torch.Generator().manual_seed(1))
    points = batch.points["L"].points
    torch.testing.assert_close(again(batch.inputs)(points), run.model(batch.inputs)(points))


@pytest.mark.parametrize(
    ("name", "given"), [("schedule", {"start": 2}), ("explained", {"start": 2, "every": 2})]
)
def test_a_resumed_run_takes_the_same_steps(name, given, tmp_path):
    rule = {"incremental": name, "incremental_options": given, "log_every": 1}
    whole, layers = trained(tmp_path / "whole", **rule)
    parts = compiler.train(
        whole.problem,
        compiler.build(whole.problem, "fno_gno", **MODEL),
        compiler.TrainOptions(**{**OPTIONS, **rule}),
        tmp_path / "again",
        callbacks=[Stop(5)],
    )
    assert parts.step == 5
    resumed, others = trained(tmp_path / "again", resume=True, **rule)
    assert [row["total"] for row in resumed.history] == [row["total"] for row in whole.history]
    for one, other in zip(layers, others, strict=True):
        assert torch.equal(one.weight, other.weight)


class Stop(compiler.Callback):
    def __init__(self, step):
        self.last = step

    def on_step(self, moment):
        return "enough" if moment.step == self.last else None


def test_all_modes_that_a_smooth_problem_needs_are_few():
    """Strengths after a step by hand: the highest active mode holds nothing."""
    layers = [SpectralConv(1, 1, (8,), generator=torch.Generator().manual_seed(k)) for k in (0, 1)]
    growing = GrowingModes(Explained(start=4, every=1), layers, 10)
    growing.begin()
    growing.step(1)
    assert growing.active == (5,)  # random weights: the fourth mode holds a quarter
    for step in range(2, 6):
        growing.step(step)
    assert growing.active == (5,)  # the fifth is zero
    growing.finish()
    assert layers[0].active == (8,)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"incremental": "scedule"}, "no growth of modes 'scedule'; did you mean 'schedule'"),
        ({"incremental": "schedule", "incremental_options": {"start": 0}}, "whole number from 1"),
        ({"incremental_options": {"start": 2}}, "nothing does; set incremental"),
        ({"incremental": "explained", "incremental_options": {"buffer": 9}}, "from 1 to start - 1"),
    ],
)
def test_wrong_options_are_told(changes, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        trained(tmp_path / "run", **changes)


def test_a_model_without_modes_is_refused(tmp_path):
    problem = pdespec.parse(
        HEAT.replace(" ~ grf(sigma = 10, tau = 3, alpha = 2)", "")
        .replace("input f : scalar on L\n", "")
        .replace("= f", "= sin(6*x)")
    )
    model = compiler.build(problem, "pinn", hidden=(4,))
    with pytest.raises(OptionError, match="this model has none"):
        compiler.train(
            problem, model, compiler.TrainOptions(steps=1, incremental="schedule"), tmp_path / "run"
        )


def test_every_rule_names_what_it_begins_with():
    assert all(rule().start >= 1 for rule in GROWTH.values())
