"""A small share of what `tests.trained.falls` and `tests.trained.processes` try."""

from __future__ import annotations

import os
import signal

import pytest
import torch

import compiler
import pdespec
from compiler.training import solved_samples
from compiler.training.options import OptionError
from tests import texts
from tests.compiler import tiny
from tests.trained.falls import falls
from tests.trained.forked import REFUSED, forked
from tests.trained.processes import TINY, attempts, difference, trained
from tests.trained.small import OPTIONS, ROOT, operator

ROD = pdespec.parse(texts.ROD)


def example(name):
    return pdespec.load(ROOT / "examples" / f"{name}.pde")


@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_fifty_steps_lower_the_loss(precision):
    assert falls(ROD, precision).startswith("ok")


@pytest.mark.parametrize("balancer", ["fixed", "relobralo", "softadapt"])
def test_accumulated_parts_take_the_steps_of_the_whole_batch(tmp_path, balancer):
    for parts in (1, 4):
        options = {**TINY, "balancer": balancer, "accumulate": parts}
        trained(
            tiny.problem(), tiny.Operator(), options, tmp_path / str(parts), sampler=tiny.sample
        )
    assert difference(tmp_path / "1", tmp_path / "4") < 1e-13


def test_accumulated_parts_of_an_operator_with_solved_samples_and_weak_residuals(tmp_path):
    for parts in (1, 2):
        options = {**OPTIONS, "steps": 2, "accumulate": parts, "solutions": 3, "dual": 2}
        trained(ROD, operator(ROD), options, tmp_path / str(parts))
    assert difference(tmp_path / "1", tmp_path / "2") < 1e-12


def test_what_does_not_divide_or_needs_the_whole_batch_is_refused(tmp_path):
    for changes, message in (
        ({"accumulate": 3}, "batch = 4 does not divide among 3 parts"),
        ({"accumulate": 2, "balancer": "gradnorm"}, "'gradnorm' compares gradients"),
    ):
        with pytest.raises(OptionError, match=message):
            trained(tiny.problem(), tiny.Operator(), {**TINY, **changes}, tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["nonlinear_poisson", "burgers", "hyperelastic_pores"])
def test_a_share_of_a_batch_is_what_the_whole_batch_holds(name):
    problem, counts = example(name), OPTIONS["points"]

    def drawn(size, first=0):
        seed = torch.Generator().manual_seed(3)
        return compiler.sample(problem, size, counts, seed, dtype=torch.float64, first=first)

    whole, share = drawn(4), drawn(2, 2)
    for key, points in share.points.items():
        assert torch.equal(points.points, whole.points[key].points[2:])
    assert torch.equal(share.inputs.values, whole.inputs.values[2:])
    assert all(torch.equal(value, whole.params[key][2:]) for key, value in share.params.items())


@pytest.mark.parametrize(
    "name",
    [
        "gradnorm, plateau",
        "parameters without a gradient",
        "begun on 2, gone on with 1: fixed, cosine",
        "one of 4 killed",
    ],
)
def test_several_processes_take_the_steps_of_one(name, tmp_path):
    assert attempts()[name](tmp_path).startswith("ok")


def test_samples_are_solved_by_all_processes_and_put_down_one_by_one(tmp_path):
    """One process is killed over its second sample: those that were solved are not lost."""
    calls = []

    def stopped(*given):
        calls.append(given)
        if os.environ.get("RANK") == "1" and len(calls) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return solve(*given)

    def work(rank):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(solved_samples, "solve", stopped)
            solved(tmp_path / "two")

    def solved(directory):
        options = {**OPTIONS, "steps": 2, "physics": False, "solutions": 4, "references": 2}
        trained(ROD, operator(ROD), options, directory)

    solve = solved_samples.solve
    solved(tmp_path / "one")
    assert forked(2, work, tmp_path / "said") == [REFUSED, -signal.SIGKILL]
    kept = sorted(each.stem for each in (tmp_path / "two" / "solved").iterdir())
    assert kept[:2] == ["data-0", "data-1"] and len(kept) < 4
    calls.clear()
    assert forked(2, lambda rank: solved(tmp_path / "two"), tmp_path / "said") == [0, 0]
    assert difference(tmp_path / "one", tmp_path / "two") < 1e-12


def test_a_process_that_does_not_see_the_run_of_the_others_is_refused(tmp_path):
    def work(rank, place):
        trained(tiny.problem(), tiny.Operator(), TINY, tmp_path / place, sampler=tiny.sample)

    work(0, "run")
    later, said = {**TINY, "steps": 8}, tmp_path / "said"

    def resumed(rank):
        directory = tmp_path / ("run" if rank == 0 else "elsewhere")
        trained(tiny.problem(), tiny.Operator(), later, directory, sampler=tiny.sample)

    assert forked(2, resumed, said) == [REFUSED, REFUSED]
    assert all("do not see the same run" in line for line in said.read_text().splitlines())
    assert not (tmp_path / "elsewhere" / "run.json").exists()


def test_weights_that_part_are_noticed_at_the_next_validation(tmp_path):
    def work(rank):
        model, calls = tiny.Operator(), []

        def sample(*arguments, **keywords):
            calls.append(None)
            if rank == 1 and len(calls) == 4:
                with torch.no_grad():
                    model.layers[0].weight += 1e-3
            return tiny.sample(*arguments, **keywords)

        trained(tiny.problem(), model, TINY, tmp_path / "run", sampler=sample)

    said = tmp_path / "said"
    assert forked(2, work, said) == [REFUSED, REFUSED]
    assert "weights of the processes have parted by step" in said.read_text()


@pytest.mark.parametrize(
    ("name", "launcher"), [("SLURM_STEP_NUM_TASKS", "srun"), ("OMPI_COMM_WORLD_SIZE", "mpirun")]
)
def test_copies_that_know_nothing_of_each_other_are_refused(name, launcher, tmp_path, monkeypatch):
    monkeypatch.setenv(name, "2")
    with pytest.raises(OptionError, match=f"{launcher} has started 2 copies"):
        trained(tiny.problem(), tiny.Operator(), TINY, tmp_path / "run", sampler=tiny.sample)
    assert not (tmp_path / "run").exists()
