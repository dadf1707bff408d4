"""Collocation points of one region, with normals, measure and weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import sympy as sp
import torch
from torch import Tensor

from compiler.chance import Chance
from compiler.data.interfaces import inner, on_boundary, on_level, sides
from compiler.data.samples import DrawnSamples
from compiler.geometry.shapes.numbers import Numbers
from compiler.lowering.terms import points_key
from pdespec.errors import fail
from pdespec.geometry import Boundary, Region, shape_symbols
from pdespec.statements.problem import Condition
from pdespec.symbols import Scalar


@dataclass(frozen=True)
class PointSet:
    """Collocation points of one region, uniform in its measure and in time where there are no
    weights.

    Shapes: points "b n D", time last; normals "b n d", outward, on boundaries; measure "b", of the
    region in space; weights "b n", of mean one: `measure * (weights * values).mean(1)` estimates an
    integral.
    """

    points: Tensor
    normals: Tensor | None
    measure: Tensor
    weights: Tensor | None = None

    def map(self, function: Callable[[Tensor], Tensor]) -> PointSet:
        """A function applied to every tensor."""
        normals, weights = (
            None if each is None else function(each) for each in (self.normals, self.weights)
        )
        return PointSet(function(self.points), normals, function(self.measure), weights)

    def at(self, index: Tensor) -> PointSet:
        """Some of the points, by number. Shapes: "m"."""
        normals, weights = (
            None if each is None else each[:, index] for each in (self.normals, self.weights)
        )
        return PointSet(self.points[:, index], normals, self.measure, weights)


def place(
    drawn: DrawnSamples,
    key: str,
    kind: str,
    region: Region,
    counts: Mapping[str, int],
    chance: Chance,
    sampling: str,
) -> PointSet:
    """Collocation points of one region, as many as `counts` says by key or by kind."""
    geometry = drawn.geometry[region.domain.name]
    count = counts[key] if key in counts else counts[kind]
    normals, weights = None, None
    if kind == "point":
        return _at_point(drawn, _stated_on(drawn, key), count, chance)
    if isinstance(region, Boundary) and inner(region, drawn.problem):
        return _on_interface(drawn, region, count, chance, sampling != "uniform")
    if sampling == "mesh":
        points, normals, weights = _nodes(drawn, region, count, chance)
    elif isinstance(region, Boundary):
        points, normals = geometry.boundary(region, count, chance, sampling == "sobol")
    else:
        points = geometry.interior(count, chance, sampling == "sobol")
    measure = geometry.measure(region if isinstance(region, Boundary) else None)
    if kind == "initial":
        time = float(sp.S(_stated_on(drawn, key).at))
        return PointSet(
            torch.cat([points, torch.full_like(points[..., :1], time)], -1),
            normals,
            measure,
            weights,
        )
    return PointSet(in_time(drawn, points, chance), normals, measure, weights)


def _stated_on(drawn: DrawnSamples, key: str) -> Condition:
    """A condition by the key of its points."""
    return next(each for each in drawn.problem.conditions.values() if points_key(each) == key)


def _at_point(drawn: DrawnSamples, condition: Condition, count: int, chance: Chance) -> PointSet:
    """The point of a condition in every sample: once, or at several times where it holds at all
    of them. It counts as of measure one."""
    numbers = Numbers(drawn.params, drawn.size, drawn.dtype, drawn.device)
    place = numbers.point(condition.place)[:, None]
    if condition.at is not None:
        place = torch.cat([place, numbers(condition.at)[:, None, None]], -1)
    elif drawn.problem.time is not None:
        place = in_time(drawn, place.expand(-1, count, -1), chance)
    return PointSet(place, None, torch.ones_like(place[:, 0, 0]))


def _on_interface(
    drawn: DrawnSamples, region: Boundary, count: int, chance: Chance, sobol: bool
) -> PointSet:
    """Points of a surface inside of a domain (see `compiler.data.interfaces`)."""
    if region.kind == "level":
        geometry = drawn.geometry[region.domain.name]
        found = on_level(
            drawn,
            region,
            lambda n: in_time(drawn, geometry.interior(n, chance, sobol), chance),
            count,
        )
        return PointSet(found.points, found.normals, found.measure, found.weights)
    found = on_boundary(drawn, region, sides(drawn.problem, region), count, chance, sobol)
    return PointSet(
        in_time(drawn, found.points, chance), found.normals, found.measure, found.weights
    )


def _nodes(
    drawn: DrawnSamples, region: Region, count: int, chance: Chance
) -> tuple[Tensor, Tensor | None, Tensor]:
    """Nodes of a mesh, in any order where there is time: cells are numbered from one end to the
    other, and time follows the index."""
    from compiler.data.quadrature import nodes  # needs the finite-element library

    names = {
        symbol.declaration.name
        for symbol in shape_symbols(region.domain.shape)
        if isinstance(symbol, Scalar)
    }
    moving = sorted(
        name for name in names if name in drawn.params and drawn.params[name].requires_grad
    )
    if moving:
        raise fail(
            "B03",
            f"the nodes of a mesh of `{region.domain.name}` have no derivative in the shape's"
            f" {', '.join(moving)}",
            "take sampling='sobol', whose points and measures move with the shape",
        )
    points, normals, weights = nodes(drawn, region, count)
    if drawn.problem.time is None:
        return points, normals, weights
    order = chance.permutation(count).to(points.device)
    return points[:, order], None if normals is None else normals[:, order], weights[:, order]


def in_time(drawn: DrawnSamples, points: Tensor, chance: Chance) -> Tensor:
    """Points with a time each, one in every n-th part of the interval, in order: a sequence that
    fills space evenly and its index fill space and time evenly (Hammersley's construction).
    """
    if drawn.problem.time is None:
        return points
    share = time_shares(points.shape[1], chance).to(points)
    return torch.cat([points, (drawn.start + drawn.duration * share)[..., None]], -1)


def time_shares(count: int, chance: Chance) -> Tensor:
    """Shares of an interval, one in every `count`-th part of it, in order. Shapes: -> "b n",
    float64."""
    return (torch.arange(count, device=chance.device) + chance.uniform(count)) / count
