"""Runs side by side."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import pytest

from tests.compiler.commands import call, run_folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> tuple[Path, Path]:
    folder = run_folder(tmp_path_factory.mktemp("runs"))
    one, two = folder / "one", folder / "two"
    for directory, more in ((one, []), (two, ["--set=lr=0.02", "--set=model.hidden=6"])):
        result = call("train", folder / "run.toml", "--out", directory, *more)
        assert result.exit_code == 0, result.stderr
    assert call("evaluate", one, "--samples", 2).exit_code == 0
    return one, two


def test_options_that_differ_and_what_came_of_them(runs):
    one, two = runs
    result = call("compare-runs", one, two, "--json")
    assert result.exit_code == 0, result.stderr
    found = json.loads(result.stdout)
    assert found["options"] == {
        "model.hidden": {str(one): 4, str(two): 6},
        "lr": {str(one): 0.01, str(two): 0.02},
    }
    for run in runs:
        with (run / "history.csv").open() as lines:
            last = list(csv.DictReader(lines))[-1]
        for title, column in (("final loss", "total"), ("validation error", "error")):
            assert found["results"][title][str(run)] == float(last[column])
        assert found["results"]["CPU time, s"][str(run)] > 0
    stored = json.loads((one / "evaluation.json").read_text())
    errors = found["results"]["error of u"]
    assert errors == {str(one): stored["unknowns"]["u"]["mean"], str(two): None}


def test_the_table_names_every_run(runs):
    one, two = runs
    result = call("compare-runs", one, two)
    assert result.exit_code == 0, result.stderr
    cells = [re.split("  +", line.strip()) for line in result.stdout.splitlines()]
    lines = {name: values for name, *values in cells}
    stored = json.loads((one / "evaluation.json").read_text())["unknowns"]["u"]["mean"]
    assert lines["lr"] == ["0.01", "0.02"]
    assert lines["error of u"] == [f"{100 * stored:.2f} %", "-"]


def test_what_is_no_run_is_refused(runs, tmp_path):
    result = call("compare-runs", runs[0], tmp_path / "nothing")
    assert result.exit_code == 1 and "holds no run" in result.stderr
