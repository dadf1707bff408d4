"""Options: words for `--set`, tried as far as a training that has not begun."""

from __future__ import annotations

import random

import torch

import pdespec
from compiler.cli import Usage, _built
from compiler.training.adaptive import ADAPTIVE
from compiler.training.balancers import BALANCERS
from compiler.training.growth import GROWTH
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES, Progress
from compiler.training.options import OptionError, instantiate, option_names
from compiler.training.presets import PRESETS, override
from tests.texts import ROD

PROBLEM = pdespec.parse(ROD)
SMALL = {"model.latent": "[16]", "model.modes": "4", "model.hidden": "4", "model.layers": "1"}
MODEL = (
    "latent modes hidden layers radius radius_in_spacings cells weight kernel box projection"
    " expansion activation encoder kernel_options depth padding".split()
)
INNER = {
    "optimizer_options": (
        "betas eps weight_decay frequency lr amsgrad foreach fused max_size".split()
    ),
    "schedule_options": "warmup floor factor patience threshold".split(),
    "balancer_options": "alpha beta tau epsilon every rate normalised".split(),
    "adaptive_options": "candidates k c every share".split(),
    "incremental_options": "start until share buffer every".split(),
    "points": "interior boundary initial operator inside".split(),
    "weights": "eq1 boundary data weak error nothing".split(),
}
VALUES = (
    *(
        "0",
        "1",
        "-1",
        "2",
        "0.5",
        "1e12",
        "1e400",
        "-1e400",
        "NaN",
        "Infinity",
        "1e-320",
        "true",
        "false",
        "none",
        "3.7",
    ),
    *(
        "[]",
        "[1]",
        "[0]",
        "[-3, 4]",
        "[1e9]",
        "[[1, 2], [3, 4]]",
        "{}",
        '{"a": 1}',
        '{"interior": -1}',
        '"x"',
        "word",
        "",
        " ",
        "adam",
        "soap",
        "rad",
    ),
    *(
        "cosine",
        "plateau",
        "gradnorm",
        "float64",
        "mesh",
        "energy",
        "auto",
        "cpu",
        "foo",
        "\x1b[31m",
        "999999999999999999999",
        "[null]",
    ),
)


def attempt(rng: random.Random) -> str:
    settings = dict(SMALL)
    for _ in range(rng.choice([1, 1, 2, 3])):
        which = rng.random()
        if which < 0.5:
            name = rng.choice(option_names())
        elif which < 0.75:
            name = f"model.{rng.choice(MODEL)}"
        else:
            head = rng.choice(list(INNER))
            name = f"{head}.{rng.choice(INNER[head])}"
        settings[name] = rng.choice(VALUES)
    demo = PRESETS["demo"]
    try:
        operator, model_options, options = override(demo.operator, {}, demo.options, settings)
        if max(options.points.values()) > 4096 or options.batch > 64:
            return "accepted"
        schedule = instantiate(SCHEDULES, options.schedule, options.schedule_options)
        instantiate(BALANCERS, options.balancer, options.balancer_options)
        if options.adaptive is not None:
            instantiate(ADAPTIVE, options.adaptive, options.adaptive_options)
        if options.incremental is not None:
            instantiate(GROWTH, options.incremental, options.incremental_options)
        instantiate(
            OPTIMIZERS,
            options.optimizer,
            options.optimizer_options,
            [torch.nn.Parameter(torch.ones(2, 2))],
            lr=options.lr,
        )
        factor, _ = schedule.update(Progress(0, options.steps), schedule.init())
        assert factor >= 0
        if not _large(model_options):
            _built(PROBLEM, operator, {"seed": options.seed, **model_options})
    except (OptionError, Usage, pdespec.ProblemError) as error:
        assert str(error)
        return f"refused {type(error).__name__}"
    return "accepted"


def _large(options: dict) -> bool:
    """A model that is valid and takes long to build."""
    text = str(options)
    return "1000000000" in text or "1e" in text
