"""A search for options: what is tried, what is kept, and how it goes on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from compiler.batches.sample import sample
from compiler.chance import seeded
from compiler.training.callbacks import Moment
from compiler.training.options import OptionError
from compiler.training.runs import open_run
from compiler.training.sweep import Pruning, space_of
from pdespec import parse
from tests.compiler.commands import FILE, call, run_folder
from tests.texts import LINE

optuna = pytest.importorskip("optuna")

SPACE = """
[sweep]
trials = 3

[sweep.space]
lr = {low = 1e-3, high = 1e-1, log = true}
model.hidden = [2, 4]
points.interior = {low = 8, high = 16}
"""


@pytest.fixture
def folder(tmp_path):
    return run_folder(tmp_path, "sweep.toml", SPACE)


def table(text: str) -> dict[str, list[str]]:
    lines = [line.split() for line in text.splitlines()]
    return {line[0]: line[1:] for line in lines if line[0].startswith("trial-")}


def test_a_sweep_is_interrupted_goes_on_and_ranks_its_trials(folder, monkeypatch):
    def stopped(self: Pruning, moment: Moment) -> None:
        moment.save("last")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Pruning, "on_validation", stopped)
        assert call("sweep", folder / "sweep.toml").exit_code == 130
    begun = open_run(folder / "runs" / "line" / "trial-0000")
    result = call("sweep", folder / "sweep.toml")
    assert result.exit_code == 0, result.stderr
    found = table(result.stdout)
    assert set(found) == {"trial-0000", "trial-0002", "trial-0003"}  # 1 is 0, asked again
    ended = open_run(folder / "runs" / "line" / "trial-0000")
    assert ended.options == begun.options and ended.history[-1]["step"] == 2
    errors = [float(words[0]) for words in found.values()]
    assert errors == sorted(errors)
    for name, words in found.items():
        run = open_run(folder / "runs" / "line" / name)
        assert float(words[0]) == pytest.approx(100 * run.history[-1]["error"], rel=1e-2)
        assert 1e-3 <= run.options.lr <= 1e-1 and run.recipe.options["hidden"] in (2, 4)
        assert 8 <= run.options.points["interior"] <= 16 and run.options.batch == 2
    again = call("sweep", folder / "sweep.toml")
    assert table(again.stdout) == found  # nothing is left to do

    other = (FILE + SPACE).replace("[2, 4]", "[2, 4, 6]")
    (folder / "sweep.toml").write_text(other)
    refused = call("sweep", folder / "sweep.toml")
    assert refused.exit_code == 1 and "holds a sweep of another problem" in refused.stderr


def test_a_trial_that_cannot_be_built_fails_and_the_others_go_on(folder):
    text = (FILE + SPACE).replace("model.hidden = [2, 4]", "model.modes = [2, 64]")
    (folder / "sweep.toml").write_text(text.replace("trials = 3", "trials = 4\nseed = 2"))
    result = call("sweep", folder / "sweep.toml")
    assert result.exit_code == 0, result.stderr
    states = {words[-4] for words in table(result.stdout).values()}
    assert states == {"complete", "failed"}


def test_a_trial_worse_than_the_median_is_pruned():
    study = optuna.create_study(pruner=optuna.pruners.MedianPruner(n_startup_trials=1))
    said = []
    for error in (0.1, 0.9):
        trial = study.ask()
        pruning = Pruning(trial)
        moment = Moment(None, torch.nn.Identity(), 5, {"error": error}, lambda name: None)
        said.append((pruning.on_validation(moment), pruning.pruned))
        study.tell(trial, error)
    assert said[0] == (None, False)
    assert "median" in said[1][0] and said[1][1]


def test_the_samples_that_judge_are_not_those_of_an_evaluation():
    problem = parse(LINE, source="line.pde")
    judges = sample(problem, 8, generator=seeded(0, "validate", 0)).params["a"].reshape(-1)
    held_out = torch.cat(
        [sample(problem, 1, generator=seeded(0, "evaluate", k)).params["a"] for k in range(8)]
    ).reshape(-1)
    assert not torch.isclose(judges[:, None], held_out[None]).any()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (SPACE, "", "the file states no space to search"),
        ("lr = {low", "lrr = {low", "sweep.space: unknown option 'lrr'; did you mean 'lr'"),
        ("model.hidden", "model.hiden", "has no option `hiden`; did you mean `hidden`"),
        ("high = 1e-1", "high = 1e-4", "should be a list of values"),
        ("high = 1e-1, log", "high = 1e-1, lgo", "should be a list of values"),
        ("[2, 4]", "[]", "should be a list of values"),
        ("trials = 3", "trails = 3", "sweep has no 'trails'; did you mean 'trials'?"),
        ("trials = 3", "trials = 'x'", "sweep.trials = 'x' should be a whole number"),
        ("references = 1", "references = 0", "set references, e.g. 4"),
        ("lr = {low", "seed = [1, 2]\nlr = {low", "seed decides by what trials are judged"),
    ],
)
def test_mistakes_are_named_before_anything_is_trained(folder, old, new, message):
    (folder / "sweep.toml").write_text((FILE + SPACE).replace(old, new, 1))
    result = call("sweep", folder / "sweep.toml")
    assert result.exit_code == 2 and message in result.stderr, result.stderr
    assert not Path(folder / "runs").exists()


def test_settings_of_a_space_are_lists_ranges_or_tables_of_them():
    space = space_of({"space": {"model": {"hidden": [2, 4]}, "lr": {"low": 0.1, "high": 1}}})
    assert space.first() == {"model.hidden": 2, "lr": 0.1} and space.trials == 20
    with pytest.raises(OptionError, match="should be a list"):
        space_of({"space": {"lr": {"low": 0.0, "high": 1.0, "log": True}}})
