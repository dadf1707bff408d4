"""GINO: a graph encoder to a latent grid, a Fourier trunk on it, and a graph decoder that can be
asked anywhere.

    (x_i, f_i) --mollified GNO--> latent grid (+ known features) --FNO--> v(y_j)
               --mollified GNO--> projection --> u(x)

Only the decoder depends on the query, so derivatives of u in x of any order pass through it alone.
Source: Li et al. 2023 (arXiv 2309.00583); Lin et al. (arXiv 2504.08277).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.field import Ansatz, Capabilities, OperatorInput
from operators.graph.gno import GNO, GNOOptions, Reduction, offsets
from operators.graph.grid import (
    Lattice,
    cover,
    per_axis,
    place_channels,
    positional_encoding,
)
from operators.graph.kernels import to_queries
from operators.graph.neighbors import NEIGHBORS, Edges, lattice_width, window
from operators.jets import jet
from operators.jets.jet import Jet, JetSpace, Streams
from operators.layers.jet_rules import apply, missing
from operators.layers.mlp import seeded
from operators.models.fno import FourierTrunk, GridOptions, projection
from operators.options import Count, Lengths, Positive, filled, takes

# queries at a time where no graph is kept: some 2 MB, which stay in the cache of a CPU
BLOCK = 2048
# samples at a time where no graph is kept, for the same reason
SAMPLES = 4


@dataclass(frozen=True, kw_only=True)
class EncoderOptions(GNOOptions):
    """The graph layer from input points to latent nodes.

    "shepard" divides by the sum of weights, which needs no measure and is exact for constants;
    "integral" needs `OperatorInput.measure`.
    """

    channels: Count | None = None  # None: those of the input (mlp), or 16 (polynomial)
    radius: Lengths | None = None  # None: `radius_in_spacings`
    radius_in_spacings: Positive = 2.0  # of the latent grid
    kernel: str = "polynomial"  # of degree 1 without other kernel_options
    reduction: Reduction = "shepard"


@dataclass(frozen=True, kw_only=True)
class GINOOptions(GridOptions, GNOOptions):
    """A GINO apart from its channels, latent grid and box. The fields of `GNOOptions` are those of
    its decoder."""

    radius: Lengths | None = None  # of the decoder; None: `radius_in_spacings`
    radius_in_spacings: Positive = 2.4  # of the latent grid
    encoder: EncoderOptions | Mapping[str, Any] | None = None  # or its fields by name
    search: str = "lattice"  # name of a neighbour search of `NEIGHBORS`


class Encoder(nn.Module):
    """Input points to latent nodes, with one more channel that tells how well each node is covered.

    Inputs with fewer coordinates than the latent grid (space against space and time) are repeated
    along the missing, last axes. Shapes: points (b, n, d), values (b, n, c), measure (b, n) or None
    -> (b, nodes, channels + 1).
    """

    def __init__(
        self,
        in_channels: int,
        lattice: Lattice,
        repeats: int,
        options: EncoderOptions,
        generator: torch.Generator,
    ) -> None:
        super().__init__()
        self.lattice, self.repeats = lattice, repeats
        self.fixed_shapes = False  # see `operators.models.fixed_shapes`
        # this kernel has no bias: the input's moments of 1 take its place
        self.constant = int(options.kernel == "polynomial")
        self.channels = options.channels or (in_channels if options.kernel == "mlp" else 16)
        radius = per_axis(
            options.radius or tuple(options.radius_in_spacings * h for h in lattice.spacing),
            lattice.dim,
            "encoder radius",
        )
        if options.kernel_options is None and self.constant:
            options = replace(options, kernel_options={"degree": 1})
        self.layer = GNO(
            in_channels + self.constant,
            self.channels,
            lattice.dim,
            radius,
            box=(lattice.lower, lattice.upper),
            period=lattice.period,
            options=options,
            generator=generator,
        )

    def forward(
        self,
        points: Float[Tensor, "b n d"],
        values: Float[Tensor, "b n c"],
        measure: Float[Tensor, "b n"] | None,
    ) -> Float[Tensor, "b nodes k"]:
        batch, layer = points.shape[0], self.layer
        find = window if self.fixed_shapes else NEIGHBORS["lattice"]
        edges = find(points, self.lattice, layer.radius).transpose()
        nodes = self.lattice.points(points.dtype, points.device).repeat(batch, 1)
        flat = points.flatten(0, 1)
        known = (
            values.flatten(0, 1)
            if not self.constant
            else torch.cat([values, torch.ones_like(values[..., :1])], -1).flatten(0, 1)
        )
        encoded = layer(nodes, flat, known, edges, None if measure is None else measure.flatten())
        near = layer.edge_weights(
            offsets(nodes.split(1, -1), flat, edges, layer.radius, layer.period), edges
        )
        if measure is not None:  # points of no measure are padding
            near = near * (measure.flatten() > 0)[edges.node, None]
        near = to_queries(near, edges)
        found = torch.cat([encoded, near / (near + 1)], -1).unflatten(0, (batch, -1))
        return found.repeat_interleave(self.repeats, 1)


@dataclass(frozen=True, repr=False)
class DecodedField:
    """u as a function of points: latent nodes read through a graph layer and a projection.

    `latent`: leaf tensors (b, nodes, ..), all that the trunk hands over. `plan` finds neighbours
    once for a set of points; a block of queries needs no more memory than its own edges. Raises:
    ValueError where points do not fit the latent batch or dimension.
    """

    decoder: GNO
    projection: nn.Module
    lattice: Lattice
    nodes: Tensor  # of all samples, (b nodes, D)
    latent: tuple[Tensor, ...]
    ansatz: Ansatz | None = None
    search: str = "lattice"
    fixed_shapes: bool = False

    def __repr__(self) -> str:
        shapes = ", ".join(str(tuple(each.shape)) for each in self.latent)
        return f"<DecodedField on a grid of {self.lattice.shape} nodes, latent tensors {shapes}>"

    @property
    def capabilities(self) -> Capabilities:
        """Periodic axes, smoothness of its weight function, and whether every layer carries
        jets."""
        kernel = self.decoder.kernel
        parts = (self.projection, *(kernel.children() if isinstance(kernel, nn.Module) else ()))
        reason = "; ".join(dict.fromkeys(why for part in parts if (why := missing(part))))
        return Capabilities(
            periodic=self.lattice.periodic,
            smoothness=self.decoder.smoothness,
            taylor=not reason,
            reason=reason,
        )

    def with_latent(self, latent: Sequence[Tensor]) -> DecodedField:
        """The same decoder on other latent tensors, e.g. detached leaves whose gradients are
        accumulated over blocks of queries."""
        return replace(self, latent=tuple(latent))

    def plan(self, points: Tensor) -> Edges:
        """Neighbour edges of `points`, shapes (b, n, D). Compute them once and pass them to
        `field(points, edges)` where the same points are evaluated repeatedly. Raises: ValueError
        for points of another batch or dimension."""
        batch = self.latent[0].shape[0]
        if points.dim() != 3 or points.shape[0] != batch or points.shape[2] != self.lattice.dim:
            raise ValueError(
                f"this field takes points ({batch}, n, {self.lattice.dim}), got"
                f" {tuple(points.shape)}"
            )
        if self.fixed_shapes:
            return window(points, self.lattice, self.decoder.radius)
        edges = NEIGHBORS[self.search](points, self.lattice, self.decoder.radius)
        return (
            edges.padded(lattice_width(self.lattice, self.decoder.radius))
            if self.decoder.kernel.padded and torch.is_grad_enabled()
            else edges
        )

    def __call__(self, points: Tensor, edges: Edges | None = None) -> Float[Tensor, "b n c"]:
        keeps_graph = torch.is_grad_enabled()
        if edges is None and not (keeps_graph or self.fixed_shapes):
            values = self._in_blocks(points)
        else:
            values = self._values(points, edges)
        return values if self.ansatz is None else self.ansatz(points, values)

    def _in_blocks(self, points: Tensor) -> Tensor:
        """What the projection gives, a few queries of one sample at a time."""
        count, found = self.latent[0].shape[1], []
        for k in range(points.shape[0]):
            latent = tuple(v[k : k + 1] for v in self.latent)
            nodes = self.nodes[k * count : (k + 1) * count]
            one = replace(self, latent=latent, nodes=nodes)
            blocks = points[k : k + 1].split(BLOCK, 1)
            found.append(torch.cat([one._values(each, None) for each in blocks], 1))
        return torch.cat(found)

    def _values(self, points: Tensor, edges: Edges | None) -> Float[Tensor, "b n c"]:
        """What the projection gives, before the ansatz."""
        edges = self.plan(points) if edges is None else edges
        decoded = self._decode(points.flatten(0, 1).split(1, -1), edges)
        return decoded.unflatten(0, points.shape[:2])

    def taylor(self, points: Tensor, space: JetSpace, edges: Edges | None = None) -> Jet:
        """Value and the derivatives of `space` at once. Shapes: points (b, n, D) -> streams (b,
        n, c)."""
        edges = self.plan(points) if edges is None else edges
        streams = self._decode(jet.coordinates(points.flatten(0, 1), space), edges)
        values = streams.dense().map(lambda v: v.unflatten(0, points.shape[:2]))
        return values if self.ansatz is None else self.ansatz.jet(points, values)

    def _decode(self, queries: tuple[Streams, ...], edges: Edges) -> Streams:
        latent = tuple(v.flatten(0, 1) for v in self.latent)
        return apply(
            self.projection,
            self.decoder.integrate(queries, self.nodes, latent, edges, self.lattice.cell),
        )


def encoder_options(given: EncoderOptions | Mapping[str, Any] | None) -> EncoderOptions:
    """The record of an encoder. Raises: TypeError with the nearest name for a field it lacks."""
    fields = given if isinstance(given, Mapping) else {}
    return filled(EncoderOptions, None if fields else given or None, fields, "the encoder")


@takes(GINOOptions)
class GINO(nn.Module):
    """Operator from a function known at scattered points, and known features of position, to a
    field.

    The latent grid covers `box` padded by the decoder's radius, so that boundary queries see full
    balls. `dim` counts all coordinates of the output, time last; `in_channels` = 0 leaves the
    encoder out. Options are the fields of `GINOOptions`: `GINO(1, 1, 2, hidden=16)` and `GINO(1, 1,
    2, options=GINOOptions(hidden=16))` are the same. Shapes: OperatorInput of b samples -> field
    (b, n, dim) -> (b, n, out_channels). Raises: ValueError on a latent grid too coarse for modes or
    radius, and on inputs whose channels do not fit; TypeError with the nearest name for an option
    that does not exist.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dim: int,
        latent: Sequence[int] = (32, 32),
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        *,
        options: GINOOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        options = filled(GINOOptions, options, names, "GINO")
        generator = seeded(generator)
        if len(latent) != dim:
            raise ValueError(
                f"a field of {dim} coordinates needs a latent grid of {dim} axes, got"
                f" {tuple(latent)}"
            )
        self.lattice, radii = cover(
            box or ((-1.0,) * dim, (1.0,) * dim),
            latent,
            options.radius,
            options.radius_in_spacings,
            options.periodic,
        )
        self.in_channels, self.feature_channels = in_channels, options.feature_channels
        self.search = options.search
        self.fixed_shapes = False  # see `operators.models.fixed_shapes`
        self.input_dim = dim if options.input_dim is None else options.input_dim
        self.encoder = None
        if in_channels:
            self.encoder = Encoder(
                in_channels,
                self.lattice.first(self.input_dim),
                math.prod(self.lattice.shape[self.input_dim :]),  # repeats along the missing axes
                encoder_options(options.encoder),
                generator,
            )
        width = (
            place_channels(self.lattice)
            + self.feature_channels
            + (self.encoder.channels + 1 if self.encoder else 0)
        )
        self.trunk = FourierTrunk(width, self.lattice.shape, options=options, generator=generator)
        self.decoder = GNO(
            options.hidden,
            options.hidden,
            dim,
            radii,
            box=(self.lattice.lower, self.lattice.upper),
            period=self.lattice.period,
            options=options,
            generator=generator,
        )
        self.projection = projection(options, out_channels, generator)

    def forward(self, inputs: OperatorInput) -> DecodedField:
        # (b, nodes, hidden), a node's channels side by side, since edges read them together
        latent = self.latent(inputs).flatten(2).mT.contiguous()
        batch, count, _ = latent.shape
        nodes = self.lattice.points(latent.dtype, latent.device).repeat(batch, 1)
        prepared = self.decoder.prepare(nodes, latent.flatten(0, 1))
        leaves = tuple(v.unflatten(0, (batch, count)) for v in prepared)
        return DecodedField(
            self.decoder,
            self.projection,
            self.lattice,
            nodes,
            leaves,
            inputs.ansatz,
            self.search,
            self.fixed_shapes,
        )

    def latent(self, inputs: OperatorInput) -> Float[Tensor, "b hidden *x"]:
        """Latent function on the grid. Shapes: (b, hidden, x..)."""
        points, values = inputs.points, inputs.values
        nodes = self.lattice.points(points.dtype, points.device)
        few = SAMPLES if not torch.is_grad_enabled() and not self.fixed_shapes else inputs.batch
        parts = [positional_encoding(nodes, self.lattice).expand(inputs.batch, -1, -1)]
        if self.encoder is not None:
            if values.shape[-1] != self.in_channels or points.shape[-1] != self.input_dim:
                raise ValueError(
                    f"this GINO reads values with {self.in_channels} channels at points with"
                    f" {self.input_dim} coordinates, got {tuple(values.shape)} at"
                    f" {tuple(points.shape)}"
                )
            given = (points, values, inputs.measure)
            split = [[None] * inputs.batch if v is None else v.split(few) for v in given]
            encoded = [self.encoder(*each) for each in zip(*split, strict=False)]
            parts.append(torch.cat(encoded) if len(encoded) > 1 else encoded[0])
        if self.feature_channels:
            parts.append(inputs.known_at(nodes, self.feature_channels))
        read = torch.cat(parts, -1).mT.unflatten(2, self.lattice.shape)
        found = [self.trunk(each) for each in read.split(few)]
        return torch.cat(found) if len(found) > 1 else found[0]
