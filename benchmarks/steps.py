"""The steps that are measured: mean square residual and its gradient, by every way of taking derivatives.

Sizes are those of docs and of Lin et al. (arXiv 2504.08277): a graph decoder on a regular latent grid, float32, one sample.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from measure import Build, Step
from torch import Tensor

import pdespec
from compiler.derivatives import Backend, FiniteDifference
from compiler.loss import PhysicsLoss
from operators.field import OperatorInput
from operators.gino import GINO, DecodedField, EncoderOptions
from operators.gno import GNO
from operators.lattice import Lattice
from operators.mlp import MLP

BLOCK = 256  # queries: their edges stay in the processor's cache

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

    @property
    def radius(self) -> float:
        ball = {1: 2.0, 2: math.pi, 3: 4 * math.pi / 3}[self.dim]
        return (self.degree / (ball * (self.nodes - 1) ** self.dim)) ** (1 / self.dim)


SETTINGS: Mapping[str, Setting] = {
    "poisson": Setting(POISSON, 1, 2, 45, 32, 16.0),
    "navier_stokes": Setting(NAVIER_STOKES, 3, 3, 12, 12, 20.0),
    "kdv": Setting(KORTEWEG_DE_VRIES, 1, 2, 45, 32, 16.0, "bump"),  # half_cos has no third derivative
}


def decoder(setting: Setting, channels: int = 64) -> DecodedField:
    """The decoder of a GINO with leaf latent tensors: the trunk costs every way the same and is left out."""
    generator = torch.Generator().manual_seed(0)
    lattice = Lattice((0.0,) * setting.dim, (1.0,) * setting.dim, (setting.nodes,) * setting.dim)
    layer = GNO(
        channels, channels, setting.dim, setting.radius, setting.weight, "mlp", box=(lattice.lower, lattice.upper), generator=generator
    )
    nodes = lattice.points(torch.float32)
    latent = layer.prepare(nodes, torch.randn(len(nodes), channels, generator=generator))
    leaves = tuple(v.detach()[None].requires_grad_() for v in latent)
    return DecodedField(layer, MLP((channels, 64, setting.outputs), generator=generator), lattice, nodes, leaves)


def queries(setting: Setting) -> Tensor:
    """A grid strictly inside. Shapes: (1, n, D)."""
    return Lattice((0.137,) * setting.dim, (0.871,) * setting.dim, (setting.queries,) * setting.dim).points(torch.float32)[None]


def residual_step(problem: pdespec.Problem, field: DecodedField, points: Tensor, backend: str | Backend, block: int | None = None) -> Step:
    """Mean square residual with its gradient in decoder and latent tensors; in blocks of queries where `block` is given."""
    loss = PhysicsLoss(problem, backend)
    leaves = [*field.decoder.parameters(), *field.projection.parameters(), *field.latent]
    data = {name: torch.randn(1, points.shape[1], 1, generator=torch.Generator().manual_seed(1)) for name in problem.inputs}

    def step() -> list[Tensor]:
        total = [torch.zeros_like(leaf) for leaf in leaves]
        for part in torch.arange(points.shape[1]).split(block or points.shape[1]):
            inputs = {name: values[:, part] for name, values in data.items()}
            residuals = loss.residuals(field, points[:, part], inputs)
            square = sum(each.square().sum() for each in residuals.values()) / points.shape[1]
            for sofar, gradient in zip(total, torch.autograd.grad(square, leaves, allow_unused=True), strict=True):
                if gradient is not None:
                    sofar += gradient
        return total

    return step


def decoder_cases(name: str) -> dict[str, Build]:
    """Every way on one setting."""

    def case(backend: str | Backend, block: int | None = None) -> Build:
        def build(small: bool) -> Step:
            setting = replace(SETTINGS[name], queries=6) if small else SETTINGS[name]
            return residual_step(pdespec.parse(setting.text), decoder(setting), queries(setting), backend, block)

        return build

    return {
        "differences on the grid": case(FiniteDifference(mode="grid", tolerance=math.inf)),
        "differences by stencil": case(FiniteDifference(mode="stencil")),
        "nested autograd": case("autograd"),
        "jets": case("taylor"),
        "jets in blocks": case("taylor", BLOCK),
    }


# ---- the whole operator, beside that of neuraloperator


@dataclass(frozen=True)
class Work:
    """Input points, their values, queries and right-hand side of one sample on [-1.4, 1.4]^2."""

    geometry: Tensor
    values: Tensor
    points: Tensor
    source: Tensor


def work(count: int) -> Work:
    """The sample, drawn in this order from one generator of seed 0."""
    generator = torch.Generator().manual_seed(0)
    geometry = 2.8 * torch.rand(1024, 2, generator=generator) - 1.4
    values = torch.randn(1024, 3, generator=generator)
    points = 2.8 * torch.rand(count, 2, generator=generator) - 1.4
    return Work(geometry, values, points, torch.randn(count, generator=generator))


def own_operator() -> GINO:
    """A GINO of the peer's sizes."""
    radius = 0.175
    encoder = EncoderOptions(3, 0.16, weight=None, kernel="mlp", reduction="mean", kernel_options={"hidden": (64, 64)})
    inner = 1.4 - radius  # the latent grid covers the box and a radius around it: [-1.4, 1.4]
    return GINO(
        3, 1, 2, (32, 32), ((-inner, -inner), (inner, inner)), "half_cos", radius, hidden=32, modes=6, layers=4, expansion=0.5,
        projection=128, encoder=encoder, kernel_options={"hidden": (64, 64)},
    )  # fmt: skip


def own_step(count: int, block: int | None = None) -> Step:
    """Residual, its mean square and the gradient in every parameter, trunk and encoder included, by jets."""
    sample, model, loss = work(count), own_operator(), PhysicsLoss(pdespec.parse(POISSON), "taylor")
    inputs = OperatorInput(sample.geometry[None], sample.values[None])
    parameters = list(model.parameters())

    def step() -> tuple[Tensor | None, ...]:
        field = model(inputs)
        leaves = [v.detach().requires_grad_() for v in field.latent]
        own = [*field.decoder.parameters(), *field.projection.parameters()]
        shared = field.with_latent(leaves)
        total: list[Tensor] | None = None
        for part in torch.arange(count).split(block or count):
            residual = loss.residuals(shared, sample.points[None, part], {"f": sample.source[None, part, None]})["balance"]
            gradients = torch.autograd.grad(residual.square().sum() / count, [*own, *leaves], allow_unused=True, materialize_grads=True)
            total = list(gradients) if total is None else [a + b for a, b in zip(total, gradients, strict=True)]
        assert total is not None
        trunk = torch.autograd.grad(field.latent, parameters, total[len(own) :], allow_unused=True)
        return (*total[: len(own)], *trunk)

    return step


def peer_step(count: int, patched: bool) -> Step:
    """The same work by `neuraloperator` 2.0.0: nested autograd through its GINO. `patched`: its slow reduction and search replaced."""
    from neuralop.layers import gno_block, integral_transform
    from neuralop.models import GINO as Peer

    shipped = integral_transform.segment_csr
    radius = 0.175
    torch.manual_seed(0)
    model = Peer(
        in_channels=3, out_channels=1, gno_coord_dim=2, in_gno_radius=0.16, out_gno_radius=radius, gno_weighting_function="half_cos",
        gno_weight_function_scale=radius**2, in_gno_pos_embed_type=None, out_gno_pos_embed_type=None, fno_in_channels=3,
        fno_n_modes=(12, 12), fno_hidden_channels=32, fno_n_layers=4, fno_lifting_channel_ratio=2,
        in_gno_channel_mlp_hidden_layers=[64, 64],
        out_gno_channel_mlp_hidden_layers=[64, 64], gno_use_open3d=False, gno_use_torch_scatter=False, fno_channel_mlp_expansion=0.5,
    )  # fmt: skip
    if patched:
        for block in (model.gno_in, model.gno_out):
            if not isinstance(block, gno_block.GNOBlock):
                raise TypeError("neuraloperator has changed: its GINO holds no GNOBlock")
            block.neighbor_search.search_fn = _tree
    sample = work(count)
    axis = torch.linspace(-1.4, 1.4, 32)
    latent = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1)[None]
    parameters = list(model.parameters())

    def step() -> tuple[Tensor | None, ...]:
        x = sample.points.clone().requires_grad_()
        integral_transform.segment_csr = _reduce if patched else shipped  # a global of the module
        u = model(sample.geometry[None], latent, x, sample.values[None])[0, :, 0]
        integral_transform.segment_csr = shipped
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        flux = (1 + u.square())[:, None] * gradient
        divergence = sum(torch.autograd.grad(flux[:, k].sum(), x, create_graph=True)[0][:, k] for k in range(2))
        return torch.autograd.grad((divergence - sample.source).square().mean(), parameters, allow_unused=True)

    return step


def _reduce(src: Tensor, indptr: Tensor, reduction: str, use_scatter: bool = True) -> Tensor:
    """Sums over segments by index_add. Shapes: src (b, e, c) or (e, c), indptr (n + 1) or (1, n + 1)."""
    splits = indptr[0] if indptr.dim() == 2 else indptr
    counts = splits.diff()
    rows = torch.repeat_interleave(torch.arange(len(counts)), counts)
    shape = list(src.shape)
    shape[-2] = len(counts)
    total = torch.zeros(shape, dtype=src.dtype).index_add(-2, rows, src)
    return total / counts.clamp(min=1)[:, None] if reduction == "mean" else total


def _tree(data: Tensor, points: Tensor, radius: float, return_norm: bool = False) -> dict[str, Tensor]:
    """The peer's neighbour search by a KD-tree."""
    from scipy.spatial import KDTree

    found = KDTree(points.detach().numpy()).sparse_distance_matrix(KDTree(data.detach().numpy()), radius, output_type="ndarray")
    order = found["i"].argsort(kind="stable")
    rows, columns = (torch.from_numpy(found[name][order].astype("int64")) for name in ("i", "j"))
    splits = torch.cat([torch.zeros(1, dtype=torch.long), torch.bincount(rows, minlength=len(points)).cumsum(0)])
    answer = {"neighbors_index": columns, "neighbors_row_splits": splits}
    if return_norm:
        answer["weights"] = (points[rows] - data[columns]).square().sum(-1)
    return answer
