"""Graph neural operator layer: an integral over the nodes in a ball, as a function of the query.

    G(v)(x) = sum_j q_j w(|x - y_j|^2 / r^2) kappa(x, y_j[, v_j]) [v_j]

With a weight w that vanishes at the cutoff (mollified) G(v) is as smooth in x as w and kappa are, although the sum runs over a
neighbour list. Without one (vanilla) it jumps whenever a node enters the ball.
Source: Li et al. 2023 (GINO, arXiv 2309.00583); Lin et al. (mGNO, arXiv 2504.08277), equation 6.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import Literal, Protocol, get_args

import torch
from torch import Tensor, nn

from operators import jet
from operators.jet import Jet
from operators.lattice import per_axis
from operators.mlp import MLP, Activation, Linear, Sinusoidal, Streams, seeded
from operators.neighbors import Edges, displacement
from operators.registry import Registry
from operators.weights import WEIGHTS, Weight, unit_ball

Transform = Literal["linear", "nonlinear", "linear_kernel_only", "nonlinear_kernel_only"]
Reduction = Literal["integral", "sum", "mean", "shepard"]


@functools.lru_cache(maxsize=64)
def _constant(values: tuple[float, ...], dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):
        return torch.tensor(values, dtype=dtype, device=device)


def constant(values: tuple[float, ...], like: Tensor) -> Tensor:
    """A row of numbers in the dtype and on the device of `like`, made once."""
    return _constant(values, like.dtype, like.device)


# ---- queries to edges and back


def from_queries(x: Streams, edges: Edges) -> Streams:
    """Query rows at their edges. Shapes: (queries, c) -> (e, c)."""
    if isinstance(x, Jet):
        return x.map(lambda v: v if v.shape[0] == 1 else from_queries(v, edges))
    if edges.width is None:
        return x.index_select(0, edges.query)
    return x[:, None].expand(-1, edges.width, -1).flatten(0, 1)  # its backward is a sum, not a scatter


def to_queries(x: Streams, edges: Edges) -> Streams:
    """Sum over the edges of every query. Shapes: (e, c) -> (queries, c)."""
    if isinstance(x, Jet):
        return x.dense().map(lambda v: to_queries(v, edges))
    if edges.width is None:
        return jet.segment_sum(x, edges.query, edges.queries)
    return x.unflatten(0, (edges.queries, edges.width)).sum(1)


Query = Tensor | tuple[Jet, ...]  # points (n, d), or each coordinate as a jet (n, 1)
Offsets = tuple[Streams, ...]  # (x_k - y_k) / r_k on every edge, one (e, 1) per axis


def offsets(x: Query, nodes: Tensor, edges: Edges, radius: Sequence[float], period: Sequence[float] | None) -> Offsets:
    """(x - y) / radius on every edge, subtracted before it is scaled."""
    y = nodes.index_select(0, edges.node).split(1, -1)
    out: list[Streams] = []
    for k, column in enumerate(x.split(1, -1) if isinstance(x, Tensor) else x):
        here, length = from_queries(column, edges), None if period is None else period[k : k + 1]
        moved = displacement(jet.value(here), y[k], length)
        out.append(
            (Jet(here.space, {**here.lower, here.space.zero: moved}, here.operators) if isinstance(here, Jet) else moved) * (1 / radius[k])
        )
    return tuple(out)


def squared_norm(z: Offsets) -> Streams:
    return sum((c * c for c in z[1:]), z[0] * z[0])


# ---- kernels


class Kernel(Protocol):
    """`prepare` works on nodes once per input; `integrate` on edges, where the queries are. `padded`: rows of equal length serve it best."""

    padded: bool

    def prepare(self, positions: Tensor, values: Tensor) -> tuple[Tensor, ...]: ...

    def integrate(self, x: Streams, z: Offsets, weight: Streams, prepared: tuple[Tensor, ...], edges: Edges) -> Streams: ...


KERNELS: Registry[type] = Registry("kernel")


@KERNELS.register("mlp")
class MLPKernel(nn.Module):
    """kappa(x, y[, v]) = MLP((x - y) / r, y[, v]), with the first layer split: what belongs to nodes is computed on nodes.

    The offset enters by itself, which keeps its digits far from the origin; x is then redundant unless it is embedded.
    Transforms: linear kappa(x, y) v; nonlinear kappa(x, y, v) v; linear_kernel_only kappa(x, y); nonlinear_kernel_only kappa(x, y, v).
    Shapes: positions (m, d), values (m, in_channels) -> prepared ((m, hidden)[, values]); integrate -> (queries, out_channels).
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
                f"the {transform!r} transform multiplies {in_channels} input channels by as many kernel channels, out_channels is {out_channels}; "
                f"use '{transform}_kernel_only' or equal channels"
            )
        self.embedding = Sinusoidal(dim, embedding) if embedding else None
        place = self.embedding.size if self.embedding else dim
        inputs = dim + place * (2 if self.embedding else 1) + (in_channels if transform.startswith("nonlinear") else 0)
        gain = math.sqrt(1 / inputs)
        self.of_offset = Linear(dim, hidden[0], bias=False, gain=3 * gain * math.sqrt(dim), generator=generator)
        self.of_node = Linear(place, hidden[0], gain=gain * math.sqrt(place), generator=generator)
        self.of_query = Linear(place, hidden[0], bias=False, gain=gain * math.sqrt(place), generator=generator) if self.embedding else None
        wide = gain * math.sqrt(in_channels)
        self.of_value = Linear(in_channels, hidden[0], False, wide, generator) if transform.startswith("nonlinear") else None
        self.activation = Activation(activation)
        self.rest = MLP((*hidden, out_channels), activation, generator)

    def prepare(self, positions: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        place = positions if self.embedding is None else self.embedding(positions)
        pre = self.of_node(place)
        if self.of_value is not None:
            pre = pre + self.of_value(values)
        return (pre, values) if self.multiply else (pre,)

    def integrate(self, x: Streams, z: Offsets, weight: Streams, prepared: tuple[Tensor, ...], edges: Edges) -> Streams:
        first = self.of_offset(jet.cat(z)) + prepared[0].index_select(0, edges.node)
        if self.of_query is not None:
            first = first + from_queries(self.of_query(self.embedding(x)), edges)
        kernel = self.rest(self.activation(first))
        if self.multiply:
            kernel = kernel * prepared[1].index_select(0, edges.node)
        return to_queries(kernel * weight, edges)


def exponents(dim: int, degree: int) -> tuple[tuple[int, ...], ...]:
    """Exponents of the monomials up to `degree`, by degree."""
    rows = (b for b in itertools.product(range(degree + 1), repeat=dim) if sum(b) <= degree)
    return tuple(sorted(rows, key=lambda b: (sum(b), b)))


def monomials(z: Offsets, degree: int) -> Streams:
    """All monomials of the offsets up to `degree`. Shapes: (e, P)."""
    known: dict[tuple[int, ...], Streams] = {(0,) * len(z): torch.ones_like(jet.value(z[0]))}
    for b in exponents(len(z), degree)[1:]:
        k = next(i for i, m in enumerate(b) if m)
        rest = tuple(m - (i == k) for i, m in enumerate(b))
        known[b] = known[rest] * z[k] if any(rest) else z[k]
    return jet.cat(tuple(known.values()))


@KERNELS.register("polynomial")
class PolynomialKernel(nn.Module):
    """kappa(x, y) v = sum_b ((x - y) / r)^b A_b h(v(y)), monomials of degree <= `degree`, A_b matrices, h the values or a hidden layer of
    them.

    Evaluated as moments m_b(x) = sum_j w ((x - y_j) / r)^b h_j, then sum_b A_b m_b: edges carry no parameters, and a derivative in x costs
    one more row of a small matrix product. "linear" takes h = v, "nonlinear_kernel_only" one hidden layer.
    Shapes: values (m, in_channels) -> prepared ((m, c),); integrate -> (queries, out_channels).
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
            raise ValueError(f"the polynomial kernel is 'linear' or 'nonlinear_kernel_only' in the values, not {transform!r}")
        generator = seeded(generator)
        self.degree = degree
        self.terms = len(exponents(dim, degree))
        nonlinear = transform != "linear"
        self.inner = nn.Sequential(Linear(in_channels, hidden, generator=generator), Activation(activation)) if nonlinear else nn.Identity()
        channels = hidden if nonlinear else in_channels
        self.outer = Linear(self.terms * channels, out_channels, bias=False, gain=math.sqrt(self.terms), generator=generator)

    def prepare(self, positions: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        return (self.inner(values),)

    def integrate(self, x: Streams, z: Offsets, weight: Streams, prepared: tuple[Tensor, ...], edges: Edges) -> Streams:
        basis = monomials(z, self.degree) * weight
        values = prepared[0].index_select(0, edges.node)
        if not isinstance(basis, Jet):
            return self.outer(_moments(basis[:, None], values, edges)[:, 0])
        streams = dict(basis.dense().items())
        rows = self.outer(_moments(torch.stack(list(streams.values()), 1), values, edges)).unbind(1)
        found = dict(zip(streams, rows, strict=True))
        return Jet(basis.space, {a: found[a] for a in basis.lower}, {n: found[n] for n in basis.operators})


def _moments(rows: Tensor, values: Tensor, edges: Edges) -> Tensor:
    """sum over the edges of rows times values. Shapes: rows (e, s, p), values (e, c) -> (queries, s, p c)."""
    streams, terms = rows.shape[1:]
    if edges.width is None:
        products = (rows[..., None] * values[:, None, None]).flatten(1)
        return jet.segment_sum(products, edges.query, edges.queries).unflatten(1, (streams, -1))
    rows = rows.flatten(1).unflatten(0, (edges.queries, edges.width))
    moments = rows.mT @ values.unflatten(0, (edges.queries, edges.width))
    return moments.reshape(edges.queries, streams, -1)


# ---- the layer


class GNO(nn.Module):
    """G(v)(x) = sum_j q_j w(|x - y_j|^2 / r^2) kappa v over the nodes with |x - y_j| < r.

    `weight`: name of a weight function, or None for the vanilla layer. `reduction`, with mu_j the measure of node j:
    "integral": q = mu / (mass(w) r^d), converges under refinement of the nodes to the w-average of kappa v;
    "sum": q = 1; "mean": q = 1 / number of neighbours (jumps with it); "shepard": q = mu / sum_j w mu, exact for constants on any points.
    Units: radius in lengths, one number or one per axis (the ball is then an ellipsoid); `box` scales positions for the kernel to [-1, 1].
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        dim: int,
        radius: float | Sequence[float],
        weight: str | Weight | None = "half_cos",
        kernel: str = "mlp",
        transform: Transform = "linear",
        reduction: Reduction = "integral",
        box: tuple[Sequence[float], Sequence[float]] | None = None,
        period: Sequence[float] | None = None,
        generator: torch.Generator | None = None,
        **kernel_options: object,
    ) -> None:
        super().__init__()
        for name, value, known in (("transform", transform, get_args(Transform)), ("reduction", reduction, get_args(Reduction))):
            if value not in known:
                raise ValueError(f"no {name} {value!r}; known: {', '.join(known)}")
        self.dim, self.reduction = dim, reduction
        self.radius = per_axis(radius, dim, "radius")
        self.period = None if period is None else tuple(period)
        self.weight = WEIGHTS[weight] if isinstance(weight, str) else weight
        lower, upper = box if box is not None else ((-1.0,) * dim, (1.0,) * dim)
        self.centre = tuple(0.5 * (a + b) for a, b in zip(lower, upper, strict=True))
        self.half = tuple(0.5 * (b - a) for a, b in zip(lower, upper, strict=True))
        self.kernel: Kernel = KERNELS[kernel](dim, in_channels, out_channels, transform, generator=seeded(generator), **kernel_options)

    @property
    def smoothness(self) -> float:
        """The k of C^k of the output as a function of the query; -1 where it jumps."""
        return -1 if self.weight is None or self.reduction == "mean" else self.weight.smoothness

    @property
    def mass(self) -> float:
        """Integral of w over the ball: lengths to the power d."""
        unit = unit_ball(self.dim) if self.weight is None else self.weight.mass(self.dim)
        return unit * math.prod(self.radius)

    def _positions(self, points: Streams) -> Streams:
        """Coordinates with the box scaled to [-1, 1]."""
        return (points + -constant(self.centre, jet.value(points))) * (1 / constant(self.half, jet.value(points)))

    def prepare(self, nodes: Tensor, values: Tensor) -> tuple[Tensor, ...]:
        """What can be computed on nodes. Shapes: nodes (m, d), values (m, in_channels)."""
        return self.kernel.prepare(self._positions(nodes), values)

    def integrate(
        self, queries: Query, nodes: Tensor, prepared: tuple[Tensor, ...], edges: Edges, measure: Tensor | float | None = None
    ) -> Streams:
        """G(v) at the queries. Shapes: queries (n, d) or d jets of (n, 1), nodes (m, d), measure (m,) or one number for all -> (n,
        out_channels).

        Raises: ValueError where "integral" is asked for without a measure.
        """
        z = offsets(queries, nodes, edges, self.radius, self.period)
        weight = self.edge_weights(z, edges, measure)
        x = queries if isinstance(queries, Tensor) else jet.cat(queries)
        out = self.kernel.integrate(self._positions(x), z, weight, prepared, edges)
        if self.reduction == "integral":
            if measure is None:
                raise ValueError("the 'integral' reduction needs the measure of the nodes; give it, or use 'shepard'")
            return out * ((1.0 if isinstance(measure, Tensor) else measure) / self.mass)
        if self.reduction == "mean":
            return out * (1 / edges.counts.clamp(min=1)).to(nodes.dtype)[:, None]
        if self.reduction == "shepard":
            total = to_queries(weight, edges)
            return out / (total + (jet.value(total) == 0).to(nodes.dtype))  # a query without neighbours keeps the value zero
        return out

    def edge_weights(self, z: Offsets, edges: Edges, measure: Tensor | float | None = None) -> Streams:
        """w times the measure, zero on padding. Shapes: (e, 1)."""
        weight = jet.value(z[0]).new_ones(len(edges), 1) if self.weight is None else jet.compose(self.weight, squared_norm(z))
        if edges.mask is not None:
            weight = weight * edges.mask[:, None].to(jet.value(z[0]).dtype)
        if isinstance(measure, Tensor) and self.reduction in ("integral", "shepard"):
            weight = weight * measure.index_select(0, edges.node)[:, None]
        return weight

    def forward(self, queries: Query, nodes: Tensor, values: Tensor, edges: Edges, measure: Tensor | float | None = None) -> Streams:
        """Shapes: queries (n, d), nodes (m, d), values (m, in_channels) -> (n, out_channels)."""
        return self.integrate(queries, nodes, self.prepare(nodes, values), edges, measure)
