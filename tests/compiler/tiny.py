"""A problem, an operator and samples so small that a training run takes a moment: u'' = a on (0,
1), u = 0 at both ends, a drawn."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch
from torch import Tensor, nn

import pdespec
from compiler.training.progress import Silent
from operators.field import Capabilities
from pdespec import Problem

TEXT = """
problem tiny
space    x
param    a ~ uniform(1, 2)
domain   L = interval(0, 1)
boundary ends = boundary(L)
unknown  u : scalar on L
in L:
    balance: dxx(u) = a
on ends:
    ends: u = 0
"""


def problem() -> Problem:
    return pdespec.parse(TEXT, source="tiny.pde")


@dataclass(frozen=True)
class Points:
    points: Tensor
    normals: Tensor | None
    measure: Tensor
    weights: Tensor | None = None


class Line:
    def box(self) -> tuple[Tensor, Tensor]:
        return torch.zeros(1), torch.ones(1)

    def contains(self, points: Tensor) -> Tensor:
        return ((points > 0) & (points < 1)).all(-1)


@dataclass(frozen=True)
class Batch:
    params: dict[str, Tensor]
    points: dict[str, Points]
    inputs: Tensor  # the operator reads the drawn number itself

    geometry = {"L": Line()}

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        raise KeyError(name)

    def select(self, samples) -> Batch:
        return self.map(lambda tensor: tensor[list(samples)])

    def to(self, **target) -> Batch:
        return self.map(lambda tensor: tensor.to(**target))

    def map(self, function) -> Batch:
        points = {
            name: Points(function(each.points), None, function(each.measure))
            for name, each in self.points.items()
        }
        return Batch({"a": function(self.params["a"])}, points, function(self.inputs))


def sample(
    problem: Problem,
    size: int,
    points: dict[str, int],
    generator: torch.Generator,
    dtype,
    device=None,
    hard_conditions=True,
    sampling="sobol",
) -> Batch:
    a = 1 + torch.rand(size, generator=generator, dtype=torch.float64)
    inside = torch.rand(size, points["interior"], 1, generator=generator, dtype=torch.float64)
    ends = torch.tensor([[0.0], [1.0]], dtype=torch.float64).expand(size, 2, 1)
    one = torch.ones(size, dtype=torch.float64)
    return Batch(
        {"a": a}, {"L": Points(inside, None, one), "ends": Points(ends, None, one)}, a[:, None]
    ).to(dtype=dtype)


class Operator(nn.Module):
    """a -> field, an MLP of (x, a)."""

    def __init__(self, width: int = 16, seed: int = 0) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.layers = nn.Sequential(
                nn.Linear(2, width),
                nn.Tanh(),
                nn.Linear(width, width),
                nn.Tanh(),
                nn.Linear(width, 1),
            )

    def forward(self, inputs: Tensor) -> Field:
        return Field(self, inputs)

    def value(self, inputs: Tensor, points: Tensor) -> Tensor:
        return self.layers(torch.cat([points, inputs[:, None].expand(*points.shape[:2], 1)], -1))


@dataclass(frozen=True)
class Field:
    """The operator's answer to one batch."""

    operator: Operator
    inputs: Tensor

    capabilities = Capabilities()

    def __call__(self, points: Tensor) -> Tensor:
        return self.operator.value(self.inputs, points)


class Truth:
    """u = a x (x - 1) / 2."""

    def __init__(self, a: Tensor) -> None:
        began = time.perf_counter()
        self.a = a.double()
        self.seconds = time.perf_counter() - began

    def __call__(self, points: Tensor) -> Tensor:
        return 0.5 * self.a[:, None, None] * points * (points - 1)


def solve(problem: Problem, batch: Batch, resolution: int | None = None) -> Truth:
    return Truth(batch.params["a"])


class Said(Silent):
    """A display that keeps what it is told."""

    def __init__(self) -> None:
        self.texts: list[str] = []

    def message(self, text: str) -> None:
        self.texts.append(text)
