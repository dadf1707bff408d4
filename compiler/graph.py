"""Scalar expressions over streams -> a torch.fx graph.

One rule per SymPy class turns a node into tensor operations; a class without a rule raises with the name of the term it
came from. Common subexpressions are shared. The graph prints as numbered assignments, each with the source line of its term.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import reduce, singledispatchmethod

import sympy as sp
import torch
from torch import Tensor, fx

UNARY = {
    sp.exp: torch.exp, sp.log: torch.log, sp.sin: torch.sin, sp.cos: torch.cos, sp.tan: torch.tan,
    sp.asin: torch.asin, sp.acos: torch.acos, sp.atan: torch.atan, sp.sinh: torch.sinh, sp.cosh: torch.cosh, sp.tanh: torch.tanh,
    sp.Abs: torch.abs, sp.sign: torch.sign, sp.erf: torch.erf,
}  # fmt: skip
RELATION = {
    sp.StrictGreaterThan: operator.gt, sp.GreaterThan: operator.ge, sp.StrictLessThan: operator.lt, sp.LessThan: operator.le,
}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """Where an output of a graph comes from: the label of its term and the line of the problem's text, if it has one."""

    label: str
    line: int | None = None

    def __str__(self) -> str:
        return self.label if self.line is None else f"{self.label}, line {self.line}"


class ResidualGraph:
    """Tensor function of named symbols; `graph(values, like)` gives one tensor per expression, with the shape and dtype of `like`.

    Shapes: values "b n" (at points) or "b 1" (parameters); `like` and every output "b n".
    """

    def __init__(self, expressions: Sequence[sp.Expr], sources: Sequence[Source]):
        self.symbols = tuple(sorted(set().union(*(e.free_symbols for e in expressions)), key=lambda s: (type(s).__name__, s.name)))
        builder = _Builder(self.symbols)
        shared, reduced = sp.cse(list(expressions), symbols=sp.numbered_symbols("_shared"), order="canonical")
        for symbol, expression in shared:
            builder.nodes[symbol] = builder.emit(expression)
        outputs = []
        for expression, source in zip(reduced, sources, strict=True):
            builder.source = source
            outputs.append(builder.emit(expression))
        builder.graph.output(tuple(outputs))
        self.module = fx.GraphModule({}, builder.graph)

    def __call__(self, values: Mapping[sp.Symbol, Tensor], like: Tensor) -> tuple[Tensor, ...]:
        outputs = self.module(*(values[s] for s in self.symbols))
        return tuple(o.expand_as(like) if isinstance(o, Tensor) else torch.full_like(like, o) for o in outputs)

    def __str__(self) -> str:
        lines = []
        for node in self.module.graph.nodes:
            source = f"  # {node.meta['source']}" if node.meta.get("source") else ""
            if node.op == "placeholder":
                lines.append(f"  {node.name:<14} <- {node.meta['symbol']}")
            elif node.op == "call_function":
                lines.append(f"  {node.name:<14} = {node.target.__name__}({', '.join(map(str, node.args))}){source}")
            else:
                lines.append(f"  return {', '.join(map(str, node.args[0]))}")
        return "\n".join(lines)


class _Builder:
    """Emits one fx graph; `nodes` remembers what has been built."""

    def __init__(self, symbols: Sequence[sp.Symbol]):
        self.graph = fx.Graph()
        self.nodes: dict[sp.Expr, fx.Node | float] = {}
        self.source: Source | None = None
        for symbol in symbols:
            node = self.graph.placeholder(re.sub(r"\W+", "_", symbol.name).strip("_"))
            node.meta["symbol"] = symbol
            self.nodes[symbol] = node

    def emit(self, expression) -> fx.Node | float:
        if expression not in self.nodes:
            self.nodes[expression] = self.rule(expression)
        return self.nodes[expression]

    def call(self, function, *arguments) -> fx.Node | float:
        if not any(isinstance(a, fx.Node) for a in arguments):  # a number that common subexpressions gave a name
            return function(*(torch.tensor(a, dtype=torch.float64) for a in arguments)).item()
        node = self.graph.call_function(function, arguments)
        node.meta["source"] = self.source
        return node

    @singledispatchmethod
    def rule(self, expression) -> fx.Node | float:
        if expression.is_number:  # pi, sqrt(2), cos(1) and the like
            return _number(expression)
        if expression.func in UNARY:
            return self.call(UNARY[expression.func], self.emit(expression.args[0]))
        raise TypeError(f"no tensor rule for {expression.func.__name__} in `{expression}` ({self.source}); add one to compiler/graph.py")

    @rule.register
    def _(self, expression: sp.Number):
        return _number(expression)

    @rule.register
    def _(self, expression: sp.Add):
        return reduce(lambda a, b: self.call(operator.add, a, b), map(self.emit, expression.args))

    @rule.register
    def _(self, expression: sp.Mul):
        if expression.is_number:
            return _number(expression)
        return reduce(lambda a, b: self.call(operator.mul, a, b), map(self.emit, expression.args))

    @rule.register
    def _(self, expression: sp.Pow):
        base, exponent = expression.args
        if expression.is_number:
            return _number(expression)
        if base == sp.E:
            return self.call(torch.exp, self.emit(exponent))
        if exponent == -1:
            return self.call(torch.reciprocal, self.emit(base))
        if exponent == sp.S.Half:
            return self.call(torch.sqrt, self.emit(base))
        if exponent == -sp.S.Half:
            return self.call(torch.rsqrt, self.emit(base))
        if exponent == 2:
            return self.call(torch.square, self.emit(base))
        if exponent.is_number:
            power = int(exponent) if exponent.is_Integer else _number(exponent)
            return self.call(torch.pow, self.emit(base), power)
        return self.call(torch.pow, self.emit(base), self.emit(exponent))

    @rule.register
    def _(self, expression: sp.atan2):
        return self.call(torch.atan2, *map(self.emit, expression.args))

    @rule.register
    def _(self, expression: sp.Max):
        return self._extremum(torch.maximum, torch.clamp_min, expression.args)

    @rule.register
    def _(self, expression: sp.Min):
        return self._extremum(torch.minimum, torch.clamp_max, expression.args)

    def _extremum(self, tensors, number, arguments) -> fx.Node | float:
        emitted = sorted(map(self.emit, arguments), key=lambda a: not isinstance(a, fx.Node))  # clamp takes its tensor first
        return reduce(lambda a, b: self.call(tensors if isinstance(b, fx.Node) else number, a, b), emitted)

    @rule.register
    def _(self, expression: sp.Heaviside):  # the slope of a maximum
        return self.emit((1 + sp.sign(expression.args[0])) / 2)

    @rule.register
    def _(self, expression: sp.Piecewise):
        (value, condition), *rest = expression.args
        if condition is sp.true or not rest:
            return self.emit(value)
        return self.call(torch.where, self.emit(condition), self.emit(value), self.emit(sp.Piecewise(*rest)))

    @rule.register
    def _(self, expression: sp.core.relational.Relational):
        return self.call(RELATION[expression.func], *map(self.emit, expression.args))


def _number(expression: sp.Expr) -> float:
    value = float(expression)
    if not math.isfinite(value):
        raise ValueError(f"`{expression}` is not a finite number")
    return value
