"""What an operator reads of a sample: the channels of its input points, and known functions of
position at its own nodes."""

from __future__ import annotations

import torch
from torch import Tensor

from compiler.batches.ansatz_residual import (
    ansatz_residual_channels,
    ansatz_residual_names,
    has_amplitude,
)
from compiler.data.samples import DrawnSamples, drawn_symbols
from compiler.geometry.domain import box
from compiler.geometry.shapes import extent
from operators.field import PointFunction
from pdespec.geometry import Domain
from pdespec.statements.problem import Problem


def channel_names(problem: Problem) -> tuple[str, ...]:
    """The channels of `OperatorInput.values`, in order: the components of every input, the params
    that equations and conditions depend on, the defect of the ansatz, and "factor", the
    boundary-defining function of the domain (of several: the largest), unless that has no boundary.
    """
    inputs = [name for declaration in problem.inputs.values() for name in declaration.components]
    drawn = (symbol.name for symbol in drawn_symbols(problem))
    inverted = ansatz_residual_names(problem)
    if has_amplitude(problem):
        inverted = (*inverted, "log unit")
    return (*inputs, *drawn, *inverted, *(("factor",) if _bounded(problem) else ()))


def channels(drawn: DrawnSamples, points: Tensor) -> Tensor:
    """The values of `channel_names` at points; inputs on a boundary enter by their smooth
    continuation. Shapes: "b n D" -> "b n c"."""
    problem = drawn.problem
    parts = [drawn.evaluate(name, points, continued=True) for name in problem.inputs]
    parts += [drawn.known(symbol, points)[..., None] for symbol in drawn_symbols(problem)]
    parts.append(ansatz_residual_channels(drawn, points))
    if _bounded(problem):
        factor = _factor(drawn, points)[..., None]
        edge = 16 * factor / _extent(drawn)[:, None, None] + 1.2
        # outside, the defect has no meaning: it fades out within a tenth of the extent
        parts[-1] = parts[-1] * edge.sigmoid()
        parts.append(factor)
    return torch.cat([*parts, points.new_zeros(*points.shape[:2], 0)], -1)


def features(drawn: DrawnSamples) -> PointFunction:
    """Known functions of position for a model's own nodes, also outside the domain: the channels,
    the factor relative to the extent of the domain and squashed into (-1, 1), and the coordinates
    relative to the box of the domain for all params, from -1 to 1. Shapes: points "b n D" -> "b n
    k"."""
    lower, upper = _box(drawn.problem)

    def function(points: Tensor) -> Tensor:
        values = channels(drawn, points)
        if _bounded(drawn.problem):
            scale = _extent(drawn)[:, None, None]
            values = torch.cat([values[..., :-1], (4 * values[..., -1:] / scale).tanh()], -1)
        low, high = points.new_tensor(lower), points.new_tensor(upper)
        return torch.cat([values, 2 * (points - low) / (high - low) - 1], -1)

    return function


def _box(problem: Problem) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lowers, uppers = zip(*(box(domain) for domain in unknown_domains(problem)), strict=True)
    lower, upper = (
        tuple(map(min, zip(*lowers, strict=True))),
        tuple(map(max, zip(*uppers, strict=True))),
    )
    if problem.time is not None:
        lower, upper = (*lower, float(problem.time.start)), (*upper, float(problem.time.end))
    return lower, upper


def unknown_domains(problem: Problem) -> tuple[Domain, ...]:
    """The domains on which unknowns live, each once."""
    return tuple(dict.fromkeys(unknown.region for unknown in problem.unknowns.values()))


def periodic(problem: Problem) -> tuple[bool, ...]:
    """Which variables wrap around."""
    names = {name for domain in unknown_domains(problem) for name in domain.periodic}
    return tuple(
        variable.name in names or getattr(variable, "periodic", False)
        for variable in problem.variables
    )


def _extent(drawn: DrawnSamples) -> Tensor:
    """The smallest side of the boxes around the domains. Shapes: "b"."""
    return torch.stack(
        [extent(drawn.geometry[domain.name].body) for domain in unknown_domains(drawn.problem)]
    ).amin(0)


def _factor(drawn: DrawnSamples, points: Tensor) -> Tensor:
    found = [
        drawn.geometry[domain.name].body.approximate_distance(points[..., : domain.dim])
        for domain in unknown_domains(drawn.problem)
    ]
    return torch.stack(found).amax(0) if len(found) > 1 else found[0]


def _bounded(problem: Problem) -> bool:
    return any(len(domain.periodic) < domain.dim for domain in unknown_domains(problem))
