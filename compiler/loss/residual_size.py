"""The size of the residual at a point, over all equations of a region."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from compiler.derivatives import Autograd, Taylor
from compiler.loss.compiled_terms import BatchLike
from compiler.loss.physics import FieldLike, PhysicsLoss
from compiler.lowering.terms import Term


def regions(loss: PhysicsLoss) -> dict[str, tuple[Term, ...]]:
    """The domains on which an equation holds, of the problem as it is computed, with all terms that
    read their points."""
    terms = (loss.local or loss).terms
    keys = dict.fromkeys(term.points for term in terms if term.kind == "equation")
    return {key: tuple(term for term in terms if term.points == key) for key in keys}


@torch.no_grad()
def residual_size(
    loss: PhysicsLoss,
    field: FieldLike,
    batch: BatchLike,
    key: str,
    points: Float[Tensor, "b m D"],
    weights: Mapping[str, float],
    block: int | None = None,
) -> Float[Tensor, "b m"]:
    """The root of the sum over the equations of a region of `weights` times their squared
    residuals, as training weighs them in the scaled problem, without a graph; `block` points at a
    time. Field and batch are the user's, points those of the scaled problem.
    """
    field, batch = loss.inner(field), loss.inner_batch(batch)
    loss = loss.local or loss
    programs = [each for each in loss.programs(field, batch) if each.group.points == key]
    parts = []
    for x in points.split(block or points.shape[1], 1):
        squares = torch.zeros_like(x[..., 0])
        known = loss.known(batch, x, None)
        for program in programs:
            terms = [term for term in program.group.terms if term.kind == "equation"]
            values = loss.evaluate(program, field, x, known) if terms else {}
            for term in terms:
                own = sum(values[k].square() for k in program.outputs(term))
                squares = squares + weights.get(term.label, 1.0) * own
        parts.append(squares.detach())
    return torch.cat(parts, 1).clamp_min(0).sqrt()


def mixing(loss: PhysicsLoss, field: FieldLike, batch: BatchLike, key: str) -> str | None:
    """The backend of an equation of a region that takes derivatives over its points together, so
    that there is no residual of a single one; None where there is none."""
    field, batch = loss.inner(field), loss.inner_batch(batch)
    for program in (loss.local or loss).programs(field, batch):
        group = program.group
        if group.points == key and not isinstance(group.options, (Autograd, Taylor)):
            return group.backend
    return None
