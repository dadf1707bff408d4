"""Options of a run: words from the command line, and their mistakes."""

from __future__ import annotations

import dataclasses
import json

import pytest

from compiler.training.options import (
    OptionError,
    TrainOptions,
    from_json,
    instantiate,
    with_settings,
)
from compiler.training.presets import override, preset
from operators.registry import Registry


def test_settings_are_read_by_the_type_of_the_option():
    options = with_settings(
        TrainOptions(),
        {
            "steps": "1e3",
            "lr": "1e-4",
            "clip": "none",
            "points.interior": "32",
            "weights.balance": "2",
            "schedule": "plateau",
            "seconds": "60",
        },
    )
    assert (options.steps, options.lr, options.clip, options.schedule, options.seconds) == (
        1000,
        1e-4,
        None,
        "plateau",
        60.0,
    )
    assert (
        options.points["interior"] == 32
        and options.points["boundary"] == TrainOptions().points["boundary"]
    )
    assert options.weights == {"balance": 2.0}


def test_options_of_an_optimiser_are_json():
    assert with_settings(
        TrainOptions(), {"optimizer_options.betas": "[0.9, 0.95]"}
    ).optimizer_options == {"betas": [0.9, 0.95]}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"step": "3"}, "unknown option 'step'; did you mean 'steps'"),
        ({"steps": "many"}, "option steps = 'many' should be int"),
        ({"steps": "1.5"}, "option steps = '1.5' should be int"),
        ({"steps": "true"}, "option steps = 'true' should be int"),
        ({"steps": "0"}, "steps = 0 must be at least 1"),
        ({"lr": "-1"}, "lr = -1.0 must be positive"),
        ({"lr": "nan"}, "option lr = 'nan' should be float"),
        ({"seconds": "x"}, "option seconds = 'x' should be float or none"),
        ({"points.inside": "3"}, "unknown kind of points 'inside'"),
        ({"points.interior": "none"}, "option points.interior = 'none' should be int"),
        ({"lr.a": "1"}, "option 'lr' has no parts"),
        ({"precision": "float46"}, "unknown precision 'float46'; did you mean 'float64'"),
        ({"ema": "1"}, "ema = 1.0 is a decay"),
        ({"block": "0"}, "block = 0 must be at least one query"),
        ({"batch": "1e12"}, "batch = 1000000000000 must be at most 65536"),
        ({"batch": "1e400"}, "option batch = '1e400' should be a finite number"),
        ({"lr": "1e300"}, "option lr = '1e300' must be at most 1e+30"),
        ({"timeout": "1e12"}, "timeout = 1000000000000.0 must be at most 1e+09"),
        ({"lr": "Infinity"}, "option lr = 'Infinity' should be a finite number"),
        ({"weights.balance": "NaN"}, "option weights.balance = 'NaN' should be a finite number"),
        ({"weights": '{"balance": "much"}'}, "option weights.balance = 'much' should be float"),
        ({"points": '{"interior": "many"}'}, "option points.interior = 'many' should be int"),
        ({"optimizer_options": '{"betas": [0.9, NaN]}'}, "should be a finite number"),
        (
            {"schedule_options.floor": "NaN"},
            "option schedule_options.floor = 'NaN' should be a finite number",
        ),
        ({"accelerator": "foo"}, "unknown accelerator 'foo'; it is one of auto, cpu, cuda"),
        ({"accelerator": "cude"}, "did you mean 'cuda'"),
        ({"validation": "-1"}, "validation = -1 must be at least 0"),
        ({"seed": "1e30"}, "must be at most"),
        ({"captured": "true"}, "captured steps are taken in blocks; set block"),
    ],
)
def test_a_wrong_setting_is_explained(settings, message):
    with pytest.raises(OptionError) as error:
        with_settings(TrainOptions(), settings)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ("registry", "name", "options", "says"),
    [
        ("OPTIMIZERS", "adam", {"betas": 3}, "'adam' with betas = 3: "),
        ("OPTIMIZERS", "adam", {"eps": -1}, "'adam' with eps = -1: "),
        ("SCHEDULES", "cosine", {"floor": 2}, "floor is a number from 0 to 1, not 2"),
        ("SCHEDULES", "cosine", {"warmup": "long"}, "warmup is a number from 0 to inf, not 'long'"),
        ("SCHEDULES", "plateau", {"factor": -1}, "factor is a number from 0 to 1, not -1"),
    ],
)
def test_options_of_an_entry_that_it_cannot_take_are_named(registry, name, options, says):
    import torch

    from compiler.training import optimizers
    from compiler.training.options import instantiate

    arguments = ([torch.nn.Parameter(torch.zeros(1))],) if registry == "OPTIMIZERS" else ()
    with pytest.raises(OptionError) as error:
        instantiate(getattr(optimizers, registry), name, options, *arguments)
    assert says in str(error.value)


def test_another_operator_takes_none_of_the_presets_model_options():
    demo = preset("demo")
    same = override(
        demo.operator, demo.model, demo.options, {"operator": "gino", "model.hidden": "8"}
    )
    assert same[:2] == ("gino", {**demo.model, "hidden": 8})
    alike = override(demo.operator, demo.model, demo.options, {"operator": "fno_gno"})
    assert alike[:2] == ("fno_gno", demo.model)
    other = override(
        demo.operator,
        demo.model,
        demo.options,
        {"model.hidden": "8", "operator": "fno", "steps": "3"},
    )
    assert other[:2] == ("fno", {"hidden": 8})
    assert other[2].steps == 3


def test_options_survive_json():
    options = with_settings(
        TrainOptions(), {"optimizer_options.betas": "[0.9, 0.95]", "weights.a": "3", "clip": "none"}
    )
    assert from_json(json.loads(json.dumps(dataclasses.asdict(options)))) == options


OLDER = {"hard": False, "estimate": True, "points_by": "uniform"}
TODAY = TrainOptions(hard_conditions=False, error_estimate=True, sampling="uniform")


def test_names_of_older_runs_are_read():
    kept = dataclasses.asdict(TODAY)
    for old, new in zip(OLDER, ("hard_conditions", "error_estimate", "sampling"), strict=True):
        kept[old] = kept.pop(new)
    assert from_json(json.loads(json.dumps(kept))) == TODAY
    assert with_settings(TrainOptions(), OLDER) == TODAY


def test_an_entry_is_not_given_options_it_does_not_take():
    registry = Registry("thing")
    registry.register("one")(lambda size, rate=1.0: (size, rate))
    assert instantiate(registry, "one", {"rate": 2.0}, 5) == (5, 2.0)
    with pytest.raises(OptionError, match="'one' takes no option 'rat'; did you mean 'rate'"):
        instantiate(registry, "one", {"rat": 2.0}, 5)
    with pytest.raises(OptionError, match="no thing 'two'"):
        instantiate(registry, "two", {})
