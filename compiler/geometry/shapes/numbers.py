"""The numbers of a shape: SymPy expressions in the params of a problem, as tensors with one
entry per sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

import sympy as sp
import torch
from torch import Tensor

from compiler.lowering.graph import ResidualGraph, Source
from pdespec.errors import fail, nearest
from pdespec.symbols import Scalar

Function = Callable[[Tensor], tuple[Tensor, ...]]


@lru_cache(maxsize=512)
def graph(expressions: tuple[sp.Expr, ...]) -> ResidualGraph:
    """The expressions as one function of tensors, built once."""
    return ResidualGraph(expressions, [Source("geometry")] * len(expressions))


@lru_cache(maxsize=1024)
def constants(expression: sp.Expr) -> sp.Expr:
    """The expression with every `const` replaced by its number."""
    return expression.xreplace(
        {s: s.declaration.value for s in expression.atoms(Scalar) if s.declaration.kind == "const"}
    )


@dataclass(frozen=True)
class Numbers:
    """Values of the params, by name, of `size` samples. Calling it with an expression gives that
    expression's values.

    Shapes: every value "b", or "b k" for a param of size k.
    """

    params: Mapping[str, Tensor]
    size: int
    dtype: torch.dtype
    device: torch.device

    def __call__(self, expression: sp.Expr) -> Tensor:
        """The value of an expression in every sample. Shapes: "b"."""
        expression = constants(expression)
        like = torch.zeros(self.size, 1, dtype=self.dtype, device=self.device)
        compiled = graph((expression,))
        return compiled({symbol: self.value(symbol)[:, None] for symbol in compiled.symbols}, like)[
            0
        ].squeeze(-1)

    def point(self, expressions: Sequence[sp.Expr]) -> Tensor:
        """The values of several expressions. Shapes: "b d"."""
        return torch.stack([self(each) for each in expressions], -1)

    def function(self, expressions: Sequence[sp.Expr], argument: sp.Symbol) -> Function:
        """Expressions in one more symbol as a function of it. Shapes: argument "b n", every
        result "b n"."""
        compiled = graph(tuple(constants(each) for each in expressions))
        given = {
            symbol: self.value(symbol)[:, None] for symbol in compiled.symbols if symbol != argument
        }
        return lambda values: compiled({argument: values, **given}, values)

    def position(
        self, expression: sp.Expr, coordinates: Sequence[sp.Symbol]
    ) -> Callable[[Tensor], Tensor]:
        """An expression of coordinates and params as a function of points. Shapes: "b n d" -> "b
        n"."""
        compiled = graph((constants(expression),))
        given = {
            symbol: self.value(symbol)[:, None]
            for symbol in compiled.symbols
            if symbol not in coordinates
        }

        def function(points: Tensor) -> Tensor:
            along = dict(zip(coordinates, points.unbind(-1), strict=False))
            return compiled(
                {s: along[s] if s in along else given[s] for s in compiled.symbols}, points[..., 0]
            )[0]

        return function

    def value(self, symbol: sp.Symbol) -> Tensor:
        """The values of one param or component of a param. Shapes: "b"."""
        if not isinstance(symbol, Scalar):
            raise fail(
                "B03",
                f"the shape depends on `{symbol}`, which is not a param",
                "shapes are made of numbers and params",
            )
        declaration = symbol.declaration
        if declaration.name not in self.params:
            if declaration.value is None:
                near = nearest(declaration.name, self.params)
                hint = (
                    f"did you mean `{declaration.name}` for `{near}`?"
                    if near
                    else f'pass params={{"{declaration.name}": ...}}'
                )
                raise fail(
                    "B03",
                    f"the shape depends on the param `{declaration.name}`, which was not given",
                    hint,
                )
            return torch.full(
                (self.size,), float(declaration.value), dtype=self.dtype, device=self.device
            )
        value = self.params[declaration.name]
        return value if declaration.size is None else value[:, symbol.index]
