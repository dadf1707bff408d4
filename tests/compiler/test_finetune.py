"""An operator trained further on given samples: the error falls, the run is of these samples, goes
on bit for bit, and refuses others."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compiler
import pdespec
from compiler.cli import app
from compiler.prediction.answers import OutsideWarning
from compiler.training.instances import further
from compiler.training.options import OptionError
from compiler.training.runs import RunError
from compiler.training.stopping import Interrupted

TEXT = """
problem bar
space    x
param    k ~ uniform(1, 3)
domain   L = interval(0, 1)
input    f : scalar on L ~ grf(length = 0.3)
unknown  u : scalar on L
in L: -k*dxx(u) = f
on boundary(L): u = 0
"""
X = np.linspace(0, 1, 33)[:, None]
EXACT = np.sin(math.pi * X[:, 0]) / 2  # of k = 2
GIVEN = {"params": {"k": 2.0}, "inputs": {"f": lambda x: math.pi**2 * torch.sin(math.pi * x)}}


def f(x):
    return math.pi**2 * np.sin(math.pi * np.asarray(x))


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    problem = pdespec.parse(TEXT)
    model = compiler.build(problem, "gino", latent=(16,), hidden=8, modes=4, layers=2)
    options = compiler.TrainOptions(
        steps=3,
        batch=2,
        points={"interior": 32, "boundary": 2, "operator": 32},
        optimizer="soap",
        lr=6e-3,
        validation=0,
        precision="float64",
    )
    directory = tmp_path_factory.mktemp("run") / "bar"
    compiler.train(problem, model, options, directory)
    return compiler.load(directory)


def error(operator):
    found = operator(**GIVEN).u(X)
    return np.linalg.norm(found - EXACT) / np.linalg.norm(EXACT)


@pytest.mark.parametrize("words", [{"steps": 60}, {"steps": 3, "optimizer": "lbfgs"}])
def test_the_error_of_the_sample_falls(operator, words, tmp_path):
    before = [each.detach().clone() for each in operator.model.parameters()]
    found = operator.finetuned(**GIVEN, directory=tmp_path / "closer", **words)
    assert error(found) < 0.1 * error(operator)
    assert all(map(torch.equal, before, operator.model.parameters()))
    assert error(compiler.load(tmp_path / "closer")) == error(found)


def test_a_batch_of_samples_is_trained_on_together(operator, tmp_path):
    found = operator.finetuned({"k": [1.5, 2.0]}, {"f": f}, tmp_path / "two", steps=2)
    assert found.run.options.batch == 2 and found.run.instances["params"] == {"k": [1.5, 2.0]}
    with pytest.warns(OutsideWarning, match=r"there `k` is \[1.5, 2.0\]"):
        found({"k": 1.7}, {"f": f})


def test_its_params_need_not_be_given_again(operator, tmp_path):
    found = operator.finetuned(**GIVEN, directory=tmp_path / "closer", steps=1)
    assert found(inputs={"f": f}).u(X) == pytest.approx(found(**GIVEN).u(X))
    with pytest.warns(OutsideWarning, match="there `k` is 2.0"):
        found({"k": 2.5}, {"f": f})


def test_a_run_goes_on_with_the_same_bits_and_with_no_other_sample(operator, tmp_path, monkeypatch):
    whole = operator.finetuned(**GIVEN, directory=tmp_path / "whole", steps=4)
    from compiler.training import loop

    asked = []
    monkeypatch.setattr(loop, "any_process", lambda fabric, flag: len(asked) >= 4)
    monkeypatch.setattr(
        loop, "record", lambda *a, record=loop.record: (asked.append(0), record(*a))[1]
    )
    cut = tmp_path / "cut"
    for _ in range(2):
        try:
            operator.finetuned(**GIVEN, directory=cut, steps=4, resume=True)
        except Interrupted:
            monkeypatch.undo()
    assert whole.run.step == compiler.load(cut).run.step == 4
    weights = [compiler.load(each.run.directory).model for each in (whole, compiler.load(cut))]
    assert all(map(torch.equal, *(each.parameters() for each in weights)))
    for other in ({"params": {"k": 2.5}, "inputs": {"f": f}}, {**GIVEN, "inputs": {"f": 1.0}}):
        name = "k" if other["params"] != GIVEN["params"] else "f"
        with pytest.raises(RunError, match=f"another `{name}`"):
            operator.finetuned(**other, directory=cut, steps=8, resume=True)
    with pytest.raises(RunError, match="drawn by its laws"):
        operator.finetuned(**GIVEN, directory=operator.run.directory, resume=True)


@pytest.mark.parametrize(
    ("words", "message"),
    [({"step": 3}, "did you mean 'steps'"), ({"batch": 3}, "batch is the number of samples")],
)
def test_options_are_refused_by_name(operator, tmp_path, words, message):
    with pytest.raises(OptionError, match=message):
        operator.finetuned(**GIVEN, directory=tmp_path / "no", **words)
    assert not (tmp_path / "no").exists()


def test_weights_of_solved_samples_and_of_data_are_none_of_the_samples_given():
    trained = compiler.TrainOptions(solutions=4, weights={"data": 2.0, "equation": 3.0})
    assert further(trained, 1, measured=False).weights == {"equation": 3.0}
    measured = compiler.TrainOptions(weights={"data.u": 2.0}, held_out=2)
    found = further(measured, 2, measured=True)
    assert (found.weights, found.held_out, found.batch) == ({"data": 0.0}, 0, 2)


def test_from_the_command_line(operator, tmp_path):
    np.savetxt(tmp_path / "f.csv", np.c_[X, f(X)], delimiter=",", header="x,f", comments="")
    words = ["finetune", str(operator.run.directory), "--params", "k=2"]
    words += ["--inputs", f"f={tmp_path / 'f.csv'}", "--out", str(tmp_path / "closer"), "--quiet"]
    found = CliRunner().invoke(app, [*words, "--set", "steps=60"])
    assert found.exit_code == 0, found.output
    before, after = (
        float(line.split("estimated error: u ")[1].split(" %")[0])
        for line in found.output.splitlines()
        if "estimated error" in line
    )
    assert after < 0.2 * before
    found = CliRunner().invoke(app, [*words[:-2], str(tmp_path / "no"), "--set", "model.hidden=3"])
    assert found.exit_code == 2 and "model.hidden cannot change" in found.output
