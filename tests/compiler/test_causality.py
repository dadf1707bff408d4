"""Causal weights: what they are by hand, where they apply, and that they move no solution."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

import compiler
import pdespec
from compiler.loss.causality import causal_weights
from compiler.training.causality import causal_strengths, nonlinear
from compiler.training.options import OptionError, TrainOptions

EXAMPLES = Path(__file__).parents[2] / "examples"
LOGISTIC = """
problem logistic
space    x
time     t in [0, 2]
domain   L = interval(0, 1)
periodic x
param    a ~ uniform(0.1, 0.5)
unknown  u : scalar on L
in L: growth: dt(u) = u*(1 - u)
at t = 0: u = a
"""


def test_weights_are_those_of_the_formula_whatever_the_order_of_the_points():
    generator = torch.Generator().manual_seed(0)
    square = torch.rand(3, 50, generator=generator, dtype=torch.float64)
    times = torch.rand(3, 50, generator=generator, dtype=torch.float64)
    found = causal_weights(square, times, 4.0)
    for sample in range(3):
        order = sorted(range(50), key=lambda k: float(times[sample, k]))
        by_hand = {
            k: math.exp(-4 * sum(float(square[sample, j]) for j in order[:i]) / 50)
            for i, k in enumerate(order)
        }
        mean = sum(by_hand.values()) / 50
        assert [float(w) for w in found[sample]] == pytest.approx(
            [by_hand[k] / mean for k in range(50)]
        )


def test_a_state_that_dies_out_is_no_minimum_of_what_causal_weights_leave():
    """With u = a exp(-t/d), d = 1/50, the residual lies in the first moments alone: weighed
    causally it counts in full, else 1/50 of it."""
    problem = pdespec.parse(LOGISTIC)
    loss = compiler.compile(problem)
    batch = compiler.sample(
        problem, 4, {"interior": 256}, torch.Generator().manual_seed(0), dtype=torch.float64
    )
    a = batch.params["a"][:, None, None]
    strengths = causal_strengths(problem)
    assert list(strengths) == ["growth"] and strengths["growth"] > 20  # u (1 - u) is below 1/4

    def dying(x):
        return a * torch.exp(-50 * x[..., 1:2]) + 0 * x[..., :1]

    def exact(x):
        return a / (a + (1 - a) * torch.exp(-x[..., 1:2])) + 0 * x[..., :1]

    assert loss(dying, batch, causal=strengths)["growth"] > 10 * loss(dying, batch)["growth"]
    assert float(loss(exact, batch, causal=strengths)["growth"]) < 1e-20


def test_strengths_are_relative_to_the_residual_of_what_stays_as_it_begins():
    """Of dt(u) = a with u = 0 at the start, the residual of u = 0 is a: its mean square over a
    in (2, 4) is 28/3."""
    text = (
        LOGISTIC.replace("dt(u) = u*(1 - u)", "dt(u) = a")
        .replace("u = a", "u = 0")
        .replace("uniform(0.1, 0.5)", "uniform(2, 4)")
    )
    (found,) = causal_strengths(pdespec.parse(text)).values()
    assert 20 / found == pytest.approx(28 / 3, rel=0.3)
    assert not nonlinear(pdespec.parse(text)) and nonlinear(pdespec.parse(LOGISTIC))
    assert causal_strengths(pdespec.load(EXAMPLES / "darcy.pde")) == {}


def test_blocks_take_no_causal_weights():
    with pytest.raises(OptionError, match="blocks see some of them"):
        TrainOptions(block=64, causal=5.0)
    with pytest.raises(OptionError, match="causal = -1"):
        TrainOptions(causal=-1)
    assert TrainOptions(block=64, causal="auto").causal == "auto"
