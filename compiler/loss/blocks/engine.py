"""The training step in blocks of queries: loss and gradient in memory that does not grow with the
number of points.

    L = sum_x c(x) phi(r(x; theta, v)),   v = trunk(theta)

Terms are sums over queries, so value and gradient add up over blocks of them, exactly. The latent
tensors v that the decoder reads are cut from the trunk; their gradients are accumulated too, and
one backward through the trunk ends the step. The number of queries in a block trades memory for
time: see `BLOCK`.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from compiler.derivatives import Autograd, Taylor
from compiler.loss.blocks.accumulate import Accumulation, GroupResult
from compiler.loss.blocks.block import Block
from compiler.loss.blocks.capture import CaptureError
from compiler.loss.blocks.step import Inputs, Step, captured
from compiler.loss.compiled_terms import BatchLike, CompiledTerms
from compiler.loss.physics import FieldLike, PhysicsLoss, Terms
from compiler.matching import refuse_other_samples

LOG = logging.getLogger(__name__)

# Queries in a block. Measured with the operator of `demo` on a CPU (benchmarks/blocks.py), against
# all at once, 4 samples of 4096 points: 256 queries take 1.76 of the time, 1024 take 1.06, 4096
# take 0.99, all 16384 in one block 1.27; so do fewer points. Not measured on a GPU.
BLOCK = 4096

# room for edges beyond those of the block a graph is captured on: a share of them, at least this
# number
RESERVE, LEAST_RESERVE = 0.05, 64


class StepEngine:
    """Terms of a loss and their gradient, block by block:

        engine = StepEngine(loss)
        terms = engine(field, batch)
        terms.total.backward()

    Terms and gradients are those of `loss(field, batch)` up to the order of summation. Taken in
    blocks of about `block` queries: every group of terms that `autograd` or `taylor` computes.
    Terms that couple their points (integral requirements, the estimated error) get their values in
    a first pass over the blocks and their gradient in a second one. Groups whose backend itself
    mixes points (differences, Fourier, least squares) are evaluated whole.

    `mode="captured"` compiles the step of a block, residual and gradient, to one graph for every
    shape it meets: tens of seconds once, kept on disk by Inductor. What cannot be captured runs
    eagerly; the reason is logged, and `explain()` tells it. `backend` is the one of
    `torch.compile`. On CUDA, Inductor's graph is replayed as a CUDA graph, which spares the
    launches of its kernels one by one, unless `graphs` is False.
    """

    def __init__(
        self,
        loss: PhysicsLoss,
        block: int = BLOCK,
        mode: Literal["eager", "captured"] = "eager",
        backend: str = "inductor",
        graphs: bool = True,
    ) -> None:
        if block < 1:
            raise ValueError(f"block = {block} must be at least one query")
        if mode not in ("eager", "captured"):
            raise ValueError(f"the engine has the modes eager and captured, not {mode!r}")
        self.outer = loss
        self.loss = loss if loss.local is None else loss.local
        self.block, self.capturing, self.backend, self.graphs = (
            block,
            mode == "captured",
            backend,
            graphs,
        )
        self._steps: dict[tuple, tuple[Step | str, object]] = {}
        self._edge_capacity: dict[tuple, int] = {}
        self._how: dict[str, str] = {}

    def __repr__(self) -> str:
        how = "captured" if self.capturing else "eager"
        return f"<StepEngine of {self.outer!r}; blocks of {self.block} queries, {how}>"

    def __call__(
        self,
        field: FieldLike,
        batch: BatchLike,
        weights: Mapping[str, float] | None = None,
        settled: bool = True,
        scaled: bool = False,
    ) -> Terms:
        """The terms, whose backward hands over what was accumulated here.

        `weights` multiply the terms in `Terms.total`; by default the loss's own. Gradients are
        right for all weights: those of terms that share their points are ready for these weights
        and their multiples, and computed anew in backward for others. Where weights will follow
        from the values, as with adaptive balancing, `settled=False` leaves them to backward and
        computes nothing twice. `scaled` as in the loss.
        """
        weights = self.loss.weights if weights is None else dict(weights)
        refuse_other_samples(self.outer.problem, field, batch)
        field, batch = self.outer.inner(field), self.outer.inner_batch(batch)
        totals: dict[str, Tensor] = {}
        violations: dict[str, Tensor] = {}
        if self.loss.normalised:  # every term waits for an integral over all points
            whole = self.loss(field, batch)
            return self._answer(scaled, self.loss.gathered(whole, whole.violations, weights))
        for program in self.loss.programs(field, batch):
            if not isinstance(program.group.options, (Autograd, Taylor)):
                self.note(program, f"whole, since {program.group.backend} mixes points")
                totals |= self.loss.group_values(program, field, batch, violations)
                continue
            labels = [t.label for t in program.group.terms]
            ready = (
                [float(weights.get(t.name, 1.0)) for t in program.group.terms]
                if len(labels) > 1
                else [1.0]
            )
            accumulate = Accumulation(self, program, field, batch)
            found = accumulate(
                ready if torch.is_grad_enabled() and (settled or len(labels) == 1) else None
            )
            values = (
                _Accumulated.apply(found, accumulate, ready, *found.leaves)
                if found.leaves
                else found.values
            )
            totals |= dict(zip(labels, values.unbind(), strict=True))
            violations |= found.violations
        return self._answer(scaled, self.loss.gathered(totals, violations, weights))

    def _answer(self, scaled: bool, terms: Terms) -> Terms:
        return terms if scaled else self.outer.outer(terms)

    def explain(self) -> str:
        """How every group of terms was computed last."""
        return (
            "\n".join(f"{name}: {how}" for name, how in self._how.items()) or "nothing computed yet"
        )

    def note(self, program: CompiledTerms, how: str, loudly: bool = True) -> None:
        """Remembers how a group is computed, and logs it where that is new and not what was
        asked for."""
        name = ", ".join(t.label for t in program.group.terms)
        if loudly and self._how.get(name) != how:
            LOG.warning("%s: %s", name, how)
        self._how[name] = how

    def step(self, block: Block, inputs: Inputs) -> Step | None:
        """The captured step for these inputs, captured now where they are new; None where that
        fails."""
        kept = block.program, *block.parts.modules.values()
        key = (inputs.signature, *map(id, kept))
        if key not in self._steps:
            try:
                step: Step | str = captured(block, inputs, self.backend, self.graphs)
            except CaptureError as error:
                step = str(error)
            # nothing else can take these ids as long as they are here
            self._steps[key] = step, kept
        found = self._steps[key][0]
        if isinstance(found, str):
            self.note(block.program, f"in blocks, not captured: {found}")
            return None
        self.note(block.program, f"in blocks, captured by {self.backend}", loudly=False)
        return found

    def edge_capacity(self, block: Block, inputs: Inputs) -> int:
        """A static number of edges that holds those of this block."""
        needed, key = len(inputs.edges or ()), (id(block.program), inputs.columns["points"].shape)
        if needed > self._edge_capacity.get(key, 0):
            self._edge_capacity[key] = needed + max(LEAST_RESERVE, round(RESERVE * needed))
        return self._edge_capacity.get(key, 0)


class _Accumulated(torch.autograd.Function):
    """The values "m" of a group of terms, with the gradients that came with them."""

    @staticmethod
    def forward(
        ctx: Any, found: GroupResult, accumulate: Accumulation, ready: list[float], *leaves: Tensor
    ) -> Tensor:
        ctx.found, ctx.accumulate, ctx.ready = found, accumulate, ready
        ctx.versions = [leaf._version for leaf in leaves]
        return found.values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        leaves: tuple[Tensor, ...] = ctx.found.leaves
        gradients, scale = ctx.found.gradients, proportion(slope.tolist(), ctx.ready)
        if gradients is None or scale is None:
            if [leaf._version for leaf in leaves] != ctx.versions:
                raise RuntimeError(
                    "a parameter was changed in place before this backward, which needs its former"
                    " value"
                )
            gradients, scale = ctx.accumulate(slope).gradients, 1.0
        return (None, None, None, *(None if g is None else g * scale for g in gradients))


def proportion(slope: list[float], ready: list[float]) -> float | None:
    """The number that makes `ready` into `slope`, up to rounding; None where there is none."""
    first = max(range(len(ready)), key=lambda k: abs(ready[k]))
    if ready[first] == 0:
        return None if any(slope) else 0.0
    scale = slope[first] / ready[first]
    alike = all(
        abs(s - scale * r) <= 1e-6 * abs(scale * r) for s, r in zip(slope, ready, strict=True)
    )
    return scale if alike else None
