"""Kernels of graph neural operators: the factor between a node's value and a query.

`mlp` is a network evaluated on every edge; `polynomial` has its parameters on nodes and queries
only. Both work on tensors and jets.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal, Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.forward_ad import unpack_dual
from torch.nn.functional import embedding_bag

from operators.graph.neighbors import Edges
from operators.jets import jet
from operators.jets.jet import Jet, Streams
from operators.layers.jet_rules import apply
from operators.layers.mlp import (
    MLP,
    Activation,
    Linear,
    Sinusoidal,
    seeded,
)
from operators.registry import Registry

Transform = Literal["linear", "nonlinear", "linear_kernel_only", "nonlinear_kernel_only"]


# ---- queries to edges and back


def from_queries(x: Streams, edges: Edges) -> Streams:
    """Query rows at their edges. Shapes: (queries, c) -> (e, c)."""
    if isinstance(x, Jet):
        return x.map(lambda v: v if v.shape[0] == 1 else from_queries(v, edges))
    if edges.width is None:
        return x.index_select(0, edges.query)
    # its backward is a sum, not a scatter
    return x[:, None].expand(-1, edges.width, -1).flatten(0, 1)


def to_queries(x: Streams, edges: Edges) -> Streams:
    """Sum over the edges of every query. Shapes: (e, c) -> (queries, c)."""
    if isinstance(x, Jet):
        return x.dense().map(lambda v: to_queries(v, edges))
    if edges.width is None:
        return jet.segment_sum(x, edges.query, edges.queries)
    return x.unflatten(0, (edges.queries, edges.width)).sum(1)


# ---- kernels


class Kernel(Protocol):
    """`prepare` works on nodes once per input; `integrate` on edges, where the queries are.

    Offsets z_k = (x_k - y_k) / r_k come one (e, 1) per axis, `weight` (e, 1) with measure and
    padding in it. `padded`: equal rows serve it best. Modules of edges are called by
    `operators.layers.jet_rules.apply`, which passes jets on to their rules; one inside the kernel
    that has none makes the field one without jets.
    """

    padded: bool

    def prepare(
        self, positions: Float[Tensor, "m d"], values: Float[Tensor, "m c"]
    ) -> tuple[Float[Tensor, "m _"], ...]:
        """What the kernel needs of each node, computed once for all queries. Shapes: positions (m,
        d), values (m, c) -> tensors (m, ..)."""
        ...

    def integrate(
        self,
        x: tuple[Streams, ...],
        z: tuple[Streams, ...],
        weight: Streams,
        prepared: tuple[Tensor, ...],
        edges: Edges,
    ) -> Streams:
        """sum over the edges of a query of weight * kernel. Shapes: x and z one (e, 1) for each
        axis, prepared (m, ..) -> (queries, out)."""
        ...


KERNELS: Registry[type] = Registry("kernel")
"""Kernels of a graph layer by name: classes that meet `Kernel`."""


@KERNELS.register("mlp")
class MLPKernel(nn.Module):
    """kappa(x, y[, v]) = MLP((x - y) / r, y[, v]), with the first layer split: what belongs to
    nodes is computed on nodes.

    The offset enters by itself, which keeps its digits far from the origin; x is then redundant
    unless it is embedded. Transforms: linear kappa(x, y) v; nonlinear kappa(x, y, v) v;
    linear_kernel_only kappa(x, y); nonlinear_kernel_only kappa(x, y, v). Shapes: positions (m, d),
    values (m, in_channels) -> prepared ((m, hidden)[, values]); integrate -> (queries,
    out_channels).
    """

    padded = False

    def __init__(
        self,
        dim: int,
        in_channels: int,
        out_channels: int,
        transform: Transform = "linear",
        hidden: Sequence[int] = (64, 64),
        embedding: int = 0,
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        generator = seeded(generator)
        self.multiply = not transform.endswith("kernel_only")
        if self.multiply and in_channels != out_channels:
            raise ValueError(
                f"the {transform!r} transform multiplies {in_channels} input channels by as many"
                f" kernel channels, not by {out_channels}; use '{transform}_kernel_only' or equal"
                " channels"
            )
        self.embedding = Sinusoidal(dim, embedding) if embedding else None
        place = self.embedding.size if self.embedding else dim
        inputs = (
            dim
            + place * (2 if self.embedding else 1)
            + (in_channels if transform.startswith("nonlinear") else 0)
        )
        gain = math.sqrt(1 / inputs)
        self.of_offset = Linear(
            dim, hidden[0], bias=False, gain=3 * gain * math.sqrt(dim), generator=generator
        )
        self.of_node = Linear(place, hidden[0], gain=gain * math.sqrt(place), generator=generator)
        self.of_query = (
            Linear(place, hidden[0], bias=False, gain=gain * math.sqrt(place), generator=generator)
            if self.embedding
            else None
        )
        wide = gain * math.sqrt(in_channels)
        self.of_value = (
            Linear(in_channels, hidden[0], False, wide, generator)
            if transform.startswith("nonlinear")
            else None
        )
        self.activation = Activation(activation)
        self.rest = MLP((*hidden, out_channels), activation, generator)

    def prepare(
        self, positions: Float[Tensor, "m d"], values: Float[Tensor, "m c"]
    ) -> tuple[Float[Tensor, "m _"], ...]:
        place = positions if self.embedding is None else self.embedding(positions)
        pre = self.of_node(place)
        if self.of_value is not None:
            pre = pre + self.of_value(values)
        return (pre, values) if self.multiply else (pre,)

    def integrate(
        self,
        x: tuple[Streams, ...],
        z: tuple[Streams, ...],
        weight: Streams,
        prepared: tuple[Tensor, ...],
        edges: Edges,
    ) -> Streams:
        first = self.of_offset(jet.cat(z)) + prepared[0].index_select(0, edges.node)
        if self.embedding is not None and self.of_query is not None:
            first = first + from_queries(self.of_query(self.embedding(jet.cat(x))), edges)
        kernel = apply(self.rest, self.activation(first))
        if self.multiply:
            kernel = kernel * prepared[1].index_select(0, edges.node)
        return to_queries(kernel * weight, edges)


def exponents(dim: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Exponents of the monomials up to `degree`, by degree."""
    rows = (b for b in itertools.product(range(degree + 1), repeat=dim) if sum(b) <= degree)
    return tuple(sorted(rows, key=lambda b: (sum(b), b)))


def monomials(z: tuple[Streams, ...], degree: int) -> Streams:
    """All monomials of the offsets up to `degree`. Shapes: (e, P)."""
    known = {(0,) * len(z): jet.ones_like(z[0])}
    for b in exponents(len(z), degree)[1:]:
        k = next(i for i, m in enumerate(b) if m)
        rest = tuple(m - (i == k) for i, m in enumerate(b))
        known[b] = known[rest] * z[k] if any(rest) else z[k]
    return jet.cat(tuple(known.values()))


@KERNELS.register("polynomial")
class PolynomialKernel(nn.Module):
    """kappa(x, y) v = sum_b ((x - y) / r)^b A_b h(v(y)): monomials up to `degree`, matrices A_b, h
    the values or a hidden layer of them.

    Evaluated as moments m_b(x) = sum_j w ((x - y_j) / r)^b h_j, then sum_b A_b m_b: edges carry no
    parameters, and a derivative in x costs one more row of a small matrix product. "linear" takes h
    = v, "nonlinear_kernel_only" one hidden layer. Shapes: values (m, in_channels) -> prepared ((m,
    c),); integrate -> (queries, out_channels).
    """

    padded = True

    def __init__(
        self,
        dim: int,
        in_channels: int,
        out_channels: int,
        transform: Transform = "linear",
        hidden: int = 64,
        degree: int = 3,
        activation: str = "gelu",
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        if transform not in ("linear", "nonlinear_kernel_only"):
            raise ValueError(
                "the polynomial kernel is 'linear' or 'nonlinear_kernel_only' in the values, not"
                f" {transform!r}"
            )
        generator = seeded(generator)
        self.degree = degree
        self.terms = len(exponents(dim, degree))
        nonlinear = transform != "linear"
        self.inner = (
            nn.Sequential(Linear(in_channels, hidden, generator=generator), Activation(activation))
            if nonlinear
            else nn.Identity()
        )
        channels = hidden if nonlinear else in_channels
        self.outer = Linear(
            self.terms * channels,
            out_channels,
            bias=False,
            gain=math.sqrt(self.terms),
            generator=generator,
        )

    def prepare(
        self, positions: Float[Tensor, "m d"], values: Float[Tensor, "m c"]
    ) -> tuple[Float[Tensor, "m _"], ...]:
        return (self.inner(values),)

    def integrate(
        self,
        x: tuple[Streams, ...],
        z: tuple[Streams, ...],
        weight: Streams,
        prepared: tuple[Tensor, ...],
        edges: Edges,
    ) -> Streams:
        basis = monomials(z, self.degree) * weight
        if (
            isinstance(basis, Tensor)
            and edges.mask is None
            and not _differentiated(basis, *prepared)
        ):
            # autocast makes one of them narrower, which products of matrices mend by themselves
            return self.outer(_summed(basis, prepared[0].to(basis.dtype), edges))
        values = prepared[0].index_select(0, edges.node)
        return jet.unstack(self.outer(_moments(jet.stack(basis), values, edges)), basis)


def _differentiated(*tensors: Tensor) -> bool:
    """Whether a graph is kept, or one of the tensors has a tangent, which torch follows without a
    graph too."""
    return torch.is_grad_enabled() or any(unpack_dual(t).tangent is not None for t in tensors)


def _summed(rows: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """The moments of `_moments` without a copy of the values for every edge, and without a graph.
    Shapes: rows (e, p), values (nodes, c) -> (queries, p c)."""
    values = values.contiguous()  # a slow path takes others
    parts = [
        embedding_bag(edges.node, values, edges.splits[:-1], mode="sum", per_sample_weights=row)
        for row in rows.T.contiguous()
    ]
    return torch.cat(parts, -1)


def _moments(rows: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """sum over the edges of rows times values. Shapes: rows (e, s, p), values (e, c) ->
    (queries, s, p c)."""
    streams, terms = rows.shape[1:]
    if edges.width is None:
        products = (rows[..., None] * values[:, None, None]).flatten(1)
        return jet.segment_sum(products, edges.query, edges.queries).unflatten(1, (streams, -1))
    rows = rows.flatten(1).unflatten(0, (edges.queries, edges.width))
    moments = rows.mT @ values.unflatten(0, (edges.queries, edges.width))
    return moments.reshape(edges.queries, streams, -1)
