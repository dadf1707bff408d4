"""Batches and manufactured solutions for the solver's tests, made with SymPy alone: but for
`solved`, which calls it, they share no code with the solver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import sympy as sp
import torch
from torch import Tensor

import compiler
import pdespec
from pdespec.coordinates import Normal
from pdespec.statements.problem import Problem
from pdespec.symbols import InputField, Scalar, UnknownField


@dataclass(frozen=True)
class GivenBatch:
    """A batch whose numbers and functions the test writes down."""

    size: int = 1
    params: Mapping[str, Tensor] = field(default_factory=dict)
    functions: Mapping[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)

    def select(self, samples: Sequence[int]) -> GivenBatch:
        return GivenBatch(
            len(samples),
            {name: value[list(samples)] for name, value in self.params.items()},
            self.functions,
        )

    def to(self, *target: torch.dtype | str) -> GivenBatch:
        return GivenBatch(
            self.size,
            {name: value.to(*target) for name, value in self.params.items()},
            self.functions,
        )

    def evaluate(self, name: str, points: Tensor) -> Tensor:
        return self.functions[name](points)


def closed_form(
    expressions: Sequence[sp.Expr] | sp.Expr, variables: Sequence[sp.Symbol]
) -> Callable[[Tensor], Tensor]:
    """Expressions of position (and time) as a function of points "... D" -> "... c"."""
    expressions = (
        list(expressions)
        if isinstance(expressions, (list, tuple, sp.MatrixBase))
        else [expressions]
    )
    numeric = [
        sp.sympify(e).replace(lambda n: n.is_number and n.args, lambda n: n.evalf(17))
        for e in expressions
    ]
    functions = [sp.lambdify(list(variables), e, "torch") for e in numeric]

    def evaluate(points: Tensor) -> Tensor:
        columns = [points[..., k] for k in range(len(variables))]
        return torch.stack(
            [
                torch.as_tensor(f(*columns), dtype=points.dtype).expand(points.shape[:-1])
                for f in functions
            ],
            dim=-1,
        )

    return evaluate


def points_in(
    lower: Sequence[float], upper: Sequence[float], count: int = 400, size: int = 1
) -> Tensor:
    """Uniform random points of a box, the same at every call.  Shapes: -> "size count d"."""
    generator = torch.Generator().manual_seed(7)
    cube = torch.rand(size, count, len(lower), generator=generator, dtype=torch.float64)
    return torch.tensor(lower, dtype=torch.float64) + cube * (
        torch.tensor(upper, dtype=torch.float64) - torch.tensor(lower, dtype=torch.float64)
    )


def errors(
    problem: Problem,
    batch: GivenBatch,
    exact: Callable[[Tensor], Tensor],
    points: Tensor,
    resolutions: Sequence[int],
    **options,
) -> np.ndarray:
    """Root mean square error of every component at each resolution.  Shapes: -> "resolutions c"."""
    from compiler import solve

    found = []
    for resolution in resolutions:
        difference = solve(problem, batch, resolution=resolution, **options)(points) - exact(points)
        found.append(difference.square().mean(dim=(0, 1)).sqrt().numpy())
    return np.array(found)


def orders(errors: np.ndarray, resolutions: Sequence[int]) -> np.ndarray:
    """Slope of log error against log h, fitted over all resolutions."""
    h = -np.log(np.asarray(resolutions, dtype=float))
    return np.polyfit(h, np.log(errors), 1)[0]


def manufactured(
    problem: Problem, exact: Mapping[str, sp.Expr], params: Mapping[str, float] | None = None
) -> tuple[GivenBatch, Callable[[Tensor], Tensor]]:
    """A batch of one whose inputs make `exact` (component name -> expression in the problem's
    variables) the solution, and that solution.

    Every equation and condition with an input must be affine in it, `s = -R(s = 0) / (dR/ds)`, and
    hold it alone.
    """
    fields = {f: exact[name(f)] for f in problem_fields(problem, UnknownField)}
    numbers = {
        s: s.declaration.value
        for s in problem_fields(problem, Scalar)
        if s.declaration.value is not None
    }
    numbers |= {
        s: sp.Float(params[s.name])
        for s in problem_fields(problem, Scalar)
        if params and s.name in params
    }
    sources: dict[str, sp.Expr] = {}
    stated = [(residual, None) for residual in problem.residuals().values()]
    stated += [(c.lhs - c.rhs, c) for c in problem.conditions.values()]
    for residual, condition in stated:
        for entry in list(residual) if isinstance(residual, sp.MatrixBase) else [residual]:
            inputs = sorted(entry.atoms(InputField), key=name)
            if not inputs:
                continue
            (source,) = inputs
            here = entry.xreplace({source: sp.Dummy("s")})
            (dummy,) = [s for s in here.free_symbols if isinstance(s, sp.Dummy)]
            value = -here.subs(dummy, 0) / sp.diff(here, dummy)
            value = value.subs(fields).doit().subs(numbers)
            if condition is not None:
                value = value.subs(
                    axis_normal(condition.region)
                    if condition.kind == "boundary"
                    else {problem.time: condition.at}
                )
            sources[name(source)] = value
    variables = problem.variables
    functions = {
        input_.name: closed_form(
            [sources[c] for c in input_.components],
            variables if input_.time is not None else problem.coordinates,
        )
        for input_ in problem.inputs.values()
    }
    tensors = {
        key: torch.tensor([value], dtype=torch.float64) for key, value in (params or {}).items()
    }
    return GivenBatch(1, tensors, functions), closed_form(
        [exact[c] for c in problem.components], variables
    )


def name(function: sp.Expr) -> str:
    return function.func.__name__


def problem_fields(problem: Problem, kind: type) -> set:
    stated = [*problem.residuals().values(), *(c.lhs - c.rhs for c in problem.conditions.values())]
    return set().union(*(each.atoms(kind) for each in stated))


def axis_normal(region) -> dict[sp.Symbol, int]:
    """The outward normal of a side of a box that begins at its lower corner."""
    if region.kind != "side":
        return {}
    axis = [x.name for x in region.coordinates].index(region.coordinate)
    sign = -1 if region.value == region.domain.shape.lower[axis] else 1
    return {Normal(x): sign * int(k == axis) for k, x in enumerate(region.coordinates)}


def solved(text: str, **options):
    """The solution of a problem in text that draws nothing."""
    problem = pdespec.parse(text)
    return compiler.solve(problem, compiler.instance(problem), **options)
