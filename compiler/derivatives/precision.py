"""Round-off error of numerical derivatives, and the step that balances it against truncation."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from compiler.derivatives.interface import MultiIndex, Request, parts, spell
from compiler.derivatives.layout import Layout
from compiler.derivatives.stencils import central
from pdespec.errors import Diagnostic, ProblemError

# relative round-off in a derivative above which a backend declines: two digits must be right
TOLERANCE = 1e-2


def wavelength(extent: float) -> float:
    """The length 1/k over which a field is taken to vary, when nothing better is known: one wave
    across the points."""
    return (extent or 1.0) / (2 * math.pi)


def best_step(extent: float, derivative: int, order: int, dtype: torch.dtype) -> float:
    """The step of the central formula at which truncation and round-off together are least, to the
    nearest power of two.

    For values of size 1 that vary like exp(ikx) the error is `C k^(m+p) h^p + eps/2 S h^-m`, with S
    = sum |w| and C = sum w_j j^(m+p) / (m+p)!; its minimum lies at `h^(m+p) = m eps/2 S / (p C
    k^(m+p))`. Steps that are powers of two are added to a coordinate without rounding it, away from
    a change of its exponent.
    """
    weights = central(derivative, order)
    power = derivative + order
    truncation = abs(
        sum(weight * offset**power for offset, weight in weights.items())
    ) / math.factorial(power)
    roundoff = torch.finfo(dtype).eps / 2 * sum(map(abs, weights.values()))
    step = wavelength(extent) * (derivative * roundoff / (order * truncation)) ** (1 / power)
    return 2.0 ** round(math.log2(step))


@dataclass(frozen=True)
class RoundOff:
    """What round-off does to the derivatives of a backend, and P05: before the field is asked
    (`expected`) and after (`measured`).

    Values known to `eps/2` of their size give the derivative `a` with an error of `gain eps/2 |u|
    prod h^-a`, where the backend differentiates along each axis as a difference over `h = spacing /
    sharpness` would. Units: spacing in lengths, one an axis.
    """

    name: str
    spacing: tuple[float, ...]
    layout: Layout
    tolerance: float
    way_out: str
    gain: float = 1.0
    sharpness: tuple[float, ...] = ()

    @property
    def reach(self) -> tuple[float, ...]:
        """The step h of the equivalent difference along each axis: spacing over sharpness, in
        lengths."""
        return tuple(
            h / factor
            for h, factor in zip(
                self.spacing, self.sharpness or (1.0,) * len(self.spacing), strict=True
            )
        )

    @property
    def precision(self) -> float:
        """The relative error with which values are known: gain eps/2 in the dtype of the points."""
        return self.gain * torch.finfo(self.layout.dtype).eps / 2

    def expected(self, request: Request) -> dict[MultiIndex, float]:
        """Relative round-off in one wave across the points, the field with the largest derivatives
        to go by: `gain eps/2 prod (l/h)^a`, l = 1/k of that wave.
        """
        indices = {index for needed in parts(request).values() for index in needed if any(index)}
        lengths = [
            wavelength(extent) / h for extent, h in zip(self.layout.extent, self.reach, strict=True)
        ]
        return {a: self.precision * _power(lengths, a) for a in indices}

    def check(
        self, found: Mapping[tuple[int, MultiIndex], Tensor], values: Tensor, points: Tensor
    ) -> None:
        """Raises: ProblemError P05 where round-off in the values exceeds the tolerance in a
        derivative made of them."""
        if (refused := self.refuse(self.measured(found, values, points))) is not None:
            raise ProblemError(refused)

    def measured(
        self, found: Mapping[tuple[int, MultiIndex], Tensor], values: Tensor, points: Tensor
    ) -> dict[MultiIndex, float]:
        """Relative round-off in the derivatives made of some values.

        It counts against the root mean square of the derivatives of that order (times lengths L of
        the cloud, so that they compare), or against `M (V/M)^order / L^a` where they are smaller:
        values of size M that change by V over the points are those of a function that is M/V times
        as long, whose derivatives may well vanish. Coordinates are rounded, too, which adds `V
        |x|/L` to M. Shapes: found "b n" each, values "b n c", points "b n D".
        """
        lengths = [extent or 1.0 for extent in self.layout.extent]
        flat = values.detach().double().flatten(0, 1)  # (b n) c
        low, high = flat.amin(0), flat.amax(0)
        change, size = (high - low).tolist(), torch.maximum(high, -low).tolist()
        far = max(
            x / length
            for x, length in zip(points.detach().abs().amax((0, 1)).tolist(), lengths, strict=True)
        )
        each = torch.stack(
            [value.detach().double().square().mean().sqrt() for value in found.values()]
        ).tolist()
        scaled = {(c, a): rms * _power(lengths, a) for (c, a), rms in zip(found, each, strict=True)}
        relative: dict[MultiIndex, float] = {}
        for c, a in found:
            # a constant has no digits to lose, and what is not finite is a matter of R01
            if not any(a) or not 0 < change[c] < math.inf:
                continue
            alike = max(
                rms for (other, b), rms in scaled.items() if other == c and sum(b) == sum(a)
            )
            least = size[c] * (change[c] / size[c]) ** sum(a)
            roundoff = self.precision * (size[c] + change[c] * far) / _power(self.reach, a)
            relative[a] = max(
                relative.get(a, 0.0), roundoff * _power(lengths, a) / max(alike, least)
            )
        return relative

    def coarser(self, relative: Mapping[MultiIndex, float]) -> tuple[float, ...]:
        """By what the spacing along each axis must grow for every derivative to be within the
        tolerance; 1 where it may stay."""
        growth = {
            a: max(1.0, (size / self.tolerance) ** (1 / sum(a))) for a, size in relative.items()
        }
        return tuple(
            max((g for a, g in growth.items() if a[axis]), default=1.0)
            for axis in range(len(self.spacing))
        )

    def refuse(self, relative: Mapping[MultiIndex, float]) -> Diagnostic | None:
        """P05 for the derivative with the largest relative round-off, where that is too large."""
        worst = max(relative, key=lambda index: (relative[index], index), default=None)
        if worst is None or relative[worst] <= self.tolerance:
            return None
        lengths, h, names = self.layout.extent, self.spacing, self.layout.names
        axis = max(
            (axis for axis in range(len(worst)) if worst[axis]),
            key=lambda axis: lengths[axis] / self.reach[axis],
        )
        wider = "" if self.layout.dtype == torch.float64 else "evaluate in float64, or "
        times = "once" if sum(worst) == 1 else f"{sum(worst)} times"
        return Diagnostic(
            "P05",
            f"{self.name}: {spell(worst, names)} from values {h[axis]:.3g} apart along"
            f" {names[axis]} in {str(self.layout.dtype).removeprefix('torch.')} has a relative"
            f" round-off of {relative[worst]:.2g}",
            hint=(
                f"{wider}use a spacing of"
                f" {h[axis] * self.coarser({worst: relative[worst]})[axis]:.2g} or more, or"
                f" {self.way_out}"
            ),
            cause=(
                f"values known to {self.precision:.1g} are divided by the spacing {times}; "
                f"at most {self.tolerance:g} is accepted (option tolerance)"
            ),
        )


def _power(lengths: Iterable[float], index: MultiIndex) -> float:
    return math.prod(length**count for length, count in zip(lengths, index, strict=True))
