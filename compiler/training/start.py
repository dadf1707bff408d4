"""Resolves the operator, model and options of a training, and where each comes from. Imports no
torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from compiler.training.options import OptionError, TrainOptions, renamed
from compiler.training.presets import Preset, override

DEFAULT, COMMAND_LINE = "default", "command line"
Layers = Mapping[str, Mapping[str, Any]]  # settings by where they come from, the last ones win


@dataclass(frozen=True)
class Start:
    """Operator, options of the model and of the run. `origins` says where each comes from, by the
    keys of `--set`: entries of a mapping one by one."""

    operator: str
    model: Mapping[str, Any]
    options: TrainOptions
    origins: Mapping[str, str]


def start(basis: Preset, called: str, layers: Layers) -> Start:
    """A preset, or a run that is resumed, `called` so, with settings put in.

    Raises: OptionError, with the layer that it is of, for what does not exist or does not fit.
    """
    layers = {layer: renamed(settings) for layer, settings in layers.items()}
    operator, model, options = basis.operator, dict(basis.model), basis.options
    for layer, settings in layers.items():
        try:
            operator, model, options = override(operator, model, options, settings)
        except OptionError as error:
            if layer == COMMAND_LINE:
                raise
            raise OptionError(f"{layer}: {error}") from error
    defaults, chosen = entries(TrainOptions()), entries(basis.options)
    found = {}
    for key, _ in entries(options).items():
        own = called if chosen.get(key) != defaults.get(key) else DEFAULT
        found[key] = _layer(key, layers) or own
    found |= {f"model.{key}": _layer(f"model.{key}", layers) or called for key in model}
    found["operator"] = _layer("operator", layers) or called
    return Start(operator, model, options, found)


def _layer(key: str, layers: Layers) -> str | None:
    """The last layer that sets an option, by itself or with the mapping that it is in."""
    names = {key, key.partition(".")[0]}
    return next((layer for layer in reversed(layers) if names & set(layers[layer])), None)


def entries(options: TrainOptions) -> dict[str, Any]:
    """Options by the keys of `--set`: entries of a mapping one by one, an empty one as it is."""
    found: dict[str, Any] = {}
    for each in fields(options):
        value = getattr(options, each.name)
        if isinstance(value, Mapping) and value:
            found |= {f"{each.name}.{key}": inner for key, inner in value.items()}
        else:
            found[each.name] = value
    return found
