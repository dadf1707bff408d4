"""Evaluation: errors known by construction, the files it writes, and pictures that show what
they say."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import matplotlib.image
import pytest
import torch

import compiler
import pdespec
from compiler.batches.build import build
from compiler.batches.features import channel_names
from compiler.fem import NoConvergence
from compiler.fem.errors import Singular
from compiler.functionals.output_errors import compare_outputs
from compiler.geometry.metrics import interior, relative_error
from compiler.report.charts import CHARTS
from compiler.report.page import evaluate
from compiler.training.loop import train
from compiler.training.options import TrainOptions
from compiler.training.runs import RunError
from operators.field import Capabilities
from tests.compiler import tiny
from tests.texts import LINE

OPTIONS = TrainOptions(
    steps=2, batch=2, points={"interior": 8}, validation=2, log_every=1, precision="float64"
)


class Scaled(tiny.Operator):
    """1.1 times the exact solution: an error that can be worked out."""

    def value(self, inputs, points):
        return 1.1 * 0.5 * inputs[:, None] * points * (points - 1)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    directory = tmp_path_factory.mktemp("run") / "tiny"
    return train(tiny.problem(), tiny.Operator(), OPTIONS, directory, sampler=tiny.sample)


def assess(run, samples=5, **keywords):
    keywords = {
        "model": Scaled(),
        "sampler": tiny.sample,
        "solver": tiny.solve,
        "report": False,
        **keywords,
    }
    return evaluate(run.directory, samples, **keywords)


class Sloped(tiny.Truth):
    """The exact solution with its derivative in x."""

    def derivatives(self, points, request):
        assert request.indices == {0: {(1,)}}
        return {(0, (1,)): self.a[:, None] * (points[..., 0] - 0.5)}


def test_the_error_of_the_gradient_is_measured_where_both_have_one(run):
    found = assess(run, solver=lambda problem, batch: Sloped(batch.params["a"]))
    assert found.gradients["u"]["max"] == pytest.approx(0.1)
    assert found.as_json()["gradients"]["u"]["mean"] == pytest.approx(0.1)
    assert "gradients" not in assess(run).as_json()


def test_an_operator_that_is_ten_percent_too_large_is_ten_percent_wrong(run):
    found = assess(run)
    assert found.relative_l2 == pytest.approx({"mean": 0.1, "median": 0.1, "max": 0.1}, rel=1e-9)
    assert found.relative_squared_error["mean"] == pytest.approx(0.01, rel=1e-9)
    assert all(each.unknowns["u"] == pytest.approx(0.1) for each in found.samples)


def test_the_file_holds_what_the_contract_says(run):
    found = assess(run)
    stored = json.loads((run.directory / "evaluation.json").read_text())
    assert stored["samples"] == 5
    for name in ("relative_l2", "relative_squared_error"):
        assert set(stored[name]) == {"mean", "median", "max"}
        assert stored[name] == getattr(found, name)
    assert set(stored["seconds"]) == {"operator", "reference"}
    assert stored["seconds"]["operator"] > 0
    assert len(stored["each"]) == 5


def test_held_out_samples_are_the_same_for_every_run_and_unseen_in_training(run, tmp_path):
    drawn = {}

    def recording(kind):
        def sampler(problem, size, points, generator, **keywords):
            batch = tiny.sample(problem, size, points, generator, **keywords)
            drawn.setdefault(kind, set()).update(batch.params["a"].tolist())
            return batch

        return sampler

    other = train(
        tiny.problem(),
        tiny.Operator(),
        dataclasses.replace(OPTIONS, steps=40, seed=0),
        tmp_path / "b",
        sampler=recording("train"),
    )
    assess(run, sampler=recording("first"))
    assess(other, sampler=recording("second"))
    assert drawn["first"] == drawn["second"]
    assert not drawn["first"] & drawn["train"]


def test_conditions_are_imposed_in_evaluation_as_they_were_in_training(tmp_path):
    seen = []

    def sampler(*arguments, hard_conditions, **keywords):
        seen.append(hard_conditions)
        return tiny.sample(*arguments, **keywords)

    soft = train(
        tiny.problem(),
        tiny.Operator(),
        dataclasses.replace(OPTIONS, hard_conditions=False),
        tmp_path / "run",
        sampler=sampler,
    )
    assess(soft, 2, sampler=sampler)
    assert set(seen) == {False}


def test_more_samples_begin_with_the_same_ones(run):
    few, many = assess(run, 2, model=tiny.Operator()), assess(run, 4, model=tiny.Operator())
    assert [each.squared_error for each in many.samples[:2]] == [
        each.squared_error for each in few.samples
    ]


def test_a_sample_that_cannot_be_solved_is_left_out_and_named(run):
    def solver(problem, batch, **options):
        solver.calls += 1
        if solver.calls == 2:
            raise NoConvergence("Newton's iteration stopped at 1e-3")
        return tiny.solve(problem, batch)

    solver.calls = 0
    found = assess(run, solver=solver, report=True)
    assert [each.index for each in found.samples] == [0, 2, 3, 4]
    assert found.failures == {1: "Newton's iteration stopped at 1e-3"}
    assert "gave up on sample 1" in (run.directory / "report.html").read_text()


STRETCHED = tiny.TEXT + "require 1 - dx(u) > 0 in L\n"


def test_samples_that_violate_a_requirement_are_listed_with_the_fraction_of_their_points(tmp_path):
    run = train(
        pdespec.parse(STRETCHED), tiny.Operator(), OPTIONS, tmp_path / "run", sampler=tiny.sample
    )

    class Tall(tiny.Operator):
        def value(self, inputs, points):
            # 1 - 1.5 a x, violated behind x = 1 / (1.5 a)
            return 1.5 * inputs[:, None] * points**2 / 2

    found = evaluate(run.directory, 3, model=Tall(), sampler=tiny.sample, solver=tiny.solve)
    stored = json.loads((run.directory / "evaluation.json").read_text())["violations"]
    assert found.violations.keys() == {0, 1, 2} and set(stored) == {"0", "1", "2"}
    for each in found.samples:
        expected = max(0.0, 1 - 1 / (1.5 * float(each.batch.params["a"])))
        assert stored[str(each.index)]["require1"] == pytest.approx(expected, abs=0.03)
    assert "Sample 1 violates require1 at" in (run.directory / "report.html").read_text()


def test_a_network_without_second_derivatives_is_evaluated_with_requirements_too(tmp_path):
    class Kinked(tiny.Operator):
        def value(self, inputs, points):
            # 1 - dx(u) is -1 behind x = 1/2
            return 2 * (points - 0.5).relu() + 0 * inputs[:, None]

    problem = pdespec.parse(STRETCHED)
    train(problem, tiny.Operator(), OPTIONS, tmp_path / "run", sampler=tiny.sample)
    found = evaluate(tmp_path / "run", 1, model=Kinked(), sampler=tiny.sample, solver=tiny.solve)
    assert found.violations[0]["require1"] == pytest.approx(0.5, abs=0.05)


def test_a_sample_without_a_unique_solution_is_left_out_too(run):
    def solver(problem, batch, **options):
        solver.calls += 1
        if solver.calls == 1:
            raise Singular
        return tiny.solve(problem, batch)

    solver.calls = 0
    assert "singular" in assess(run, solver=solver).failures[0]


def test_nothing_solved_is_an_error_and_no_file(tmp_path):
    fresh = train(tiny.problem(), tiny.Operator(), OPTIONS, tmp_path / "run", sampler=tiny.sample)

    def solver(problem, batch, **options):
        raise NoConvergence("no step is short enough")

    with pytest.raises(
        RunError, match="failed on all 5 samples, first with: no step is short enough"
    ):
        assess(fresh, solver=solver)
    assert not (fresh.directory / "evaluation.json").exists()


PRESSED = """
problem pressed
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
unknown  u : scalar on L, p : scalar on L
in L:
    balance: dxx(u) = a
    press:   dxx(p) = a*cos(pi*x)
on boundary(L):
    u = 0
    dx(p) = 0
require integral(p, L) = 0
output total := integral(u, L)
output ratio := integral(u, L)/integral(1, L)^2
output slope := dx(u)
output bend  := dxx(u)
"""


def test_every_unknown_and_output_has_an_error_of_its_own(tmp_path):
    """u is 20 % too large, and p has another level, which is open: errors of 20 % and 0."""
    problem = pdespec.parse(PRESSED)
    options = TrainOptions(
        steps=1, batch=2, points={"interior": 8, "operator": 32}, validation=2, precision="float64"
    )

    class Large(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.still = torch.nn.Parameter(torch.zeros(1))

        def forward(self, inputs):
            drawn = inputs.values[:, :1, [channel_names(problem).index("a")]]

            def field(x):
                u = 1.2 * drawn * x * (x - 1) / 2 + 0 * self.still
                return torch.cat([u, -drawn * (math.pi * x).cos() / math.pi**2 + 100], -1)

            return field

    run = train(problem, Large(), options, tmp_path / "run")
    found = evaluate(run.directory, 3, model=Large(), resolution=16)
    stored = json.loads((run.directory / "evaluation.json").read_text())
    assert (
        found.unknowns["u"]["mean"] == pytest.approx(0.2, rel=1e-4)
        and found.unknowns["p"]["max"] < 1e-4
    )
    assert (
        found.relative_l2["mean"] == pytest.approx(0.2, rel=1e-4) and stored["worst_unknown"] == "u"
    )
    assert found.relative_squared_error["max"] == pytest.approx(0.04, rel=1e-3)
    assert stored["mean_of_unknowns"]["mean"] == pytest.approx(0.1, rel=1e-3)
    for name in ("total", "ratio", "slope"):
        assert stored["outputs"][name]["mean"] == pytest.approx(0.2, rel=2e-3), name
    assert (
        found.outputs["bend"] is None
        and "first derivatives only" in stored["each"][0]["outputs"]["bend"]["not_compared"]
    )
    for each, sample in zip(stored["each"], found.samples, strict=True):
        assert each["outputs"]["total"]["operator"] == pytest.approx(
            -1.2 * float(sample.batch.params["a"]) / 12
        )
        assert each["outputs"]["total"]["reference"] == pytest.approx(
            -float(sample.batch.params["a"]) / 12, rel=1e-4
        )
    page = (run.directory / "report.html").read_text()
    assert (
        "worst unknown (u)" in page
        and "total, operator" in page
        and "Output bend is not compared" in page
    )


def test_an_output_that_a_field_is_not_smooth_enough_for_is_not_compared():
    problem = pdespec.parse(PRESSED)
    batch = compiler.sample(
        problem, 1, {"interior": 16}, torch.Generator().manual_seed(0), dtype=torch.float64
    )

    class Rough:
        capabilities = Capabilities(smoothness=0)

        def __call__(self, x):
            return torch.cat([x, x.square()], -1)

    found = compare_outputs(
        problem, Rough(), tiny.solve(problem, batch), batch, interior(problem, batch), {}
    )
    assert (
        "P03" in found["bend"].why
        and found["bend"].operator is None
        and found["total"].operator == pytest.approx(0.5)
    )


def test_an_energy_below_the_reference_raises_an_alarm(run):
    problem = pdespec.parse(
        tiny.TEXT.replace("in L:\n    balance: dxx(u) = a", "minimize integral(dx(u)^2/2 + a*u, L)")
    )
    found = assess(run, 2)
    truth = dataclasses.make_dataclass("Truth", ["energy", "seconds"])(torch.tensor([-2.0]), 0.0)
    low, high = (
        dataclasses.replace(found.samples[0], energy=energy, truth=truth)
        for energy in (-2.01, -1.9)
    )
    low, high = dataclasses.replace(low, index=0), dataclasses.replace(high, index=1)
    judged = dataclasses.replace(
        found, run=dataclasses.replace(found.run, problem=problem), samples=(low, high)
    )
    assert set(judged.alarms) == {0} and "-2.01 lies below -2" in judged.alarms[0]
    stationary = dataclasses.replace(judged, run=found.run)
    assert not stationary.alarms


def test_relative_error_by_hand():
    expected = torch.tensor([[[3.0], [4.0]], [[1.0], [0.0]]])
    found = torch.tensor([[[3.0], [4.5]], [[1.0], [2.0]]])
    assert relative_error(found, expected).tolist() == pytest.approx([0.1, 2.0])


def test_points_outside_of_the_reference_do_not_count():
    expected = torch.tensor([[[3.0], [4.0], [math.nan]]])
    assert relative_error(torch.tensor([[[3.0], [4.5], [9.0]]]), expected).item() == pytest.approx(
        0.1
    )


def test_values_of_another_shape_are_not_compared():
    with pytest.raises(ValueError, match="cannot compare"):
        relative_error(torch.zeros(1, 3, 1), torch.zeros(1, 3))


def test_an_operator_that_is_not_finite_is_infinitely_wrong_not_right():
    assert relative_error(torch.full((1, 3, 1), math.nan), torch.ones(1, 3, 1)).isnan().all()


def test_the_report_needs_nothing_but_itself(run):
    assess(run, report=True)
    page = (run.directory / "report.html").read_text()
    sources = re.findall(r'(?:src|href)="([^"]*)"', page)
    # but for the numbers behind the pictures, which lie beside it to be downloaded
    files = {f"pictures/{name}.npz" for name in ("best", "median", "worst")}
    files |= {chart.numbers or f"pictures/{chart.name}.npz" for chart in CHARTS}
    assert files <= set(sources) and all((run.directory / each).is_file() for each in files)
    assert all(each.startswith("data:image/") for each in sources if each not in files)
    assert not re.search(r"https?://(?!www\.w3\.org)", page)
    assert "10.00 %" in page and "$" not in re.sub(r"data:[^\"]*", "", page)
    for name in ("best", "median", "worst", *(chart.name for chart in CHARTS)):
        picture = matplotlib.image.imread(run.directory / "pictures" / f"{name}.png")
        assert picture[..., :3].std() > 0.01, f"{name} is blank"


def test_the_energy_of_an_operator_is_held_against_the_reference(tmp_path):
    problem = pdespec.parse(MEMBRANE)
    options = TrainOptions(steps=2, batch=2, points={"interior": 32, "operator": 32}, validation=2)
    model = build(problem, "gino", latent=(16,), modes=4, hidden=8, layers=1)
    run = train(problem, model, options, tmp_path / "run")
    found = evaluate(run.directory, 2, resolution=8, report=False)
    figures = json.loads((run.directory / "evaluation.json").read_text())
    assert (
        min(each.energy_gap for each in found.samples) > 0
        and figures["energy_gap"] == found.energy_gap
    )
    for one, each in zip(found.samples, figures["each"], strict=True):
        exact = -(float(one.batch.params["a"]) ** 2) / 24  # u = a x (1 - x) / 2
        assert float(one.truth.energy) == pytest.approx(exact, rel=1e-6)
        assert each["energy_gap"] == pytest.approx(
            (each["energy"] - exact) / -exact, rel=1e-4, abs=1e-6
        )


MEMBRANE = LINE.replace("in L: -dxx(u) = a", "minimize integral(dx(u)^2/2 - a*u, L)")
