"""What an operator is told of a sample: the channels of its input points, and known functions of position at its own nodes."""

from __future__ import annotations

from functools import lru_cache

import sympy as sp
import torch
from torch import Tensor

from compiler.defect import defect_channels, defect_names
from compiler.draws import Draws
from compiler.geometry import Geometry, box
from compiler.shapes import extent
from operators.field import PointFunction
from pdespec.problem import Problem
from pdespec.symbols import Scalar


def channel_names(problem: Problem) -> tuple[str, ...]:
    """The channels of `OperatorInput.values`, in order: the components of every input, the params that equations and conditions depend on,
    the defect of the ansatz, and "factor", the boundary-defining function of the domain, unless that has no boundary."""
    inputs = [name for declaration in problem.inputs.values() for name in declaration.components]
    drawn = (symbol.name for symbol in _symbols(problem))
    inverted = defect_names(problem)
    if len(inverted) == len(problem.components) == 1:
        inverted = (*inverted, "log unit")
    return (*inputs, *drawn, *inverted, *(("factor",) if _bounded(problem) else ()))


def channels(drawn: Draws, points: Tensor) -> Tensor:
    """The values of `channel_names` at points; inputs on a boundary enter by their smooth continuation. Shapes: "b n D" -> "b n c"."""
    problem = drawn.problem
    parts = [drawn.evaluate(name, points, continued=True) for name in problem.inputs]
    parts += [drawn.known(symbol, points)[..., None] for symbol in _symbols(problem)]
    parts.append(defect_channels(drawn, points))
    if _bounded(problem):
        factor = _factor(drawn, points)[..., None]
        edge = 16 * factor / extent(_geometry(drawn).body)[:, None, None] + 1.2
        parts[-1] = parts[-1] * edge.sigmoid()  # outside, the defect has no meaning: it fades out within a tenth of the extent
        parts.append(factor)
    return torch.cat([*parts, points.new_zeros(*points.shape[:2], 0)], -1)


def feature_names(problem: Problem) -> tuple[str, ...]:
    """The features of `features`, in order: the channels, the factor relative to the extent of the domain, squashed into (-1, 1), and the
    coordinates relative to the box of the domain for all params, from -1 to 1."""
    return (*channel_names(problem), *(variable.name for variable in problem.variables))


def features(drawn: Draws) -> PointFunction:
    """Known functions of position for a model's own nodes, also outside the domain. Shapes: points "b n D" -> "b n k"."""
    lower, upper = _box(drawn.problem)

    def function(points: Tensor) -> Tensor:
        values = channels(drawn, points)
        if _bounded(drawn.problem):
            scale = extent(_geometry(drawn).body)[:, None, None]
            values = torch.cat([values[..., :-1], (4 * values[..., -1:] / scale).tanh()], -1)
        low, high = points.new_tensor(lower), points.new_tensor(upper)
        return torch.cat([values, 2 * (points - low) / (high - low) - 1], -1)

    return function


def _box(problem: Problem) -> tuple[tuple[float, ...], tuple[float, ...]]:
    lower, upper = box(next(iter(problem.unknowns.values())).region)
    if problem.time is not None:
        lower, upper = (*lower, float(problem.time.start)), (*upper, float(problem.time.end))
    return lower, upper


def _geometry(drawn: Draws) -> Geometry:
    return drawn.geometry[next(iter(drawn.problem.unknowns.values())).region.name]


def _factor(drawn: Draws, points: Tensor) -> Tensor:
    geometry = _geometry(drawn)
    return geometry.body.implicit(points[..., : geometry.domain.dim])


def _bounded(problem: Problem) -> bool:
    domain = next(iter(problem.unknowns.values())).region
    return len(domain.periodic) < domain.dim


@lru_cache(maxsize=64)
def _symbols(problem: Problem) -> tuple[Scalar, ...]:
    """Drawn params, by component, that equations, functionals or conditions hold."""
    stated = [each for part in (*problem.equations.values(), *problem.conditions.values()) for each in (part.lhs, part.rhs)]
    stated += [density for functional in problem.functionals for density, _ in functional.terms]
    found = set().union(*(sp.sympify(each).free_symbols for each in stated))
    drawn = {name for name, param in problem.params.items() if param.law is not None}
    symbols = [each for each in found if isinstance(each, Scalar) and each.declaration.name in drawn]
    return tuple(sorted(symbols, key=lambda each: (list(problem.params).index(each.declaration.name), each.index)))
