"""The steps that are measured: mean square residual and its gradient, by every way of taking
derivatives.

Sizes are those of docs and of Lin et al. (arXiv 2504.08277): a graph decoder on a regular latent
grid, float32, one sample.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

import torch
from measure import Build, Step
from torch import Tensor

import pdespec
from compiler.derivatives import Backend, FiniteDifference
from compiler.geometry.domain import Geometry
from compiler.loss.blocks import StepEngine
from compiler.loss.physics import PhysicsLoss, Terms
from operators.graph.gno import GNO
from operators.graph.grid import Lattice
from operators.layers.mlp import MLP
from operators.models.gino import DecodedField

Mode = Literal["eager", "captured", "graphs"]  # the last: captured, replayed as CUDA graphs

# queries: their edges stay in the cache of a processor, or fill a GPU
BLOCKS = {"cpu": 192, "cuda": 16_384}

POISSON = """problem poisson
space x, y
domain Omega = rectangle([0, 0], [1, 1])
input f : scalar on Omega
unknown u : scalar on Omega
in Omega:
    balance: div((1 + u^2)*grad(u)) = f
on boundary(Omega): u = 0
"""
NAVIER_STOKES = """problem navier_stokes
space x, y
time t in [0, 1]
domain Omega = rectangle([0, 0], [1, 1])
const nu = 0.01
unknown v : vector on Omega
unknown p : scalar on Omega
in Omega:
    momentum: dt(v) + advect(v, v) + grad(p) = nu*lap(v)
    continuity: div(v) = 0
on boundary(Omega): v = [0, 0]
at t = 0: v = [0, 0]
require integral(p, Omega) = 0
"""
KORTEWEG_DE_VRIES = """problem kdv
space x
time t in [0, 1]
domain L = interval(0, 1)
unknown u : scalar on L
in L:
    wave: dt(u) + 6*u*dx(u) + dxxx(u)/1000 = 0
on boundary(L): u = 0
at t = 0: u = 0
"""


@dataclass(frozen=True)
class Setting:
    """A decoder and its queries: `queries` and `nodes` per axis, `degree` nodes in a ball."""

    text: str
    outputs: int
    dim: int
    queries: int
    nodes: int
    degree: float
    weight: str = "half_cos"
    devices: tuple[str, ...] = ("cpu", "cuda")

    @property
    def radius(self) -> float:
        ball = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}[self.dim]
        return (self.degree / (ball * (self.nodes - 1) ** self.dim)) ** (1 / self.dim)


SETTINGS: Mapping[str, Setting] = {
    "poisson_large": Setting(POISSON, 1, 2, 256, 64, 16.0, devices=("cuda",)),  # 65,536 queries
    "poisson": Setting(POISSON, 1, 2, 45, 32, 16.0),
    "navier_stokes": Setting(NAVIER_STOKES, 3, 3, 12, 12, 20.0),
    # half_cos has no third derivative
    "kdv": Setting(KORTEWEG_DE_VRIES, 1, 2, 45, 32, 16.0, "bump"),
}


def decoder(
    setting: Setting, kernel: str = "mlp", channels: int = 64, device: str = "cpu"
) -> DecodedField:
    """The decoder of a GINO with leaf latent tensors: the trunk costs every way the same and is
    left out."""
    generator = torch.Generator().manual_seed(0)
    lattice = Lattice((0.0,) * setting.dim, (1.0,) * setting.dim, (setting.nodes,) * setting.dim)
    layer = GNO(
        channels,
        channels,
        setting.dim,
        setting.radius,
        weight=setting.weight,
        kernel=kernel,
        box=(lattice.lower, lattice.upper),
        generator=generator,
    )
    nodes = lattice.points(torch.float32)
    latent = layer.prepare(nodes, torch.randn(len(nodes), channels, generator=generator))
    leaves = tuple(v.detach()[None].to(device).requires_grad_() for v in latent)
    projection = MLP((channels, 64, setting.outputs), generator=generator).to(device)
    return DecodedField(layer.to(device), projection, lattice, nodes.to(device), leaves)


def queries(setting: Setting) -> Tensor:
    """A grid strictly inside. Shapes: (1, n, D)."""
    return Lattice(
        (0.137,) * setting.dim, (0.871,) * setting.dim, (setting.queries,) * setting.dim
    ).points(torch.float32)[None]


@dataclass(frozen=True)
class PointSet:
    """Collocation points of one sample, and its inputs as known there: looked up by their first
    coordinate."""

    points: Tensor
    normals: None
    measure: Tensor
    weights: None = None


class Sample:
    """A batch of one: points of one region, and inputs known at them alone."""

    def __init__(self, region: str, points: Tensor, inputs: Mapping[str, Tensor]) -> None:
        self.points = {region: PointSet(points, None, torch.ones(1, device=points.device))}
        self.params: Mapping[str, Tensor] = {}
        self.geometry: Mapping[str, Geometry] = {}
        self.place, self.order = points[0, :, 0].contiguous().sort()
        self.inputs = inputs

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        """An input at some of the points. Shapes: (1, m, D) -> (1, m, 1)."""
        return self.inputs[name][
            self.order[torch.searchsorted(self.place, points[0, :, 0].contiguous())]
        ][None, :, None]


def residuals_of(text: str) -> pdespec.Problem:
    """A problem's equations alone."""
    return pdespec.parse(text).revised(conditions={}, requirements=())


def evaluator(loss: PhysicsLoss, block: int | None, mode: Mode) -> Callable[..., Terms]:
    """The loss, or its steps in blocks."""
    return (
        loss
        if block is None
        else StepEngine(
            loss, block, "eager" if mode == "eager" else "captured", graphs=mode == "graphs"
        )
    )


def ready(step: Step, mode: Mode) -> Step:
    """The step, compiled where it is captured: its first run does that."""
    if mode != "eager":
        step()
    return step


def residual_step(
    text: str,
    field: DecodedField,
    points: Tensor,
    backend: str | Backend,
    block: int | None = None,
    mode: Mode = "eager",
) -> Step:
    """Mean square residual with its gradient in decoder and latent tensors; in blocks of queries
    where `block` is given."""
    problem = residuals_of(text)
    evaluate = evaluator(PhysicsLoss(problem, backend), block, mode)
    leaves = [*field.decoder.parameters(), *field.projection.parameters(), *field.latent]
    (region,) = problem.domains
    data = {
        name: torch.randn(points.shape[1], generator=torch.Generator().manual_seed(1)).to(points)
        for name in problem.inputs
    }
    batch = Sample(region, points, data)
    return ready(
        lambda: torch.autograd.grad(
            evaluate(field, batch).total, leaves, allow_unused=True, materialize_grads=True
        ),
        mode,
    )


def decoder_cases(name: str, device: str = "cpu") -> dict[str, Build]:
    """Every way on one setting."""
    block = BLOCKS[device]

    def case(
        backend: str | Backend, block: int | None = None, mode: Mode = "eager", kernel: str = "mlp"
    ) -> Build:
        def build(small: bool) -> Step:
            setting = replace(SETTINGS[name], queries=6) if small else SETTINGS[name]
            return residual_step(
                setting.text,
                decoder(setting, kernel, device=device),
                queries(setting).to(device),
                backend,
                block,
                mode,
            )

        return build

    cases = {
        "differences on the grid": case(FiniteDifference(mode="grid", tolerance=math.inf)),
        "differences by stencil": case(FiniteDifference(mode="stencil")),
        "nested autograd": case("autograd"),
        "jets": case("taylor"),
        "jets in blocks": case("taylor", block),
        "jets in blocks, captured": case("taylor", block, "captured"),
        "nested in blocks, captured": case("autograd", block, "captured"),
        "polynomial kernel: differences": case(
            FiniteDifference(mode="grid", tolerance=math.inf), kernel="polynomial"
        ),
        "polynomial kernel: jets": case("taylor", kernel="polynomial"),
        "polynomial kernel: jets, captured": case("taylor", block, "captured", "polynomial"),
    }
    if device == "cuda":
        cases["jets in blocks, CUDA graphs"] = case("taylor", block, "graphs")
        cases["nested in blocks, CUDA graphs"] = case("autograd", block, "graphs")
    return cases
