"""The scripts in `examples/` and the tutorial run, quickly here, and stay short enough to be
read."""

from __future__ import annotations

import importlib.util
import re
import sys
from pathlib import Path
from subprocess import run

import pytest

import pdespec
from pdespec.errors import render_all

ROOT = Path(__file__).parents[1]
SCRIPTS = sorted((ROOT / "examples").glob("*.py"))


def main_of(name: str):
    spec = importlib.util.spec_from_file_location(
        f"example_{name}", ROOT / "examples" / f"{name}.py"
    )
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.main


def test_scripts_are_short():
    assert len(SCRIPTS) >= 6
    for path in SCRIPTS:
        most = {"airfoil_design": 60}.get(path.stem, 45)
        assert len(path.read_text().splitlines()) <= most, path.name


def test_poisson_is_trained_and_compared():
    assert 0 < main_of("poisson")(steps=2) < 10


def test_heat_in_python_agrees_with_its_closed_form():
    assert main_of("heat")(resolution=16) < 1e-3


def test_a_beam_bends_under_its_weight():
    assert main_of("elasticity")(resolution=4) < 0


def test_coefficients_are_recovered_within_their_error_bars():
    found, bars = main_of("inverse")()
    assert (abs(found - (0.1, 0.5)) < 3 * bars).all() and (bars < (0.005, 0.02)).all()


def test_a_wing_is_searched_by_an_operator_and_its_solver(tmp_path):
    pytest.importorskip("numba")
    import torch

    import compiler
    from compiler.finite_volume.operator import SectionOperator

    for name in ("airfoil_design.py", "airfoil_euler.pde"):  # on a grid that is solved at once
        text = (ROOT / "examples" / name).read_text()
        (tmp_path / name).write_text(text.replace("ROWS = 32, 40", "ROWS = 8, 12"))
    spec = importlib.util.spec_from_file_location("small", tmp_path / "airfoil_design.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    compiler.dataset(module.WING, 2, tmp_path, at="nodes", resolution=8)
    torch.save({"wing": SectionOperator((12, 64)).state_dict()}, tmp_path / "wing.pt")
    path, found, wings = module.main(
        tmp_path, starts=1, asks=2, samples=2, finer=16, thick=0.9, bend=2.0
    )
    assert path[-1].cost <= path[0].cost and path[-1].by == "solver"
    assert found[1] > 0.02 and wings.asked == 2


def test_a_pillar_is_sought_by_an_operator_and_confirmed_by_finite_elements(tmp_path):
    import compiler

    problem = pdespec.load(ROOT / "examples" / "pillar_channel.pde")
    model = compiler.build(problem, "gino", hidden=8, modes=4, layers=1, kernel="polynomial")
    counts = {"interior": 32, "boundary": 16, "operator": 64}
    options = compiler.TrainOptions(steps=1, batch=1, validation=1, references=0, points=counts)
    compiler.train(problem, model, options, directory=tmp_path / "run")
    best, said, found = main_of("pillar_design")(tmp_path / "run", heat=0.0)
    assert ((best >= (0.1, 0.8, 0.4)) & (best <= (0.25, 1.2, 0.6))).all()
    assert 40 < found[0] < 150 and 0.2 < found[1] < 0.5 and len(said) == 2


def test_an_operator_of_ones_own_has_a_loss():
    main_of("own_operator")().backward()


def test_a_backend_of_ones_own_agrees_with_autograd():
    # it registers a name for good
    found = run(
        [sys.executable, "examples/own_backend.py"], cwd=ROOT, capture_output=True, text=True
    )
    assert float(found.stdout) < 1e-5, found.stderr


TUTORIAL = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")


def test_the_tutorial_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for block in re.findall(r"^```python\n(.*?)^```$", TUTORIAL, re.S | re.M):
        exec(compile(block, "docs/tutorial.md", "exec"), names)
    (text,) = re.findall(r"^```pde\n(.*?)^```$", TUTORIAL, re.S | re.M)
    assert pdespec.parse(text) == names["problem"]


def test_the_message_of_the_tutorial_is_the_real_one():
    (text,) = re.findall(r"^```pde\n(.*?)[^\n]*\n^```$", TUTORIAL, re.S | re.M)
    (shown,) = re.findall(r"^```text\n(.*?)^```$", TUTORIAL, re.S | re.M)
    with pytest.raises(pdespec.ProblemError) as caught:
        pdespec.parse(text, source="rod.pde")
    assert render_all(caught.value.diagnostics).startswith(shown.rstrip())
