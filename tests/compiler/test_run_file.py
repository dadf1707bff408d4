"""Runs as files: what a file says, what it is refused for, and a run that is repeated by the file
that it kept."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from compiler.training.checkpoint import load_tree
from compiler.training.field_texts import field_texts
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES
from compiler.training.options import OptionError, TrainOptions, option_names
from compiler.training.presets import PRESETS
from compiler.training.run_file import read_run_file, repeated, toml
from compiler.training.runs import files_read
from compiler.training.start import COMMAND_LINE, start
from tests.compiler.commands import FILE, call, run_folder
from tests.texts import LINE


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path)


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_tree(directory / "checkpoints" / "last.safetensors")["objective"]


def test_paths_are_those_from_the_file_and_values_are_typed_as_settings(folder):
    found = read_run_file(folder / "run.toml")
    assert found.load().name == "line" and found.out == folder / "runs" / "line"
    options = start(PRESETS["demo"], "preset demo", {"run.toml": found.settings}).options
    assert (options.steps, options.lr, options.clip, options.dual) == (2, 1e-2, None, None)
    assert options.points == {"interior": 16, "boundary": 2, "initial": 64, "operator": 8}
    # entries of a mapping are set one by one
    assert options.weights == {"error": 3000.0, "boundary": 2.0}


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("steps = 2", "step = 2", "unknown option 'step'; did you mean 'steps'"),
        ("steps = 2", "steps = 2.5", "option steps = 2.5 should be int"),
        ("steps = 2", 'steps = "many"', "option steps = 'many' should be int"),
        ("points.interior", "points.interier", "unknown kind of points 'interier'"),
        ("[model]", "[modle]", "unknown key 'modle'; did you mean 'model'?"),
        ("out =", "steps = 3\nout =", "'steps' is an option of the run; write it below [options]"),
        ("out =", "preset = 3\nout =", "preset = 3 should be text in quotes"),
        ('out = "runs/line"', "model = 3", "is not TOML"),
        ('problem = "problems/line.pde"', "", 'names no problem; write problem = "name.pde"'),
        ("out =", 'preset = "dem"\nout =', "unknown preset 'dem'; did you mean 'demo'?"),
        ("hidden = 4", "hiden = 4", "has no option `hiden`; did you mean `hidden`"),
        ("steps = 2", "steps = = 2", "is not TOML: "),
        ("problems/line.pde", "problems/lin.pde", "lin.pde: No such file"),
    ],
)
def test_mistakes_in_a_file_are_named(folder, old, new, message):
    (folder / "run.toml").write_text(FILE.replace(old, new, 1))
    result = call("train", folder / "run.toml", "--dry-run")
    assert result.exit_code in (1, 2) and message in result.stderr
    assert not (folder / "runs").exists()


def test_a_dry_run_says_where_each_option_is_from_and_leaves_nothing(folder, monkeypatch):
    monkeypatch.chdir(folder)
    result = call("train", "run.toml", "--dry-run", "--set", "lr=0.02")
    assert result.exit_code == 0, result.stderr
    said = {line.split()[0]: " ".join(line.split()[1:]) for line in result.stdout.splitlines()}
    assert set(option_names()) <= {key.partition(".")[0] for key in said}
    assert said["lr"] == "0.02 command line"
    assert said["steps"].startswith("2 ") and said["steps"].endswith("run.toml")
    assert said["optimizer"] == "soap preset demo"
    assert said["seed"] == "0 default"
    assert said["model.weight"].startswith("quadweight rule: smooth enough")
    assert said["model.hidden"].endswith("run.toml")
    assert "built into u" in result.stdout
    assert not (folder / "runs").exists()


def test_a_file_of_an_older_build_is_read_by_the_names_of_today(folder):
    text = FILE.replace("steps = 2", 'steps = 2\nhard = false\npoints_by = "uniform"')
    (folder / "run.toml").write_text(text)
    layers = {"run.toml": read_run_file(folder / "run.toml").settings}
    begun = start(PRESETS["demo"], "preset demo", {**layers, COMMAND_LINE: {"estimate": "false"}})
    assert (begun.options.hard_conditions, begun.options.sampling) == (False, "uniform")
    assert not begun.options.error_estimate
    assert begun.origins["sampling"] == "run.toml"
    assert begun.origins["error_estimate"] == COMMAND_LINE


def test_the_command_line_stands_over_the_file_and_the_file_over_the_preset(folder):
    found = read_run_file(folder / "run.toml").settings
    layers = {"run.toml": found, COMMAND_LINE: {"steps": "7", "weights.boundary": "5"}}
    begun = start(PRESETS["demo"], "preset demo", layers)
    assert begun.options.steps == 7 and begun.origins["steps"] == COMMAND_LINE
    assert (
        begun.options.weights["boundary"] == 5 and begun.origins["weights.error"] == "preset demo"
    )
    assert begun.origins["batch"] == "run.toml" and begun.origins["seed"] == "default"


def test_the_file_that_a_run_keeps_repeats_it(folder, monkeypatch):
    monkeypatch.chdir(folder)
    first = call("train", "run.toml")
    assert first.exit_code == 0, first.stderr
    again = call("train", "runs/line/run.toml", "--out", "runs/again")
    assert again.exit_code == 0, again.stderr
    one, two = weights(folder / "runs" / "line"), weights(folder / "runs" / "again")
    assert one.keys() == two.keys() and all(torch.equal(one[name], two[name]) for name in one)
    record = json.loads((folder / "runs" / "line" / "run.json").read_text())
    assert record["sessions"][-1]["cpu_seconds"] > 0


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_comes_back_from_its_file(tmp_path, name):
    chosen = PRESETS[name]
    values = {each: getattr(chosen.options, each) for each in option_names()}
    path = tmp_path / "run.toml"
    path.write_text(repeated(name, chosen.operator, chosen.model, values, None))
    found = read_run_file(path)
    begun = start(PRESETS["none"], "preset none", {"run.toml": found.settings})
    assert begun.options == chosen.options
    assert (begun.operator, begun.model) == (chosen.operator, dict(chosen.model))


@pytest.mark.parametrize(
    "value",
    [
        {"betas": [0.9, 0.95], "eps": 1e-08, "an odd\tkey": True},
        {"none": {"inside": None}},
        {"path": 'C:\\a "quoted" \x7f name é 😀'},
        {},
    ],
)
def test_what_a_mapping_holds_comes_back_from_a_file(tmp_path, value):
    (tmp_path / "run.toml").write_text(
        f'problem = "p.pde"\n[options]\noptimizer_options = {toml(value)}\n', encoding="utf-8"
    )
    found = read_run_file(tmp_path / "run.toml").settings
    begun = start(PRESETS["none"], "preset none", {"run.toml": found})
    assert begun.options.optimizer_options == value


def test_a_resumed_run_says_that_its_options_are_the_runs(folder, monkeypatch):
    monkeypatch.chdir(folder)
    assert call("train", "run.toml").exit_code == 0
    more = call("train", "run.toml", "--resume", "--set", "steps=3", "--dry-run")
    assert more.exit_code == 0, more.stderr
    said = [" ".join(line.split()) for line in more.stdout.splitlines()]
    assert "steps 3 command line" in said and "optimizer soap run runs/line" in said


def test_every_option_is_described_where_it_is_declared():
    texts = field_texts(TrainOptions)
    assert list(texts) == option_names() and all(texts.values())
    for option, registry in (("optimizer", OPTIMIZERS), ("schedule", SCHEDULES)):
        assert all(name in texts[option] for name in registry)
    result = call("options", "lr", "points.interior")
    assert result.exit_code == 0 and "Learning rate" in result.stdout
    assert "did you mean 'lr'" in call("options", "lrr").stderr


def test_a_file_that_is_too_long_is_refused(tmp_path):
    (tmp_path / "run.toml").write_text("#" * 2_000_000)
    with pytest.raises(OptionError, match="no file of a run"):
        read_run_file(tmp_path / "run.toml")


def test_the_files_that_a_problem_reads_may_lie_elsewhere(folder):
    text = LINE + 'data u on L from "rod.csv"\n'
    (folder / "problems" / "line.pde").write_text(text)
    (folder / "measured").mkdir()
    (folder / "measured" / "rod.csv").write_text("x,u\n0.5,0.1\n")
    (folder / "run.toml").write_text(FILE.replace("out =", 'files = "measured"\nout ='))
    found = files_read(read_run_file(folder / "run.toml").load())
    assert [each.file.resolve() for each in found] == [folder / "measured" / "rod.csv"]
