"""The step of one block, residual and gradient: run as it is, or captured as one compiled graph."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor
from torch.func import functional_call

from compiler.loss.blocks.block import Block, Columns
from compiler.loss.blocks.capture import capture
from compiler.loss.blocks.dependencies import leaves
from operators.graph.neighbors import Edges

Step = Callable[["Inputs"], "Outputs"]


@dataclass(frozen=True)
class Inputs:
    """All that the step of a block takes; without weights, it gives values alone.

    `tensors`: parameters and buffers by name. Differentiated are those that require a gradient, and
    `latent`.
    """

    tensors: Mapping[str, Tensor]
    latent: tuple[Tensor, ...]
    columns: Columns
    edges: Edges | None
    weights: Float[Tensor, " m"] | None

    @property
    def leaves(self) -> tuple[Tensor, ...]:
        """The parameters that are differentiated."""
        return tuple(t for t in self.tensors.values() if t.requires_grad)

    @property
    def flat(self) -> list[Tensor]:
        """Every tensor, in a fixed order."""
        edges = (
            ()
            if self.edges is None
            else (self.edges.query, self.edges.node, self.edges.splits, self.edges.mask)
        )
        found = (*self.tensors.values(), *self.latent, *self.columns.values(), *edges, self.weights)
        return [t.detach() for t in found if t is not None]

    def filled(self, flat: Sequence[Tensor]) -> Inputs:
        """The same with other tensors, in the order of `flat`."""
        rest = iter(flat)
        tensors = {
            name: next(rest).requires_grad_(before.requires_grad)
            for name, before in self.tensors.items()
        }
        latent = tuple(next(rest) for _ in self.latent)
        columns = {name: next(rest) for name in self.columns}
        edges = self.edges
        if edges is not None:
            edges = replace(
                edges,
                query=next(rest),
                node=next(rest),
                splits=next(rest),
                mask=None if edges.mask is None else next(rest),
            )
        return Inputs(tensors, latent, columns, edges, None if self.weights is None else next(rest))

    @property
    def signature(self) -> tuple:
        """All but the numbers in the tensors: what a captured graph is made for."""
        device = self.columns["points"].device.type
        autocast = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        edges = (
            None
            if self.edges is None
            else (self.edges.queries, self.edges.nodes, self.edges.width, self.edges.mask is None)
        )
        shapes = tuple((tuple(t.shape), t.stride(), t.dtype, t.device) for t in self.flat)
        trained = tuple((name, t.requires_grad) for name, t in self.tensors.items())
        return (
            shapes,
            trained,
            len(self.latent),
            tuple(self.columns),
            edges,
            self.weights is None,
            autocast,
        )


@dataclass(frozen=True)
class Outputs:
    """`sums` "m" and `violated` "r b" of `Block.sums`; `coupled` the values "b n" of coupled terms,
    where there are no weights; `gradients` of the leaves, then of the latent tensors, None for one
    that has none.
    """

    sums: Float[Tensor, " m"]
    violated: Float[Tensor, "r b"]
    coupled: tuple[Float[Tensor, "b n"], ...] = ()
    gradients: tuple[Tensor | None, ...] = ()

    @property
    def flat(self) -> tuple[Tensor, ...]:
        """Every tensor."""
        return (
            self.sums,
            self.violated,
            *self.coupled,
            *(g for g in self.gradients if g is not None),
        )


class UntrackedParameter(Exception):
    """A block depends on a parameter that the parts of its field do not hold."""


def run(block: Block, inputs: Inputs, watch: bool = False) -> Outputs:
    """The step as it is; `inputs.tensors` are those that the block's modules hold.

    With `watch`, raises UntrackedParameter where the terms depend on another parameter.
    """
    with torch.set_grad_enabled(inputs.weights is not None):
        latent = tuple(v.detach().requires_grad_() for v in inputs.latent)
        values = block.values(None, latent, inputs.columns, inputs.edges)
        sums, violated = block.sums(values, inputs.columns)
        if inputs.weights is None:
            return Outputs(
                sums.detach(), violated, tuple(values[k].detach() for k in block.coupled)
            )
        wanted, total = (*inputs.leaves, *latent), (inputs.weights * sums).sum()
        gradients = (
            torch.autograd.grad(total, wanted, allow_unused=True)
            if total.requires_grad and wanted
            else (None,) * len(wanted)
        )
    if watch:
        known = set(map(id, wanted))
        for each in depends_on(total, inputs.columns["points"]):
            if id(each) not in known:
                raise UntrackedParameter(
                    f"a parameter of shape {tuple(each.shape)} is in none of the field's modules"
                )
    return Outputs(sums.detach(), violated, (), gradients)


def depends_on(
    result: Float[Tensor, "*_"], points: Float[Tensor, "b n D"]
) -> list[Float[Tensor, "*_"]]:
    """The leaves of a result's graph; not the points at which nested autograd differentiates,
    unless a gradient in them is wanted."""
    own = points.untyped_storage().data_ptr()
    return [
        leaf
        for leaf in leaves(result)
        if points.requires_grad or leaf.untyped_storage().data_ptr() != own
    ]


def captured(block: Block, inputs: Inputs, backend: str, graphs: bool) -> Step:
    """The step for inputs of this signature as one compiled graph. Raises: CaptureError,
    UntrackedParameter."""
    expected = run(block, inputs, watch=True)
    used = [gradient is not None for gradient in expected.gradients]
    alone = inputs.weights is None

    def step(*flat: Tensor) -> tuple[Tensor, ...]:
        given = inputs.filled([t.detach() for t in flat])
        return functional_call(
            block.modules, dict(given.tensors), (lambda: run(block, given).flat,)
        )

    compiled = capture(step, inputs.flat, expected.flat, backend, graphs)

    def outputs(inputs: Inputs) -> Outputs:
        sums, violated, *rest = compiled(*inputs.flat)
        if alone:
            return Outputs(sums, violated, tuple(rest))
        found = iter(rest)
        return Outputs(sums, violated, (), tuple(next(found) if each else None for each in used))

    return outputs


# ---- static shapes: what is added at the end of a batch counts for nothing


def padded_columns(
    columns: Columns, samples: int, queries: int
) -> dict[str, Float[Tensor, "{samples} {queries} ..."]]:
    """Columns of "samples queries". What is added repeats the first rows, with shares of zero."""
    return {
        name: _padded(column, samples, queries, name.startswith("share"))
        for name, column in columns.items()
    }


def padded_latent(
    latent: Sequence[Float[Tensor, "b ..."]], samples: int
) -> tuple[Float[Tensor, "{samples} ..."], ...]:
    """Latent functions "b .." of fewer samples, the first repeated up to `samples`."""
    return tuple(_dense(_repeated(v, 0, samples)) for v in latent)


def _padded(column: Tensor, samples: int, queries: int, zero: bool) -> Tensor:
    if not zero:
        return _dense(_repeated(_repeated(column, 0, samples), 1, queries))
    out = column.new_zeros(samples, queries, *column.shape[2:])
    out[: column.shape[0], : column.shape[1]] = column
    return out


def _dense(values: Tensor) -> Tensor:
    """Contiguous, with the strides that follow from the shape on axes of length one too."""
    return values.contiguous().view(-1).view(values.shape)


def _repeated(values: Tensor, axis: int, size: int) -> Tensor:
    missing = size - values.shape[axis]
    if not missing:
        return values
    shape = [missing if k == axis else -1 for k in range(values.dim())]
    return torch.cat([values, values.narrow(axis, 0, 1).expand(shape)], axis)


def padded_edges(inputs: Inputs, edge_capacity: int) -> Inputs:
    """Edges to a static number, unless their rows are of one length already."""
    edges = inputs.edges
    if edges is None or edges.width is not None:
        return inputs
    return replace(inputs, edges=edges.filled(edge_capacity))
