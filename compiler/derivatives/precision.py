"""What round-off leaves of a numerical derivative, and the step that balances it against truncation."""

from __future__ import annotations

import math

import torch

from compiler.derivatives.interface import Index, Request, parts, spell
from compiler.derivatives.layout import Layout
from compiler.derivatives.stencils import central
from pdespec.errors import Diagnostic

TOLERANCE = 1e-2  # relative round-off in a derivative above which a backend declines: two digits must be right


def wavelength(extent: float) -> float:
    """The length 1/k over which a field is taken to vary, when nothing better is known: one wave across the points."""
    return (extent or 1.0) / (2 * math.pi)


def best_step(extent: float, derivative: int, order: int, dtype: torch.dtype) -> float:
    """The step of the central formula at which truncation and round-off together are least, to the nearest power of two.

    For values of size 1 that vary like exp(ikx) the error is `C k^(m+p) h^p + eps/2 S h^-m`, with S = sum |w| and
    C = sum w_j j^(m+p) / (m+p)!; its minimum lies at `h^(m+p) = m eps/2 S / (p C k^(m+p))`. Steps that are powers of two are added to a
    coordinate without rounding it, away from a change of its exponent.
    """
    weights = central(derivative, order)
    power = derivative + order
    truncation = abs(sum(weight * offset**power for offset, weight in weights.items())) / math.factorial(power)
    roundoff = torch.finfo(dtype).eps / 2 * sum(map(abs, weights.values()))
    step = wavelength(extent) * (derivative * roundoff / (order * truncation)) ** (1 / power)
    return 2.0 ** round(math.log2(step))


def noise(index: Index, spacing: tuple[float, ...], extent: tuple[float, ...], dtype: torch.dtype) -> float:
    """Relative round-off `eps/2 prod (l/h)^a` in the derivative `index` taken from values `spacing` apart.

    Shapes: index, spacing and extent have one entry a coordinate.
    """
    factors = [(wavelength(e) / h) ** a for a, h, e in zip(index, spacing, extent, strict=True) if a]
    return torch.finfo(dtype).eps / 2 * math.prod(factors)


def refuse_noise(
    name: str,
    request: Request,
    spacing: tuple[float, ...],
    layout: Layout,
    tolerance: float,
    way_out: str,
    gain: float = 1.0,
    sharpness: tuple[float, ...] | None = None,
) -> Diagnostic | None:
    """P05 when round-off would exceed `tolerance` in some requested derivative.

    `gain` is what the method multiplies round-off by; along an axis it differentiates as a difference over `spacing / sharpness` would.
    """
    sharpness = sharpness or (1.0,) * len(spacing)
    reach = tuple(h / s for h, s in zip(spacing, sharpness, strict=True))
    indices = {index for needed in parts(request).values() for index in needed if any(index)}
    worst = max(indices, key=lambda index: (noise(index, reach, layout.extent, layout.dtype), index), default=None)
    if worst is None or (relative := gain * noise(worst, reach, layout.extent, layout.dtype)) <= tolerance:
        return None
    coarser = (relative / tolerance) ** (1 / sum(worst))
    axis = max((axis for axis in range(len(worst)) if worst[axis]), key=lambda axis: layout.extent[axis] / reach[axis])
    precision = str(layout.dtype).removeprefix("torch.")
    wider = "" if layout.dtype == torch.float64 else "evaluate in float64, or "
    times = "once" if sum(worst) == 1 else f"{sum(worst)} times"
    return Diagnostic(
        "P05",
        f"{name}: {spell(worst, layout.names)} from values {spacing[axis]:.3g} apart along {layout.names[axis]} in {precision} "
        f"has a relative round-off of {relative:.2g}",
        hint=f"{wider}use a spacing of {spacing[axis] * coarser:.2g} or more, or {way_out}",
        cause=f"values known to {torch.finfo(layout.dtype).eps / 2 * gain:.1g} are divided by the spacing {times}; "
        f"at most {tolerance:g} is accepted (option tolerance)",
    )
