"""Functions of points that know NumPy alone, as functions of tensors: their derivatives are central
differences in float64."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.derivatives.stencils import central
from pdespec.errors import fail

STEP = 2e-3  # of the extent along each axis
ORDER = 6  # of the formulas: the error of a derivative of a wave of that extent is 1e-11

NumPyFunction = Callable[[np.ndarray], Any]


def differenced(
    function: NumPyFunction, points: Tensor, extents: Sequence[float], name: str
) -> Tensor:
    """The values of a function at points, differentiable in these as often as wanted.

    Shapes: points "n d", extents "d" -> "n" or "n c", as the function returns them. Raises:
    ProblemError B01 where it has no value next to a point.
    """
    steps = tuple(STEP * extent for extent in extents)
    return _Derivative.apply(points, function, steps, (0,) * len(steps), name)  # type: ignore[no-any-return]


class _Derivative(torch.autograd.Function):
    """A derivative of a function, whose own derivatives are the next ones."""

    @staticmethod
    def forward(ctx, points, function, steps, index, name):  # noqa: ANN001, ANN205
        ctx.save_for_backward(points)
        ctx.asked = function, steps, index, name
        return _derivative(function, points.detach(), steps, index, name)

    @staticmethod
    def backward(ctx, gradient):  # noqa: ANN001, ANN205
        (points,), (function, steps, index, name) = ctx.saved_tensors, ctx.asked
        slopes = []
        for axis in range(len(steps)):
            higher = tuple(n + (k == axis) for k, n in enumerate(index))
            slope = gradient * _Derivative.apply(points, function, steps, higher, name)
            slopes.append(slope if slope.ndim == 1 else slope.sum(1))
        return torch.stack(slopes, 1), None, None, None, None


def _derivative(
    function: NumPyFunction,
    points: Tensor,
    steps: Sequence[float],
    index: Sequence[int],
    name: str,
) -> Tensor:
    """By the product of central formulas along the axes. Shapes: "n d" -> "n" or "n c"."""
    where = points.cpu().double().numpy()
    formulas = [central(order, ORDER) if order else {0: 1.0} for order in index]
    total: Any = 0.0
    for places in itertools.product(*(formula.items() for formula in formulas)):
        shift = np.array([step * place for step, (place, _) in zip(steps, places, strict=True)])
        values = np.asarray(function(where + shift))
        total = total + math.prod(weight for _, weight in places) * values
    total = total / math.prod(step**order for step, order in zip(steps, index, strict=True))
    if any(index) and not np.isfinite(total).all():
        raise fail(
            "B01",
            f"input `{name}` has no value just beside a point where its derivative is needed",
            "let it go on smoothly beyond the domain, or pass a torch function or an expression",
        )
    return torch.as_tensor(total).to(points.device, points.dtype)
