"""How far a field is from another: relative L2 errors of each unknown over uniform points of the
domain.

An unknown's error is |u - u_h| / |u_h| in L2 over its components. What the problem leaves open does
not count: a constant that may be added to it (at each time, where there is time), a rotation, a
sign (see `pdespec.rules.freedom`). A sample in which an unknown is all but zero does not decide:
the size it is divided by is at least FLOOR of the root mean square size of the unknown over all
samples.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp
import torch
from torch import Tensor

from compiler.geometry.shapes.numbers import graph
from pdespec.geometry import Domain
from pdespec.rules.contact import domains_of_unknowns
from pdespec.rules.freedom import gauges, signs
from pdespec.statements.problem import Problem

FLOOR = 0.05  # of the size of an unknown over all samples
LEVELS = 8  # Legendre polynomials by which a constant that is free at each time is followed in time


def domain(problem: Problem) -> Domain:
    """Where the first unknown lives."""
    return next(iter(problem.unknowns.values())).region


def interior(problem: Problem, batch: Any) -> Tensor:
    """The batch's uniform points in the domains of the unknowns. Shapes: "b n D", time last."""
    return torch.cat([batch.points[each.name].points for each in domains_of_unknowns(problem)], 1)


def squared_misfit(found: Tensor, expected: Tensor) -> Tensor:
    """|found - expected|^2 / |expected|^2 of each sample, in L2 over uniform points and all
    components.

    Points where nothing is expected, NaN, do not count: outside of the reference's mesh.
    Shapes: "b n c", "b n c" -> "b". Raises: ValueError where the shapes differ.
    """
    gap, size = _compared(found, expected)
    return gap.square().sum((1, 2)) / size.square().sum((1, 2))


def relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """|found - expected| / |expected| of each sample, in float64 on the CPU; see
    `squared_misfit`."""
    return squared_misfit(found.detach().double().cpu(), expected.detach().double().cpu()).sqrt()


@dataclass(frozen=True)
class Misfit:
    """Mean squares over the points of the gap between two fields and of the size of the second,
    by unknown. Shapes: "b" each."""

    gap: Mapping[str, Tensor]
    size: Mapping[str, Tensor]

    def squared(self, scale: Mapping[str, Tensor] | None = None) -> Tensor:
        """Squared relative errors. `scale` is the mean square of each unknown over all samples;
        without one, over these. Shapes: "b u"."""
        scale = self.scale() if scale is None else scale
        columns = []
        for name, gap in self.gap.items():
            size = torch.maximum(self.size[name], FLOOR**2 * scale[name].to(gap))
            # where all that is expected is zero, the error is absolute
            columns.append(gap / torch.where(size > 0, size, 1))
        return torch.stack(columns, -1)

    def scale(self) -> dict[str, Tensor]:
        """The mean square of each unknown over the samples."""
        return {name: size.detach().mean() for name, size in self.size.items()}


def misfit(problem: Problem, points: Tensor, found: Tensor, expected: Tensor) -> Misfit:
    """The gap between two fields at points, without what the problem leaves open, differentiable in
    `found`.

    Shapes: points "b n D", found and expected "b n c". Raises: ValueError where the shapes differ.
    """
    if found.shape != expected.shape:
        raise ValueError(
            f"cannot compare values of shape {tuple(found.shape)} with {tuple(expected.shape)}"
        )
    columns = _columns(problem)
    turned = _turned(problem, points, found, expected)
    gaps, sizes = {}, {}
    for name, own in columns.items():
        gap, size, count = _parts(problem, name, points, turned[..., own], expected[..., own])
        gaps[name], sizes[name] = gap / count, size / count
    return Misfit(gaps, sizes)


def slope_misfit(problem: Problem, points: Tensor, found: Tensor, expected: Tensor) -> Misfit:
    """The gap between the gradients in space of two fields whose signs agree, without what the
    problem leaves open: what stresses and fluxes are wrong by.

    Shapes: points "b n D", found and expected "b n c d". Raises: ValueError where the shapes
    differ.
    """
    gaps, sizes = {}, {}
    for name, own in _columns(problem).items():
        one, other = (each[:, :, own].flatten(2) for each in (found, expected))  # b n (c d)
        gap, size, count = _parts(problem, name, points, one, other, slopes=True)
        gaps[name], sizes[name] = gap / count, size / count
    return Misfit(gaps, sizes)


def _parts(
    problem: Problem,
    name: str,
    points: Tensor,
    found: Tensor,
    expected: Tensor,
    slopes: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums of squares of the gap and of what is expected, and how many points are known. Shapes:
    found and expected "b n c", of gradients "b n (c d)" -> "b" each."""
    gap, size = _compared(found, expected)
    known = ~expected.isnan()
    basis = _basis(problem, name, points, slopes)
    if basis is not None:
        # b (n c) m
        free = torch.linalg.qr(torch.where(known[..., None], basis, 0).flatten(1, 2))[0]
        gap, size = (
            each - (free @ (free.mT @ each.flatten(1)[..., None])).reshape(each.shape)
            for each in (gap, size)
        )
    return gap.square().sum((1, 2)), size.square().sum((1, 2)), known.any(-1).sum(-1).clamp_min(1)


def _compared(found: Tensor, expected: Tensor) -> tuple[Tensor, Tensor]:
    """The gap and what is expected, zero where nothing is."""
    if found.shape != expected.shape:
        raise ValueError(
            f"cannot compare values of shape {tuple(found.shape)} with {tuple(expected.shape)}"
        )
    known = ~expected.isnan()
    return torch.where(known, found - expected, 0), torch.where(known, expected, 0)


def _columns(problem: Problem) -> dict[str, list[int]]:
    """The channels of each unknown."""
    names = list(problem.components)
    return {
        name: [names.index(each) for each in unknown.components]
        for name, unknown in problem.unknowns.items()
    }


def gathered(parts: Sequence[Misfit]) -> Misfit:
    """Several batches of samples as one."""
    first = parts[0]
    gap, size = (
        {name: torch.cat([getattr(each, what)[name] for each in parts]) for name in first.gap}
        for what in ("gap", "size")
    )
    return Misfit(gap, size)


@torch.no_grad()
def free_signs(problem: Problem, points: Tensor, found: Tensor, expected: Tensor) -> Tensor | None:
    """The sign of every channel that brings a field nearest to another, where signs are free.
    Shapes: "b c"."""
    groups = signs(problem)
    if not groups:
        return None
    columns = _columns(problem)
    result = torch.ones_like(expected[:, 0])
    for group in groups:
        own = [k for name in group for k in columns[name]]
        as_is, turned = (
            sum(gap / size.clamp_min(torch.finfo(size.dtype).tiny) for gap, size, _ in parts)
            for parts in (
                [
                    _parts(
                        problem,
                        name,
                        points,
                        sign * found[..., columns[name]],
                        expected[..., columns[name]],
                    )
                    for name in sorted(group)
                ]
                for sign in (1, -1)
            )
        )
        result[:, own] = torch.where(turned < as_is, -1.0, 1.0).to(result)[:, None]
    return result


def _turned(problem: Problem, points: Tensor, found: Tensor, expected: Tensor) -> Tensor:
    sign = free_signs(problem, points, found, expected)
    return found if sign is None else sign[:, None] * found


def _basis(problem: Problem, name: str, points: Tensor, slopes: bool) -> Tensor | None:
    """What may be added to an unknown, or to its gradient, at points; None where that is nothing.
    Shapes: "b n c m", of gradients "b n (c d) m"."""
    modes = [mode for mode in gauges(problem) if mode.unknown.name == name]
    if not modes:
        return None
    components = problem.unknowns[name].components
    middle = points.mean(1, keepdim=True)
    # a combination with the constants, which are free with the others; better conditioned far from
    # the origin
    local = points - middle
    values = dict(zip(problem.variables, local.unbind(-1), strict=True))
    columns = []
    for mode in modes:
        shift = {field.func.__name__: expression for field, expression in mode.shift.items()}
        entries = [sp.sympify(shift.get(component, 0)) for component in components]
        if slopes:
            entries = [sp.diff(each, axis) for each in entries for axis in problem.coordinates]
        if not any(entries):
            continue
        compiled = graph(tuple(entries))
        given = {symbol: values[symbol] for symbol in compiled.symbols}
        columns.append(torch.stack(compiled(given, points[..., 0]), -1))
    if not columns:
        return None
    basis = torch.stack(columns, -1)
    if problem.time is None or problem.unknowns[name].time is None:
        return basis
    start, end = float(problem.time.start), float(problem.time.end)
    s = (2 * (points[..., -1] - start) / (end - start) - 1)[..., None, None]
    powers = [torch.ones_like(s), s]
    for k in range(1, LEVELS - 1):
        powers.append(((2 * k + 1) * s * powers[-1] - k * powers[-2]) / (k + 1))
    return torch.cat([basis * power for power in powers], -1)
