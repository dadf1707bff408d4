"""PhysicsLoss: the terms of a problem, evaluated for a field on collocation points with planned
derivatives."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import get_args

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor, nn

from compiler.derivatives import (
    Autograd,
    Axes,
    Backend,
    LeastSquares,
    Request,
    Taylor,
    order,
    recognise,
)
from compiler.derivatives.interface import parts
from compiler.geometry.domain import box
from compiler.loss.compiled_terms import BatchLike, CompiledTerms, PointSetLike, average
from compiler.loss.crossings import crossing
from compiler.loss.error_estimate import error_term
from compiler.loss.trainables import Trainables
from compiler.loss.verify import IdentitySet, made_of, verify
from compiler.lowering.coefficients import Coefficients, KnownValues
from compiler.lowering.plan import DerivativePlan, form_name, plan
from compiler.lowering.rewrite import residual_units, term_units
from compiler.lowering.selection import check_selection
from compiler.lowering.terms import (
    Kind,
    OneSided,
    Term,
    lower,
    strong_form,
)
from compiler.matching import need_alike, need_points, number, refuse_other_samples, told
from compiler.scales import Frame, component_sizes, scaled
from compiler.scales.views import InnerBatch, OuterField, inner_field
from compiler.trainable_fields import expanded
from operators.field import Capabilities
from operators.field import capabilities as capabilities_of
from pdespec.errors import ProblemError, fail, nearest
from pdespec.geometry import Domain, cut_from
from pdespec.rules.freedom import Normalisation, normalisations
from pdespec.rules.functions import refuse_unusable
from pdespec.statements.problem import Problem

LOG = logging.getLogger(__name__)

FieldLike = Callable[[Tensor], Tensor]
InputValues = Tensor | Callable[[Tensor], Tensor]
NEAR = 64  # roundings of a position: its normal and the level of the interface take a few each
# points of a sample on which a field is tried: one that mixes its queries does so however few they
# are
PROBED = 64


@dataclass(frozen=True)
class Terms(Mapping[str, Tensor]):
    """The scalar of each term by label, and `total`, their weighted sum.

    `violations` gives for each requirement the fraction of points of each sample where it does not
    hold. Shapes: every value and `total` "", every violation "b".
    """

    terms: Mapping[str, Tensor]
    weights: Mapping[str, float] = field(default_factory=dict)
    violations: Mapping[str, Tensor] = field(default_factory=dict)

    def __getitem__(self, label: str) -> Tensor:
        return self.terms[label]

    def __iter__(self) -> Iterator[str]:
        return iter(self.terms)

    def __len__(self) -> int:
        return len(self.terms)

    @property
    def total(self) -> Float[Tensor, ""]:
        """What is minimised: the sum of all terms, each times its weight (1 without one)."""
        return torch.stack(
            [self.weights.get(label, 1.0) * value for label, value in self.items()]
        ).sum()


def compile(
    problem: Problem,
    derivatives: str | Backend | Mapping[str, object] = "auto",
    weights: Mapping[str, float] | None = None,
    error_estimate: bool = False,
    within: tuple[Frame, Problem] | None = None,
) -> PhysicsLoss:
    """The physics loss of a problem.

    `derivatives` is "auto", a backend of `DERIVATIVES` (name or instance), or a mapping from
    labels, unknowns and regions to one, with "default" for the rest. `weights` multiplies terms in
    `Terms.total`, by label or by kind. `error_estimate` adds, for equations that allow it, the term
    `LABEL.error`: the mean squared error in u that the residual causes (see
    `compiler.loss.error_estimate`). Raises: ProblemError V04, V05, V06 for what cannot be evaluated
    at points; KeyError with the nearest name where either names nothing; ValueError where two
    unknowns of a term ask for two backends.
    """
    return PhysicsLoss(problem, derivatives, weights, error_estimate, within)


class PhysicsLoss(nn.Module):
    """Residual, condition, energy and requirement terms of a problem.

    `loss(field, batch)` is a mapping from labels to scalars: the mean over points and samples of
    the squared residual (summed over components) for equations and conditions, the mean over
    samples of the Monte-Carlo energy for `minimize`, over all its regions, the squared defect of an
    integral requirement over the square of what is asked for (where that is zero, of the measure),
    the mean squared shortfall of a pointwise one, and the estimated mean squared error for
    `LABEL.error`. Trainable scalars of the problem are the module's parameters.

    A problem far from numbers of about 1 is computed in scaled coordinates and units (`frame`, see
    `compiler.scales`): fields and batches are the user's, terms and `residuals` are as the user
    wrote them. Training lowers the terms of the scaled problem `local` (`loss(field, batch,
    scaled=True)`): a problem and its copy in other units have the same. `sizes` are what the
    residual of each label is divided by there.
    """

    def __init__(
        self,
        problem: Problem,
        derivatives: str | Backend | Mapping[str, object] = "auto",
        weights: Mapping[str, float] | None = None,
        error_estimate: bool = False,
        within: tuple[Frame, Problem] | None = None,
    ):
        """`within`: the frame of another problem, which this one is another form of, and this
        one in it."""
        super().__init__()
        problem = expanded(problem)
        self.problem = problem
        self.derivatives = derivatives
        refuse_unusable(problem)
        self.frame, computed = within or scaled(problem)
        local = (
            None
            if computed is problem
            else PhysicsLoss(computed, derivatives, weights, error_estimate)
        )
        # not a submodule: its trainables are those of this one
        object.__setattr__(self, "local", local)
        self.terms = lower(problem)
        check_selection(derivatives, self.terms)
        if error_estimate:
            self.terms += tuple(
                e for e in (error_term(problem, t) for t in self.terms) if e is not None
            )
        self.components = tuple(
            c for unknown in problem.unknowns.values() for c in unknown.components
        )
        self.names = tuple(v.name for v in problem.variables)
        self.axes = Axes(periods(problem), self.names)
        self.weights = term_weights(self.terms, weights or {})
        first = {
            name: nn.Parameter(
                torch.full(
                    () if p.size is None else (p.size,),
                    float(p.value if p.value is not None else 1.0),
                )
            )
            for name, p in problem.trainables.items()
        }
        self.trainables = Trainables(first) if local is None else local.trainables
        self._plans: dict[
            tuple[Capabilities, bool], tuple[DerivativePlan, tuple[CompiledTerms, ...]]
        ] = {}
        self._probed = IdentitySet()
        self._verified: dict[frozenset, IdentitySet] = {}
        self._refusing = True
        self._expected: set[CompiledTerms] = set()
        self._told: set[str] = set()
        self._inner: tuple[FieldLike, FieldLike] | None = None

    def __repr__(self) -> str:
        return (
            f"<PhysicsLoss of {self.problem.name}: {', '.join(self.labels)}; derivatives"
            f" {self.derivatives}>"
        )

    def found(self) -> dict[str, float]:
        """The trainable numbers as they are, by name; `c[0]`, `c[1]`, .. where there are
        several."""
        flat = {
            name: value.detach().reshape(-1).tolist() for name, value in self.trainables.items()
        }
        return {
            each: number
            for name, p in self.problem.trainables.items()
            for each, number in zip(p.components, flat[name], strict=True)
        }

    def take(self, found: Mapping[str, float]) -> None:
        """Sets the trainable numbers to those that `found` gave."""
        for name, values in together(self.problem, found).items():
            own = self.trainables[name]
            own.data.copy_(torch.as_tensor(values, dtype=own.dtype).reshape(own.shape))

    @property
    def labels(self) -> tuple[str, ...]:
        """The names of what `forward` gives, in order."""
        return tuple(dict.fromkeys(t.name for t in self.terms))

    @property
    def requirements(self) -> tuple[str, ...]:
        """The labels of the pointwise requirements, whose violations are reported."""
        return tuple(t.label for t in self.terms if t.kind == "requirement")

    @cached_property
    def sizes(self) -> dict[str, float]:
        """The size of the residual of each equation, of the Euler-Lagrange equations too; 1
        where the problem is not scaled."""
        return {
            label: float(size) for label, size in residual_units(self.problem, self.frame).items()
        }

    def inner(self, field: FieldLike) -> FieldLike:
        """A field of the user's points as one of the scaled problem's."""
        if self.local is None:
            return field
        if isinstance(field, OuterField):
            return inner_field(field, self.frame, component_sizes(self.problem, self.frame))
        # the same object for the same field: it is tried once
        if self._inner is None or self._inner[0] is not field:
            self._inner = (
                field,
                inner_field(
                    self._checked_shape(field),
                    self.frame,
                    component_sizes(self.problem, self.frame),
                ),
            )
        return self._inner[1]

    def outer(self, terms: Terms) -> Terms:
        """Terms of the scaled problem in the units of the problem as it was written."""
        if self.local is None:
            return terms
        units = term_units(self.problem, self.frame)
        return Terms(
            {name: units.get(name, 1.0) * value for name, value in terms.items()},
            terms.weights,
            terms.violations,
        )

    def inner_batch(self, batch: BatchLike) -> BatchLike:
        """A batch of the problem as one of the scaled problem's."""
        if self.local is None:
            return batch
        found = getattr(batch, "local", None)
        return (
            InnerBatch(self.problem, self.local.problem, self.frame, batch)
            if found is None
            else found
        )

    @cached_property
    def strong(self) -> tuple[Term, ...]:
        """The equations alone; for an energy, its Euler-Lagrange equation."""
        return strong_form(self.problem)

    def plan(self, field: FieldLike | None = None) -> DerivativePlan:
        """How the terms are computed for a field; without one, for a mollified GINO of a smooth
        enough weight."""
        if self.local is not None:
            return self.local.plan(None if field is None else self.inner(field))
        return self._programs(capabilities(field), strong=False)[0]

    def explain(self, field: FieldLike | None = None) -> str:
        """Terms, derivative plan and residual graphs as text; of the scaled problem, and how it
        is scaled, where it is."""
        if self.local is not None:
            inner = None if field is None else self.inner(field)
            return f"{self.frame}\n\n{self.local.explain(inner)}"
        chosen, programs = self._programs(capabilities(field), strong=False)
        parts = [
            (
                f"{self.problem.name}: unknowns {', '.join(self.components)} over"
                f" ({', '.join(self.names)})"
            ),
            "",
            str(chosen),
            "",
        ]
        for program in programs:
            parts += [
                (
                    f"graph of {', '.join(t.label for t in program.group.terms)} on"
                    f" {program.group.points}:"
                ),
                str(program),
                "",
            ]
        return "\n".join(parts).rstrip()

    def forward(
        self,
        field: FieldLike,
        batch: BatchLike,
        scaled: bool = False,
        causal: Mapping[str, float] | None = None,
    ) -> Terms:
        """Every term of the problem at the batch's collocation points; `scaled`, as training lowers
        it, in the scaled problem. `causal` are the strengths of causal weights by label of the
        equation (see `compiler.loss.causality`). Raises: B01 where field, batch and loss are not of
        the same samples.
        """
        refuse_other_samples(self.problem, field, batch)
        if self.local is not None:
            found = self.local(self.inner(field), self.inner_batch(batch), causal=causal)
            return found if scaled else self.outer(found)
        totals: dict[str, Tensor] = {}
        violations: dict[str, Tensor] = {}
        if self.normalised:
            return self._normalised_terms(field, batch, causal or {})
        for program in self.programs(field, batch):
            totals |= self.group_values(program, field, batch, violations, causal)
        return self.gathered(totals, violations)

    @cached_property
    def normalised(self) -> Mapping[str, Normalisation]:
        """Requirements that a scale of the field meets, by label. All other terms are those of the
        field that meets them, `s u` with `s = (c / integral(q))^(1/degree)` from the points of the
        batch: u = 0 is then no minimum, and no weight decides how far the requirement holds. Its
        own term, `(integral(q)/c - 1)^2` of the field as it is, asks for nothing but s = 1.
        """
        return {f"require{each.number}": each for each in normalisations(self.problem)}

    def _normalised_terms(
        self, field: FieldLike, batch: BatchLike, causal: Mapping[str, float]
    ) -> Terms:
        read = []
        for program in self.programs(field, batch):
            points = batch.points[program.group.points]
            known = self.known(batch, points.points, points.normals)
            read.append((program, points, known, self.jet_values(program, field, points.points)))
        scales = self._scales(read)
        totals: dict[str, Tensor] = {}
        violations: dict[str, Tensor] = {}
        for program, points, known, jets in read:
            sides = (
                {} if program.sides is None else self._on_sides(program.sides, field, known, scales)
            )
            values = program.run(
                sides | {s: scales.get(s.component, 1) * each for s, each in jets.items()}, known
            )
            if any(term.label in self.normalised for term in program.group.terms):
                own = program.run(jets, known)
                values |= {
                    k: own[k]
                    for t in program.group.terms
                    if t.label in self.normalised
                    for k in program.outputs(t)
                }
            totals |= program.reduce(values, points, known, violations, batch, causal)
        return self.gathered(totals, violations)

    def _scales(
        self,
        read: Sequence[tuple[CompiledTerms, PointSetLike, KnownValues, Mapping[sp.Symbol, Tensor]]],
    ) -> dict[str, Tensor]:
        """What the components are multiplied by, "b 1" each."""
        scales: dict[str, Tensor] = {}
        for program, points, known, jets in read:
            for term in program.group.terms:
                if term.label in self.normalised:
                    each = self.normalised[term.label]
                    values = program.run(jets, known)
                    size = sum(
                        points.measure * average(values[k], points) for k in program.outputs(term)
                    )
                    scale = (
                        known.number(term.target) / size.clamp_min(torch.finfo(size.dtype).tiny)
                    ) ** (1 / each.degree)
                    components = (
                        c for name in each.unknowns for c in self.problem.unknowns[name].components
                    )
                    scales |= dict.fromkeys(components, scale[:, None])
        return scales

    def programs(self, field: FieldLike, batch: BatchLike) -> tuple[CompiledTerms, ...]:
        """The groups of terms and how each is computed for this field, all of whose points the
        batch must have."""
        chosen, found = self._programs(capabilities(field), strong=False)
        self._tell(chosen)
        for name in (program.group.points for program in found):
            if name not in batch.points:
                raise fail(
                    "B01",
                    f"the batch has no points on `{name}`, only on {', '.join(batch.points)}",
                    hint="draw it with compiler.sample",
                )
        for program in found:
            self._probe(program, field, batch.points[program.group.points].points)
        return found

    def group_values(
        self,
        program: CompiledTerms,
        field: FieldLike,
        batch: BatchLike,
        violations: dict[str, Float[Tensor, " b"]],
        causal: Mapping[str, float] | None = None,
    ) -> dict[str, Float[Tensor, ""]]:
        """The terms of one group, all its points at once; `violations` receives those of its
        requirements."""
        points = batch.points[program.group.points]
        known = self.known(batch, points.points, points.normals)
        return program.reduce(
            self.evaluate(program, field, points.points, known),
            points,
            known,
            violations,
            batch,
            causal or {},
        )

    def known(
        self,
        batch: BatchLike,
        points: Float[Tensor, "b n D"],
        normals: Float[Tensor, "b n d"] | None,
    ) -> KnownValues:
        """What a group reads in addition to the field, at points of the batch."""
        return KnownValues(
            self.problem,
            self.trainables,
            points,
            normals,
            batch.params,
            lambda name, x: batch.evaluate(name, x),
        )

    def gathered(
        self,
        totals: Mapping[str, Float[Tensor, ""]],
        violations: Mapping[str, Float[Tensor, " b"]],
        weights: Mapping[str, float] | None = None,
    ) -> Terms:
        """Values of terms in the loss's order, functionals summed, with its weights unless
        others are given."""
        ordered: dict[str, Tensor] = {}
        for term in self.terms:
            if term.label in totals:
                ordered[term.name] = (
                    ordered[term.name] + totals[term.label]
                    if term.name in ordered
                    else totals[term.label]
                )
        return Terms(ordered, self.weights if weights is None else weights, violations)

    def residuals(
        self,
        field: FieldLike,
        points: Tensor,  # "b n D"; what users give is refused with messages of its own
        inputs: Mapping[str, InputValues] | None = None,
        params: Mapping[str, float | Tensor] | None = None,
    ) -> dict[str, Float[Tensor, "b n k"]]:
        """The residual of every equation at `points`; for an energy, of its Euler-Lagrange
        equation.

        Shapes: points "b n D" with time last; inputs "b n c" at the points, or callables of points
        "b n d" (with time where the input depends on it); params numbers or "b"; every residual "b
        n k", k its number of components.
        """
        self._check_points(points)
        inputs, params = dict(inputs or {}), dict(params or {})
        self._check_names("input", inputs, self.problem.inputs)
        self._check_names("parameter", params, {**self.problem.params, **self.problem.trainables})

        if self.local is not None:
            return self._outer_residuals(self.local, field, points, inputs, params)

        def evaluate(name: str, x: Tensor) -> Tensor:
            given = inputs[name]
            if isinstance(given, Tensor):
                if x.requires_grad:
                    raise fail(
                        "B03",
                        f"a derivative of `{name}` is needed, but only its values at the points are"
                        " given",
                        hint=f"pass `{name}` as a callable of points",
                    )
                return given
            if not callable(given):
                need_points(given, f"values of input `{name}`")
            return given(x)

        tensors = {k: number(v, k, points.dtype, points.device) for k, v in params.items()}
        for name, parameter in self.problem.params.items():
            if name not in tensors and parameter.value is not None:
                tensors[name] = torch.as_tensor(
                    float(parameter.value), dtype=points.dtype, device=points.device
                )
        trainables = {name: tensors.get(name, own) for name, own in self.trainables.items()}
        found: dict[str, Tensor] = {}
        chosen, programs = self._programs(capabilities(field), strong=True)
        self._tell(chosen)
        for program in programs:
            self._probe(program, field, points, refuses=not self.problem.functionals)
            known = KnownValues(self.problem, trainables, points, None, tensors, evaluate)
            values = self.evaluate(program, field, points, known)
            found |= {
                t.label: torch.stack([values[e] for e in program.outputs(t)], -1)  # (b, n, k)
                for t in program.group.terms
            }
        return {t.label: found[t.label] for t in self.strong}

    def _outer_residuals(
        self,
        local: PhysicsLoss,
        field: FieldLike,
        points: Tensor,
        inputs: Mapping[str, InputValues],
        params: Mapping[str, float | Tensor],
    ) -> dict[str, Tensor]:
        """Residuals of the scaled problem, in the units of the problem as it was written."""
        frame, inner = self.frame, self.inner(field)
        dtype = field.dtype if isinstance(field, OuterField) else points.dtype
        known: dict[str, InputValues] = {}
        for name, given in inputs.items():
            size = frame.size(name)
            if not (isinstance(given, Tensor) or callable(given)):
                need_points(given, f"values of input `{name}`")
            if isinstance(given, Tensor):
                need_alike(given, points, name)
            known[name] = (
                (given / size).to(dtype)
                if isinstance(given, Tensor)
                else frame.values_inward(given, size)
            )
        numbers = {
            k: frame.param_inward(k, number(v, k, points.dtype, points.device), dtype)
            for k, v in params.items()
        }
        found = local.residuals(inner, frame.inward(points, dtype), known, numbers)
        return {
            label: (self.sizes[label] * value).to(points.dtype) for label, value in found.items()
        }

    def evaluate(
        self,
        program: CompiledTerms,
        field: FieldLike,
        points: Float[Tensor, "b n D"],
        known: Coefficients,
    ) -> dict[int, Float[Tensor, "b n"]]:
        """Every expression of a group, numbered as by `Program.outputs`. Shapes: points "b n D"
        -> "b n"."""
        sides = {} if program.sides is None else self._on_sides(program.sides, field, known)
        return program.run(sides | self.jet_values(program, field, points), known)

    def jet_values(
        self, program: CompiledTerms, field: FieldLike, points: Float[Tensor, "b n D"]
    ) -> dict[sp.Symbol, Float[Tensor, "b n"]]:
        """What a group reads of the field. Shapes: points "b n D" -> "b n" each."""
        self._check_points(points)
        if not program.jet_variables:
            return {}
        jets: dict[sp.Symbol, Tensor] = {}
        with told(field, points):
            answers = program.group.options.evaluate(
                self._checked(field, points), points, program.group.request, self.axes
            )
        position = {c: k for k, c in enumerate(self.components)}
        for jet in program.jet_variables:
            jets[jet] = answers[
                position[jet.component], form_name(jet.form) if jet.form else jet.index
            ]
        return jets

    def _on_sides(
        self,
        program: CompiledTerms,
        field: FieldLike,
        known: Coefficients,
        scales: Mapping[str, Tensor] | None = None,
    ) -> dict[sp.Symbol, Tensor]:
        """One-sided values of what jumps and averages are taken of, a few roundings off the
        interface; of the scaled field."""
        if not isinstance(known, KnownValues) or known.normals is None:
            raise fail(
                "B01",
                f"`{program.group.terms[0].label}` is taken on both sides of an interface, but its"
                " points carry no normals",
            )
        step = NEAR * torch.finfo(known.points.dtype).eps * self.size
        found: dict[sp.Symbol, Tensor] = {}
        for side in (1, -1):
            there = known.moved(side * step * known.normals)
            jets = self.jet_values(program, field, there.points)
            values = program.run(
                {s: (scales or {}).get(s.component, 1) * each for s, each in jets.items()}, there
            )
            for term in program.group.terms:
                found |= {
                    OneSided(k, side, term.label): values[e]
                    for k, e in enumerate(program.outputs(term))
                }
        return found

    @cached_property
    def size(self) -> float:
        """The largest coordinate of the domains: what positions are rounded in proportion to."""
        corners = [corner for domain in self.problem.domains.values() for corner in box(domain)]
        return max((abs(x) for corner in corners for x in corner), default=1.0)

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
                    f"the field returned shape {tuple(values.shape)}, the residual needs"
                    f" {expected}",
                    hint=f"channels are {', '.join(self.components)}",
                )
            if values.dtype != x.dtype:
                raise fail(
                    "B02",
                    f"the field returned {values.dtype} for {x.dtype} points",
                    hint="compute in the dtype of the points",
                )
            return values

        return checked

    def _checked_shape(self, field: FieldLike) -> FieldLike:
        """The same for a field that is about to be scaled."""
        return self._checked(field, torch.empty(0))

    def _tell(self, chosen: DerivativePlan) -> None:
        """Logs, once each, the warnings of a plan that is about to be used, and why `auto` did
        without jets."""
        nested = (
            f"`{self.problem.name}`: derivatives by nested autograd, for taylor was declined:"
            f" {chosen.fallback}"
        )
        for text in (*map(str, chosen.warnings), *([nested] if chosen.fallback else [])):
            if text not in self._told:
                self._told.add(text)
                LOG.warning(text)

    def _probe(
        self, program: CompiledTerms, field: FieldLike, points: Tensor, refuses: bool = True
    ) -> None:
        """P04, once for a field that says nothing of itself and is to be differentiated in its
        points; then whether autograd does that, where P09 `refuses` the field or is a warning."""
        group = program.group if program.sides is None else program.sides.group
        by_points = isinstance(group.options, (Autograd, Taylor)) and order(group.request)
        if (
            by_points
            and getattr(field, "capabilities", None) is None
            and (field,) not in self._probed
        ):
            with told(field, points):
                probe_pointwise(field, points[:, :PROBED])
            self._probed.add((field,))
        able = capabilities(field)
        if (
            by_points
            and program.sides is None
            and isinstance(group.options, Autograd)
            and able.pointwise
            and not able.taylor
        ):
            self._verify(program.group.request, field, points, refuses and self.refusing)
        if isinstance(program.group.options, LeastSquares):
            self._expect(program, program.group.options, points)

    def _expect(self, program: CompiledTerms, backend: LeastSquares, points: Tensor) -> None:
        """P07 for a fit to the neighbours, once for a group of terms: as a warning, or where
        nothing is to be expected of it."""
        request, layout = program.group.request, recognise(points, self.axes)
        if (
            program in self._expected
            or order(request) == 0
            or backend.refuse(request, Capabilities(), layout) is not None
        ):
            return
        found = backend.judged(backend.expected(points, request, layout), layout)
        self._expected.add(program)
        if found is not None:
            LOG.warning(f"`{self.problem.name}`: {found}")

    @property
    def refusing(self) -> bool:
        """Whether a field that has no residual of the equations' order (P09) is refused, as where
        it is to learn from that alone; else it is warned of: where a weak residual or solutions
        train it, or where it is evaluated."""
        return self._refusing

    @refusing.setter
    def refusing(self, refusing: bool) -> None:
        self._refusing = refusing
        if self.local is not None:
            self.local.refusing = refusing

    def _verify(self, request: Request, field: FieldLike, points: Tensor, refuses: bool) -> None:
        """P06, P09 and P03, once for what a field is made of and the derivatives asked; for the
        class of one that declares what it can do."""
        met = self._verified.setdefault(frozenset(parts(request).items()), IdentitySet())
        who = (
            tuple(made_of(field))
            if getattr(field, "capabilities", None) is None
            else (type(field),)
        )
        if who not in met:
            across = crossing(self.problem)
            for told in verify(field, points, request, self.names, self.components, across):
                if told.severity == "error":
                    if refuses:
                        raise ProblemError(told)
                    told = replace(told, severity="warning")
                LOG.warning(f"`{self.problem.name}`: {told}")
            met.add(who)

    def _programs(
        self, able: Capabilities, strong: bool
    ) -> tuple[DerivativePlan, tuple[CompiledTerms, ...]]:
        key = able, strong
        if key not in self._plans:
            terms = self.strong if strong else self.terms
            chosen = plan(terms, self.components, self.names, able, self.derivatives)
            self._plans[key] = chosen, tuple(CompiledTerms(g) for g in chosen.groups)
        return self._plans[key]

    def _check_points(self, points: Tensor) -> None:
        need_points(points)
        if points.ndim != 3 or points.shape[-1] != len(self.names):
            expected = f"(b, n, {len(self.names)})"
            raise fail(
                "B01",
                f"points have shape {tuple(points.shape)}, the problem needs {expected}",
                hint=f"coordinates are {', '.join(self.names)}, time last",
            )
        # one that is traced, or on the device meta, has no values
        known = type(points) is Tensor and not points.is_meta
        if known and not points.isfinite().all():
            raise fail("B02", "some points are not finite", hint="leave them out")

    def _check_names(self, kind: str, given: Mapping, declared: Mapping) -> None:
        for name in given:
            if name not in declared:
                close = nearest(name, declared)
                raise KeyError(
                    f"`{self.problem.name}` has no {kind} `{name}`"
                    + (f"; did you mean `{close}`?" if close else "")
                )


def together(problem: Problem, found: Mapping[str, float]) -> dict[str, list[float]]:
    """Trainable numbers by the name of what was declared, from those of its components."""
    return {
        name: [found[each] for each in p.components]
        for name, p in problem.trainables.items()
        if p.components[0] in found
    }


def term_weights(terms: Sequence[Term], weights: Mapping[str, float]) -> dict[str, float]:
    """Weights by label, from weights by label or by kind of term (equation, boundary, ..); a label
    goes before its kind.

    Raises: KeyError with the nearest name for one that is neither. A kind of which the problem has
    no term weighs nothing.
    """
    labels = {term.name for term in terms}
    for name in weights:
        if name not in labels and name not in get_args(Kind):
            close = nearest(name, [*labels, *get_args(Kind)])
            raise KeyError(
                f"no term and no kind of term is called `{name}`"
                + (f"; did you mean `{close}`?" if close else "")
            )
    return {
        t.name: weights.get(t.name, weights.get(t.kind, 1.0))
        for t in terms
        if t.name in weights or t.kind in weights
    }


def capabilities(field: FieldLike | None) -> Capabilities:
    """What a field declares; a plain callable is taken as pointwise and smooth, no field at all
    as a mollified GINO."""
    return Capabilities(taylor=True) if field is None else capabilities_of(field)


def probe_pointwise(field: FieldLike, points: Float[Tensor, "b n D"]) -> None:
    """P04 for a field that declares nothing: its values at half of the queries must not depend
    on the other half."""
    half = max(1, points.shape[1] // 2)
    with torch.no_grad():
        together, alone = field(points)[:, :half], field(points[:, :half])
    if not (together.isfinite().all() and alone.isfinite().all()):
        return  # a matter of R01
    scale = together.abs().max().clamp_min(torch.finfo(points.dtype).tiny)
    if (
        together.shape == alone.shape
        and (together - alone).abs().max() <= 1e3 * torch.finfo(points.dtype).eps * scale
    ):
        return
    raise fail(
        "P04",
        "the value of this field at one query changes with the other queries",
        hint=(
            "give it `capabilities` with pointwise=False, and use fourier or finite_difference on"
            " its grid, or least_squares"
        ),
        cause=(
            "the derivative of the sum over queries is then not du/dx but a sum of Jacobian columns"
        ),
    )


def periods(problem: Problem) -> tuple[float | None, ...]:
    """The length after which fields repeat along every coordinate and time; None where they do
    not, or where it differs between samples."""
    lengths: dict[str, float] = {}
    for domain in problem.domains.values():
        for name, low, high in zip(
            [c.name for c in domain.coordinates], *_corners(domain), strict=False
        ):
            if name in domain.periodic and not (high - low).free_symbols:
                lengths[name] = float(high - low)
    time = (problem.time,) if problem.time is not None else ()
    lengths |= {each.name: float(each.end - each.start) for each in time if each.periodic}
    return tuple(lengths.get(v.name) for v in (*problem.coordinates, *time))


def _corners(domain: Domain) -> tuple[tuple[sp.Expr, ...], tuple[sp.Expr, ...]]:
    box = cut_from(domain.shape) if domain.periodic else None
    return (box.lower, box.upper) if box is not None else ((), ())
