"""Results of an estimate: numbers, functions and outputs with their standard deviations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm
from scipy.stats import t as student

from compiler.arrays import Array
from compiler.trainable_fields import field_slopes, field_values, places
from pdespec.errors import PdespecError, suggestion
from pdespec.trainable_fields import TrainableField

LEVEL = 0.95
AWAY = 2.0  # standard deviations from the best fit, from which on an interval says nothing
SEEN = 1024  # points at which a function is summed up


class EstimateError(PdespecError):
    """There is no estimate; the text says why."""


@dataclass(frozen=True)
class Quantity:
    """A declared output at the estimate, its standard deviation by the delta method, and the number
    of standard deviations of an interval for a share, by `widths`. Shapes: "" or "k"."""

    value: Array
    std: Array
    known: bool
    freedom: float

    def interval(self, level: float = LEVEL) -> tuple[Array, Array]:
        """Between which the truth lies with probability `level`."""
        half = width(level, self.known, self.freedom) * self.std
        return self.value - half, self.value + half


@dataclass(frozen=True)
class FieldEstimate:
    """A function that was found: `k(points)`, `k.std(points)`, `k.interval(points)`.

    Its coefficients "p" have covariance "p p"; the standard deviation is that of the linearised
    function, `sqrt(diag(G C G^T))`, G the slopes in the coefficients. Of a positive function
    intervals are those of its logarithm, which is linear in them: they stay positive. Without a
    covariance only values are known. Shapes: points "n d" by its coordinates, time last -> "n".
    """

    declared: TrainableField
    numbers: Array
    covariance: Array | None = None
    known: bool = True
    freedom: float = np.inf

    def __call__(self, points: ArrayLike) -> Array:
        return field_values(self.declared, self.numbers, self._at(points))

    def std(self, points: ArrayLike) -> Array:
        """The standard deviation at points. Raises: EstimateError where there is none."""
        if self.covariance is None:
            raise EstimateError(
                f"how sure `{self.declared.name}` is was not computed; compiler.uncertainty does"
            )
        slopes = field_slopes(self.declared, self.numbers, self._at(points))
        return np.sqrt(np.maximum(np.sum(slopes @ self.covariance * slopes, 1), 0.0))

    def interval(self, points: ArrayLike, level: float = LEVEL) -> tuple[Array, Array]:
        """Between which the truth at each point lies with probability `level`."""
        value, half = self(points), width(level, self.known, self.freedom) * self.std(points)
        if self.declared.positive:
            return value * np.exp(-half / value), value * np.exp(half / value)
        return value - half, value + half

    def _at(self, points: ArrayLike) -> Array:
        at = np.asarray(points, dtype=float)
        dim = len(self.declared.region.coordinates) + (self.declared.time is not None)
        if at.ndim == 1 and dim == 1:
            at = at[:, None]
        if at.ndim != 2 or at.shape[1] != dim:
            raise ValueError(
                f"points of `{self.declared.name}` have shape {at.shape}; (n, {dim}) are needed"
            )
        return at

    def __str__(self) -> str:
        points = places(self.declared, SEEN)
        low, middle, high = np.quantile(self(points), [0, 0.5, 1])
        text = f"{self.declared.name}: {low:.4g} to {high:.4g}, median {middle:.4g}"
        if self.covariance is None:
            return text
        return f"{text}, standard deviation {np.median(self.std(points)):.2g} (median over places)"


@dataclass(frozen=True)
class Estimate:
    """Values of the trainables by component, and their covariance, "p p" in that order.

    `noise` is the standard deviation of the values of each term of data, as the file says it (mean
    over the rows) or as it was estimated; `known` where all files say it; `freedom` the number of
    rows less that of the numbers which the data determine; `step` what Gauss-Newton's method would
    add to the values: next to nothing where they fit best, and where it is large the covariance is
    not that of an optimum. `fields` are the trainable functions, `outputs` the declared outputs
    that are numbers.
    """

    values: Mapping[str, float]
    covariance: Array
    noise: Mapping[str, float]
    known: bool
    freedom: float
    step: Mapping[str, float]
    fields: Mapping[str, FieldEstimate] = field(default_factory=dict)
    outputs: Mapping[str, Quantity] = field(default_factory=dict)

    @property
    def std(self) -> dict[str, float]:
        """The standard deviation of each value."""
        deviations = np.sqrt(np.diag(self.covariance))
        return dict(zip(self.values, deviations.tolist(), strict=True))

    def interval(self, level: float = LEVEL) -> dict[str, tuple[float, float]]:
        """Between which the truth lies with probability `level`: by the normal law, or by
        Student's where the noise was estimated."""
        half, std = width(level, self.known, self.freedom), self.std
        return {
            name: (value - half * std[name], value + half * std[name])
            for name, value in self.values.items()
        }

    @property
    def numbers(self) -> list[str]:
        """The names of the values that are numbers of their own, not coefficients of functions."""
        inside = {c for each in self.fields.values() for c in each.declared.components}
        return [name for name in self.values if name not in inside]

    def __getitem__(self, name: str) -> float | FieldEstimate | Quantity:
        """What was found of that name: a number, a function or an output."""
        for table in (self.fields, self.outputs, self.values):
            if name in table:
                return table[name]
        known = [*self.fields, *self.outputs, *self.numbers]
        raise KeyError(suggestion(name, known, f"there are {', '.join(known)}"))

    def __repr__(self) -> str:
        found = ", ".join(f"{name} = {self.values[name]:.6g}" for name in self.numbers)
        return f"<Estimate: {', '.join([found, *self.fields]).lstrip(', ')}>"

    def __str__(self) -> str:
        std = self.std
        lines = [f"{name} = {self.values[name]:.6g} ± {std[name]:.2g}" for name in self.numbers]
        return "\n".join([*lines, *map(str, self.fields.values())])


def width(level: float, known: bool, freedom: float) -> float:
    """How many standard deviations an interval reaches to either side."""
    share = (1 + level) / 2
    return float(norm.ppf(share) if known else student.ppf(share, freedom))


def described(found: Estimate, level: float = LEVEL) -> Sequence[str]:
    """A line for each number, function and output, and for each that is not where the data (and
    priors) want it."""
    intervals, std = found.interval(level), found.std
    share = f"{100 * level:.0f} %"
    lines = [
        f"{name} = {found.values[name]:.6g} ± {std[name]:.2g}"
        f" ({share} between {intervals[name][0]:.6g} and {intervals[name][1]:.6g})"
        for name in found.numbers
    ]
    lines += map(str, found.fields.values())
    for name, each in found.outputs.items():
        if each.value.ndim == 0:
            low, high = each.interval(level)
            lines.append(
                f"{name} = {each.value:.6g} ± {each.std:.2g} ({share} between {low:.6g} and"
                f" {high:.6g})"
            )
    for name in found.numbers:
        step, away = found.step[name], abs(found.step[name]) / std[name]
        if away > AWAY:
            lines.append(_warning(name, away, f", about {found.values[name] + step:.4g}"))
    for name, each in found.fields.items():
        points = places(each.declared, SEEN)
        step = np.array([found.step[c] for c in each.declared.components])
        change = np.abs(field_slopes(each.declared, each.numbers, points) @ step)
        away = float(np.max(change / each.std(points)))
        if away > AWAY:
            lines.append(_warning(name, away, " somewhere"))
    return lines


def _warning(name: str, away: float, where: str) -> str:
    return (
        f"warning: {name} is {away:.2g} standard deviations from what fits the data best by"
        f" the reference solver{where}: train longer, give weights.data more weight, or take"
        " compiler.estimate"
    )
