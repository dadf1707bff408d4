"""How many threads a training computes with."""

import dataclasses

import pytest
import torch

import compiler
import pdespec
from compiler.training import runs, threads
from compiler.training.options import OptionError
from tests.texts import LINE

OPTIONS = compiler.TrainOptions(
    steps=2, batch=2, validation=0, points={"interior": 8, "boundary": 4, "operator": 32}
)


@pytest.fixture(autouse=True)
def two_threads():
    with threads.kept():
        torch.set_num_threads(2)
        yield


def trained(directory, **options):
    problem = pdespec.parse(LINE)
    torch.manual_seed(0)
    model = compiler.build(problem, latent=(12,), hidden=4, modes=3, layers=1)
    resume = runs.holds_run(directory)
    given = dataclasses.replace(OPTIONS, **options)
    return compiler.train(problem, model, given, directory, resume=resume)


def told(run):
    return [each["threads"] for each in runs.sessions(run.directory)]


@pytest.mark.parametrize(("one", "two", "taken"), [(1.0, 0.5, 2), (1.0, 0.9, 1), (1.0, 28.0, 1)])
def test_all_threads_are_taken_where_they_are_faster_by_more_than_a_core_is_worth(
    one, two, taken, tmp_path, monkeypatch
):
    monkeypatch.setattr(threads, "measured", lambda *_: {1: one, 2: two})
    run = trained(tmp_path / "run")
    assert told(run) == [taken] and torch.get_num_threads() == 2
    monkeypatch.setattr(threads, "measured", None)  # a run goes on as it began
    assert told(trained(tmp_path / "run", steps=3)) == [taken, taken]


def test_what_is_measured_leaves_the_steps_as_they_are(tmp_path):
    run, given = trained(tmp_path / "auto"), trained(tmp_path / "given", threads=1)
    assert told(given) == [1]
    again = trained(tmp_path / "again", threads=told(run)[0])
    for ours, theirs in zip(run.model.parameters(), again.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_a_number_of_threads_is_one_or_more():
    for wrong in (0, "all", 1.5):
        with pytest.raises(OptionError, match="threads"):
            dataclasses.replace(OPTIONS, threads=wrong)
