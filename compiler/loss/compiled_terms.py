"""A group of terms as a program: its graph, what the graph reads beside the field, and one number for each term."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import sympy as sp
import torch
from torch import Tensor

from compiler.derivatives import DERIVATIVES, Request
from compiler.geometry.domain import Geometry
from compiler.loss.barrier import Guard
from compiler.loss.error_estimate import mean_square_error
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.plan import Group
from compiler.lowering.terms import Stream, Term
from compiler.matching import need_alike
from pdespec.errors import fail
from pdespec.statements.problem import Problem
from pdespec.symbols import Normal, Scalar


class PointSetLike(Protocol):
    """Collocation points of one region: points "b n D", outward normals "b n d" on boundaries, measure of the region "b", and weights
    "b n" of mean one where the points are not uniform."""

    points: Tensor
    normals: Tensor | None
    measure: Tensor
    weights: Tensor | None


class BatchLike(Protocol):
    """What a loss reads of a batch."""

    params: Mapping[str, Tensor]
    points: Mapping[str, PointSetLike]

    @property
    def geometry(self) -> Mapping[str, Geometry]: ...

    def evaluate(self, name: str, points: Tensor) -> Tensor: ...


class Program:
    """One group of terms: the graph of those that are evaluated as they stand, and guarded densities by their place in the group."""

    def __init__(self, group: Group):
        self.group = group
        self.sides = Program(group.sides) if group.sides is not None else None
        self.requirements = tuple(t for t in group.terms if t.kind == "requirement")
        self.guards = {t.label: Guard(t) for t in group.terms if t.guards}
        self.plain = tuple(t for t in group.terms if not t.guards)
        self.streams = tuple(dict.fromkeys(s for t in group.terms for s in t.streams() if not s.known))
        self.graph = _graph(self.plain)
        self.symbols = tuple(dict.fromkeys((*self.graph.symbols, *(s for guard in self.guards.values() for s in guard.symbols))))

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

    def run(self, streams: Mapping[sp.Symbol, Tensor], known: Surroundings) -> dict[int, Tensor]:
        """Values of all expressions "b n", densities continued where a requirement is violated (see `compiler.loss.barrier`)."""
        like, given = known.points[..., 0].detach(), known.values(self.symbols)
        plain = iter(self.graph(streams | given, like))
        values: list[Tensor] = []
        for term in self.group.terms:
            guard = self.guards.get(term.label)
            values += [next(plain) for _ in term.expressions] if guard is None else guard(streams, given, like)
        return dict(enumerate(values))

    def reduce(
        self, values: Mapping[int, Tensor], points: PointSetLike, known: KnownValues, violations: dict[str, Tensor], batch: BatchLike
    ) -> dict[str, Tensor]:
        """One scalar per term."""
        result = {}
        for term in self.group.terms:
            parts = [values[k] for k in self.outputs(term)]
            result[term.label] = sum(self.value(term, part, points, known, batch) for part in parts)
            if term.kind == "requirement":
                violations[term.label] = torch.stack([average((~(p > 0)).to(p.dtype), points) for p in parts]).amax(0).detach()
        return result

    def value(self, term: Term, part: Tensor, points: PointSetLike, known: KnownValues, batch: BatchLike) -> Tensor:
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
            return mean_square_error(part, points.points, depth, points.measure).mean()
        return average(torch.relu(-part).square() if term.kind == "requirement" else part.square(), points).mean()


def average(part: Tensor, points: PointSetLike) -> Tensor:
    """The mean over a region. Shapes: "b n" -> "b"."""
    return (part if points.weights is None else points.weights * part).mean(-1)


def entry(value: Tensor, symbol: Scalar) -> Tensor:
    """The entry of a trainable that a symbol stands for. Shapes: "" or "k" -> "1 1"."""
    return value.reshape(-1)[symbol.index].reshape(1, 1)


def _graph(terms: tuple[Term, ...]) -> ResidualGraph:
    sources = [Source(t.label, t.span.line if t.span else None) for t in terms for _ in t.expressions]
    return ResidualGraph([e for t in terms for e in t.expressions], sources)


class Surroundings(Protocol):
    """What the graphs of a group read beside the streams of the field."""

    @property
    def points(self) -> Tensor: ...

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Tensor]: ...


class KnownValues:
    """Everything a graph reads that is not an unknown: coordinates, normals, parameters, inputs and their derivatives."""

    def __init__(
        self,
        problem: Problem,
        trainables: Mapping[str, Tensor],
        points: Tensor,
        normals: Tensor | None,
        params: Mapping[str, Tensor],
        evaluate: Callable[[str, Tensor], Tensor],
    ):
        self.problem, self.trainables = problem, trainables
        self.points, self.normals, self.params, self.evaluate = points, normals, params, evaluate

    def moved(self, shift: Tensor) -> KnownValues:
        """The same at points moved in space, normals kept. Shapes: shift "b n d"."""
        space = self.points[..., : shift.shape[-1]] + shift
        points = torch.cat([space, self.points[..., shift.shape[-1] :]], -1)
        return KnownValues(self.problem, self.trainables, points, self.normals, self.params, self.evaluate)

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Tensor]:
        found: dict[sp.Symbol, Tensor] = {}
        for symbol in symbols:
            if isinstance(symbol, Normal):
                if self.normals is None:
                    raise fail("B01", f"`{symbol}` is needed, but these points carry no normals")
                found[symbol] = self.normals[..., [f"n.{c}" for c in self.problem.coordinates].index(symbol.name)]
            elif isinstance(symbol, Scalar):
                found[symbol] = self.scalar(symbol)
            elif symbol in self.problem.variables:
                found[symbol] = self.points[..., self.problem.variables.index(symbol)]
        inputs = [s for s in symbols if isinstance(s, Stream) and s.known]
        for declaration in self.problem.inputs.values():
            own = [s for s in inputs if s.component in declaration.components]
            if own:
                found |= self.input(declaration, own)
        return found

    def input(self, declaration, streams: list[Stream]) -> dict[sp.Symbol, Tensor]:
        """An input and the derivatives the residuals take of it, by nested autograd of its callable (B03 where there is none)."""
        position = {c: k for k, c in enumerate(declaration.components)}
        spatial = len(self.problem.coordinates)

        def function(x: Tensor) -> Tensor:
            values = self.evaluate(declaration.name, x if declaration.time is not None else x[..., :spatial])
            expected = (*x.shape[:-1], len(position))
            if tuple(values.shape) != expected:
                raise fail(
                    "B01",
                    f"input `{declaration.name}` has shape {tuple(values.shape)}, the residual needs {expected}",
                    hint="nothing ever broadcasts silently",
                )
            need_alike(values, x, declaration.name)
            return values

        wanted: dict[int, frozenset] = {}
        for s in streams:
            wanted[position[s.component]] = wanted.get(position[s.component], frozenset()) | {s.index}
        try:
            answers = DERIVATIVES["autograd"]().evaluate(function, self.points, Request(wanted))
        except KeyError as missing:
            known = ", ".join(self.problem.inputs)
            raise fail(
                "B03",
                f"input `{declaration.name}` was not given; the problem has {known}",
                hint=f'pass inputs={{"{declaration.name}": ...}}',
            ) from missing
        return {s: answers[position[s.component], s.index] for s in streams}

    def scalar(self, symbol: Scalar) -> Tensor:
        """A parameter as "b 1"; entry i of a sized parameter is its column i."""
        name = symbol.declaration.name
        if name in self.trainables:
            return entry(self.trainables[name], symbol).to(self.points)
        if name not in self.params:
            raise fail("B03", f"parameter `{name}` was not given", hint=f'pass params={{"{name}": ...}}')
        value = self.params[name]
        if symbol.declaration.size:
            value = value.reshape(-1, symbol.declaration.size)[:, list(symbol.declaration.symbol).index(symbol)]
        return value.to(self.points.dtype).reshape(-1, 1)

    def number(self, expression: sp.Expr) -> Tensor | float:
        """A prescribed value that may hold parameters, as a number or "b"."""
        if expression.is_number:
            return float(expression)
        graph = ResidualGraph([expression], [Source("target")])
        return graph({s: self.scalar(s) for s in graph.symbols}, self.points[:, :1, 0])[0].squeeze(-1)
