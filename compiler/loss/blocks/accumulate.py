"""Sums of the values and gradients of one group of terms over all its blocks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from compiler.loss.blocks.block import (
    COUPLED,
    Block,
    Columns,
    Parts,
    cut,
    tile,
)
from compiler.loss.blocks.step import (
    Inputs,
    Outputs,
    Step,
    UntrackedParameter,
    depends_on,
    padded_columns,
    padded_edges,
    padded_latent,
    run,
)
from compiler.loss.compiled_terms import BatchLike, CompiledTerms
from compiler.loss.physics import FieldLike, PhysicsLoss
from compiler.lowering.terms import Term

PREFETCH_BLOCKS = 16  # blocks for which known functions and the ansatz are computed at once

Place = tuple[slice, slice]  # samples and queries of a tile


class Engine(Protocol):
    """How blocks are computed."""

    loss: PhysicsLoss
    block: int
    capturing: bool

    def step(self, block: Block, inputs: Inputs) -> Step | None:
        """The step of a block of these shapes as one compiled program; None where it is to be
        computed operation by operation."""
        ...

    def edge_capacity(self, block: Block, inputs: Inputs) -> int:
        """A fixed number of edges that holds those of this block, for programs of fixed shapes."""
        ...

    def note(self, program: CompiledTerms, how: str, loudly: bool) -> None:
        """Remembers how a group is computed; `loudly` logs it where that is new."""
        ...


@dataclass(frozen=True)
class GroupResult:
    """What the blocks of a group add up to.

    `leaves`: all that the values depend on, where a gradient may be asked. `gradients`: of the
    weighted sum of the values, for each leaf, None where it has none; None altogether where there
    were no weights. Shapes: values "m", violations "b" by label.
    """

    values: Tensor
    violations: Mapping[str, Tensor]
    leaves: tuple[Tensor, ...]
    gradients: tuple[Tensor | None, ...] | None


@dataclass(frozen=True)
class CoupledTerm:
    """A term that couples its points: its value, its slope in each value of its expressions "b
    n", and in all else it depends on."""

    position: int
    value: Tensor
    slopes: Mapping[int, Tensor]
    direct: Sequence[tuple[Tensor, Tensor]]


class Accumulator:
    """What has been added up so far, gradients by leaf."""

    def __init__(self, block: Block, points: Tensor) -> None:
        samples, queries = points.shape[:2]
        self.sums = points.new_zeros(len(block.program.group.terms))
        self.violated = points.new_zeros(
            sum(len(t.expressions) for t in block.program.requirements), samples
        )
        self.coupled = {k: points.new_zeros(samples, queries) for k in block.coupled}
        self.leaves: dict[int, Tensor] = {}
        self.gradients: dict[int, Tensor] = {}

    def know(self, leaves: Iterable[Float[Tensor, "*_"]]) -> None:
        """Adds leaves whose gradients are wanted."""
        self.leaves |= {id(leaf): leaf for leaf in leaves if leaf.requires_grad}

    def put(self, outputs: Outputs, place: Place) -> None:
        """The values of a block. What was padded comes last and is left out."""
        samples, queries = place
        count, length = samples.stop - samples.start, queries.stop - queries.start
        self.sums += outputs.sums.detach()
        self.violated[:, samples] += outputs.violated[:, :count]
        # none in a pass for gradients
        for whole, part in zip(self.coupled.values(), outputs.coupled, strict=False):
            whole[samples, queries] = part[:count, :length].detach()

    def add(
        self,
        leaf: Float[Tensor, "*_"],
        gradient: Float[Tensor, "*_"] | None,
        samples: slice | None = None,
    ) -> None:
        """The gradient in a leaf, or in some samples of a latent tensor."""
        if gradient is None or not leaf.requires_grad:
            return
        if id(leaf) not in self.gradients:
            self.gradients[id(leaf)] = torch.zeros_like(leaf)
        if samples is None:
            self.gradients[id(leaf)] += gradient
        else:
            self.gradients[id(leaf)][samples] += gradient[: samples.stop - samples.start]


class Accumulation:
    """Values and gradients of one group of terms for a field and a batch. Called with weights,
    it gives both; without, values alone."""

    def __init__(
        self, engine: Engine, program: CompiledTerms, field: FieldLike, batch: BatchLike
    ) -> None:
        self.engine, self.field, self.batch = engine, field, batch
        self.block = Block(engine.loss, program, Parts.of(field, engine.loss, program, batch))
        self.points = batch.points[program.group.points]
        self.differentiable = torch.is_grad_enabled()
        device = self.points.points.device.type
        self.autocast = device, torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)

    def __call__(self, weights: Sequence[float] | Tensor | None) -> GroupResult:
        device, dtype, enabled = self.autocast
        with torch.autocast(device, dtype, enabled=enabled):
            try:
                return self._found(weights)
            except UntrackedParameter as stray:
                self.block = replace(self.block, parts=Parts.whole(self.field, str(stray)))
                return self._found(weights)

    def _found(self, weights: Sequence[float] | Tensor | None) -> GroupResult:
        x, block = self.points.points, self.block
        ready = (
            None if weights is None else torch.as_tensor(weights, dtype=x.dtype, device=x.device)
        )
        coupled = [term for term in block.program.group.terms if term.kind in COUPLED]
        tally = self._pass(None if coupled else ready, {})
        couplings = [self._couple(term, tally) for term in coupled]
        if couplings and ready is not None:
            tally = self._pass(
                ready, {k: slope for each in couplings for k, slope in each.slopes.items()}
            )
        for each in couplings:
            tally.sums[each.position] = each.value
            tally.know(leaf for leaf, _ in each.direct)
            for leaf, slope in each.direct if ready is not None else ():
                tally.add(leaf, ready[each.position] * slope)
        leaves = tuple(tally.leaves.values()) if self.differentiable else ()
        gradients = (
            None if ready is None else tuple(tally.gradients.get(id(leaf)) for leaf in leaves)
        )
        return GroupResult(tally.sums, self._violations(tally), leaves, gradients)

    def _couple(self, term: Term, tally: Accumulator) -> CoupledTerm:
        """A term that couples its points, from the values of its expressions."""
        program = self.block.program
        known = self.engine.loss.known(self.batch, self.points.points, self.points.normals)
        with torch.enable_grad():
            parts = {k: tally.coupled[k].requires_grad_() for k in program.outputs(term)}
            value = torch.stack(
                [
                    program.value(term, part, self.points, known, self.batch)
                    for part in parts.values()
                ]
            ).sum()
            inner = set(map(id, parts.values()))
            direct = [
                leaf for leaf in depends_on(value, self.points.points) if id(leaf) not in inner
            ]
            slopes = torch.autograd.grad(value, [*parts.values(), *direct])
        own = dict(zip(parts, slopes, strict=False))
        return CoupledTerm(
            program.group.terms.index(term),
            value.detach(),
            own,
            tuple(zip(direct, slopes[len(parts) :], strict=True)),
        )

    def _violations(self, tally: Accumulator) -> dict[str, Tensor]:
        """By requirement, the fraction of points where one of its expressions is violated most."""
        rows = iter(tally.violated * len(self.points.points))
        return {
            term.label: torch.stack([next(rows) for _ in term.expressions]).amax(0)
            for term in self.block.program.requirements
        }

    def _pass(self, weights: Tensor | None, slopes: Mapping[int, Tensor]) -> Accumulator:
        """All blocks once. `slopes`: those of the coupled terms, once they are known."""
        x, block = self.points.points, self.block
        tally = Accumulator(block, x)
        if not block.parts.reason:
            tally.know((*block.tensors.values(), *block.parts.latent))
        size = tile(x.shape[0], x.shape[1], self.engine.block, block.parts.separable)
        ahead = size[1] * max(1, PREFETCH_BLOCKS * size[0] // x.shape[0])
        for chunk in cut(x.shape[1], ahead):
            columns = block.columns(self.batch, chunk, slopes)
            for within in cut(chunk.stop - chunk.start, size[1]):
                for samples in cut(x.shape[0], size[0]):
                    part = {name: column[samples, within] for name, column in columns.items()}
                    place = samples, slice(chunk.start + within.start, chunk.start + within.stop)
                    if block.parts.reason:
                        self._whole(part, place, weights, tally)
                    else:
                        self._apart(part, place, size, weights, tally)
        return tally

    def _whole(
        self, columns: Columns, place: Place, weights: Tensor | None, tally: Accumulator
    ) -> None:
        """A block of a field as it is: what it depends on is found in its graph, which other
        blocks may share."""
        block = self.block
        self.engine.note(
            block.program, f"in blocks, {block.parts.reason}", loudly=self.engine.capturing
        )
        with torch.set_grad_enabled(self.differentiable):
            values = block.values(self.batch, (), columns, None)
            sums, violated = block.sums(values, columns)
            tally.put(
                Outputs(
                    sums,
                    violated,
                    tuple(values[k] for k in block.coupled) if weights is None else (),
                ),
                place,
            )
            leaves = depends_on(sums, columns["points"])
            tally.know(leaves)
            if weights is not None and leaves:
                gradients = torch.autograd.grad((weights * sums).sum(), leaves, retain_graph=True)
                for leaf, gradient in zip(leaves, gradients, strict=True):
                    tally.add(leaf, gradient)

    def _apart(
        self,
        columns: Columns,
        place: Place,
        size: tuple[int, int],
        weights: Tensor | None,
        tally: Accumulator,
    ) -> None:
        """A block as a function of tensors, captured where that is wanted and possible."""
        block, engine, (samples, _) = self.block, self.engine, place
        latent = tuple(v[samples] for v in block.parts.latent)
        if engine.capturing:
            columns, latent = padded_columns(columns, *size), padded_latent(latent, size[0])
        inputs = Inputs(block.tensors, latent, columns, block.neighbours(latent, columns), weights)
        step = None
        if engine.capturing:
            inputs = padded_edges(inputs, engine.edge_capacity(block, inputs))
            step = engine.step(block, inputs)
        else:
            engine.note(block.program, "in blocks", loudly=False)
        outputs = (
            step(inputs) if step is not None else run(block, inputs, watch=place[1].start == 0)
        )
        tally.put(outputs, place)
        if weights is not None:
            leaves = inputs.leaves
            for leaf, gradient in zip(leaves, outputs.gradients, strict=False):
                tally.add(leaf, gradient)
            for leaf, gradient in zip(
                block.parts.latent, outputs.gradients[len(leaves) :], strict=True
            ):
                tally.add(leaf, gradient, samples)
