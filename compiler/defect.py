"""The defect of the ansatz: the residual of every equation at `u = offset`, which is what the network is left to invert."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor

from compiler.draws import Draws
from compiler.impose import ansatz, plan
from compiler.loss import PhysicsLoss
from pdespec.problem import Problem


@lru_cache(maxsize=64)
def defect_names(problem: Problem) -> tuple[str, ...]:
    """A name for each component of the defect; none where some component of the unknowns has nothing built in, so that there is no offset."""
    if not problem.equations or not all(each.labels for each in plan(problem).values()):
        return ()
    return tuple(f"defect of {t.label}{'' if len(t.expressions) == 1 else f'[{k}]'}" for t in _loss(problem).strong for k in range(len(t.expressions)))


def defect(drawn: Draws, points: Tensor) -> Tensor:
    """asinh of the residuals at the offset: their size varies over decades with the shape of the domain, and only near its boundary.

    Shapes: points "b n D" -> "b n k", k the number of `defect_names`. Not finite values, as of 1/u at u = 0, count as zero.
    """
    problem = drawn.problem
    if not defect_names(problem):
        return points.new_zeros(*points.shape[:2], 0)
    built = ansatz(drawn, plan(problem))
    inputs = {name: lambda x, name=name: drawn.evaluate(name, x, continued=True) for name in problem.inputs}
    residuals = _loss(problem).residuals(lambda x: built.offset(x) + 0 * x[..., :1], points, inputs, drawn.params)
    found = torch.cat(list(residuals.values()), -1)
    if not any(value.requires_grad for value in (*drawn.params.values(), points)):
        found = found.detach()
    return torch.where(found.isfinite(), found, torch.zeros_like(found)).asinh()


@lru_cache(maxsize=64)
def _loss(problem: Problem) -> PhysicsLoss:
    return PhysicsLoss(problem, "autograd")
