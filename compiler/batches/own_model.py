"""Wraps a caller's module that maps points to values as an operator."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from compiler.batches.build import extent, outputs, refuse_family
from operators.models.points import PointNetwork
from pdespec.errors import ProblemError
from pdespec.statements.problem import Problem


def as_operator(problem: Problem, model: nn.Module) -> nn.Module:
    """An operator as it is; a module that takes points (b, n, D) to values (b, n, c), which is
    found by asking it, as an operator with the conditions of the problem built in.

    Raises: ValueError where such a module gives values of another shape, and where the problem
    draws something anew for every sample, of which a function of points knows nothing.
    """
    if hasattr(model, "recipe") or isinstance(model, PointNetwork):
        return model
    points = _points(problem, model)
    values = None if points is None else _asked(model, points)
    if not isinstance(values, Tensor):
        return model
    expected = (*points.shape[:2], outputs(problem))
    if tuple(values.shape) != expected:
        raise ValueError(
            f"the model gives values of shape {tuple(values.shape)} at points"
            f" {tuple(points.shape)}; `{problem.name}` needs {expected}:"
            f" {', '.join(problem.components)}"
        )
    refuse_family(problem, "a module that takes points")
    return PointNetwork(model)


def _points(problem: Problem, model: nn.Module) -> Tensor | None:
    """Three points in the box of the problem, as the model's parameters are; None where the box
    is not known."""
    try:
        lower, upper = extent(problem)
    except ProblemError:
        return None
    like = next(model.parameters(), torch.empty(0))
    share = torch.tensor([0.25, 0.5, 0.75], dtype=torch.float64)[None, :, None]
    low, high = (torch.tensor(each, dtype=torch.float64) for each in (lower, upper))
    return (low + share * (high - low)).to(like)


def _asked(model: nn.Module, points: Tensor) -> object:
    """What a module says to points; None where it does not take them. It is left as it was."""
    training = model.training
    try:
        with torch.no_grad():
            return model.eval()(points)
    except Exception:  # a caller's module may fail in any way on what it was not made for
        return None
    finally:
        model.train(training)
