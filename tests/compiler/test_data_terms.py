"""Measured values as terms of the loss: their values, their shares, and the trainings that see
them."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
from itertools import combinations
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import compiler
import pdespec
from compiler.training.checkpoint import load_tree
from compiler.training.data_terms import Share, data_terms
from compiler.training.loop import Interrupted, train
from compiler.training.objective import Objective
from compiler.training.options import OptionError, TrainOptions
from compiler.training.progress import Silent
from compiler.training.runs import RunError

TEXT = """problem rods
space x
domain L = interval({low}, {high})
param a ~ uniform({a}, {b})
unknown u : scalar on L
in L: dxx(u) = a
on boundary(L): u = 0
data u on L from "u.npz"
"""
ROWS = ((0.1, 0.4, 0.5), (0.2, 0.7))  # of two samples
SMALL = TrainOptions(
    steps=6, batch=4, points={"interior": 8, "operator": 16}, validation=2, validate_every=3,
    checkpoint_every=2, log_every=1, precision="float64", rows=2, lr=1e-2,
)  # fmt: skip


def write(tmp_path, low=0, high=1, a=1.0, b=2.0, size=1.0, sigma=None):
    """u = a x(x-1)/2 + x, wrong by x, in units of `size`."""
    x = np.concatenate(ROWS)
    sample = np.repeat(["first", "second"], [3, 2])
    numbers = np.repeat([a, b], [3, 2])
    at = low + (high - low) * x
    u = size * ((numbers / size) * (high - low) ** 2 * x * (x - 1) / 2 + x)
    columns = {"x": at, "u": u, "a": numbers, "sample": sample}
    np.savez(tmp_path / "u.npz", **columns, **({} if sigma is None else {"sigma": sigma}))
    (tmp_path / "rods.pde").write_text(TEXT.format(low=low, high=high, a=a, b=b))
    return pdespec.load(tmp_path / "rods.pde")


def squared_size(problem):
    """What squared misfits are divided by."""
    (size,) = compiler.scales.component_sizes(problem, compiler.scales.scaled(problem)[0])
    return size**2


class Model:
    """The solution, as a model says it of whichever samples are selected: their number stands in
    the inputs."""

    def __init__(self, terms):
        self.terms, self.a = terms, terms.batch.params["a"]

    def __call__(self, inputs):
        chosen = [
            int((self.terms.batch.inputs.values - each).abs().flatten(1).sum(1).argmin())
            for each in inputs.values
        ]
        return lambda points: self.a[chosen][:, None, None] * points * (points - 1) / 2


def training(terms, seed=0, count=8, share=None):
    generator = torch.Generator().manual_seed(seed)
    return terms.training(Model(terms), {}, generator, count, share or Share())


def test_the_term_is_the_mean_over_samples_of_the_weighted_mean_over_rows(tmp_path):
    sigma = np.array([1, 2, 1, 1, 3.0])
    problem = write(tmp_path, sigma=sigma)
    terms = data_terms(problem, None, 0, 16, 0, {})
    assert terms.labels == ("data.u",) and terms.samples == 2
    weights = sigma**-2 / np.mean(sigma**-2)
    x = np.concatenate(ROWS)
    each = weights * x**2 / squared_size(problem)
    of = [float(np.mean(each[rows])) for rows in (slice(0, 3), slice(3, 5))]
    whole = terms.validating(Model(terms), {}, 8, Share())
    assert float(whole) == pytest.approx(sum(of) / 2, rel=1e-12)
    generator = torch.Generator().manual_seed(3)
    drawn = torch.randint(2, (8,), generator=generator)
    assert float(training(terms, 3)) == pytest.approx(np.mean([of[k] for k in drawn]), rel=1e-12)


def test_some_rows_of_each_step_give_the_whole_on_the_average(tmp_path):
    terms = data_terms(write(tmp_path), 1, 0, 16, 0, {})
    found = torch.stack([training(terms, seed) for seed in range(300)])
    whole = float(terms.validating(Model(terms), {}, 8, Share()))
    assert len(set(found.flatten().tolist())) > 100
    assert float(found.mean()) == pytest.approx(whole, abs=4 * float(found.std()) / 300**0.5)


def test_shares_of_a_step_add_up_to_it(tmp_path):
    for rows in (1, None):
        terms = data_terms(write(tmp_path), rows, 0, 16, 0, {})
        parts = [training(terms, 1, 8, Share(k, 4)) for k in range(4)]
        assert float(sum(parts)) / 4 == pytest.approx(float(training(terms, 1)), rel=1e-12)
        parts = [terms.validating(Model(terms), {}, 8, Share(k, 3)) for k in range(3)]
        whole = terms.validating(Model(terms), {}, 8, Share())
        assert float(sum(parts)) / 3 == pytest.approx(float(whole), rel=1e-12)


@pytest.mark.parametrize("rows", [1, 2, 3, None])
def test_of_one_sample_the_rows_are_shared(tmp_path, rows):
    x = np.array([0.1, 0.4, 0.5, 0.8])
    np.savez(tmp_path / "u.npz", x=x, u=0.75 * x * (x - 1) + x)
    text = TEXT.format(low=0, high=1, a=1, b=2).replace("~ uniform(1, 2)", "= 1.5")
    (tmp_path / "rods.pde").write_text(text)
    problem = pdespec.load(tmp_path / "rods.pde")
    terms, size = data_terms(problem, rows, 0, 16, 0, {}), squared_size(problem)

    def model(inputs):
        return lambda points: 0.75 * points * (points - 1)

    def step(seed, share):
        generator = torch.Generator().manual_seed(seed)
        return size * terms.training(model, {}, generator, 8, share)

    whole = float(step(0, Share()))
    if rows is None:
        assert whole == pytest.approx(float(np.mean(x**2)), rel=1e-12)
    else:  # a mean over some of the rows, without repetition
        means = np.array([np.mean(each) for each in combinations(x**2, rows)])
        assert min(abs(whole - means)) < 1e-12 and whole != float(step(1, Share()))
    parts = [step(0, Share(k, 2)) for k in range(2)]
    if rows != 1:  # of one row each process takes one
        assert float(sum(parts)) / 2 == pytest.approx(whole, rel=1e-12)
    assert float(sum(step(2, Share(k, 3)) for k in range(3))) > 0


def test_it_is_relative_to_the_size_of_the_unknown(tmp_path):
    problem = write(tmp_path, a=1e6, b=2e6, size=1e6)
    assert squared_size(problem) > 1e8
    terms = data_terms(problem, None, 0, 16, 0, {})
    found = float(terms.validating(Model(terms), {}, 8, Share()))
    of = [np.mean(np.square(rows)) for rows in ROWS]
    assert found == pytest.approx(1e12 / squared_size(problem) * sum(of) / 2, rel=1e-9)


def test_expressions_are_measured_with_exact_derivatives(tmp_path):
    x, y = np.random.default_rng(0).uniform(size=(2, 6))
    names = {"v.x": x * y, "v.y": np.sin(x), "k*dx(v.y) + p": 0 * x}
    np.savez(tmp_path / "m.npz", x=x, y=y, **names)
    (tmp_path / "flow.pde").write_text("""problem flow
space x, y
domain Q = rectangle([0, 0], [1, 1])
trainable k = 3
unknown v : vector on Q, p : scalar on Q
in Q: -lap(v) + grad(p) = 0; div(v) = 0
on boundary(Q): v = 0
require integral(p, Q) = 0
data v on Q from "m.npz"
data k*dx(v.y) + p on Q from "m.npz"
""")
    terms = data_terms(pdespec.load(tmp_path / "flow.pde"), None, 0, 16, 0, {})
    assert terms.labels == ("data.v", "data.k*dx(v.y) + p")

    def model(inputs):
        def field(points):
            x, y = points.unbind(-1)
            return torch.stack([x * y + 1, x**2, y], -1)

        return field

    given = {"k": torch.tensor(2.0, dtype=torch.float64)}
    (first, second) = terms.validating(model, given, 1, Share()).tolist()
    assert first == pytest.approx(float(np.mean(1 + (x**2 - np.sin(x)) ** 2)), rel=1e-12)
    assert second == pytest.approx(float(np.mean((4 * x + y) ** 2)), rel=1e-12)


def model(problem):
    return compiler.build(problem, "gino", latent=(16,), modes=4, hidden=8, layers=1)


@pytest.mark.parametrize(
    ("changes", "labels"),
    [
        ({}, ("eq1", "data.u")),
        ({"physics": False}, ("data.u",)),
        ({"weights": {"data": 0.0}}, ("eq1", "data.u")),
        ({"weights": {"data.u": 7.0, "data": 3.0, "eq1": 2.0}}, ("eq1", "data.u")),
        ({"solutions": 2, "balancer": "relobralo"}, ("eq1", "data.u", "data")),
        ({"dual": 2}, ("eq1", "weak", "data.u")),
    ],
)
def test_training_sees_it_among_the_terms(tmp_path, changes, labels):
    problem = write(tmp_path)
    options = dataclasses.replace(SMALL, steps=2, **changes)
    rows = train(problem, model(problem), options, tmp_path / "run").history
    row = rows[-1]
    own = [name.removeprefix("weight ") for name in row if name.startswith("weight ")]
    assert tuple(name for name in own if "boundary" not in name) == labels
    total = sum(row[name] * row[f"weight {name}"] for name in own)
    assert row["total"] == pytest.approx(total, rel=1e-9)
    weight = {"data.u": 7.0}.get("data.u") if "eq1" in changes.get("weights", {}) else None
    weight = 0.0 if changes.get("weights") == {"data": 0.0} else weight
    if weight is not None:
        assert row["weight data.u"] == weight
    assert np.isfinite(row["validation"])


def test_data_alone_are_learned_by_every_operator(tmp_path):
    x = np.linspace(0, 1, 21)
    np.savez(tmp_path / "u.npz", x=x, u=0.2 * np.sin(np.pi * x))
    text = TEXT.format(low=0, high=1, a=1, b=2).replace("~ uniform(1, 2)", "= 1.5")
    (tmp_path / "rods.pde").write_text(text)
    problem = pdespec.load(tmp_path / "rods.pde")
    for name, size in {
        "pinn": {"hidden": (8,)},
        "gino": {"latent": (8,), "modes": 4, "hidden": 8, "layers": 1},
        "fno": {"grid": (16,), "modes": 4, "hidden": 8, "layers": 1},
    }.items():
        options = dataclasses.replace(SMALL, steps=25, physics=False, batch=1, lr=3e-2, rows=None)
        built = compiler.build(problem, name, **size)
        rows = train(problem, built, options, tmp_path / name).history
        assert rows[-1]["data.u"] < 0.3 * rows[0]["data.u"], name
        assert rows[-1]["validation"] == pytest.approx(rows[-1]["data.u"], rel=0.5)


def test_samples_that_are_held_out_are_seen_in_validation_alone(tmp_path):
    problem = write(tmp_path)
    terms = data_terms(problem, None, 1, 16, 0, {})
    second = np.mean(np.square(ROWS[1]))
    found = squared_size(problem) * float(terms.validating(Model(terms), {}, 8, Share()))
    assert found == pytest.approx(float(second), rel=1e-12)
    first = np.mean(np.square(ROWS[0]))
    assert squared_size(problem) * float(training(terms)) == pytest.approx(float(first), rel=1e-12)
    with pytest.raises(OptionError, match="held_out = 2 of 2 measured samples leaves none"):
        train(problem, model(problem), dataclasses.replace(SMALL, held_out=2), tmp_path / "run")


def test_priors_are_weighed_against_the_samples_that_training_sees(tmp_path):
    write(tmp_path, sigma=0.1)
    text = (tmp_path / "rods.pde").read_text()
    text = text.replace("dxx(u) = a", "b*dxx(u) = a").replace(
        "unknown", "trainable b ~ normal(1, 1)\nunknown"
    )
    (tmp_path / "rods.pde").write_text(text)
    problem = pdespec.load(tmp_path / "rods.pde")
    numbers = {"b": torch.tensor(3.0, dtype=torch.float64)}
    for held_out, rows in ((0, 5), (1, 3)):
        terms = data_terms(problem, None, held_out, 16, 0, {})
        prior = terms.validating(Model(terms), numbers, 8, Share())[1]
        noise = 0.1**2 / squared_size(problem)
        assert float(prior) == pytest.approx(noise / rows * 2.0**2, rel=1e-12)


@pytest.mark.parametrize(
    ("changes", "weights"),
    [
        ({}, (30.0, 30.0)),
        ({"weights": {"data": 2.0, "prior.b": 3.0}}, (2.0, 3.0)),
        ({"physics": False}, (1.0, 1.0)),
    ],
)
def test_data_from_which_numbers_are_found_weigh_more_beside_physics(changes, weights, tmp_path):
    write(tmp_path, sigma=0.1)
    text = (tmp_path / "rods.pde").read_text()
    text = text.replace("in L: ", "trainable b ~ normal(1, 1)\nin L: b*")
    (tmp_path / "rods.pde").write_text(text)
    problem = pdespec.load(tmp_path / "rods.pde")
    options = dataclasses.replace(SMALL, steps=1, uncertainty=False, **changes)
    run = train(problem, model(problem), options, tmp_path / "run")
    row = run.history[-1]
    assert (row["weight data.u"], row["weight prior.b"]) == weights
    said = json.loads((tmp_path / "run" / "run.json").read_text())["rules"]["data"]
    assert f"; weighed {max(weights):g}, to find b from them; every other step" in said


def objective(problem, rank=0, processes=1):
    device = torch.device("cpu")
    fabric = SimpleNamespace(world_size=processes, global_rank=rank, device=device)
    terms = data_terms(problem, None, 0, 16, 0, {})
    loss = compiler.compile(problem)
    return Objective(problem, model(problem), loss, SMALL, None, fabric, data=terms)


@pytest.mark.parametrize("found", [False, True])
def test_numbers_to_be_found_meet_the_physics_of_the_measured_samples(found, tmp_path):
    """In every other step, at fresh points. Samples that are drawn by law do not move them."""
    write(tmp_path)
    text = (tmp_path / "rods.pde").read_text()
    text = text.replace("in L: ", "trainable b = 1\nin L: b*") if found else text
    (tmp_path / "rods.pde").write_text(text)
    whole = objective(problem := pdespec.load(tmp_path / "rods.pde"))
    batches = [whole.draw("train", step) for step in range(6)]
    at_data = [set(batch.params["a"].tolist()) <= {1.0, 2.0} for batch in batches]
    assert at_data == [bool(found and step % 2) for step in range(6)]
    assert all(batch.size == SMALL.batch for batch in batches)
    points = [batch.points["L"].points for batch in batches]
    assert not any(torch.equal(one, two) for one, two in combinations(points, 2))
    parts = [objective(problem, rank, 2).draw("train", 3) for rank in (0, 1)]
    for of in (lambda batch: batch.params["a"], lambda batch: batch.points["L"].points):
        assert torch.equal(torch.cat([of(part) for part in parts]), of(batches[3]))
    for step in range(4) if found else ():
        terms, _ = whole("train", step)
        (slope,) = torch.autograd.grad(terms.sum(), [whole.loss.trainables["b"]])
        assert bool(slope) == bool(step % 2)


class Stopping(Silent):
    def step(self, row, labels):
        if labels and row["step"] == 3:
            os.kill(os.getpid(), signal.SIGINT)


def test_a_resumed_run_takes_the_same_steps_and_changed_files_are_refused(tmp_path):
    problem = write(tmp_path)
    train(problem, model(problem), SMALL, tmp_path / "through")
    with pytest.raises(Interrupted):
        train(problem, model(problem), SMALL, tmp_path / "halves", display=Stopping())
    train(problem, model(problem), SMALL, tmp_path / "halves", resume=True)
    one, two = (
        load_tree(tmp_path / each / "checkpoints" / "last.safetensors")["objective"]
        for each in ("through", "halves")
    )
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    with pytest.raises(OptionError, match="rows cannot change"):
        options = dataclasses.replace(SMALL, steps=8, rows=3)
        train(problem, model(problem), options, tmp_path / "halves", resume=True)
    changed = write(tmp_path, sigma=np.ones(5))
    with pytest.raises(RunError, match="u.npz is not the data that .* was trained on"):
        train(changed, model(problem), SMALL, tmp_path / "halves", resume=True)


def test_parts_of_a_step_take_the_step_of_the_whole(tmp_path):
    """As processes do, which take their shares by the same numbers."""
    problem, states = write(tmp_path), []
    for parts in (1, 2):
        options = dataclasses.replace(SMALL, steps=2, accumulate=parts)
        train(problem, model(problem), options, tmp_path / str(parts))
        states.append(load_tree(tmp_path / str(parts) / "checkpoints" / "last.safetensors"))
    one, two = (each["objective"] for each in states)
    for name in one:
        torch.testing.assert_close(one[name], two[name], rtol=1e-9, atol=1e-12)


def test_weights_of_data_that_are_not_there_are_refused(tmp_path):
    problem = write(tmp_path)
    options = dataclasses.replace(SMALL, weights={"data.v": 1.0})
    with pytest.raises(OptionError, match="no data are called 'data.v'; they are data.u"):
        train(problem, model(problem), options, tmp_path / "run")
