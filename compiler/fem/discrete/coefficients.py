"""What a batch knows of one sample, as numpy: parameters, and input functions with their
derivatives."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from compiler.arrays import Array
from compiler.fem.errors import SolverError
from compiler.lowering.terms import JetVariable
from pdespec.geometry import Boundary, Domain
from pdespec.statements.interfaces import interfaces, point_level
from pdespec.statements.problem import Problem
from pdespec.symbols import InputField, Scalar


@dataclass(frozen=True)
class Coefficients:
    """The numbers and functions of one sample, as a batch of size one."""

    problem: Problem
    batch: object

    def parameter(self, symbol: Scalar) -> float:
        """Raises: SolverError for a trainable or a parameter the batch does not give."""
        declaration = symbol.declaration
        if declaration.name in self.batch.params:
            value = self.batch.params[declaration.name][0].detach()
            return float(value if declaration.size is None else value[symbol.index])
        if declaration.kind == "trainable":
            raise SolverError(
                f"{declaration.name} is to be found from data; a reference solution needs its value"
                " in batch.params"
            )
        if declaration.value is None:
            raise SolverError(
                f"batch.params has no {declaration.name}; give it, as in compiler.instance(problem,"
                f" params={{'{declaration.name}': 1.0}})"
            )
        return float(declaration.value)

    @cached_property
    def shape_values(self) -> Mapping[sp.Symbol, float]:
        """Numbers of all parameters and constants, for the shapes."""
        declared = [*self.problem.params.values(), *self.problem.constants.values()]
        symbols = [
            s
            for d in declared
            for s in (d.symbol if isinstance(d.symbol, sp.MatrixBase) else [d.symbol])
        ]
        return {symbol: self.parameter(symbol) for symbol in symbols}

    def number(self, expression: sp.Expr) -> float:
        """The value of an expression of parameters."""
        return float(sp.sympify(expression).subs(self.shape_values))

    def interfaces(self, domain: Domain) -> tuple[Boundary, ...]:
        """The level sets of a domain on which coefficients jump, those that do not move; points
        of an interval where a condition holds."""
        time = self.problem.time
        held = [
            point_level(c)
            for c in self.problem.conditions.values()
            if c.kind == "point" and len(c.place) == 1
        ]
        return tuple(
            r
            for r in dict.fromkeys((*interfaces(self.problem), *held))
            if r.kind == "level" and r.domain == domain and (time is None or not r.value.has(time))
        )

    def levels(
        self, domain: Domain, edges: Sequence[sp.Expr] = ()
    ) -> list[Callable[[Array], Array]]:
        """Functions that vanish on those, and further expressions of position as such.  Shapes:
        points "d n" -> "n"."""
        found = [region.value for region in self.interfaces(domain)]
        return [self._level(each) for each in (*found, *edges)]

    def _level(self, expression: sp.Expr) -> Callable[[Array], Array]:
        fields = sorted(expression.atoms(InputField), key=lambda each: each.func.__name__)
        stands = {each: sp.Dummy(each.func.__name__) for each in fields}
        arguments = [*self.problem.coordinates, *stands.values()]
        call = sp.lambdify(arguments, expression.xreplace(stands).subs(self.shape_values), "numpy")

        def level(points: Array) -> Array:
            where = torch.from_numpy(np.ascontiguousarray(points.T))
            given = [
                self.evaluate(f.func.declaration.name, where)[:, f.func.component].numpy()
                for f in fields
            ]
            return np.broadcast_to(np.asarray(call(*points, *given), dtype=float), points.shape[1:])

        return level

    @cached_property
    def channels(self) -> Mapping[str, tuple[str, int]]:
        """Component name -> (input, channel)."""
        return {
            c: (name, k)
            for name, declared in self.problem.inputs.items()
            for k, c in enumerate(declared.components)
        }

    def moves(self, symbol: sp.Symbol) -> bool:
        """Whether a symbol's value changes in time."""
        return (
            isinstance(symbol, JetVariable)
            and self.problem.inputs[self.channels[symbol.component][0]].time is not None
        )

    def field(self, jet: JetVariable, points: Array, time: float) -> Array:
        """An input or one of its derivatives.  Shapes: points "d ..." -> "..."."""
        name, channel = self.channels[jet.component]
        flat = points.reshape(points.shape[0], -1).T  # n d, with all further axes in n
        if self.moves(jet):
            flat = np.column_stack((flat, np.full(len(flat), time)))
        where = torch.from_numpy(np.ascontiguousarray(flat)).requires_grad_(any(jet.index))
        value = self.evaluate(name, where)[:, channel]
        for axis, count in enumerate(jet.index):
            for _ in range(count):
                if not value.requires_grad:
                    raise SolverError(
                        f"{jet} is needed, but input {name} is known by its values alone; give"
                        " it as a function of points"
                    )
                (gradient,) = torch.autograd.grad(value.sum(), where, create_graph=True)
                value = gradient[:, axis]
        return value.detach().numpy().reshape(points.shape[1:])

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        """Shapes: points "n D" -> "n c"."""
        return self.batch.evaluate(name, points[None])[0].to(torch.float64)
