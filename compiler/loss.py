"""PhysicsLoss: the terms of a problem, evaluated for a field on collocation points with planned derivatives."""

from __future__ import annotations

import contextlib
import logging
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol, get_args

import sympy as sp
import torch
from torch import Tensor, nn

from compiler.derivatives import DERIVATIVES, Autograd, Axes, Request, Taylor, order
from compiler.geometry import Geometry
from compiler.graph import ResidualGraph, Source
from compiler.green import error_term, mean_square_error
from compiler.guard import Guard
from compiler.lower import Kind, Stream, Term, lower, strong_form
from compiler.plan import DerivativePlan, Group, form_name, plan
from compiler.selection import check_selection
from operators.field import Capabilities
from operators.field import capabilities as capabilities_of
from pdespec.errors import fail, nearest
from pdespec.geometry import Domain
from pdespec.problem import Problem
from pdespec.symbols import Normal, Scalar

LOG = logging.getLogger(__name__)

FieldLike = Callable[[Tensor], Tensor]
Known = Tensor | Callable[[Tensor], Tensor]
PROBED = 64  # points of a sample on which a field is tried: one that mixes its queries does so however few they are


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


@dataclass(frozen=True)
class Terms(Mapping[str, Tensor]):
    """The scalar of each term by label, and `total`, their weighted sum.

    `violations` gives for each requirement the fraction of points of each sample where it does not hold.
    Shapes: every value and `total` "", every violation "b".
    """

    values_: Mapping[str, Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)
    violations: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, label: str) -> Tensor:
        return self.values_[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.values_)

    def __len__(self) -> int:
        return len(self.values_)

    @property
    def total(self) -> Tensor:
        return torch.stack([self.weights.get(label, 1.0) * value for label, value in self.items()]).sum()


def compile(
    problem: Problem, derivatives: str | Mapping[str, object] = "auto", weights: Mapping[str, float] | None = None, estimate: bool = False
) -> PhysicsLoss:
    """The physics loss of a problem.

    `derivatives` is "auto", a backend of `DERIVATIVES` (name or instance), or a mapping from labels, unknowns and regions to one, with
    "default" for the rest. `weights` multiplies terms in `Terms.total`, by label or by kind. `estimate` adds, for equations that allow
    it, the term `LABEL.error`: the mean squared error in u that the residual causes (see `compiler.green`).
    Raises: KeyError with the nearest name where either names nothing; ValueError where two unknowns of a term ask for two backends.
    """
    return PhysicsLoss(problem, derivatives, weights, estimate)


class PhysicsLoss(nn.Module):
    """Residual, condition, energy and requirement terms of a problem.

    `loss(field, batch)` is a mapping from labels to scalars: the mean over points and samples of the squared residual (summed over
    components) for equations and conditions, the mean over samples of the Monte-Carlo energy for `minimize`, over all its
    regions, the squared defect of an
    integral requirement over the region's squared measure, the mean squared shortfall of a pointwise one, and the estimated mean squared
    error for `LABEL.error`.
    Trainable scalars of the problem are the module's parameters.
    """

    def __init__(
        self,
        problem: Problem,
        derivatives: str | Mapping[str, object] = "auto",
        weights: Mapping[str, float] | None = None,
        estimate: bool = False,
    ):
        super().__init__()
        self.problem = problem
        self.derivatives = derivatives
        self.terms = lower(problem)
        check_selection(derivatives, self.terms)
        if estimate:
            self.terms += tuple(e for e in (error_term(problem, t) for t in self.terms) if e is not None)
        self.components = tuple(c for unknown in problem.unknowns.values() for c in unknown.components)
        self.variables = (*problem.coordinates, *((problem.time,) if problem.time is not None else ()))
        self.names = tuple(v.name for v in self.variables)
        self.axes = Axes(periods(problem), self.names)
        self.weights = term_weights(self.terms, weights or {})
        self.trainables = nn.ParameterDict(
            {name: nn.Parameter(torch.tensor(float(p.value if p.value is not None else 1.0))) for name, p in problem.trainables.items()}
        )
        self._plans: dict[tuple[Capabilities, bool], tuple[DerivativePlan, tuple[Program, ...]]] = {}
        self._probed = Acquainted()
        self._told: set[str] = set()

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what `forward` gives, in order."""
        return tuple(dict.fromkeys(t.name for t in self.terms))

    @property
    def requirements(self) -> tuple[str, ...]:
        """The labels of the pointwise requirements, whose violations are reported."""
        return tuple(t.label for t in self.terms if t.kind == "requirement")

    @cached_property
    def strong(self) -> tuple[Term, ...]:
        """The equations alone; for an energy, its Euler-Lagrange equation."""
        return strong_form(self.problem)

    def plan(self, field: FieldLike | None = None) -> DerivativePlan:
        """How the terms are computed for a field; without one, for a mollified GINO of a smooth enough weight."""
        return self._programs(capabilities(field), strong=False)[0]

    def explain(self, field: FieldLike | None = None) -> str:
        """Terms, derivative plan and residual graphs as text."""
        chosen, programs = self._programs(capabilities(field), strong=False)
        parts = [f"{self.problem.name}: unknowns {', '.join(self.components)} over ({', '.join(self.names)})", "", str(chosen), ""]
        for program in programs:
            parts += [f"graph of {', '.join(t.label for t in program.group.terms)} on {program.group.points}:", str(program), ""]
        return "\n".join(parts).rstrip()

    def forward(self, field: FieldLike, batch: BatchLike) -> Terms:
        """Every term of the problem at the batch's collocation points."""
        totals: dict[str, Tensor] = {}
        violations: dict[str, Tensor] = {}
        for program in self.programs(field, batch):
            totals |= self.group_values(program, field, batch, violations)
        return self.gathered(totals, violations)

    def programs(self, field: FieldLike, batch: BatchLike) -> tuple[Program, ...]:
        """The groups of terms and how each is computed for this field, all of whose points the batch must have."""
        chosen, found = self._programs(capabilities(field), strong=False)
        self._tell(chosen)
        for name in (program.group.points for program in found):
            if name not in batch.points:
                raise fail(
                    "B01", f"the batch has no points on `{name}`, only on {', '.join(batch.points)}", hint="draw it with compiler.sample"
                )
        for program in found:
            self._probe(program, field, batch.points[program.group.points].points)
        return found

    def group_values(self, program: Program, field: FieldLike, batch: BatchLike, violations: dict[str, Tensor]) -> dict[str, Tensor]:
        """The terms of one group, all its points at once; `violations` receives those of its requirements."""
        points, known = batch.points[program.group.points], self.known(program, batch)
        return program.reduce(self.evaluate(program, field, points.points, known), points, known, violations, batch)

    def known(self, program: Program, batch: BatchLike) -> KnownValues:
        """What a group reads beside the field, at its points of the batch."""
        points = batch.points[program.group.points]
        return KnownValues(self, points.points, points.normals, batch.params, lambda name, x: batch.evaluate(name, x))

    def gathered(self, totals: Mapping[str, Tensor], violations: Mapping[str, Tensor], weights: Mapping[str, float] | None = None) -> Terms:
        """Values of terms in the loss's order, functionals summed, with its weights unless others are given."""
        ordered: dict[str, Tensor] = {}
        for term in self.terms:
            if term.label in totals:
                ordered[term.name] = ordered[term.name] + totals[term.label] if term.name in ordered else totals[term.label]
        return Terms(ordered, self.weights if weights is None else weights, violations)

    def residuals(
        self,
        field: FieldLike,
        points: Tensor,
        inputs: Mapping[str, Known] | None = None,
        params: Mapping[str, float | Tensor] | None = None,
    ) -> dict[str, Tensor]:
        """The residual of every equation at `points`; for an energy, of its Euler-Lagrange equation.

        Shapes: points "b n D" with time last; inputs "b n c" at the points, or callables of points "b n d" (with time where the input
        depends on it); params numbers or "b"; every residual "b n k", k its number of components.
        """
        self._check_points(points)
        inputs, params = dict(inputs or {}), dict(params or {})
        self._check_names("input", inputs, self.problem.inputs)
        self._check_names("parameter", params, {**self.problem.params, **self.problem.trainables})

        def evaluate(name: str, x: Tensor) -> Tensor:
            given = inputs[name]
            if isinstance(given, Tensor):
                if x.requires_grad:
                    raise fail(
                        "B03",
                        f"a derivative of `{name}` is needed, but only its values at the points are given",
                        hint=f"pass `{name}` as a callable of points",
                    )
                return given
            return given(x)

        tensors = {k: torch.as_tensor(v, dtype=points.dtype, device=points.device) for k, v in params.items()}
        for name, parameter in self.problem.params.items():
            if name not in tensors and parameter.value is not None:
                tensors[name] = torch.as_tensor(float(parameter.value), dtype=points.dtype, device=points.device)
        found: dict[str, Tensor] = {}
        chosen, programs = self._programs(capabilities(field), strong=True)
        self._tell(chosen)
        for program in programs:
            self._probe(program, field, points)
            known = KnownValues(self, points, None, tensors, evaluate)
            values = self.evaluate(program, field, points, known)
            found |= {t.label: torch.stack([values[e] for e in program.outputs(t)], -1) for t in program.group.terms}
        return {t.label: found[t.label] for t in self.strong}

    def evaluate(self, program: Program, field: FieldLike, points: Tensor, known: Surroundings) -> dict[int, Tensor]:
        """Every expression of a group, numbered as by `Program.outputs`. Shapes: points "b n D" -> "b n"."""
        self._check_points(points)
        streams: dict[sp.Symbol, Tensor] = {}
        answers = program.group.options.evaluate(self._checked(field, points), points, program.group.request, self.axes)
        position = {c: k for k, c in enumerate(self.components)}
        for stream in program.streams:
            streams[stream] = answers[position[stream.component], form_name(stream.form) if stream.form else stream.index]
        return program.run(streams, known)

    def _checked(self, field: FieldLike, points: Tensor) -> FieldLike:
        """The field with the shape of its answer checked: nothing ever broadcasts."""
        if getattr(field, "capabilities", None) is not None:
            return field  # declared fields are checked where they are built

        def checked(x: Tensor) -> Tensor:
            values = field(x)
            expected = (*x.shape[:-1], len(self.components))
            if tuple(values.shape) != expected:
                raise fail(
                    "B01",
                    f"the field returned shape {tuple(values.shape)}, the residual needs {expected}",
                    hint=f"channels are {', '.join(self.components)}",
                )
            if values.dtype != x.dtype:
                raise fail("B02", f"the field returned {values.dtype} for {x.dtype} points", hint="compute in the dtype of the points")
            return values

        return checked

    def _tell(self, chosen: DerivativePlan) -> None:
        """Logs, once each, the warnings of a plan that is about to be used, and why `auto` did without jets."""
        nested = f"`{self.problem.name}`: derivatives by nested autograd, for taylor was declined: {chosen.fallback}"
        for text in (*map(str, chosen.warnings), *([nested] if chosen.fallback else [])):
            if text not in self._told:
                self._told.add(text)
                LOG.warning(text)

    def _probe(self, program: Program, field: FieldLike, points: Tensor) -> None:
        """P04, once for a field that says nothing of itself and is to be differentiated in its points."""
        by_points = isinstance(program.group.options, (Autograd, Taylor)) and order(program.group.request)
        if by_points and getattr(field, "capabilities", None) is None and field not in self._probed:
            probe_pointwise(field, points[:, :PROBED])
            self._probed.add(field)

    def _programs(self, able: Capabilities, strong: bool) -> tuple[DerivativePlan, tuple[Program, ...]]:
        key = able, strong
        if key not in self._plans:
            terms = self.strong if strong else self.terms
            chosen = plan(terms, self.components, self.names, able, self.derivatives)
            self._plans[key] = chosen, tuple(Program(g) for g in chosen.groups)
        return self._plans[key]

    def _check_points(self, points: Tensor) -> None:
        if points.ndim != 3 or points.shape[-1] != len(self.names):
            expected = f"(b, n, {len(self.names)})"
            raise fail(
                "B01",
                f"points have shape {tuple(points.shape)}, the problem needs {expected}",
                hint=f"coordinates are {', '.join(self.names)}, time last",
            )

    def _check_names(self, kind: str, given: Mapping, declared: Mapping) -> None:
        for name in given:
            if name not in declared:
                close = nearest(name, declared)
                raise KeyError(f"`{self.problem.name}` has no {kind} `{name}`" + (f"; did you mean `{close}`?" if close else ""))


def term_weights(terms: Sequence[Term], weights: Mapping[str, float]) -> dict[str, float]:
    """Weights by label, from weights by label or by kind of term (equation, boundary, ..); a label goes before its kind.

    Raises: KeyError with the nearest name for one that is neither. A kind of which the problem has no term weighs nothing.
    """
    labels = {term.name for term in terms}
    for name in weights:
        if name not in labels and name not in get_args(Kind):
            close = nearest(name, [*labels, *get_args(Kind)])
            raise KeyError(f"no term and no kind of term is called `{name}`" + (f"; did you mean `{close}`?" if close else ""))
    return {t.name: weights.get(t.name, weights.get(t.kind, 1.0)) for t in terms if t.name in weights or t.kind in weights}


class Program:
    """One group of terms: the graph of those that are evaluated as they stand, and guarded densities by their place in the group."""

    def __init__(self, group: Group):
        self.group = group
        self.requirements = tuple(t for t in group.terms if t.kind == "requirement")
        self.guards = {t.label: Guard(t) for t in group.terms if t.guards}
        self.plain = tuple(t for t in group.terms if not t.guards)
        self.streams = tuple(dict.fromkeys(s for t in group.terms for s in t.streams() if not s.known))
        self.graph = _graph(self.plain)
        self.symbols = tuple(dict.fromkeys((*self.graph.symbols, *(s for guard in self.guards.values() for s in guard.symbols))))

    def __str__(self) -> str:
        parts = [str(self.graph)] if self.plain else []
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
        """Values of all expressions "b n", densities continued where a requirement is violated (see `compiler.guard`)."""
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
            return (average(part, points) - known.number(term.target) / points.measure).square().mean()
        if term.kind == "error":
            depth = batch.geometry[term.region.name].depth(points.points)
            return mean_square_error(part, points.points, depth, points.measure).mean()
        return average(torch.relu(-part).square() if term.kind == "requirement" else part.square(), points).mean()


def average(part: Tensor, points: PointSetLike) -> Tensor:
    """The mean over a region. Shapes: "b n" -> "b"."""
    return (part if points.weights is None else points.weights * part).mean(-1)


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
        loss: PhysicsLoss,
        points: Tensor,
        normals: Tensor | None,
        params: Mapping[str, Tensor],
        evaluate: Callable[[str, Tensor], Tensor],
    ):
        self.loss, self.points, self.normals, self.params, self.evaluate = loss, points, normals, params, evaluate

    def values(self, symbols: tuple[sp.Symbol, ...]) -> dict[sp.Symbol, Tensor]:
        found: dict[sp.Symbol, Tensor] = {}
        for symbol in symbols:
            if isinstance(symbol, Normal):
                if self.normals is None:
                    raise fail("B01", f"`{symbol}` is needed, but these points carry no normals")
                found[symbol] = self.normals[..., [f"n.{c}" for c in self.loss.problem.coordinates].index(symbol.name)]
            elif isinstance(symbol, Scalar):
                found[symbol] = self.scalar(symbol)
            elif symbol in self.loss.variables:
                found[symbol] = self.points[..., self.loss.variables.index(symbol)]
        inputs = [s for s in symbols if isinstance(s, Stream) and s.known]
        for declaration in self.loss.problem.inputs.values():
            own = [s for s in inputs if s.component in declaration.components]
            if own:
                found |= self.input(declaration, own)
        return found

    def input(self, declaration, streams: list[Stream]) -> dict[sp.Symbol, Tensor]:
        """An input and the derivatives the residuals take of it, by nested autograd of its callable (B03 where there is none)."""
        position = {c: k for k, c in enumerate(declaration.components)}
        spatial = len(self.loss.problem.coordinates)

        def function(x: Tensor) -> Tensor:
            values = self.evaluate(declaration.name, x if declaration.time is not None else x[..., :spatial])
            expected = (*x.shape[:-1], len(position))
            if tuple(values.shape) != expected:
                raise fail(
                    "B01",
                    f"input `{declaration.name}` has shape {tuple(values.shape)}, the residual needs {expected}",
                    hint="nothing ever broadcasts silently",
                )
            if values.dtype != x.dtype or values.device != x.device:
                raise fail(
                    "B02", f"input `{declaration.name}` is {values.dtype} on {values.device}, the points are {x.dtype} on {x.device}"
                )
            return values

        wanted: dict[int, frozenset] = {}
        for s in streams:
            wanted[position[s.component]] = wanted.get(position[s.component], frozenset()) | {s.index}
        try:
            answers = DERIVATIVES["autograd"]().evaluate(function, self.points, Request(wanted))
        except KeyError as missing:
            known = ", ".join(self.loss.problem.inputs)
            raise fail(
                "B03",
                f"input `{declaration.name}` was not given; the problem has {known}",
                hint=f'pass inputs={{"{declaration.name}": ...}}',
            ) from missing
        return {s: answers[position[s.component], s.index] for s in streams}

    def scalar(self, symbol: Scalar) -> Tensor:
        """A parameter as "b 1"; entry i of a sized parameter is its column i."""
        name = symbol.declaration.name
        if name in self.loss.trainables:
            return self.loss.trainables[name].to(self.points).reshape(1, 1)
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


def capabilities(field: FieldLike | None) -> Capabilities:
    """What a field declares; a plain callable is taken as pointwise and smooth, no field at all as a mollified GINO."""
    return Capabilities(taylor=True) if field is None else capabilities_of(field)


class Acquainted:
    """Objects met before, by identity, since they may have no hash. Those that take no weak reference are strangers every time."""

    def __init__(self) -> None:
        self._met: dict[int, weakref.ref] = {}

    def __contains__(self, other: object) -> bool:
        reference = self._met.get(id(other))
        return reference is not None and reference() is other

    def add(self, other: object) -> None:
        met, key = self._met, id(other)
        with contextlib.suppress(TypeError):
            met[key] = weakref.ref(other, lambda gone: met.pop(key, None))


def probe_pointwise(field: FieldLike, points: Tensor) -> None:
    """P04 for a field that declares nothing: its values at half of the queries must not depend on the other half."""
    half = max(1, points.shape[1] // 2)
    with torch.no_grad():
        together, alone = field(points)[:, :half], field(points[:, :half])
    if not (together.isfinite().all() and alone.isfinite().all()):
        return  # a matter of R01
    scale = together.abs().max().clamp_min(torch.finfo(points.dtype).tiny)
    if together.shape == alone.shape and (together - alone).abs().max() <= 1e3 * torch.finfo(points.dtype).eps * scale:
        return
    raise fail(
        "P04",
        "the value of this field at one query changes with the other queries",
        hint="give it `capabilities` with pointwise=False, and use fourier or finite_difference on its grid, or least_squares",
        cause="the derivative of the sum over queries is then not du/dx but a sum of Jacobian columns",
    )


def periods(problem: Problem) -> tuple[float | None, ...]:
    """The length after which fields repeat along every coordinate and time; None where they do not, or where it differs between samples."""
    lengths: dict[str, float] = {}
    for domain in problem.domains.values():
        for name, low, high in zip([c.name for c in domain.coordinates], *_corners(domain), strict=False):
            if name in domain.periodic and not (high - low).free_symbols:
                lengths[name] = float(high - low)
    time = (problem.time,) if problem.time is not None else ()
    return tuple(lengths.get(v.name) for v in (*problem.coordinates, *time))


def _corners(domain: Domain) -> tuple[tuple[sp.Expr, ...], tuple[sp.Expr, ...]]:
    return (domain.shape.lower, domain.shape.upper) if domain.periodic else ((), ())
