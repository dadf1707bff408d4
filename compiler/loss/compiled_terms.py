"""Compiled terms of one group of points: expression graph, coefficients, and the reduction to
one number a term."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from compiler.geometry.domain import Geometry
from compiler.loss.barrier import ExtrapolatedBarrier
from compiler.loss.causality import causal_weights
from compiler.loss.error_estimate import mean_square_error
from compiler.lowering.coefficients import Coefficients, KnownValues, graph_of
from compiler.lowering.plan import Group
from compiler.lowering.terms import Term


class PointSetLike(Protocol):
    """Collocation points of one region: points "b n D", outward normals "b n d" on boundaries,
    measure of the region "b", and weights "b n" of mean one where the points are not uniform.
    """

    points: Tensor
    normals: Tensor | None
    measure: Tensor
    weights: Tensor | None


class BatchLike(Protocol):
    """What a loss reads of a batch."""

    params: Mapping[str, Tensor]
    points: Mapping[str, PointSetLike]

    @property
    def geometry(self) -> Mapping[str, Geometry]:
        """The domains of the samples, by name."""
        ...

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        """An input's values at points. Shapes: points "b n D" -> "b n c"."""
        ...


class CompiledTerms:
    """One group of terms: the graph of those that are evaluated as they are, and guarded
    densities by their place in the group."""

    def __init__(self, group: Group):
        self.group = group
        self.sides = CompiledTerms(group.sides) if group.sides is not None else None
        self.requirements = tuple(t for t in group.terms if t.kind == "requirement")
        self.guards = {t.label: ExtrapolatedBarrier(t) for t in group.terms if t.guards}
        self.plain = tuple(t for t in group.terms if not t.guards)
        self.jet_variables = tuple(
            dict.fromkeys(s for t in group.terms for s in t.jet_variables() if not s.known)
        )
        self.graph = graph_of(self.plain)
        self.symbols = tuple(
            dict.fromkeys(
                (*self.graph.symbols, *(s for guard in self.guards.values() for s in guard.symbols))
            )
        )

    def __str__(self) -> str:
        parts = ["on both sides:", str(self.sides)] if self.sides is not None else []
        parts += [str(self.graph)] if self.plain else []
        return "\n".join(parts + [str(guard) for guard in self.guards.values()])

    def outputs(self, term: Term) -> range:
        """Positions of a term's expressions among the values `run` returns."""
        start = 0
        for other in self.group.terms:
            if other is term:
                return range(start, start + len(term.expressions))
            start += len(other.expressions)
        raise KeyError(term.label)

    def run(
        self, jets: Mapping[sp.Symbol, Float[Tensor, "b n"]], known: Coefficients
    ) -> dict[int, Float[Tensor, "b n"]]:
        """Values of all expressions "b n", densities continued where a requirement is violated
        (see `compiler.loss.barrier`)."""
        like, given = known.points[..., 0].detach(), known.values(self.symbols)
        plain = iter(self.graph(jets | given, like))
        values: list[Tensor] = []
        for term in self.group.terms:
            guard = self.guards.get(term.label)
            values += (
                [next(plain) for _ in term.expressions]
                if guard is None
                else guard(jets, given, like)
            )
        return dict(enumerate(values))

    def reduce(
        self,
        values: Mapping[int, Float[Tensor, "b n"]],
        points: PointSetLike,
        known: KnownValues,
        violations: dict[str, Float[Tensor, " b"]],
        batch: BatchLike,
        causal: Mapping[str, float],
    ) -> dict[str, Float[Tensor, ""]]:
        """One scalar per term; `causal` are the strengths of causal weights by label (see
        `compiler.loss.causality`)."""
        result = {}
        for term in self.group.terms:
            parts = [values[k] for k in self.outputs(term)]
            if term.kind == "equation" and term.label in causal:
                square = torch.stack([part.square() for part in parts]).sum(0)  # (b, n)
                weights = causal_weights(square, points.points[..., -1], causal[term.label])
                result[term.label] = average(weights * square, points).mean()
                continue
            result[term.label] = sum(self.value(term, part, points, known, batch) for part in parts)
            if term.kind == "requirement":
                violations[term.label] = (
                    torch.stack([average((~(p > 0)).to(p.dtype), points) for p in parts])
                    .amax(0)
                    .detach()
                )
        return result

    def value(
        self,
        term: Term,
        part: Float[Tensor, "b n"],
        points: PointSetLike,
        known: KnownValues,
        batch: BatchLike,
    ) -> Float[Tensor, ""]:
        """What one expression of a term adds to it. Shapes: part "b n" -> ""."""
        if term.kind == "energy":
            return (points.measure * average(part, points)).mean()
        if term.kind == "integral":
            target = known.number(term.target)
            missed = points.measure * average(part, points) - target
            size = torch.as_tensor(
                target, dtype=missed.dtype, device=missed.device
            ).abs()  # a part of what is asked for; where that is zero, of the region
            return (missed / torch.where(size > 0, size, points.measure)).square().mean()
        if term.kind == "error":
            depth = batch.geometry[term.region.name].depth(points.points)
            return mean_square_error(
                part, points.points, depth, points.measure, int(term.target)
            ).mean()
        return average(
            torch.relu(-part).square() if term.kind == "requirement" else part.square(), points
        ).mean()


def average(part: Float[Tensor, "b n"], points: PointSetLike) -> Float[Tensor, " b"]:
    """The mean over a region. Shapes: "b n" -> "b"."""
    return (part if points.weights is None else points.weights * part).mean(-1)
