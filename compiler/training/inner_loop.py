"""How weights are adapted to a task, and what a start is worth to many tasks: MAML and LEAP over
rows of weights.

A task is a loss of a row of weights. `losses(k, rows)` gives the sum over the tasks of their losses
at the k-th set of points. Shapes: rows "b p".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import softplus

Losses = Callable[[int, Tensor], Tensor]
TINY = 1e-12


@dataclass(frozen=True)
class Inner:
    """The inner optimiser: `steps` of SGD or Adam of rate `lr`, each gradient scaled down to the
    norm `clip` of its row. Units of `lr`: those of weights over their gradient.
    """

    optimizer: Literal["sgd", "adam"]
    lr: float
    steps: int
    clip: float | None = None
    betas: tuple[float, float] = (0.9, 0.99)


def clipped(gradient: Tensor, most: float | None) -> Tensor:
    """Rows of norm at most that. Shapes: "b p" -> the same."""
    if most is None:
        return gradient
    return gradient * (most / gradient.norm(dim=1, keepdim=True).clamp_min(TINY)).clamp(max=1)


class Stepper:
    """The inner optimiser along one path: Adam's moments are those of its rows."""

    def __init__(self, inner: Inner) -> None:
        self.inner, self.taken = inner, 0
        self.mean: Tensor | None = None
        self.square: Tensor | None = None

    def step(self, rows: Tensor, gradient: Tensor, rates: Tensor | None = None) -> Tensor:
        """The rows after a step; `rates` multiply the gradient before it is clipped. Shapes: "b
        p", "b p", "p" -> "b p"."""
        inner = self.inner
        gradient = clipped(gradient if rates is None else gradient * rates, inner.clip)
        self.taken += 1
        if inner.optimizer == "sgd":
            return rows - inner.lr * gradient
        first, second = inner.betas
        # the moments begin at zero, which the two powers correct
        zero = torch.zeros_like(gradient)
        self.mean = first * (zero if self.mean is None else self.mean) + (1 - first) * gradient
        self.square = (
            second * (zero if self.square is None else self.square)
            + (1 - second) * gradient.square()
        )
        mean = self.mean / (1 - first**self.taken)
        square = self.square / (1 - second**self.taken)
        return rows - inner.lr * mean / (square.sqrt() + 1e-8)


def slope(losses: Losses, number: int, rows: Tensor, graph: bool) -> tuple[Tensor, Tensor]:
    """The sum of the losses, and its gradient in each row."""
    loss = losses(number, rows)
    (gradient,) = torch.autograd.grad(loss, rows, create_graph=graph)
    return loss, gradient


def maml(
    inner_losses: Losses,
    outer_losses: Losses,
    rows: Tensor,
    rates: Tensor,
    inner: Inner,
    discount: float,
) -> Tensor:
    """sum_t discount^(K - t) L_t(phi_t), t = 0 .. K, with the graph of the whole path (second
    order): phi_(t+1) = phi_t - lr clip(softplus(a_t) grad L(phi_t)).

    Shapes: rows "b p", all the start; rates a "K p" -> "", the sum over the tasks. Source: Finn et
    al. 2017 (arXiv 1703.03400), learned rates by Li et al. 2017 (arXiv 1707.09835), with the
    discounted sum of Qin et al. 2022.
    """
    stepper, total = Stepper(inner), discount**inner.steps * outer_losses(0, rows)
    for t in range(inner.steps):
        _, gradient = slope(inner_losses, t, rows, graph=True)
        rows = stepper.step(rows, gradient, softplus(rates[t]))
        total = total + discount ** (inner.steps - t - 1) * outer_losses(t + 1, rows)
    return total


def leap(losses: Losses, start: Tensor, inner: Inner) -> tuple[Tensor, list[float]]:
    """The direction in which a start shortens the path of one task, and the losses along it:
    sum_k (phi_k - phi_(k+1) + |L_(k+1) - L_k| grad L_k) / sqrt(|phi_(k+1) - phi_k|^2 + (L_(k+1) -
    L_k)^2).

    Nothing is differentiated through the path. Shapes: start "p" -> "p". Source: Flennerhag et al.
    2019 (arXiv 1812.01054), algorithm 1, with the loss in the length, the norm and the stabiliser
    of its public code.
    """
    stepper, direction, rows = Stepper(inner), torch.zeros_like(start), start.detach()[None]
    loss, gradient = slope(losses, 0, rows.requires_grad_(), graph=False)
    met = [float(loss.detach())]
    for k in range(inner.steps):
        with torch.no_grad():
            after = stepper.step(rows.detach(), gradient)
        found, ahead = slope(losses, k + 1, after.requires_grad_(), graph=False)
        with torch.no_grad():
            moved, fell = rows - after, (found - loss).abs()
            length = (moved.square().sum() + fell.square()).sqrt().clamp_min(TINY)
            direction += ((moved + fell * gradient) / length)[0]
        rows, loss, gradient = after, found, ahead
        met.append(float(loss.detach()))
    return direction, met


def adapted(
    losses: Losses,
    rows: Tensor,
    inner: Inner,
    rates: Tensor | None = None,
    seen: Callable[[int, Tensor], None] | None = None,
) -> Tensor:
    """The rows after the inner steps, without a graph, at the points of number 0 throughout;
    `seen(steps, rows)` is called after each step. Shapes: "b p" -> the same."""
    stepper = Stepper(inner)
    for t in range(inner.steps):
        rows = rows.detach().requires_grad_()
        _, gradient = slope(losses, 0, rows, graph=False)
        with torch.no_grad():
            rows = stepper.step(rows, gradient, None if rates is None else softplus(rates[t]))
        if seen is not None:
            seen(t + 1, rows)
    return rows.detach()
