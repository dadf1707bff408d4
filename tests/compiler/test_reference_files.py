"""Known values of an unknown from a file: read and checked, compared with a trained operator and
with the solver."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compiler
import pdespec
from compiler.cli import app
from compiler.measurements.measured import refuse_wrong_files
from tests.texts import LINE

TEXT = LINE + 'reference u from "u.npz"\n'


def write(tmp_path, text=TEXT, **columns):
    np.savez(tmp_path / "u.npz", **columns)
    (tmp_path / "rod.pde").write_text(text)
    return pdespec.load(tmp_path / "rod.pde")


def test_a_reference_file_is_part_of_the_problem(tmp_path):
    problem = write(tmp_path, x=[0.5], u=[0.1])
    assert problem.references == {} and problem.reference_files[0].source == "u.npz"
    assert pdespec.parse(problem.to_dsl()) == problem
    assert pdespec.parse(problem.revised(written=None).to_dsl()) == problem
    (x,) = pdespec.space("x")
    L = pdespec.interval(x, 0, 1, name="L")
    u, a = pdespec.unknown("u", L), pdespec.param("a", pdespec.uniform(1, 2))
    made = pdespec.Problem(
        "rod", {"eq1": (-u.diff(x, 2), a)}, [pdespec.on(pdespec.boundary(L), u)],
        reference={"u": "u.npz"},
    )  # fmt: skip
    assert made.reference_files[0].value == u
    write(tmp_path, x=[0.5, 2.0], u=[0.1, 0.2], a=1.0)
    with pytest.raises(pdespec.ProblemError, match="D04.*outside of `L`"):
        refuse_wrong_files(pdespec.load(tmp_path / "rod.pde"))
    (tmp_path / "u.npz").unlink()
    with pytest.raises(pdespec.ProblemError, match="D01"):
        refuse_wrong_files(pdespec.load(tmp_path / "rod.pde"))


def test_an_evaluation_compares_with_the_rows_of_the_file(tmp_path):
    x = np.linspace(0.1, 0.9, 9)
    u = np.array([1.0, 1.8])[:, None] * x * (1 - x) / 2 + 0.01  # another solution
    problem = write(tmp_path, x=x, u=u, a=[1.0, 1.8], sample=["first", "second"])
    model = compiler.build(problem, "gino", latent=(8,), modes=3, hidden=4, layers=1)
    points = {"interior": 8, "boundary": 4, "operator": 16}
    options = compiler.TrainOptions(steps=1, batch=2, validation=1, points=points)
    run = compiler.train(problem, model, options, tmp_path / "run")
    assert "data.u" not in run.history[-1]
    found = compiler.evaluate(run.directory, samples=1)
    operator = compiler.load(run.directory)
    own = operator(params={"a": [1.0, 1.8]}).u(x[:, None])
    expected = np.linalg.norm(own - u) / np.linalg.norm(u)
    assert found.files["u"] == pytest.approx(expected, rel=1e-4)
    record = json.loads((run.directory / "evaluation.json").read_text())
    assert record["reference_files"] == {"u": found.files["u"]}
    assert "over the rows of its reference file" in (run.directory / "report.html").read_text()
    result = CliRunner().invoke(
        app, ["predict", str(run.directory), "--params", "a=1", "--no-error"]
    )
    assert result.exit_code == 0, result.stderr
    assert f"u differs from its reference file by {found.files['u']:.3g}" in result.stdout


def test_the_solver_says_how_far_it_is_from_the_file(tmp_path, monkeypatch):
    x = np.linspace(0.1, 0.9, 9)
    write(tmp_path, x=x, u=1.01 * x * (1 - x) / 2, a=1.0)
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["solve", "rod.pde", "--out", "out"])
    assert result.exit_code == 0, result.stderr
    assert "u differs from its reference file by 0.0099" in result.stdout
    assert torch.get_default_dtype() == torch.float32
