"""Radius search: which nodes lie in the ball around each query. Returns indices only; distances are
recomputed from coordinates.

Every backend proposes a superset of pairs and one shared comparison keeps those with |(x - y) /
r|^2 < 1, so that all backends agree bit for bit.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.spatial import KDTree
from torch import Tensor

from operators.graph.grid import Lattice, per_axis
from operators.registry import Registry

SLACK = 1e-5  # relative enlargement of the ball while proposing: 80 roundings of float32


@dataclass(frozen=True)
class Edges:
    """Pairs (query, node), sorted by query, then node. Indices run over the flattened batch: sample
    * count + index in the sample.

    Shapes: query (e,), node (e,), splits (queries + 1,): edges of query i are splits[i] .. splits[i
    + 1]. `width`: all rows have this many edges; `mask` (e,) then tells real edges from padding.
    """

    query: Int[Tensor, " e"]
    node: Int[Tensor, " e"]
    splits: Int[Tensor, " rows"]
    queries: int | torch.SymInt  # the latter while a program is traced
    nodes: int
    width: int | None = None
    mask: Bool[Tensor, " e"] | None = None

    def __repr__(self) -> str:
        return f"<Edges: {len(self.query)} from {self.queries} queries to {self.nodes} nodes>"

    def __len__(self) -> int:
        return self.query.shape[0]

    @property
    def counts(self) -> Int[Tensor, " queries"]:
        """Number of neighbours of every query. Shapes: (queries,)."""
        real = torch.ones_like(self.query) if self.mask is None else self.mask.long()
        return torch.zeros_like(self.splits[1:]).index_add(0, self.query, real)

    def transpose(self) -> Edges:
        """The same pairs seen from the nodes; masked ones keep their order, and no row has a given
        length."""
        if self.mask is not None:
            return Edges(
                self.node, self.query, self.splits, self.nodes, self.queries, mask=self.mask
            )
        order = torch.argsort(self.node, stable=True)
        return _edges(self.node[order], self.query[order], self.nodes, self.queries)

    def padded(self, width: int | None = None) -> Edges:
        """Rows of equal length (the longest row by default), for dense sums and static shapes.
        Raises: ValueError on a longer row."""
        longest = int(self.counts.max()) if self.queries else 0
        width = longest if width is None else width
        if longest > width:
            raise ValueError(
                f"a query has {longest} neighbours, more than the {width} asked for; no edge may be"
                " dropped, raise the width"
            )
        slot = (
            self.query * width
            + torch.arange(len(self), device=self.query.device)
            - self.splits[self.query]
        )
        node = self.node.new_zeros(self.queries * width).scatter(0, slot, self.node)
        mask = torch.zeros(
            self.queries * width, dtype=torch.bool, device=self.query.device
        ).scatter(0, slot, True)
        rows = torch.arange(self.queries, device=self.query.device)
        splits = torch.arange(self.queries + 1, device=self.query.device) * width
        return replace(
            self,
            query=rows.repeat_interleave(width),
            node=node,
            splits=splits,
            width=width,
            mask=mask,
        )

    def filled(self, count: int) -> Edges:
        """Masked edges appended up to `count`, for static shapes where rows differ much. Raises:
        ValueError where there are more."""
        extra = count - len(self)
        if extra < 0:
            raise ValueError(
                f"there are {len(self)} edges, more than {count}; no edge may be dropped, raise the"
                " count"
            )
        if self.width is not None:
            raise ValueError("padded rows have their static shape already")
        query = torch.cat([self.query, self.query.new_full((extra,), self.queries - 1)])
        splits = torch.cat([self.splits[:-1], self.splits.new_full((1,), count)])
        mask = torch.arange(count, device=query.device) < len(self)
        return replace(
            self,
            query=query,
            node=torch.cat([self.node, self.node.new_zeros(extra)]),
            splits=splits,
            mask=mask,
        )


class NeighborSearch(Protocol):
    """search(queries (b, n, d), nodes (b, m, d) or Lattice, radius: one number or one per axis,
    period) -> Edges."""

    def __call__(
        self,
        queries: Tensor,
        nodes: Tensor | Lattice,
        radius: float | Sequence[float],
        period: Sequence[float] | None = None,
    ) -> Edges: ...


NEIGHBORS: Registry[NeighborSearch] = Registry("neighbour search")
"""Neighbour searches by name: `NEIGHBORS["cells"](queries, nodes, radius)` gives `Edges`."""


def wrap(difference: Float[Tensor, "*s"], period: float) -> Float[Tensor, "*s"]:
    """A difference of coordinates to the nearest image; an infinite period leaves it."""
    return (
        difference
        if math.isinf(period)
        else difference - period * torch.round(difference.detach() / period)
    )


def _squared(x: Tensor, y: Tensor, radius: Sequence[float], period: Sequence[float]) -> Tensor:
    """|(x - y) / r|^2, subtracted first, which keeps digits far from the origin, and summed axis
    by axis: all backends round alike."""
    s = torch.zeros_like(x[..., 0])
    for k, (r, length) in enumerate(zip(radius, period, strict=True)):
        s = s + (wrap(x[..., k] - y[..., k], length) / r) ** 2
    return s


def _edges(query: Tensor, node: Tensor, queries: int, nodes: int) -> Edges:
    """Edges from pairs already sorted by query."""
    splits = torch.searchsorted(query, torch.arange(queries + 1, device=query.device))
    return Edges(query, node, splits, queries, nodes)


def _keep(
    x: Tensor,
    y: Tensor,
    query: Tensor,
    node: Tensor,
    radius: Sequence[float],
    period: Sequence[float],
) -> Edges:
    """Sorted edges among proposed pairs. Shapes: x (b n, d), y (b m, d), query and node (e,)."""
    inside = _squared(x[query], y[node], radius, period) < 1
    query, node = query[inside], node[inside]
    order = torch.argsort(query * len(y) + node)
    return _edges(query[order], node[order], len(x), len(y))


def _prepare(
    queries: Tensor,
    nodes: Tensor | Lattice,
    radius: float | Sequence[float],
    period: Sequence[float] | None,
):
    """Checked, detached inputs; a lattice becomes its points."""
    queries = queries.detach()
    if isinstance(nodes, Lattice):
        period = period or nodes.period
        nodes = nodes.points(queries.dtype, queries.device).expand(len(queries), -1, -1)
    nodes = nodes.detach()
    if (
        queries.dim() != 3
        or nodes.dim() != 3
        or queries.shape[0] != nodes.shape[0]
        or queries.shape[2] != nodes.shape[2]
    ):
        raise ValueError(
            "queries (b, n, d) and nodes (b, m, d) must agree in b and d, got"
            f" {tuple(queries.shape)} and {tuple(nodes.shape)}"
        )
    dim = queries.shape[2]
    return queries, nodes, per_axis(radius, dim, "radius"), tuple(period or (math.inf,) * dim)


# ---- lattice


@functools.lru_cache(maxsize=32)
def lattice_width(lattice: Lattice, radius: tuple[float, ...]) -> int:
    """Upper bound of the number of nodes in any ball: counted for a fine grid of centres, the
    ball grown by half that grid's diagonal."""
    ratio = [r / h for r, h in zip(radius, lattice.spacing, strict=True)]
    fine = {1: 256, 2: 48, 3: 12}.get(lattice.dim, 6)
    slack = 0.5 * math.sqrt(sum((1 / (fine * q)) ** 2 for q in ratio))
    offset = [np.arange(-math.floor(q + 1), math.floor(q + 1) + 2) for q in ratio]
    centres = np.stack(
        np.meshgrid(*[(np.arange(fine) + 0.5) / fine] * lattice.dim, indexing="ij"), -1
    ).reshape(-1, 1, lattice.dim)
    nodes = np.stack(np.meshgrid(*offset, indexing="ij"), -1).reshape(1, -1, lattice.dim)
    return int(
        max(
            ((((c - nodes) / ratio) ** 2).sum(-1) <= (1 + slack) ** 2).sum(-1).max()
            for c in np.array_split(centres, len(centres) // 64 + 1)
        )
    )


@NEIGHBORS.register("lattice")
def lattice(
    queries: Tensor,
    nodes: Tensor | Lattice,
    radius: float | Sequence[float],
    period: Sequence[float] | None = None,
) -> Edges:
    """Neighbours on a regular grid by arithmetic: no search, no tree. Raises: TypeError where
    the nodes are not a Lattice."""
    if not isinstance(nodes, Lattice):
        raise TypeError(
            "the 'lattice' neighbour search needs a Lattice; for scattered nodes use 'kdtree' or"
            " 'cells'"
        )
    x = queries.detach()
    if x.dim() != 3 or x.shape[2] != nodes.dim:
        raise ValueError(
            f"queries must have shape (b, n, {nodes.dim}) on this lattice, got {tuple(x.shape)}"
        )
    batch, count = x.shape[:2]
    flat = x.reshape(batch * count, nodes.dim)
    s, number = _reached(flat, nodes, radius)
    found = (s < 1).reshape(-1).nonzero()[:, 0]
    query = found // (number[0].numel() if len(flat) else 1)
    node = number.reshape(-1)[found]
    if batch > 1:
        node = node + query // count * nodes.size
    if any(nodes.periodic):  # wrapped indices are out of order within their row
        order = torch.argsort(query * (batch * nodes.size) + node)
        query, node = query[order], node[order]
    return _edges(query, node, batch * count, batch * nodes.size)


def window(queries: Tensor, nodes: Lattice, radius: float | Sequence[float]) -> Edges:
    """The pairs of "lattice" in rows of one length: every node of the smallest box of the lattice
    that holds any ball, with a mask for those outside of this query's ball. No shape depends on
    where the queries are, as programs of fixed shapes need it; there are some 1.5 times as many
    edges in a plane, 2.5 times in space."""
    batch, count = queries.shape[:2]
    flat = queries.detach().reshape(batch * count, nodes.dim)
    s, number = _reached(flat, nodes, radius)
    width = math.prod(s.shape[1:])
    rows = torch.arange(batch * count, device=flat.device)
    node = number.reshape(batch * count, width) + (rows // count * nodes.size)[:, None]
    return Edges(
        rows[:, None].expand(-1, width).reshape(-1),
        node.reshape(-1),
        torch.arange(batch * count + 1, device=flat.device) * width,
        batch * count,
        batch * nodes.size,
        width,
        (s < 1).reshape(-1),
    )


def _reached(
    flat: Tensor, nodes: Lattice, radius: float | Sequence[float]
) -> tuple[Tensor, Tensor]:
    """|(x - y) / r|^2 to the nodes of a box around each point, infinite beyond the ends of an axis,
    and their numbers. Shapes: (n, d) -> (n, w_1, .., w_d) both."""
    squares, numbers = [], []
    axes = zip(nodes.spacing, per_axis(radius, nodes.dim, "radius"), nodes.shape, strict=True)
    for k, (h, r, n) in enumerate(axes):
        # of the node's own coordinate
        rounding = torch.finfo(flat.dtype).eps * max(abs(nodes.lower[k]), abs(nodes.upper[k]))
        # in float64: index arithmetic must not round
        coordinate = (flat[:, k].double() - nodes.lower[k]) / h
        reach = (r * (1 + SLACK) + rounding) / h
        index = torch.ceil(coordinate - reach).long()[:, None] + torch.arange(
            math.floor(2 * reach) + 1, device=flat.device
        )
        axis = nodes.axis(k, flat.dtype, flat.device)
        if nodes.periodic[k]:
            here, valid = index % n, None
        else:
            here = index.clamp(0, n - 1)
            valid = here == index
        square = (wrap(flat[:, k, None] - axis[here], nodes.period[k]) / r) ** 2
        squares.append(square if valid is None else torch.where(valid, square, math.inf))
        numbers.append(here)
    s, number = squares[0], numbers[0]
    for k in range(1, nodes.dim):
        ahead = (flat.shape[0], *[1] * k, -1)
        s = s[..., None] + squares[k].reshape(ahead)
        number = number[..., None] * nodes.shape[k] + numbers[k].reshape(ahead)
    return s, number


# ---- scattered nodes


@NEIGHBORS.register("kdtree")
def kdtree(
    queries: Tensor,
    nodes: Tensor | Lattice,
    radius: float | Sequence[float],
    period: Sequence[float] | None = None,
) -> Edges:
    """SciPy's k-d tree on the CPU, one pair of trees per sample, in float64."""
    queries, nodes, radius, period = _prepare(queries, nodes, radius, period)
    scale = np.array(radius)
    box = np.where(np.isinf(period), 0.0, np.array(period) / scale)  # zero stands for an open axis
    pairs = []
    for sample, (x, y) in enumerate(
        zip(
            queries.double().cpu().numpy() / scale,
            nodes.double().cpu().numpy() / scale,
            strict=True,
        )
    ):
        for k in np.flatnonzero(box):  # the periodic tree wants coordinates in [0, length)
            for p in (x, y):
                p[:, k] %= box[k]
                p[p[:, k] >= box[k], k] = 0.0
        found = KDTree(x, boxsize=box).sparse_distance_matrix(
            KDTree(y, boxsize=box), 1 + SLACK, output_type="ndarray"
        )
        pairs.append((found["i"] + sample * len(x), found["j"] + sample * len(y)))
    query, node = (
        torch.from_numpy(np.concatenate(p)).to(queries.device) for p in zip(*pairs, strict=True)
    )
    return _keep(queries.flatten(0, 1), nodes.flatten(0, 1), query, node, radius, period)


@NEIGHBORS.register("cells")
def cells(
    queries: Tensor,
    nodes: Tensor | Lattice,
    radius: float | Sequence[float],
    period: Sequence[float] | None = None,
) -> Edges:
    """Cell list in plain torch, CPU and CUDA, the whole batch at once.

    Space is cut into cells as wide as the ball's radius; nodes are sorted by cell, so the three
    neighbouring cells along the last axis are one contiguous range and a query reads 3^(d-1)
    ranges.
    """
    queries, nodes, radius, period = _prepare(queries, nodes, radius, period)
    batch, count, dim = queries.shape
    device = queries.device
    size = torch.tensor(radius, dtype=torch.float64, device=device) * (1 + SLACK)
    low = torch.minimum(queries.double().amin((0, 1)), nodes.double().amin((0, 1)))
    images = itertools.product(*[(0.0,) if math.isinf(p) else (-p, 0.0, p) for p in period])
    shift = torch.tensor(list(images), dtype=torch.float64, device=device)
    x = queries.double().reshape(-1, dim)
    y = (nodes.double().reshape(-1, 1, dim) + shift).reshape(-1, dim)
    owner = torch.arange(batch * nodes.shape[1], device=device).repeat_interleave(len(shift))
    low = torch.minimum(low, y.amin(0))
    cell_x, cell_y = ((p - low).div(size).floor().long() + 1 for p in (x, y))
    # one ghost cell on either side: ranges never wrap into the next row
    extent = torch.maximum(cell_x.amax(0), cell_y.amax(0)) + 2

    def key(cell: Tensor, sample: Tensor) -> Tensor:
        for k in range(dim):
            sample = sample * extent[k] + cell[..., k]
        return sample

    keys = key(cell_y, owner // nodes.shape[1])
    keys, order = torch.sort(keys)
    ranges = torch.tensor(list(itertools.product(*[(-1, 0, 1)] * (dim - 1), (0,))), device=device)
    sample = torch.arange(batch, device=device).repeat_interleave(count)
    middle = key(cell_x[:, None] + ranges, sample[:, None])
    start, stop = (
        torch.searchsorted(keys, middle - 1),
        torch.searchsorted(keys, middle + 1, right=True),
    )
    length = (stop - start).reshape(-1)
    row = torch.repeat_interleave(length)
    position = (
        start.reshape(-1)[row]
        + torch.arange(len(row), device=device)
        - (length.cumsum(0) - length)[row]
    )
    return _keep(
        queries.flatten(0, 1),
        nodes.flatten(0, 1),
        row // len(ranges),
        owner[order[position]],
        radius,
        period,
    )


@NEIGHBORS.register("torch_cluster")
def torch_cluster(
    queries: Tensor,
    nodes: Tensor | Lattice,
    radius: float | Sequence[float],
    period: Sequence[float] | None = None,
) -> Edges:
    """The optional torch_cluster package. Never capped (its default of 32 drops edges with a
    directional bias), batches sorted.

    Raises: ImportError where the package is missing; ValueError on a periodic axis, which it does
    not know.
    """
    try:
        from torch_cluster import radius as search  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise ImportError(
            "the neighbour search 'torch_cluster' needs the package torch-cluster (extra"
            " [neighbors]); 'kdtree' and 'cells' need nothing"
        ) from error
    queries, nodes, radius, period = _prepare(queries, nodes, radius, period)
    if not all(math.isinf(p) for p in period):
        raise ValueError("torch_cluster knows no periodic axes; use 'lattice', 'kdtree' or 'cells'")
    scale = torch.tensor(radius, dtype=torch.float64, device=queries.device)
    middle = nodes.double().mean((0, 1))
    x, y = (((p.double() - middle) / scale).flatten(0, 1) for p in (queries, nodes))
    sample_x, sample_y = (
        torch.arange(len(p), device=p.device).repeat_interleave(p.shape[1])
        for p in (queries, nodes)
    )
    query, node = search(y, x, 1 + SLACK, sample_y, sample_x, max_num_neighbors=nodes.shape[1])
    return _keep(queries.flatten(0, 1), nodes.flatten(0, 1), query, node, radius, period)
