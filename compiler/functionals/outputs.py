"""The declared outputs of a problem: numbers and functions of a field, for an operator and for a
reference solution alike.

An output is a **number** where the unknowns occur in integrals and values at points only, and a
**function** of position else. In a problem with time an integral over a region in space is a
function of time, and so is a value at a point in space.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sympy as sp
import torch
from sympy.core.function import AppliedUndef
from torch import Tensor

from compiler.functionals.integration import Rule, rule
from compiler.loss.compiled_terms import CompiledTerms
from compiler.loss.physics import FieldLike, PhysicsLoss, together
from compiler.lowering.coefficients import KnownValues
from compiler.lowering.graph import ResidualGraph, Source
from compiler.lowering.plan import plan
from compiler.lowering.terms import Term, scalars, values
from compiler.trainable_fields import expanded
from operators.field import Capabilities, capabilities
from pdespec.calculus import Integral
from pdespec.coordinates import Coordinate, Normal, Time
from pdespec.errors import fail, suggestion
from pdespec.statements.problem import Problem
from pdespec.symbols import InputField, Scalar, UnknownField

NOWHERE = "anywhere"


@dataclass(frozen=True)
class Part:
    """An integral, or a value at a point, that a `symbol` stands for: `expression` over
    `region`, or at `point`, time last."""

    symbol: sp.Symbol
    expression: sp.Expr
    region: Any = None
    point: tuple[sp.Expr, ...] = ()


@dataclass(frozen=True)
class Lowered:
    """An output as expressions over symbols that stand for its parts, these in the order in
    which they can be computed."""

    name: str
    expressions: tuple[sp.Expr, ...]
    shape: tuple[int, ...]
    parts: tuple[Part, ...]

    @property
    def of_points(self) -> bool:
        """Whether it is a function of position: it holds fields or coordinates outside of its
        parts."""
        kinds = (UnknownField, InputField, Coordinate, Normal)
        return any(each.atoms(*kinds) for each in self.expressions)


def outputs(
    problem: Problem,
    field: FieldLike,
    batch,
    *,
    times: Sequence[float] | Tensor | None = None,
    derivatives: str | Mapping[str, object] = "auto",
    trainables: Mapping[str, float | Tensor] | None = None,
) -> dict[str, Any]:
    """The declared outputs of a field, by name: tensors, or functions of points (`FieldOutput`) for
    outputs that vary in space.

    `field` is any field of the problem, of an operator or of `compiler.solve`. In a problem with
    time, numbers are those at its end, or at `times`, which adds a last axis. Everything is
    differentiable in the field's parameters and in the params of the batch, those of the shape
    among them, as far as the field is. Integrals are taken by the rules of
    `compiler.functionals.integration`. `trainables` are the values of trainable scalars; without
    them, of the batch, or the first guesses. Shapes: -> "b" for a scalar, "b k" for a vector, "b k
    k" for a tensor; with times "b [k] T". Raises: as `PhysicsLoss`; SolverError for second
    derivatives of a reference solution.
    """
    return {
        name: output(problem, name, field, batch, times, derivatives, trainables)
        for name in problem.outputs
    }


def output(
    problem: Problem,
    name: str,
    field: FieldLike,
    batch,
    times: Sequence[float] | Tensor | None = None,
    derivatives: str | Mapping[str, object] = "auto",
    trainables: Mapping[str, float | Tensor] | None = None,
) -> Any:
    """One declared output; see `outputs`. Raises: ProblemError S01 for a name that is none."""
    if name not in problem.outputs:
        hint = suggestion(name, problem.outputs, f"it has {', '.join(problem.outputs) or 'none'}")
        raise fail("S01", f"`{problem.name}` has no output `{name}`", hint)
    at = _times(problem, batch, times)
    problem = expanded(problem)
    work = _Evaluation(
        problem, field, batch, at, derivatives, _trainables(problem, batch, trainables or {})
    )
    lowered = _lowered(problem)[name]
    if lowered.of_points:
        return FieldOutput(lowered, replace(work, times=None))
    numbers = work.parts(lowered)
    found = torch.stack([work.number(each, numbers) for each in lowered.expressions], 1)  # b k T
    found = found.reshape(len(found), *lowered.shape, -1)
    return found[..., 0] if times is None else found


@dataclass(frozen=True)
class FieldOutput:
    """An output that is a function of position: points "b n D" (and normals "b n d", where it
    holds n) -> "b n", "b n k" or "b n k k"."""

    lowered: Lowered
    work: _Evaluation

    def __call__(self, points: Tensor, normals: Tensor | None = None) -> Tensor:
        time = points[..., -1:] if self.work.problem.time is not None else points[..., :1]
        if self.lowered.parts and self.work.problem.time is not None:
            message = (
                f"output `{self.lowered.name}` mixes integrals at each time with values at points"
            )
            raise fail("T05", message, "give them outputs of their own")
        numbers = replace(self.work, times=time.new_zeros(1)).parts(self.lowered)
        found = self.work.at(self.lowered.expressions, NOWHERE, points, normals, numbers)
        return torch.stack(found, -1).reshape(*points.shape[:2], *self.lowered.shape)


@dataclass(frozen=True)
class _Evaluation:
    """What outputs are computed from. Shapes: times "T" (one, of no meaning, without time)."""

    problem: Problem
    field: FieldLike
    batch: Any
    times: Tensor | None
    derivatives: str | Mapping[str, object]
    trainables: Mapping[str, Tensor]
    rules: dict[str, Rule] = dataclasses.field(default_factory=dict)

    def parts(self, lowered: Lowered) -> dict[sp.Symbol, Tensor]:
        """The numbers of all parts. Shapes: "b T" each."""
        numbers: dict[sp.Symbol, Tensor] = {}
        for part in lowered.parts:
            numbers[part.symbol] = (
                self.value(part, numbers) if part.region is None else self.integral(part, numbers)
            )
        return numbers

    def integral(self, part: Part, numbers: Mapping[sp.Symbol, Tensor]) -> Tensor:
        if part.region.name not in self.rules:
            self.rules[part.region.name] = rule(part.region, self.batch)
        chosen = self.rules[part.region.name]
        found = []
        for k in range(len(self.times)):
            known = {symbol: each[:, k] for symbol, each in numbers.items()}

            def density(points: Tensor, normals: Tensor | None, k=k, known=known) -> Tensor:
                placed = self.placed(points, self.times[k])
                return self.at((part.expression,), part.region.name, placed, normals, known)[0]

            found.append(chosen.integral(density))
        return torch.stack(found, -1)

    def value(self, part: Part, numbers: Mapping[sp.Symbol, Tensor]) -> Tensor:
        """At a point, at every time unless the point fixes one."""
        spatial = len(self.problem.coordinates)
        found = []
        for k in range(len(self.times)):
            place = torch.stack(
                [self.number(each, numbers)[:, 0] for each in part.point[:spatial]], -1
            )[:, None]
            time = self.times[k]
            if len(part.point) > spatial and not isinstance(part.point[-1], Time):
                time = self.number(part.point[-1], numbers)[:, :1, None]
            known = {symbol: each[:, k] for symbol, each in numbers.items()}
            found.append(
                self.at((part.expression,), NOWHERE, self.placed(place, time), None, known)[0][:, 0]
            )
        return torch.stack(found, -1)

    def placed(self, points: Tensor, time: Tensor) -> Tensor:
        """Points in space at a time. Shapes: "b n d" -> "b n D"."""
        if self.problem.time is None:
            return points
        return torch.cat([points, time.to(points).expand(*points.shape[:2], 1)], -1)

    def at(
        self,
        expressions: tuple[sp.Expr, ...],
        where: str,
        points: Tensor,
        normals: Tensor | None,
        numbers: Mapping[sp.Symbol, Tensor],
    ) -> list[Tensor]:
        """Expressions at points. Shapes: points "b n D", numbers "b" or "b 1" -> "b n" each."""
        loss = _loss(self.problem)
        exact = getattr(self.field, "derivatives", None)
        chosen = "autograd" if exact is not None else self.derivatives
        prepare = _programs if isinstance(chosen, str) else _programs.__wrapped__
        found: list[Tensor] = []
        for program in prepare(self.problem, expressions, where, capabilities(self.field), chosen):
            group = program.group
            known = _Known(
                KnownValues(
                    self.problem,
                    self.trainables,
                    points,
                    normals,
                    self.batch.params,
                    self.batch.evaluate,
                ),
                numbers,
            )
            if exact is None:
                result = loss.evaluate(program, self.field, points, known)
            else:
                answers = exact(points, group.request) if program.jet_variables else {}
                position = {c: k for k, c in enumerate(loss.components)}
                result = program.run(
                    {
                        s: answers[position[s.component], s.index].to(points)
                        for s in program.jet_variables
                    },
                    known,
                )
            found += [result[k] for k in program.outputs(group.terms[0])]
        return found

    def number(self, expression: sp.Expr, numbers: Mapping[sp.Symbol, Tensor]) -> Tensor:
        """An expression of parts, params and time. Shapes: -> "b T"."""
        like = self.times.expand(self.batch.size, -1)
        graph = _graph(values(self.problem, sp.sympify(expression)))
        known = KnownValues(
            self.problem,
            self.trainables,
            like[..., None],
            None,
            self.batch.params,
            self.batch.evaluate,
        )
        given = {
            s: like
            if isinstance(s, Time)
            else known.scalar(s)
            if isinstance(s, Scalar)
            else numbers[s]
            for s in graph.symbols
        }
        return graph(given, like)[0]


@dataclass(frozen=True)
class _Known:
    """What a graph reads, and the numbers that stand for parts."""

    known: KnownValues
    numbers: Mapping[sp.Symbol, Tensor]

    @property
    def points(self) -> Tensor:
        return self.known.points

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Tensor]:
        own = {
            s: self.numbers[s].to(self.points).reshape(-1, 1) for s in symbols if s in self.numbers
        }
        return own | self.known.values(tuple(s for s in symbols if s not in own))


@lru_cache(maxsize=64)
def _lowered(problem: Problem) -> dict[str, Lowered]:
    found = {}
    for name, declared in problem.outputs.items():
        value = declared.value
        parts: list[Part] = []
        entries = list(value) if isinstance(value, sp.MatrixBase) else [sp.sympify(value)]
        expressions = tuple(_taken(problem, entry, parts) for entry in entries)
        shape = (
            ()
            if not isinstance(value, sp.MatrixBase)
            else (value.rows,)
            if value.cols == 1
            else (value.rows, value.cols)
        )
        found[name] = Lowered(name, expressions, shape, tuple(parts))
    return found


def _taken(problem: Problem, expression: Any, parts: list[Part]) -> Any:
    """The expression with its integrals and values at points replaced by symbols; these are
    appended to the parts, inner ones first."""

    def stands(inner: Any, region: Any = None, point: tuple[sp.Expr, ...] = ()) -> sp.Symbol:
        same = next(
            (
                each.symbol
                for each in parts
                if (each.expression, each.region, each.point) == (inner, region, point)
            ),
            None,
        )
        if same is None:
            same = sp.Symbol(f"part{len(parts)}", real=True)
            parts.append(Part(same, inner, region, point))
        return same

    if isinstance(expression, Integral):
        return stands(_taken(problem, expression.density, parts), expression.region)
    if isinstance(expression, (AppliedUndef, sp.Subs)):
        place = (
            dict(zip(expression.variables, expression.point, strict=True))
            if isinstance(expression, sp.Subs)
            else {}
        )
        inner = expression.expr if place else expression
        used = sorted(inner.atoms(AppliedUndef), key=sp.default_sort_key)
        if not place and all(isinstance(each, (Coordinate, Time)) for each in expression.args):
            return expression
        if len(used) != 1:
            raise fail(
                "T05",
                f"{expression} is a value at a point of several fields",
                "take the value of each field, then combine them",
            )
        own = _variables(used[0])
        names = {
            each: variable
            for each, variable in zip(used[0].args, own, strict=True)
            if each in place and each != variable
        }
        at = tuple(place.get(each, each) for each in used[0].args)
        return stands(inner.xreplace({used[0]: used[0].func(*own)}).xreplace(names), None, at)
    if not getattr(expression, "args", ()) or isinstance(expression, sp.Derivative):
        return expression
    return expression.func(*(_taken(problem, each, parts) for each in expression.args))


def _variables(applied: Any) -> tuple[sp.Symbol, ...]:
    """The coordinates, and the time, that a field is declared over."""
    declared = applied.func.declaration.symbol
    return (declared[0] if isinstance(declared, sp.MatrixBase) else declared).args


@lru_cache(maxsize=64)
def _loss(problem: Problem) -> PhysicsLoss:
    return PhysicsLoss(problem)


@lru_cache(maxsize=256)
def _programs(
    problem: Problem,
    expressions: tuple[sp.Expr, ...],
    where: str,
    able: Capabilities,
    derivatives: str | Mapping[str, object],
) -> tuple[CompiledTerms, ...]:
    """How expressions are computed of a field that is able to do this."""
    loss = _loss(problem)
    region = next(iter(problem.domains.values()))
    parts = tuple(e for each in expressions for e in scalars(problem, each))
    term = Term("output", "energy", parts, region, where)
    chosen = plan((term,), loss.components, loss.names, able, derivatives)
    return tuple(CompiledTerms(group) for group in chosen.groups)


@lru_cache(maxsize=512)
def _graph(expression: sp.Expr) -> ResidualGraph:
    return ResidualGraph([expression], [Source("output")])


def _times(problem: Problem, batch, times: Sequence[float] | Tensor | None) -> Tensor:
    like = next(iter(batch.geometry.values()))
    if problem.time is None:
        if times is not None:
            raise fail("T05", f"`{problem.name}` has no time", "leave `times` out")
        return torch.zeros(1, dtype=like.dtype, device=like.device)
    chosen = [float(problem.time.end)] if times is None else times
    return torch.as_tensor(chosen, dtype=like.dtype, device=like.device).reshape(-1)


def _trainables(problem: Problem, batch, given: Mapping[str, float | Tensor]) -> dict[str, Tensor]:
    """By name of the declaration, those of its components together: as given by either name, else
    the first guesses where the batch has none."""
    numbers = {name: value for name, value in given.items() if not isinstance(value, Tensor)}
    found = {name: value for name, value in given.items() if isinstance(value, Tensor)}
    for name, entries in together(problem, numbers).items():
        own = torch.tensor([float(each) for each in entries], dtype=torch.float64)
        found[name] = own[0] if problem.trainables[name].size is None else own
    for name, declared in problem.trainables.items():
        if name not in found and name not in batch.params and declared.value is not None:
            size = () if declared.size is None else (declared.size,)
            found[name] = torch.full(size, float(declared.value), dtype=torch.float64)
    return found
