"""Samples of which a caller gives a part: what is given holds, the rest is drawn, and `solve` takes
the words of `predict`."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import compiler
import pdespec
from compiler.batches.completed import completed
from compiler.cli import app
from compiler.prediction.columns import write_columns
from pdespec import ProblemError

TEXT = """
problem rod
space    x
param    a ~ uniform(1, 2), b ~ uniform(3, 4), k = 1
domain   L = interval(0, 1)
input    f : scalar on L ~ gaussians(count = 2), g : scalar on L ~ gaussians(count = 1)
unknown  u : scalar on L
in L: -k*dxx(u) = a*f + 0*b*g
on boundary(L): u = 0
"""


def test_what_is_not_given_is_that_of_the_seed():
    problem = pdespec.parse(TEXT)
    drawn = compiler.sample(
        problem, 1, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    batch = completed(problem, {"a": 1.5}, {"g": 2.0}, seed=3)
    x = torch.linspace(0, 1, 9, dtype=torch.float64)[None, :, None]
    assert batch.params["a"].item() == 1.5 and batch.params["k"].item() == 1
    assert batch.params["b"].item() == drawn.params["b"].item()
    assert torch.equal(batch.evaluate("f", x), drawn.evaluate("f", x))
    assert batch.evaluate("g", x).unique().tolist() == [2.0]


def test_what_has_no_law_must_be_given():
    problem = pdespec.parse(TEXT.replace("b ~ uniform(3, 4)", "b"))
    assert completed(problem, {"b": 3.5}, {}).params["b"].item() == 3.5
    with pytest.raises(ProblemError, match="`b`"):
        completed(problem, {"a": 1.0}, {})
    with pytest.raises(ProblemError, match="has no param `c`"):
        completed(problem, {"c": 1.0}, {})


def test_solve_takes_the_words_of_predict(tmp_path):
    meshio = pytest.importorskip("meshio")
    file, x = tmp_path / "rod.pde", np.linspace(0, 1, 41)
    file.write_text(TEXT)
    write_columns(tmp_path / "f.npz", {"x": x, "f": 6 * x})
    words = ["--params", "a=2", "--inputs", f"f={tmp_path / 'f.npz'}", "--out", str(tmp_path / "o")]
    told = CliRunner().invoke(app, ["solve", str(file), *words])
    assert told.exit_code == 0, told.output
    assert "a = 2" in told.output.splitlines()[0]
    mesh = meshio.read(tmp_path / "o" / "solution.vtu")
    at = mesh.points[:, 0]
    assert mesh.point_data["u"][:, 0] == pytest.approx(2 * (at - at**3), abs=1e-6)  # of -u'' = 12 x
    for wrong, code in (("--params=c=1", 1), ("--inputs=h=1", 1), ("--params=a=one", 2)):
        told = CliRunner().invoke(app, ["solve", str(file), wrong])
        assert told.exit_code == code, told.output
