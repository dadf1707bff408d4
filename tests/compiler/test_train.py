"""Training: resumes bit for bit after any interruption, stops at NaN, refuses what it should,
and leaves the disk alone when it does."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

import pdespec
from compiler.chance import seeded
from compiler.loss.physics import compile, term_weights
from compiler.training.checkpoint import load_run, load_tree, save_tree
from compiler.training.loop import Interrupted, train
from compiler.training.objective import Objective
from compiler.training.options import OptionError, TrainOptions
from compiler.training.progress import terms_text
from compiler.training.runs import RunError, open_run, read_history
from pdespec.errors import ProblemError
from tests.compiler import tiny
from tests.compiler.commands import contents

ROOT = Path(__file__).parents[2]
SMALL = TrainOptions(
    steps=24,
    batch=4,
    points={"interior": 8},
    lr=1e-2,
    validation=2,
    validate_every=6,
    checkpoint_every=5,
    log_every=2,
    precision="float64",
)
PROBLEM = tiny.problem()


def start(directory, options=SMALL, sampler=tiny.sample, model=None, **keywords):
    return train(PROBLEM, model or tiny.Operator(), options, directory, sampler=sampler, **keywords)


def state(directory, which="last") -> dict:
    """Everything in a checkpoint but the clock."""
    tree = load_tree(directory / "checkpoints" / f"{which}.safetensors")
    del tree["seconds"]
    return tree


def same(a, b) -> bool:
    if isinstance(a, torch.Tensor):
        return torch.equal(a, b)
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return a == b


def at_step(step: int, act):
    """A sampler that acts when the batch of a training step is drawn."""

    def sampler(problem, size, points, generator, **keywords):
        if generator.initial_seed() == seeded(SMALL.seed, "train", step).initial_seed():
            act()
        return tiny.sample(problem, size, points, generator, **keywords)

    return sampler


def lose_power() -> None:
    raise OSError("the machine lost power")


def test_training_lowers_the_loss_and_keeps_its_record(tmp_path):
    run = start(tmp_path / "run", dataclasses.replace(SMALL, steps=200, lr=2e-2))
    assert run.finished and run.step == 200
    rows = run.history
    assert [row["step"] for row in rows if row["step"] % 2 == 0] == list(range(2, 201, 2))
    assert rows[-1]["validation"] < 0.05 * rows[2]["validation"]
    for row in rows:
        assert row["lr"] == pytest.approx(
            2e-2 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * (row["step"] - 1) / 199))),
            rel=1e-12,
        )
    assert state(tmp_path / "run")["optimizer"]["param_groups"][0]["lr"] == rows[-1]["lr"]
    assert (tmp_path / "run" / "problem.pde").read_text() == PROBLEM.to_dsl()
    assert open_run(tmp_path / "run").options == run.options


def test_weights_are_given_by_label_or_by_kind():
    terms = compile(PROBLEM).terms
    assert term_weights(terms, {"boundary": 5.0, "balance": 2.0}) == {"ends": 5.0, "balance": 2.0}
    assert term_weights(terms, {"boundary": 5.0, "ends": 2.0}) == {"ends": 2.0}


def test_the_total_is_the_weighted_sum_of_the_terms(tmp_path):
    run = start(
        tmp_path / "run", dataclasses.replace(SMALL, steps=2, weights={"balance": 3.0, "ends": 0.5})
    )
    row = run.history[-1]
    assert row["total"] == pytest.approx(3 * row["balance"] + 0.5 * row["ends"], rel=1e-12)


def test_gradients_are_clipped_to_the_norm_asked_for(tmp_path):
    run = start(tmp_path / "run", dataclasses.replace(SMALL, steps=1, clip=0.01))
    means = [each["exp_avg"] for each in state(tmp_path / "run")["optimizer"]["state"].values()]
    assert run.history[-1]["gradient"] > 0.1
    # Adam's (1 - beta1) g
    assert math.sqrt(sum(float(each.square().sum()) for each in means)) == pytest.approx(
        0.1 * 0.01, rel=1e-3
    )


VARIANTS = {
    "adam": {},
    "soap, relobralo": {
        "optimizer": "soap",
        "optimizer_options": {"frequency": 3},
        "balancer": "relobralo",
        "balancer_options": {"beta": 0.5},
    },
    "plateau, gradnorm, ema": {
        "schedule": "plateau",
        "schedule_options": {"patience": 0},
        "balancer": "gradnorm",
        "ema": 0.9,
        "lr": 0.5,
    },
    "adamw, lr_annealing, float32": {
        "optimizer": "adamw",
        "balancer": "lr_annealing",
        "precision": "float32",
    },
    "softadapt, no clip": {"balancer": "softadapt", "clip": None},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_an_interrupted_run_goes_on_bit_for_bit(name, tmp_path):
    options = dataclasses.replace(SMALL, **VARIANTS[name])
    start(tmp_path / "through", options)
    with pytest.raises(Interrupted) as stopped:
        start(
            tmp_path / "halves", options, at_step(11, lambda: os.kill(os.getpid(), signal.SIGINT))
        )
    assert stopped.value.run.step == 12  # just validated: the schedule has yet to hear of it
    assert "--resume" in str(stopped.value)
    resumed = start(tmp_path / "halves", options, model=tiny.Operator(seed=99), resume=True)
    assert resumed.finished
    for which in ("last", "best"):
        assert same(state(tmp_path / "through", which), state(tmp_path / "halves", which)), which
    histories = [
        [{**row, "seconds": None} for row in read_history(tmp_path / each)]
        for each in ("through", "halves")
    ]
    assert histories[0] == histories[1]


def test_resuming_from_an_older_checkpoint_forgets_the_later_rows(tmp_path):
    start(tmp_path / "through")
    with pytest.raises(OSError, match="power"):
        start(tmp_path / "halves", sampler=at_step(18, lose_power))
    assert read_history(tmp_path / "halves")[-1]["step"] == 18
    assert load_run(tmp_path / "halves", model=tiny.Operator()).step == 15
    start(tmp_path / "halves", resume=True)
    assert same(state(tmp_path / "through"), state(tmp_path / "halves"))
    assert [row["step"] for row in read_history(tmp_path / "halves")] == [
        row["step"] for row in read_history(tmp_path / "through")
    ]


def test_a_run_without_a_checkpoint_yet_starts_again(tmp_path):
    with pytest.raises(OSError, match="power"):
        start(tmp_path / "run", sampler=at_step(2, lose_power))
    start(tmp_path / "run", resume=True)
    start(tmp_path / "through")
    assert same(state(tmp_path / "through"), state(tmp_path / "run"))


def test_a_finished_run_has_nothing_to_resume(tmp_path):
    start(tmp_path / "run")
    before = state(tmp_path / "run")
    assert start(tmp_path / "run", resume=True).finished
    assert same(before, state(tmp_path / "run"))


def test_a_budget_of_seconds_stops_and_can_be_resumed(tmp_path):
    run = start(tmp_path / "run", dataclasses.replace(SMALL, seconds=1e-6))
    assert run.step == 1 and not run.finished
    start(tmp_path / "run", SMALL, resume=True)
    start(tmp_path / "through")
    assert same(state(tmp_path / "through"), state(tmp_path / "run"))


SCRIPT = """
import sys, torch
sys.path.insert(0, sys.argv[1])
from tests.compiler import tiny
from tests.compiler.test_train import SMALL, PROBLEM
from compiler.training.loop import train
import dataclasses
torch.set_num_threads(1)
options = dataclasses.replace(SMALL, **eval(sys.argv[3]))
train(PROBLEM, tiny.Operator(), options, sys.argv[2], sampler=tiny.sample)
"""


def test_a_killed_run_resumes_to_the_weights_of_an_uninterrupted_one(tmp_path):
    options = dataclasses.replace(SMALL, steps=200, checkpoint_every=3)
    child = subprocess.Popen(
        [
            sys.executable,
            "-c",
            SCRIPT,
            ROOT,
            tmp_path / "killed",
            "{'steps': 200, 'checkpoint_every': 3}",
        ]
    )
    last = tmp_path / "killed" / "checkpoints" / "last.safetensors"
    deadline = time.monotonic() + 600
    while not last.exists() and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    time.sleep(random.uniform(0, 0.4))
    child.send_signal(signal.SIGKILL)
    child.wait()
    killed_at = load_run(tmp_path / "killed", model=tiny.Operator()).step
    assert killed_at > 0
    start(tmp_path / "killed", options, resume=True)
    start(tmp_path / "through", options)
    assert same(state(tmp_path / "through"), state(tmp_path / "killed")), (
        f"killed after the checkpoint of step {killed_at}"
    )


COPIES = """
import sys
sys.path.insert(0, sys.argv[1])
from compiler.training.loop import train
from tests.compiler.test_train import PROBLEM, SMALL, tiny
import dataclasses
options = dataclasses.replace(SMALL, steps=2, devices=2, accelerator="cpu")
train(PROBLEM, tiny.Operator(), options, sys.argv[2], sampler=tiny.sample)
"""


def test_what_torch_warns_of_is_said_by_the_first_process_alone(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(COPIES)
    finished = subprocess.run(
        [sys.executable, script, ROOT, tmp_path / "run"],
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert finished.returncode == 0, finished.stderr
    warned = [line for line in finished.stderr.splitlines() if "find_unused_parameters" in line]
    assert len(warned) == 1 and "[rank0]" in warned[0], finished.stderr
    assert "TORCH_CPP_LOG_LEVEL" not in os.environ


def test_two_processes_give_the_result_of_one(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    changes = {"balancer": "gradnorm", "ema": 0.9}
    command = [
        sys.executable,
        "-m",
        "torch.distributed.run",
        "--standalone",
        "--nproc-per-node=2",
        script,
        ROOT,
        tmp_path / "two",
        repr(changes),
    ]
    finished = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert finished.returncode == 0, finished.stderr
    start(tmp_path / "one", dataclasses.replace(SMALL, **changes))
    assert json.loads((tmp_path / "two" / "run.json").read_text())["sessions"][0]["processes"] == 2
    one, two = state(tmp_path / "one"), state(tmp_path / "two")
    for name, value in one["objective"].items():
        assert torch.allclose(value, two["objective"][name], rtol=1e-9, atol=1e-12), name
    for a, b in zip(read_history(tmp_path / "one"), read_history(tmp_path / "two"), strict=True):
        assert a["total"] == pytest.approx(b["total"], rel=1e-9)


def test_every_process_takes_its_part_of_the_same_batch():
    def drawn(rank: int, count: int):
        fabric = SimpleNamespace(world_size=count, global_rank=rank, device=torch.device("cpu"))
        return Objective(
            PROBLEM, tiny.Operator(), compile(PROBLEM), SMALL, tiny.sample, fabric
        ).draw("train", 3)

    whole, parts = drawn(0, 1), [drawn(rank, 2) for rank in (0, 1)]
    assert [len(part.params["a"]) for part in parts] == [2, 2]
    assert torch.equal(
        torch.cat([part.points["L"].points for part in parts]), whole.points["L"].points
    )


def test_a_batch_that_does_not_divide_among_the_processes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "3")
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(OptionError, match="batch = 4 does not divide among 3 processes"):
        start(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def poisoned(batch):
    batch.params["a"][2] = math.nan
    return batch


def test_a_loss_that_is_not_finite_stops_with_its_place_and_leaves_the_last_state(tmp_path):
    kept = {}

    def sampler(problem, size, points, generator, **keywords):
        batch = tiny.sample(problem, size, points, generator, **keywords)
        if generator.initial_seed() != seeded(SMALL.seed, "train", 13).initial_seed():
            return batch
        kept.update(contents(tmp_path / "run" / "checkpoints"))
        return poisoned(batch)

    with pytest.raises(ProblemError) as error:
        start(tmp_path / "run", sampler=sampler)
    (diagnostic,) = error.value.diagnostics
    assert diagnostic.code == "R01"
    assert "loss of `balance` is nan at step 13, first in sample 2 at x = 0." in diagnostic.message
    assert "checkpoints/last.safetensors" in diagnostic.hint
    assert contents(tmp_path / "run" / "checkpoints") == kept
    assert load_run(tmp_path / "run", model=tiny.Operator()).step == 10


class Undeclared(tiny.Operator):
    """Answers with a plain function, which is nowhere finite."""

    def forward(self, inputs):
        return lambda points: self.value(inputs, points) * math.nan


def test_a_plain_function_that_is_not_finite_is_no_matter_of_its_queries(tmp_path):
    with pytest.raises(
        ProblemError, match=r"R01.*loss of `balance` is nan at step 0, first in sample 0 at x = "
    ):
        start(tmp_path / "run", model=Undeclared())


class Kinked(tiny.Operator):
    """u = 0 exactly, through a root whose derivative at zero is infinite."""

    def __init__(self) -> None:
        super().__init__()
        self.kink = nn.Parameter(torch.zeros(()))

    def value(self, inputs, points):
        return super().value(inputs, points) + self.kink.square().sqrt()


def test_a_gradient_that_is_not_finite_names_its_parameter(tmp_path):
    with pytest.raises(
        ProblemError,
        match=r"R01.*losses are finite at step 0, but the gradient of `model\.kink` is not",
    ):
        start(tmp_path / "run", model=Kinked())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"optimizer": "adamm"}, "no optimizer 'adamm'; did you mean 'adam"),
        ({"optimizer_options": {"beta": 1}}, "'adam' takes no option 'beta'; did you mean 'betas'"),
        ({"balancer": "relobrallo"}, "no balancer 'relobrallo'; did you mean 'relobralo'"),
        ({"schedule": "cosin"}, "no schedule 'cosin'; did you mean 'cosine'"),
        (
            {"schedule_options": {"warm_up": 1}},
            "'cosine' takes no option 'warm_up'; did you mean 'warmup'",
        ),
    ],
)
def test_a_wrong_option_is_refused_before_anything_is_written(change, message, tmp_path):
    with pytest.raises(OptionError, match=message):
        start(tmp_path / "run", dataclasses.replace(SMALL, **change))
    assert not (tmp_path / "run").exists()


STRING = """
problem string
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
boundary ends = boundary(L)
unknown  u : scalar on L
minimize integral(dx(u)^2/2 + a*u, L)
on ends: u = 0
require  1 + dx(u) > 0 in L
"""


class Steep(tiny.Operator):
    """u = -2 x: it breaks 1 + dx(u) > 0 where x is above a share of the interval, as long as it
    does not learn."""

    def value(self, inputs, points):
        return -((points - 0.25).clamp_min(0) ** 2) * 4 + 0 * super().value(inputs, points)


@pytest.mark.parametrize("block", [None, 5])
def test_violations_of_requirements_are_columns_of_the_history(block, tmp_path):
    options = dataclasses.replace(
        SMALL, steps=6, points={"interior": 4000}, log_every=1, block=block and 1000
    )
    run = train(pdespec.parse(STRING), Steep(), options, tmp_path / "run", sampler=tiny.sample)
    row = run.history[-1]  # dx(u) = -8 (x - 1/4) < -1 behind x = 3/8
    assert row["violated require1"] == pytest.approx(5 / 8, abs=0.03)
    assert row["validation violated require1"] == pytest.approx(5 / 8, abs=0.03)
    assert "violated require1 6" in terms_text(row, ())


@pytest.mark.parametrize(
    ("balancer", "options"),
    [("relobralo", {}), ("gradnorm", {}), ("softadapt", {"loss_weighted": True})],
    ids=lambda each: str(each),
)
def test_balancers_that_compare_by_ratio_are_refused_where_a_loss_may_be_negative(
    balancer, options, tmp_path
):
    with pytest.raises(OptionError, match="by ratio and log, but `energy` is an energy"):
        wanted = dataclasses.replace(SMALL, balancer=balancer, balancer_options=options)
        train(pdespec.parse(STRING), tiny.Operator(), wanted, tmp_path / "run", sampler=tiny.sample)
    assert not (tmp_path / "run").exists()


def test_a_weight_for_no_term_is_refused(tmp_path):
    with pytest.raises(
        KeyError, match="no term and no kind of term is called `balanc`; did you mean `balance`"
    ):
        start(tmp_path / "run", dataclasses.replace(SMALL, weights={"balanc": 1.0}))
    assert not (tmp_path / "run").exists()


def test_what_a_run_leaves_that_was_killed_before_it_was_whole_does_not_block(tmp_path):
    directory = tmp_path / "run"
    (directory / "checkpoints").mkdir(parents=True)
    for name in (".lock", "problem.pde", ".run.json.0123456789abcdef.tmp"):
        (directory / name).write_text("half")
    (directory / "checkpoints" / ".last.safetensors.0123456789abcdef.tmp").touch()
    run = train(PROBLEM, tiny.Operator(), SMALL, directory, sampler=tiny.sample)
    assert run.step == SMALL.steps and not list(directory.glob(".*.tmp"))
    for name in ("notes.txt", "history.csv", "checkpoints/last.safetensors"):
        other = tmp_path / name.replace("/", "-")
        (other / "checkpoints").mkdir(parents=True)
        (other / ".lock").touch()
        (other / name).write_text("of somebody")
        with pytest.raises(RunError, match="is not empty"):
            train(PROBLEM, tiny.Operator(), SMALL, other, sampler=tiny.sample)
        assert (other / name).read_text() == "of somebody"


def test_a_directory_in_use_is_refused_and_left_as_it_was(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        start(tmp_path)
    assert list(tmp_path.iterdir()) == [tmp_path / "notes.txt"]
    start(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="already holds a run; continue it with --resume"):
        start(tmp_path / "run")
    assert contents(tmp_path / "run") == before


def test_a_damaged_checkpoint_is_refused_and_nothing_changes(tmp_path):
    start(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="last.safetensors is damaged"):
        start(tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


def test_a_checkpoint_of_another_model_is_refused_and_nothing_changes(tmp_path):
    start(tmp_path / "run")
    before = contents(tmp_path / "run")
    with pytest.raises(RunError, match="does not fit this model"):
        start(tmp_path / "run", model=tiny.Operator(width=8), resume=True)
    assert contents(tmp_path / "run") == before


def test_another_problem_does_not_continue_a_run(tmp_path):
    start(tmp_path / "run")
    other = PROBLEM.revised(name="other")
    with pytest.raises(RunError, match="trains another problem than this `other`"):
        train(other, tiny.Operator(), SMALL, tmp_path / "run", sampler=tiny.sample, resume=True)


def test_an_option_changed_on_resuming_is_recorded(tmp_path):
    start(tmp_path / "run")
    start(tmp_path / "run", dataclasses.replace(SMALL, steps=30), resume=True)
    assert open_run(tmp_path / "run").options.steps == 30
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert [each["from_step"] for each in record["sessions"]] == [0, 24]


def test_the_averaged_weights_follow_their_recurrence_and_are_the_ones_loaded(tmp_path):
    values, decay = [], 0.5

    class Watched(tiny.Operator):
        def forward(self, inputs):
            if torch.is_grad_enabled() and len(inputs) == 4:
                values.append(self.layers[-1].bias.item())
            return super().forward(inputs)

    model = Watched()
    run = start(
        tmp_path / "run", dataclasses.replace(SMALL, ema=decay, steps=6, validation=0), model=model
    )
    last = load_tree(run.checkpoint())
    values.append(last["objective"]["model.layers.4.bias"].item())
    del values[0]  # the trial before the first step
    mean = values[0]
    for step, value in enumerate(values[1:]):
        share = min(decay, (1 + step) / (10 + step))
        mean = share * mean + (1 - share) * value
    assert last["ema"]["model.layers.4.bias"].item() == pytest.approx(mean, rel=1e-12)
    loaded = load_run(tmp_path / "run", model=tiny.Operator())
    assert loaded.model.layers[-1].bias.item() == pytest.approx(mean, rel=1e-12)
    assert model.layers[-1].bias.item() == loaded.model.layers[-1].bias.item()


def test_a_checkpoint_from_another_model_kind_is_refused_when_loaded(tmp_path):
    start(tmp_path / "run")
    with pytest.raises(RunError, match="does not fit the model"):
        load_run(tmp_path / "run", model=nn.Linear(1, 1))
    with pytest.raises(RunError, match="does not say how its model was built"):
        load_run(tmp_path / "run")


def test_samples_of_training_validation_and_evaluation_never_meet():
    seeds = {
        seeded(0, purpose, step).initial_seed()
        for purpose in ("train", "validate", "evaluate", "balance")
        for step in range(500)
    }
    assert len(seeds) == 2000


def test_a_file_in_place_of_the_directory_is_refused(tmp_path):
    (tmp_path / "run").write_text("")
    with pytest.raises(RunError, match="is a file"):
        start(tmp_path / "run")


def test_best_is_the_state_of_the_lowest_validation(tmp_path):
    run = start(tmp_path / "run", dataclasses.replace(SMALL, steps=36, lr=0.5, schedule="constant"))
    validations = {row["step"]: row["validation"] for row in run.history if "validation" in row}
    best = load_tree(run.checkpoint("best"))
    assert best["step"] == min(validations, key=validations.get)
    assert best["best"] == min(validations.values())


def test_a_worse_second_session_does_not_replace_the_best(tmp_path):
    start(tmp_path / "run")
    best = state(tmp_path / "run", "best")
    run = start(
        tmp_path / "run",
        dataclasses.replace(SMALL, steps=48, lr=1e3, schedule="constant"),
        resume=True,
    )
    assert run.history[-1]["validation"] > best["best"]
    assert same(state(tmp_path / "run", "best"), best)


CHANGED = {
    "balancer": "relobralo",
    "optimizer": "adamw",
    "seed": 5,
    "batch": 8,
    "precision": "float32",
    "hard_conditions": False,
    "validation": 4,
}


@pytest.mark.parametrize("name", CHANGED)
def test_what_cannot_change_on_resuming_is_refused_by_name_and_nothing_changes(name, tmp_path):
    start(tmp_path / "run", dataclasses.replace(SMALL, steps=6))
    before = contents(tmp_path / "run")
    with pytest.raises(OptionError, match=f"{name} cannot change when a run is resumed: it was "):
        start(tmp_path / "run", dataclasses.replace(SMALL, **{name: CHANGED[name]}), resume=True)
    assert contents(tmp_path / "run") == before


def test_an_update_that_loses_the_weights_is_not_saved(tmp_path):
    options = dataclasses.replace(
        SMALL,
        lr=9e29,
        clip=None,
        schedule="constant",
        optimizer="adamw",
        optimizer_options={"weight_decay": 9e29},
        checkpoint_every=1,
        steps=12,
    )
    with pytest.raises(ProblemError, match=r"R01.*(the update of step|the loss of)"):
        start(tmp_path / "run", options)
    for path in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        assert all(value.isfinite().all() for value in load_tree(path)["objective"].values())


def test_weights_that_are_not_finite_are_not_evaluated(tmp_path):
    start(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    tree = load_tree(path)
    tree["objective"]["model.layers.0.bias"][0] = math.nan
    save_tree(path, tree)
    with pytest.raises(
        RunError, match=r"holds weights that are not finite, first `layers\.0\.bias`"
    ):
        load_run(tmp_path / "run", model=tiny.Operator())


def test_a_problem_that_was_replaced_is_noticed(tmp_path):
    start(tmp_path / "run")
    text = tmp_path / "run" / "problem.pde"
    text.write_text(text.read_text().replace("uniform(1, 2)", "uniform(1, 3)"))
    with pytest.raises(
        RunError, match=r"problem\.pde has changed since .*last\.safetensors was written"
    ):
        load_run(tmp_path / "run", model=tiny.Operator())


def test_options_that_were_edited_are_noticed_by_name(tmp_path):
    start(tmp_path / "run")
    record = tmp_path / "run" / "run.json"
    record.write_text(record.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(
        RunError, match=r"run\.json has changed .* its options \(seed\) is not what was trained"
    ):
        load_run(tmp_path / "run", model=tiny.Operator())


def test_a_checkpoint_from_before_an_option_existed_has_its_default(tmp_path):
    start(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    tree = load_tree(path)
    del tree["identity"]["options"]["lift"]
    save_tree(path, tree)
    load_run(tmp_path / "run", model=tiny.Operator())
    tree["identity"]["options"]["lift"] = 8
    save_tree(path, tree)
    with pytest.raises(RunError, match=r"its options \(lift\) is not what was trained"):
        load_run(tmp_path / "run", model=tiny.Operator())


def test_a_run_whose_options_had_other_names_is_loaded_and_goes_on(tmp_path):
    start(tmp_path / "run", dataclasses.replace(SMALL, hard_conditions=False))
    record, path = tmp_path / "run" / "run.json", tmp_path / "run" / "checkpoints"
    kept = json.loads(record.read_text())
    tree = load_tree(path / "last.safetensors")
    for options in (kept["options"], tree["identity"]["options"]):
        options["hard"] = options.pop("hard_conditions")
        options["estimate"] = options.pop("error_estimate")
    kept["options"]["points_by"] = kept["options"].pop("sampling")
    record.write_text(json.dumps(kept))
    save_tree(path / "last.safetensors", tree)
    run = load_run(tmp_path / "run", model=tiny.Operator())
    assert not run.options.hard_conditions
    longer = dataclasses.replace(SMALL, hard_conditions=False, steps=30)
    assert start(tmp_path / "run", longer, resume=True).finished


def test_a_checkpoint_of_an_older_build_is_believed_and_said(tmp_path):
    start(tmp_path / "run")
    path = tmp_path / "run" / "checkpoints" / "last.safetensors"
    tree = load_tree(path)
    del tree["identity"], tree["weights"]
    save_tree(path, tree)
    (note,) = load_run(tmp_path / "run", model=tiny.Operator()).notes
    assert "of an older version, and is believed" in note
    assert start(tmp_path / "run", dataclasses.replace(SMALL, steps=30), resume=True).finished


def test_a_checkpoint_that_was_taken_away_is_no_new_beginning(tmp_path):
    start(tmp_path / "run")
    (tmp_path / "run" / "checkpoints" / "last.safetensors").unlink()
    before = contents(tmp_path / "run")
    with pytest.raises(
        RunError, match=r"last\.safetensors is missing, though the run came to step 24"
    ):
        start(tmp_path / "run", resume=True)
    assert contents(tmp_path / "run") == before


def test_a_run_that_fails_before_its_first_step_leaves_nothing(tmp_path):
    with pytest.raises(ProblemError, match="R01"):
        start(tmp_path / "runs" / "one", model=Undeclared())
    assert not (tmp_path / "runs").exists()
    (tmp_path / "mine").mkdir()
    with pytest.raises(ProblemError, match="R01"):
        start(tmp_path / "mine", model=Undeclared())
    assert [each.name for each in (tmp_path / "mine").iterdir()] == [".lock"]
    assert start(tmp_path / "mine", dataclasses.replace(SMALL, steps=1)).finished


def test_a_full_disk_at_the_beginning_leaves_nothing(tmp_path, monkeypatch):
    def full(handle):
        raise OSError("no space left on the device")

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="no space left"):
            start(tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_second_trainer_is_refused_and_a_first_one_that_ended_is_not_in_the_way(tmp_path):
    def second():
        with pytest.raises(RunError, match="another process trains in"):
            start(tmp_path / "run", resume=True)

    start(tmp_path / "run", sampler=at_step(3, second))
    assert start(tmp_path / "run", dataclasses.replace(SMALL, steps=30), resume=True).finished


def test_a_hangup_saves(tmp_path, request):
    # nohup ignores it
    request.addfinalizer(
        partial(signal.signal, signal.SIGHUP, signal.signal(signal.SIGHUP, signal.SIG_DFL))
    )
    with pytest.raises(Interrupted):
        start(tmp_path / "run", sampler=at_step(4, lambda: os.kill(os.getpid(), signal.SIGHUP)))
    assert load_run(tmp_path / "run", model=tiny.Operator()).step == 5


def test_a_tree_that_is_no_checkpoint_state_is_refused(tmp_path):
    start(tmp_path / "run")
    save_tree(tmp_path / "run" / "checkpoints" / "last.safetensors", {"something": 1})
    with pytest.raises(RunError, match="last.safetensors"):
        start(tmp_path / "run", resume=True)


def test_a_file_of_measurements_that_is_missing_is_named_before_anything_is_written(tmp_path):
    problem = pdespec.parse(tiny.TEXT + 'data u on L from "measured.h5"\n')
    with pytest.raises(ProblemError, match="D01: there is no file measured.h5"):
        train(problem, tiny.Operator(), SMALL, tmp_path / "run", sampler=tiny.sample)
    assert not (tmp_path / "run").exists()
