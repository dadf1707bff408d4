"""Presets: an operator, its options and the options of a run, under one name. Data alone, for
any problem; no torch here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.training.options import OptionError, TrainOptions, parse_value, with_settings
from pdespec.errors import suggestion


@dataclass(frozen=True)
class Preset:
    """What `pdespec train --preset NAME` runs. `model` are options of `compiler.build`, over
    what it fits to the problem."""

    summary: str
    operator: str
    model: Mapping[str, Any] = field(default_factory=dict)
    options: TrainOptions = field(default_factory=TrainOptions)

    def __repr__(self) -> str:
        return f"<Preset of {self.operator}: {self.summary}>"


# Measured in docs/notes/poisson_training.md: SOAP, the estimated error in addition to the residual,
# a decoder of degree 1 with a broad weight; in docs/notes/dual_norm.md: the dual norm of the weak
# residual where there is no such estimate.
ON_CPU: dict[str, Any] = {
    "batch": 4,
    "points": {"interior": 256, "boundary": 64, "initial": 64, "operator": 1024},
    "optimizer": "soap",
    "lr": 6e-3,
    "error_estimate": True,
    "weights": {"error": 3000.0},
    "dual": "auto",
    "causal": "auto",
}

PRESETS: dict[str, Preset] = {
    "none": Preset("the defaults of `compiler.TrainOptions`", "gino"),
    "demo": Preset(
        "a few minutes on 2 CPU cores",
        "gino",
        {
            "hidden": 32,
            "modes": 8,
            "layers": 4,
            "kernel": "polynomial",
            "kernel_options": {"degree": 1},
        },
        TrainOptions(
            **ON_CPU,
            steps=1000,
            schedule_options={"warmup": 50, "floor": 0.005},
            validation=8,
            references=4,
            validate_every=200,
            checkpoint_every=100,
        ),
    ),
    "small": Preset(
        "within an hour on 2 CPU cores",
        "gino",
        {
            "hidden": 32,
            "modes": 12,
            "layers": 4,
            "kernel": "polynomial",
            "kernel_options": {"degree": 2},
        },
        TrainOptions(
            **ON_CPU,
            steps=8000,
            schedule_options={"warmup": 100, "floor": 0.002},
            validation=16,
            references=8,
            validate_every=500,
            checkpoint_every=250,
        ),
    ),
    # The authors' configuration for nonlinear Poisson (neuraloperator, pull request 546): latent 64
    # x 64, 4 layers of 64 channels with 20 x 20 modes, decoder of radius 0.175 with half_cos, one
    # sample a step, 1000 epochs of 7000 samples, interior weight 1e-2 against boundary weight 1,
    # plateau of patience 2 in epochs. Fresh samples take the place of their stored ones.
    "paper": Preset(
        "the authors' configuration for nonlinear Poisson, for a GPU",
        "gino",
        {
            "latent": [64, 64],
            "weight": "half_cos",
            "radius": 0.175,
            "kernel": "mlp",
            "hidden": 64,
            "modes": 20,
            "layers": 4,
            "expansion": 0.5,
            "projection": 256,
        },
        TrainOptions(
            steps=7_000_000,
            batch=1,
            points={"interior": 162, "boundary": 4000, "initial": 1000, "operator": 5000},
            lr=1e-4,
            optimizer_options={"weight_decay": 1e-6},
            schedule="plateau",
            schedule_options={"factor": 0.9, "patience": 2},
            clip=None,
            weights={"equation": 1e-2},
            hard_conditions=False,
            validation=32,
            references=8,
            validate_every=7000,
            checkpoint_every=1000,
            log_every=100,
        ),
    ),
}
"""What a training starts from, by name: an operator, its options and those of the run."""


ALIKE = {"gino": "fno_gno"}
"""Operators whose options are those of another: a GINO without an encoder takes a GINO's."""


def preset(name: str) -> Preset:
    """The preset of a name. Raises `OptionError` with the nearest one."""
    if name not in PRESETS:
        raise OptionError(
            f"unknown preset {name!r}; "
            + suggestion(name, PRESETS, f"presets: {', '.join(PRESETS)}", quote="'")
        )
    return PRESETS[name]


def override(
    operator: str, model: Mapping[str, Any], options: TrainOptions, settings: Mapping[str, Any]
) -> tuple[str, dict[str, Any], TrainOptions]:
    """Operator, model options and run options with `key=value` words put in; `operator` and
    `model.NAME` are those of the model.

    Options of one operator are none of another's: with another, its own defaults apply, but for
    `ALIKE`. Raises `OptionError` for what does not exist or does not fit.
    """
    same = settings.get("operator", operator) in (operator, ALIKE.get(operator))
    chosen = dict(model) if same else {}
    rest = {}
    for name, text in settings.items():
        if name == "operator":
            operator = text
        elif name.startswith("model."):
            chosen[name.removeprefix("model.")] = parse_value(text, Any, name)
        else:
            rest[name] = text
    return operator, chosen, with_settings(options, rest)
