"""Batches and manufactured solutions for the solver's tests, made with SymPy alone: they share no code with the solver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from pdespec.problem import Problem


@dataclass(frozen=True)
class GivenBatch:
    """A batch whose numbers and functions the test writes down."""

    size: int = 1
    params: Mapping[str, Tensor] = field(default_factory=dict)
    functions: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        return self.functions[name](points)


def closed_form(expressions: Sequence[sp.Expr] | sp.Expr, variables: Sequence[sp.Symbol]) -> Callable[[Tensor], Tensor]:
    """Expressions of position (and time) as a function of points "... D" -> "... c"."""
    expressions = list(expressions) if isinstance(expressions, (list, tuple, sp.MatrixBase)) else [expressions]
    functions = [sp.lambdify(list(variables), e, "torch") for e in expressions]

    def evaluate(points: Tensor) -> Tensor:
        columns = [points[..., k] for k in range(len(variables))]
        return torch.stack([torch.as_tensor(f(*columns), dtype=points.dtype).expand(points.shape[:-1]) for f in functions], dim=-1)

    return evaluate


def points_in(lower: Sequence[float], upper: Sequence[float], count: int = 400, size: int = 1) -> Tensor:
    """Uniform random points of a box, the same at every call.  Shapes: -> "size count d"."""
    generator = torch.Generator().manual_seed(7)
    cube = torch.rand(size, count, len(lower), generator=generator, dtype=torch.float64)
    return torch.tensor(lower, dtype=torch.float64) + cube * (
        torch.tensor(upper, dtype=torch.float64) - torch.tensor(lower, dtype=torch.float64)
    )


def errors(
    problem: Problem, batch: GivenBatch, exact: Callable[[Tensor], Tensor], points: Tensor, resolutions: Sequence[int], **options
) -> np.ndarray:
    """Root mean square error of every component at each resolution.  Shapes: -> "resolutions c"."""
    from compiler import solve

    found = []
    for resolution in resolutions:
        difference = solve(problem, batch, resolution=resolution, **options)(points) - exact(points)
        found.append(difference.square().mean(dim=(0, 1)).sqrt().numpy())
    return np.array(found)


def orders(errors: np.ndarray, resolutions: Sequence[int]) -> np.ndarray:
    """Slope of log error against log h, fitted over all resolutions."""
    h = -np.log(np.asarray(resolutions, dtype=float))
    return np.polyfit(h, np.log(errors), 1)[0]
