"""Fourier modes that are added while training: a trunk that begins with the lowest frequencies.

Weights have their full size from the start, those of frequencies that are not computed with are
zero: adding frequencies changes neither the field nor the shapes of an optimiser's moments, and a
checkpoint is that of an ordinary model. Source: R. J. George, J. Zhao, J. Kossaifi, Z. Li, A.
Anandkumar (2024), Incremental spatial and spectral learning of neural operators (arXiv 2211.15188).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from compiler.training.options import OptionError, TrainOptions, instantiate
from operators.layers.spectral import SpectralConv
from operators.registry import Registry

Modes = tuple[int, ...]


@dataclass(frozen=True)
class Seen:
    """What a rule of growth looks at. `strengths()` are, along each axis, the squared weights of
    every wave number, added up over the layers."""

    step: int
    steps: int
    active: Modes
    most: Modes
    strengths: Callable[[], Sequence[Tensor]]


class Growth(Protocol):
    """`start` modes along every axis, and how many there are at a step."""

    start: int

    def modes(self, seen: Seen) -> Modes:
        """How many modes are active along each axis from this step on."""
        ...


GROWTH: Registry[Callable[..., Growth]] = Registry("growth of modes")
"""Rules by name: what `TrainOptions.incremental` may be, with options."""


@GROWTH.register("schedule")
@dataclass(frozen=True)
class Schedule:
    """All modes at the share `until` of the steps, from `start` on evenly."""

    start: int = 4
    until: float = 0.5

    def __post_init__(self) -> None:
        _refuse_start(self.start)
        if not 0 < self.until <= 1:
            raise ValueError(f"until is a share of the steps, 0 < until <= 1, not {self.until!r}")

    def modes(self, seen: Seen) -> Modes:
        done = min(1.0, seen.step / (self.until * seen.steps))
        return tuple(
            min(most, max(own, math.floor(self.start + done * (most - self.start))))
            for own, most in zip(seen.active, seen.most, strict=True)
        )


@GROWTH.register("explained")
@dataclass(frozen=True)
class Explained:
    """One more mode along an axis wherever all but the highest `buffer` of those that are active
    hold less than `share` of the squared weights of the active ones; looked at `every` so many
    steps."""

    start: int = 4
    share: float = 0.99
    buffer: int = 1
    every: int = 20

    def __post_init__(self) -> None:
        _refuse_start(self.start)
        if not 0 < self.share < 1:
            raise ValueError(f"share is one of the squared weights, 0 < share < 1: {self.share!r}")
        if not isinstance(self.buffer, int) or not 1 <= self.buffer < self.start:
            raise ValueError(f"buffer is a whole number from 1 to start - 1, not {self.buffer!r}")
        if not isinstance(self.every, int) or self.every < 1:
            raise ValueError(f"every is a whole number from 1, not {self.every!r}")

    def modes(self, seen: Seen) -> Modes:
        if seen.step == 0 or seen.step % self.every:
            return seen.active
        return tuple(
            min(most, own + (self.explained(squares[:own]) < self.share))
            for squares, own, most in zip(seen.strengths(), seen.active, seen.most, strict=True)
        )

    def explained(self, squares: Tensor) -> float:
        """Shapes: "active" -> ""."""
        total = float(squares.sum())
        return float(squares[: -self.buffer].sum()) / total if total else 1.0


def _refuse_start(start: object) -> None:
    if not isinstance(start, int) or start < 1:
        raise ValueError(f"start is a whole number from 1, not {start!r}")


class GrowingModes:
    """The spectral layers of a model, whose active modes follow a rule; all layers alike."""

    def __init__(self, rule: Growth, layers: Sequence[SpectralConv], steps: int) -> None:
        self.rule, self.layers, self.steps = rule, layers, steps
        self.most = layers[0].modes
        self.active = tuple(min(rule.start, most) for most in self.most)

    def begin(self) -> None:
        """Puts all but the first modes to zero."""
        for layer in self.layers:
            layer.only(self.active)

    def step(self, step: int) -> None:
        """Before a step."""
        seen = Seen(step, self.steps, self.active, self.most, self._strengths)
        self._take(self.rule.modes(seen))

    def finish(self) -> None:
        """Computes with all modes, of which those never reached are zero."""
        for layer in self.layers:
            layer.active = layer.modes

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps: the active modes along each axis."""
        return {"active": list(self.active)}

    def load(self, saved: Mapping[str, Any]) -> None:
        """Takes what `state` gave."""
        self._take(tuple(saved["active"]))

    def _take(self, active: Modes) -> None:
        self.active = active
        for layer in self.layers:
            layer.active = active

    def _strengths(self) -> list[Tensor]:
        each = [layer.strengths() for layer in self.layers]
        return [torch.stack(list(axis)).sum(0) for axis in zip(*each, strict=True)]


def growing_modes(model: nn.Module, options: TrainOptions) -> GrowingModes | None:
    """Raises: OptionError for a model without spectral layers, or with different ones."""
    if options.incremental is None:
        return None
    rule = instantiate(GROWTH, options.incremental, options.incremental_options)
    layers = [each for each in model.modules() if isinstance(each, SpectralConv)]
    if len({each.modes for each in layers}) != 1:
        raise OptionError(
            f"incremental = {options.incremental!r} adds Fourier modes, and this model has"
            f" {'layers of different modes' if layers else 'none'}; set incremental=none"
        )
    return GrowingModes(rule, layers, options.steps)
