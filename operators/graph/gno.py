"""Graph neural operator layer: an integral over the nodes in a ball, as a function of the query.

    G(v)(x) = sum_j q_j w(|x - y_j|^2 / r^2) kappa(x, y_j[, v_j]) [v_j]

With a weight w that vanishes at the cutoff (mollified) G(v) is as smooth in x as w and kappa are,
although the sum runs over a neighbour list. Without one (vanilla) it jumps whenever a node enters
the ball. Source: Li et al. 2023 (GINO, arXiv 2309.00583); Lin et al. (mGNO, arXiv 2504.08277),
equation 6.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

import torch
from jaxtyping import Float
from torch import Tensor, nn

from operators.graph.grid import per_axis
from operators.graph.kernels import (
    KERNELS,
    Kernel,
    Transform,
    from_queries,
    to_queries,
)
from operators.graph.neighbors import Edges, wrap
from operators.graph.weights import WEIGHTS, Weight, unit_ball
from operators.jets import jet
from operators.jets.jet import Jet, Streams
from operators.layers.mlp import seeded
from operators.options import filled, refuse_unknown, takes

Reduction = Literal["integral", "sum", "mean", "shepard"]
# what a kernel is given by its layer; the rest are its options
GIVEN = ("dim", "in_channels", "out_channels", "transform", "generator")


def offsets(
    x: tuple[Streams, ...],
    nodes: Float[Tensor, "m d"],
    edges: Edges,
    radius: Sequence[float],
    period: Sequence[float],
) -> tuple[Streams, ...]:
    """(x - y) / radius on every edge, subtracted before it is scaled. Shapes: d times (queries,
    1), nodes (m, d) -> d times (e, 1)."""
    y = nodes.index_select(0, edges.node).split(1, -1)
    rows = zip(x, y, radius, period, strict=True)
    return tuple(
        _offset(from_queries(here, edges), there, length) * (1 / r)
        for here, there, r, length in rows
    )


def _offset(x: Streams, y: Tensor, period: float) -> Streams:
    if isinstance(x, Jet):
        return Jet(x.space, {**x.lower, x.space.zero: wrap(x.value - y, period)}, x.operators)
    return wrap(x - y, period)


def squared_norm(z: tuple[Streams, ...]) -> Streams:
    """|z|^2 of offsets, for tensors and jets. Shapes: d times (e, 1) -> (e, 1)."""
    total = z[0] * z[0]
    for c in z[1:]:
        total = total + c * c
    return total


@dataclass(frozen=True, kw_only=True)
class GNOOptions:
    """A graph layer apart from its channels and radius."""

    # name of a weight function of `WEIGHTS`, or the weight itself; None for the vanilla layer
    weight: str | Weight | None = "half_cos"
    kernel: str = "mlp"  # name of a kernel of `KERNELS`
    transform: Transform = "linear"  # how the kernel meets the values
    reduction: Reduction = "integral"  # how the nodes in a ball are weighted
    kernel_options: Mapping[str, Any] | None = None  # those of the kernel, such as degree or hidden


@takes(GNOOptions)
class GNO(nn.Module):
    """G(v)(x) = sum_j q_j w(|x - y_j|^2 / r^2) kappa v over the nodes with |x - y_j| < r.

    Options are the fields of `GNOOptions`, and those of the kernel. `reduction`, with mu_j the
    measure of node j: "integral": q = mu / (mass(w) r^d), converges under refinement of the nodes
    to the w-average of kappa v; "sum": q = 1; "mean": q = 1 / number of neighbours (jumps with it);
    "shepard": q = mu / sum_j w mu, exact for constants on any points. Units: radius in lengths, one
    number or one per axis (the ball is then an ellipsoid); `box` scales positions for the kernel to
    [-1, 1].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dim: int,
        radius: float | Sequence[float],
        *,
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        period: Sequence[float] | None = None,
        options: GNOOptions | None = None,
        generator: torch.Generator | None = None,
        **names: Any,
    ) -> None:
        super().__init__()
        own = [each.name for each in fields(GNOOptions)]
        of_layer = {name: value for name, value in names.items() if name in own}
        of_kernel = {name: value for name, value in names.items() if name not in own}
        options = filled(GNOOptions, options, of_layer, "GNO")
        of_kernel = {**(options.kernel_options or {}), **of_kernel}
        for name, value, known in (
            ("transform", options.transform, get_args(Transform)),
            ("reduction", options.reduction, get_args(Reduction)),
        ):
            if value not in known:
                raise ValueError(f"no {name} {value!r}; known: {', '.join(known)}")
        kernel, weight, reduction = KERNELS[options.kernel], options.weight, options.reduction
        known = [n for n in inspect.signature(kernel).parameters if n not in GIVEN]
        refuse_unknown(of_kernel, known, f"the kernel {options.kernel!r}")
        self.dim, self.reduction = dim, reduction
        self.radius = per_axis(radius, dim, "radius")
        self.period = tuple(period or (math.inf,) * dim)
        self.weight = WEIGHTS[weight] if isinstance(weight, str) else weight
        # integral of w over the ball: lengths to the power d
        self.mass = (unit_ball(dim) if self.weight is None else self.weight.mass(dim)) * math.prod(
            self.radius
        )
        lower, upper = box if box is not None else ((-1.0,) * dim, (1.0,) * dim)
        self.centre = tuple(0.5 * (a + b) for a, b in zip(lower, upper, strict=True))
        self.reach = tuple(0.5 * (b - a) for a, b in zip(lower, upper, strict=True))
        self.kernel: Kernel = kernel(
            dim,
            in_channels,
            out_channels,
            options.transform,
            generator=seeded(generator),
            **of_kernel,
        )

    @property
    def smoothness(self) -> float:
        """The k of C^k of the output as a function of the query; -1 where it jumps."""
        return -1 if self.weight is None or self.reduction == "mean" else self.weight.smoothness

    def _positions(self, columns: tuple[Streams, ...]) -> tuple[Streams, ...]:
        """Coordinates with the box scaled to [-1, 1]."""
        return tuple(
            (x + -c) * (1 / h) for x, c, h in zip(columns, self.centre, self.reach, strict=True)
        )

    def prepare(
        self, nodes: Float[Tensor, "m d"], values: Float[Tensor, "m c"]
    ) -> tuple[Float[Tensor, "m _"], ...]:
        """What can be computed on nodes. Shapes: nodes (m, d), values (m, in_channels)."""
        return self.kernel.prepare(torch.cat(self._positions(nodes.split(1, -1)), -1), values)

    def integrate(
        self,
        queries: tuple[Streams, ...],
        nodes: Float[Tensor, "m d"],
        prepared: tuple[Float[Tensor, "rows _"], ...],
        edges: Edges,
        measure: Float[Tensor, " rows"] | float | None = None,
    ) -> Streams:
        """G(v) at the queries.

        Shapes: queries d times (n, 1), nodes (m, d), prepared and measure by the rows that edges
        name, those of all samples one after the other, or one number for all -> (n, out_channels).
        Raises: ValueError where "integral" is asked for without a measure.
        """
        z = offsets(queries, nodes, edges, self.radius, self.period)
        weight = self.edge_weights(z, edges, measure)
        out = self.kernel.integrate(self._positions(queries), z, weight, prepared, edges)
        if self.reduction == "integral":
            if measure is None:
                raise ValueError(
                    "the 'integral' reduction needs the measure of the nodes; give it, or use"
                    " 'shepard'"
                )
            return out * ((1.0 if isinstance(measure, Tensor) else measure) / self.mass)
        if self.reduction == "mean":
            return out * (1 / edges.counts.clamp(min=1).to(nodes.dtype))[:, None]
        if self.reduction == "shepard":
            total = to_queries(weight, edges)
            # a query without neighbours keeps the value zero
            return out / (total + (jet.value(total) == 0).to(nodes.dtype))
        return out

    def edge_weights(
        self,
        z: tuple[Streams, ...],
        edges: Edges,
        measure: Float[Tensor, " rows"] | float | None = None,
    ) -> Streams:
        """w times the measure, zero on padding. Shapes: (e, 1)."""
        weight = (
            jet.ones_like(z[0])
            if self.weight is None
            else jet.compose(self.weight, squared_norm(z))
        )
        if edges.mask is not None:
            weight = weight * edges.mask[:, None].to(jet.value(z[0]).dtype)
        if isinstance(measure, Tensor) and self.reduction in ("integral", "shepard"):
            weight = weight * measure.index_select(0, edges.node)[:, None]
        return weight

    def forward(
        self,
        queries: Float[Tensor, "n d"],
        nodes: Float[Tensor, "m d"],
        values: Float[Tensor, "m c"],
        edges: Edges,
        measure: Float[Tensor, " m"] | float | None = None,
    ) -> Float[Tensor, "n out"]:
        """Shapes: queries (n, d), nodes (m, d), values (m, in_channels) -> (n, out_channels)."""
        return self.integrate(
            queries.split(1, -1), nodes, self.prepare(nodes, values), edges, measure
        )
