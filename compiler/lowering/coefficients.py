"""Values of the coefficients of an expression graph: params, trainables, inputs, coordinates and
normals."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import sympy as sp
import torch
from torch import Tensor

from compiler.derivatives import DERIVATIVES, Request
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.terms import JetVariable, Term
from compiler.matching import need_alike
from pdespec.coordinates import Normal
from pdespec.errors import fail
from pdespec.statements.problem import Problem
from pdespec.symbols import Scalar


def graph_of(terms: Sequence[Term]) -> ResidualGraph:
    """The expressions of some terms, one after the other, as a graph."""
    sources = [
        Source(t.label, t.span.line if t.span else None) for t in terms for _ in t.expressions
    ]
    return ResidualGraph([e for t in terms for e in t.expressions], sources)


def entry(value: Tensor, symbol: Scalar) -> Tensor:
    """The entry of a trainable that a symbol stands for. Shapes: "" or "k" -> "1 1"."""
    return value.reshape(-1)[symbol.index].reshape(1, 1)


class Coefficients(Protocol):
    """What the graphs of a group read in addition to the jet variables of the field."""

    @property
    def points(self) -> Tensor:
        """Where the graphs are evaluated. Shapes: "b n D"."""
        ...

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Tensor]:
        """What the symbols stand for there. Shapes: each broadcasts to "b n"."""
        ...


class KnownValues:
    """Everything a graph reads that is not an unknown: coordinates, normals, parameters, inputs
    and their derivatives."""

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
        return KnownValues(
            self.problem, self.trainables, points, self.normals, self.params, self.evaluate
        )

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Tensor]:
        found: dict[sp.Symbol, Tensor] = {}
        for symbol in symbols:
            if isinstance(symbol, Normal):
                if self.normals is None:
                    raise fail("B01", f"`{symbol}` is needed, but these points carry no normals")
                found[symbol] = self.normals[
                    ..., [f"n.{c}" for c in self.problem.coordinates].index(symbol.name)
                ]
            elif isinstance(symbol, Scalar):
                found[symbol] = self.scalar(symbol)
            elif symbol in self.problem.variables:
                found[symbol] = self.points[..., self.problem.variables.index(symbol)]
        inputs = [s for s in symbols if isinstance(s, JetVariable) and s.known]
        for declaration in self.problem.inputs.values():
            own = [s for s in inputs if s.component in declaration.components]
            if own:
                found |= self.input(declaration, own)
        return found

    def input(self, declaration, jets: list[JetVariable]) -> dict[sp.Symbol, Tensor]:
        """An input and the derivatives the residuals take of it, by nested autograd of its
        callable (B03 where there is none)."""
        position = {c: k for k, c in enumerate(declaration.components)}
        spatial = len(self.problem.coordinates)

        def function(x: Tensor) -> Tensor:
            values = self.evaluate(
                declaration.name, x if declaration.time is not None else x[..., :spatial]
            )
            expected = (*x.shape[:-1], len(position))
            if tuple(values.shape) != expected:
                raise fail(
                    "B01",
                    f"input `{declaration.name}` has shape {tuple(values.shape)}, the residual"
                    f" needs {expected}",
                    hint="nothing ever broadcasts silently",
                )
            need_alike(values, x, declaration.name)
            return values

        wanted: dict[int, frozenset] = {}
        for s in jets:
            wanted[position[s.component]] = wanted.get(position[s.component], frozenset()) | {
                s.index
            }
        try:
            answers = DERIVATIVES["autograd"]().evaluate(function, self.points, Request(wanted))
        except KeyError as missing:
            known = ", ".join(self.problem.inputs)
            raise fail(
                "B03",
                f"input `{declaration.name}` was not given; the problem has {known}",
                hint=f'pass inputs={{"{declaration.name}": ...}}',
            ) from missing
        return {s: answers[position[s.component], s.index] for s in jets}

    def scalar(self, symbol: Scalar) -> Tensor:
        """A parameter as "b 1"; entry i of a sized parameter is its column i."""
        name = symbol.declaration.name
        if name in self.trainables:
            return entry(self.trainables[name], symbol).to(self.points)
        if name not in self.params:
            raise fail(
                "B03", f"parameter `{name}` was not given", hint=f'pass params={{"{name}": ...}}'
            )
        value = self.params[name]
        if symbol.declaration.size:
            value = value.reshape(-1, symbol.declaration.size)[
                :, list(symbol.declaration.symbol).index(symbol)
            ]
        return value.to(self.points.dtype).reshape(-1, 1)

    def number(self, expression: sp.Expr) -> Tensor | float:
        """A prescribed value that may hold parameters, as a number or "b"."""
        if expression.is_number:
            return float(expression)
        graph = ResidualGraph([expression], [Source("target")])
        return graph({s: self.scalar(s) for s in graph.symbols}, self.points[:, :1, 0])[0].squeeze(
            -1
        )
