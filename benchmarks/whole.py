"""One training step of a whole graph operator of 714,692 parameters: ours, and that of
neuraloperator 2.0.0.

The same work for both: float32, one sample, N queries, residual div((1 + u^2) grad u) - f, its mean
square, and the gradient of that in all parameters.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from measure import Step
from steps import POISSON, Mode, Sample, evaluator, ready, residuals_of
from torch import Tensor

from compiler.loss.physics import PhysicsLoss
from operators.field import OperatorInput
from operators.models.gino import GINO, DecodedField, EncoderOptions

RADIUS = 0.175
SEGMENT_SUM = "segment_csr"  # the name under which the peer's module holds its reduction


@dataclass(frozen=True)
class Work:
    """Input points, their values, queries and right-hand side of one sample on [-1.4, 1.4]^2."""

    geometry: Tensor
    values: Tensor
    points: Tensor
    source: Tensor


def work(count: int, device: str = "cpu") -> Work:
    """The sample, drawn in this order from one generator of seed 0."""
    generator = torch.Generator().manual_seed(0)
    geometry = 2.8 * torch.rand(1024, 2, generator=generator) - 1.4
    values = torch.randn(1024, 3, generator=generator)
    points = 2.8 * torch.rand(count, 2, generator=generator) - 1.4
    return Work(
        *(
            each.to(device)
            for each in (geometry, values, points, torch.randn(count, generator=generator))
        )
    )


def own_operator() -> GINO:
    """A GINO of the peer's sizes."""
    encoder = EncoderOptions(
        channels=3, radius=0.16, weight=None, kernel="mlp", reduction="mean",
        kernel_options={"hidden": (64, 64)},
    )  # fmt: skip
    inner = 1.4 - RADIUS  # the latent grid covers the box and a radius around it: [-1.4, 1.4]
    return GINO(
        3, 1, 2, (32, 32), ((-inner, -inner), (inner, inner)), radius=RADIUS, hidden=32,
        modes=(6, 7), layers=4, expansion=0.5,
        projection=128, encoder=encoder, kernel_options={"hidden": (64, 64)},
    )  # fmt: skip


def own_step(
    count: int,
    block: int | None = None,
    mode: Mode = "eager",
    backend: str = "taylor",
    device: str = "cpu",
) -> Step:
    """Residual, its mean square and the gradient in every parameter, trunk and encoder included."""
    sample, model, problem = work(count, device), own_operator().to(device), residuals_of(POISSON)
    evaluate = evaluator(PhysicsLoss(problem, backend), block, mode)
    inputs = OperatorInput(sample.geometry[None], sample.values[None])
    batch = Sample("Omega", sample.points[None], {"f": sample.source})
    parameters = list(model.parameters())
    return ready(
        lambda: torch.autograd.grad(
            evaluate(model(inputs), batch).total, parameters, allow_unused=True
        ),
        mode,
    )


class Peer:
    """The GINO of neuraloperator. `patched`: its reduction by loops and its search by a dense
    matrix of distances replaced."""

    def __init__(
        self, patched: bool, dtype: torch.dtype = torch.float32, device: str = "cpu"
    ) -> None:
        from neuralop.layers import integral_transform
        from neuralop.models import GINO as Model

        torch.manual_seed(0)
        self.model = Model(
            in_channels=3, out_channels=1, gno_coord_dim=2, in_gno_radius=0.16,
            out_gno_radius=RADIUS, gno_weighting_function="half_cos",
            gno_weight_function_scale=RADIUS**2, in_gno_pos_embed_type=None,
            out_gno_pos_embed_type=None, fno_in_channels=3,
            fno_n_modes=(12, 12), fno_hidden_channels=32, fno_n_layers=4,
            fno_lifting_channel_ratio=2,
            in_gno_channel_mlp_hidden_layers=[64, 64], out_gno_channel_mlp_hidden_layers=[64, 64],
            gno_use_open3d=False,
            gno_use_torch_scatter=False, fno_channel_mlp_expansion=0.5,
        )  # fmt: skip
        for parameter in self.model.parameters():
            parameter.data = parameter.data.to(torch.promote_types(parameter.dtype, dtype))
        axis = torch.linspace(-1.4, 1.4, 32, dtype=dtype)
        self.nodes = torch.stack(torch.meshgrid(axis, axis, indexing="ij"), -1).to(device)
        self.model.to(device)
        self.patched, self.module, self.shipped = (
            patched,
            integral_transform,
            getattr(integral_transform, SEGMENT_SUM),
        )
        if patched and device == "cpu":  # on a GPU the dense matrix is the faster search
            for block in (self.model.gno_in, self.model.gno_out):
                block.neighbor_search.search_fn = _tree

    def __call__(self, sample: Work, points: Tensor) -> Tensor:
        """u at the points. Shapes: (n, 2) -> (n,)."""
        setattr(self.module, SEGMENT_SUM, _reduce if self.patched else self.shipped)
        try:
            geometry, values = sample.geometry.to(points.dtype), sample.values.to(points.dtype)
            return self.model(geometry[None], self.nodes[None], points, values[None])[0, :, 0]
        finally:
            setattr(self.module, SEGMENT_SUM, self.shipped)

    def derivatives(self, sample: Work, points: Tensor) -> dict[str, Tensor]:
        """u, its gradient and its Laplacian by nested autograd."""
        x = points.clone().requires_grad_()
        u = self(sample, x)
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        laplacian = sum(
            torch.autograd.grad(gradient[:, k].sum(), x, retain_graph=True)[0][:, k]
            for k in range(2)
        )
        return {"u": u.detach(), "gradient": gradient.detach(), "Laplacian": laplacian}

    def as_field(self, sample: Work) -> DecodedField:
        """The same decoder in our parts: its weights, and the latent function that its trunk
        hands over."""
        seen: dict[str, Any] = {}
        hook = self.model.gno_out.register_forward_pre_hook(
            lambda _, args, given: seen.update(given), with_kwargs=True
        )
        with torch.no_grad():
            self(sample, sample.points[:2].to(self.nodes.dtype))
        hook.remove()
        dtype = self.nodes.dtype
        own = own_operator().to(dtype)
        decoder, kernel = own.decoder, own.decoder.kernel
        first, *rest = self.model.gno_out.integral_transform.channel_mlp.fcs
        of_node, of_query = first.weight.split(2, 1)  # W_y y + W_x x = W_x (x - y) + (W_x + W_y) y
        pairs = [
            (kernel.of_offset.weight, of_query * RADIUS),
            (kernel.of_node.weight, (of_node + of_query) * 1.4),
            (kernel.of_node.bias, first.bias),
        ]
        for ours, theirs in zip(
            [*kernel.rest.layers, *own.projection.layers],
            [*rest, *self.model.projection.fcs],
            strict=True,
        ):
            pairs += [(ours.weight, theirs.weight.flatten(1)), (ours.bias, theirs.bias)]
        with torch.no_grad():
            for ours, theirs in pairs:
                ours.copy_(theirs)
            # a sum scaled by r^2 there, an average here
            values = seen["f_y"][0] * (RADIUS**2 * decoder.mass / own.lattice.cell)
            nodes = own.lattice.points(dtype)
            torch.testing.assert_close(nodes, seen["y"])
            latent = tuple(v[None] for v in decoder.prepare(nodes, values))
        return DecodedField(decoder, own.projection, own.lattice, nodes, latent)


def peer_step(count: int, patched: bool, device: str = "cpu") -> Step:
    """The same work by the peer: nested autograd through its GINO."""
    sample, peer = work(count, device), Peer(patched, device=device)
    parameters = list(peer.model.parameters())

    def step() -> tuple[Tensor | None, ...]:
        x = sample.points.clone().requires_grad_()
        u = peer(sample, x)
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        flux = (1 + u.square())[:, None] * gradient
        divergence = sum(
            torch.autograd.grad(flux[:, k].sum(), x, create_graph=True)[0][:, k] for k in range(2)
        )
        return torch.autograd.grad(
            (divergence - sample.source).square().mean(), parameters, allow_unused=True
        )

    return step


def _reduce(src: Tensor, indptr: Tensor, reduction: str, use_scatter: bool = True) -> Tensor:
    """Sums over segments by index_add. Shapes: src (b, e, c) or (e, c), indptr (n + 1) or (1, n
    + 1)."""
    splits = indptr[0] if indptr.dim() == 2 else indptr
    counts = splits.diff()
    rows = torch.repeat_interleave(torch.arange(len(counts), device=src.device), counts)
    shape = list(src.shape)
    shape[-2] = len(counts)
    total = torch.zeros(shape, dtype=src.dtype, device=src.device).index_add(-2, rows, src)
    return total / counts.clamp(min=1)[:, None] if reduction == "mean" else total


def _tree(
    data: Tensor, points: Tensor, radius: float, return_norm: bool = False
) -> dict[str, Tensor]:
    """The peer's neighbour search by a KD-tree."""
    from scipy.spatial import KDTree

    found = KDTree(points.detach().numpy()).sparse_distance_matrix(
        KDTree(data.detach().numpy()), radius, output_type="ndarray"
    )
    order = found["i"].argsort(kind="stable")
    rows, columns = (torch.from_numpy(found[name][order].astype("int64")) for name in ("i", "j"))
    splits = torch.cat(
        [torch.zeros(1, dtype=torch.long), torch.bincount(rows, minlength=len(points)).cumsum(0)]
    )
    answer = {"neighbors_index": columns, "neighbors_row_splits": splits}
    if return_norm:
        answer["weights"] = (points[rows] - data[columns]).square().sum(-1)
    return answer
