"""How far a field is from another: relative L2 errors over uniform points of the domain."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from pdespec.geometry import Domain
from pdespec.problem import Problem


def domain(problem: Problem) -> Domain:
    """Where the first unknown lives."""
    return next(iter(problem.unknowns.values())).region


def interior(problem: Problem, batch: Any) -> Tensor:
    """The batch's uniform points in the domain of the unknowns. Shapes: "b n D", time last."""
    return batch.points[domain(problem).name].points


def squared_misfit(found: Tensor, expected: Tensor) -> Tensor:
    """|found - expected|^2 / |expected|^2 of each sample, in L2 over uniform points and all components.

    Points where nothing is expected, NaN, do not count: outside of the reference's mesh.
    Shapes: "b n c", "b n c" -> "b". Raises: ValueError where the shapes differ.
    """
    if found.shape != expected.shape:
        raise ValueError(f"cannot compare values of shape {tuple(found.shape)} with {tuple(expected.shape)}")
    known = ~expected.isnan()
    gap, size = torch.where(known, found - expected, 0), torch.where(known, expected, 0)
    return gap.square().sum((1, 2)) / size.square().sum((1, 2))


def relative_error(found: Tensor, expected: Tensor) -> Tensor:
    """|found - expected| / |expected| of each sample, in float64 on the CPU; see `squared_misfit`."""
    return squared_misfit(found.detach().double().cpu(), expected.detach().double().cpu()).sqrt()


def by_unknown(problem: Problem, found: Tensor, expected: Tensor) -> dict[str, float]:
    """The relative L2 error of each unknown. Shapes: "1 n c"."""
    errors, first = {}, 0
    for name, unknown in problem.unknowns.items():
        last = first + len(unknown.components)
        errors[name] = float(relative_error(found[..., first:last], expected[..., first:last]))
        first = last
    return errors
