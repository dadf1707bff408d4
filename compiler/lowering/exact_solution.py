"""A function known by its expressions, as a field with derivatives that no approximation enters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import sympy as sp
import torch
from torch import Tensor

from compiler.derivatives import MultiIndex
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.terms import values
from operators.field import Capabilities
from pdespec.errors import fail, suggestion
from pdespec.jumps import slope
from pdespec.statements.problem import Problem
from pdespec.symbols import Scalar


@dataclass(frozen=True)
class ExactSolution:
    """One expression a component in the problem's coordinates, time and params.

    `params` holds the values "b" of the params that occur.
    """

    variables: tuple[sp.Symbol, ...]
    expressions: tuple[sp.Expr, ...]
    params: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities(pointwise=True)

    def __call__(self, points: Tensor) -> Tensor:
        """Shapes: points "b n D" -> "b n c"."""
        return torch.stack(
            [self._evaluate(expression, points) for expression in self.expressions], -1
        )

    def derivative(self, points: Tensor, component: int, index: MultiIndex) -> Tensor:
        """`d^index` of a component, differentiated as an expression. Shapes: points "b n D" ->
        "b n"."""
        expression = self.expressions[component]
        for variable, count in zip(self.variables, index, strict=True):
            for _ in range(count):
                expression = slope(expression, variable)
        return self._evaluate(expression, points)

    def _evaluate(self, expression: sp.Expr, points: Tensor) -> Tensor:
        graph = ResidualGraph([expression], [Source("closed form")])
        values = {s: self._value(s, points) for s in graph.symbols}
        return graph(values, points[..., 0])[0]

    def _value(self, symbol: sp.Symbol, points: Tensor) -> Tensor:
        if symbol in self.variables:
            return points[..., self.variables.index(symbol)]
        return self.params[symbol.name].to(points).reshape(-1, 1)


def exact_solution(
    problem: Problem, expressions: Mapping[str, object], params: Mapping[str, Tensor] | None = None
) -> ExactSolution:
    """The field of a function given by expressions: `exact_solution(problem, {"u": sp.sin(x)})`, or
    of `problem.references`.

    Raises: ProblemError S01 for a name that is not an unknown, B03 for a component left out or a
    symbol that is neither a coordinate nor a given param."""
    params = dict(params or {})
    found: dict[str, sp.Expr] = {}
    for name, given in expressions.items():
        if name in problem.unknowns:
            components = problem.unknowns[name].components
            entries = list(given) if isinstance(given, (sp.MatrixBase, list, tuple)) else [given]
            found |= dict(zip(components, map(sp.sympify, entries), strict=True))
        elif name in problem.components:
            found[name] = sp.sympify(given)
        else:
            raise fail(
                "S01",
                f"`{name}` is not an unknown of `{problem.name}`",
                hint=suggestion(name, [*problem.unknowns, *problem.components]),
            )
    for name in problem.components:
        if name not in found:
            raise fail(
                "B03",
                f"the closed form gives no `{name}`",
                hint=f"give all of {', '.join(problem.components)}",
            )
    variables = tuple(problem.variables)
    found = {name: values(problem, expression) for name, expression in found.items()}
    for name, expression in found.items():
        for symbol in expression.free_symbols - set(variables):
            if not isinstance(symbol, Scalar) or symbol.name not in params:
                raise fail(
                    "B03",
                    f"the closed form of `{name}` holds `{symbol}`, which has no value",
                    hint="give it in params",
                )
    return ExactSolution(variables, tuple(found[name] for name in problem.components), params)
