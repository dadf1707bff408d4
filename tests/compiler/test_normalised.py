"""Requirements that an integral has a value: the part of it that is missed, and fields
normalised so that zero is not a minimum."""

from __future__ import annotations

import math

import pytest
import torch

import compiler
import pdespec
from compiler.training.loop import train
from compiler.training.options import TrainOptions
from pdespec.rules.freedom import normalisations
from tests.texts import GROUND

D = torch.float64
WELL = """
problem well
space    x
domain   L = interval(-6, 6)
unknown  psi : scalar on L
minimize integral(dx(psi)^2/2 + x^2*psi^2/2, L)
on boundary(L): psi = 0
require integral(psi^2, L) = 2
"""


def terms(text: str, field, count: int = 4096):
    problem = pdespec.parse(text)
    batch = compiler.sample(
        problem, 1, {"interior": count}, torch.Generator().manual_seed(0), dtype=D
    )
    return compiler.compile(problem)(field, batch)


@pytest.mark.parametrize("size", [1e-3, 1.0, 50.0])
def test_the_energy_is_that_of_the_normalised_field_whatever_its_size(size):
    found = terms(GROUND, lambda x: size * (math.pi * x).sin())
    assert float(found["energy"]) == pytest.approx(math.pi**2, rel=2e-3)
    assert float(found["require1"]) == pytest.approx((size**2 / 2 - 1) ** 2, rel=5e-3, abs=1e-9)
    well = terms(WELL, lambda x: size * (-(x**2) / 2).exp())
    assert float(well["energy"]) == pytest.approx(1.0, rel=5e-3)  # twice the ground state's 1/2


def test_the_energy_has_no_slope_towards_zero_and_one_towards_the_ground_state():
    size = torch.tensor(0.3, dtype=D, requires_grad=True)
    wave = torch.tensor(0.4, dtype=D, requires_grad=True)
    found = terms(GROUND, lambda x: size * ((math.pi * x).sin() + wave * (2 * math.pi * x).sin()))[
        "energy"
    ]
    along, off = torch.autograd.grad(found, (size, wave))
    exact = lambda a: math.pi**2 * (1 + 4 * a**2) / (1 + a**2)  # noqa: E731
    assert abs(float(along)) < 1e-9
    assert float(off) == pytest.approx((exact(0.4 + 1e-6) - exact(0.4 - 1e-6)) / 2e-6, rel=1e-2)


@pytest.mark.parametrize(
    "old, new",
    [
        ("psi = 0\n", "psi = x\n"),  # a multiple breaks the condition
        ("psi^2, L) = 1", "psi, L) = 1"),  # may be negative
        ("psi^2, L) = 1", "psi^2, L) = 0"),
        ("psi^2, L) = 1", "psi^2 + psi^4, L) = 1"),
        ("= 1\n", "= 1\nrequire integral(psi^4, L) = 1\n"),
    ],
)
def test_what_no_scale_meets_stays_a_penalty(old, new):
    assert normalisations(pdespec.parse(GROUND)) and not normalisations(
        pdespec.parse(GROUND.replace(old, new))
    )


def test_a_penalty_is_relative_to_what_is_asked_for():
    text = (
        GROUND.replace("psi = 0\n", "psi = x\n")
        .replace("= 1\n", "= 200\n")
        .replace("interval(0, 1)", "interval(0, 10)")
    )
    assert float(terms(text, lambda x: 1 + 0 * x)["require1"]) == pytest.approx(
        (10 / 200 - 1) ** 2, rel=1e-9
    )
    free = text.replace("psi^2, L) = 200", "psi, L) = 0")
    assert float(terms(free, lambda x: 3 + 0 * x)["require1"]) == pytest.approx(9, rel=1e-9)


def test_blocks_give_the_same_terms():
    from compiler.loss.blocks import StepEngine

    problem = pdespec.parse(GROUND)
    batch = compiler.sample(problem, 1, generator=torch.Generator().manual_seed(0), dtype=D)
    loss = compiler.compile(problem)
    field = lambda x: x * (1 - x)  # noqa: E731
    whole, parts = loss(field, batch), StepEngine(loss, 64)(field, batch)
    assert {name: float(value) for name, value in whole.items()} == {
        name: float(value) for name, value in parts.items()
    }


def test_a_ground_state_is_trained_to_its_energy(tmp_path):
    problem = pdespec.parse(GROUND)
    model = compiler.build(problem, "pinn", hidden=(16, 16))
    options = TrainOptions(
        steps=200,
        batch=1,
        points={"interior": 256, "operator": 16},
        validation=1,
        lr=1e-2,
        log_every=50,
    )
    run = train(problem, model, options, tmp_path / "run")
    found = compiler.evaluate(run.directory, 1, model=model, report=False)
    assert (
        -1e-4 < found.energy_gap["mean"] < 0.02
        and found.relative_l2["mean"] < 0.06
        and not found.alarms
    )
