"""What a training measures a field by, chosen by rule: an energy, the residual with the error it
causes, or the dual norm of the weak residual.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import sympy as sp
import torch
from torch import nn

from compiler.batches.sample import Batch, sample
from compiler.chance import seeded
from compiler.fem.errors import NoWeakForm, SolverError
from compiler.loss.error_estimate import error_term
from compiler.lowering.terms import JetVariable, Term, lower
from compiler.scales import component_sizes, scaled
from compiler.scales.views import inner_field
from compiler.training.dual import DualNorm, meshed, trusted_mesh
from compiler.training.options import TrainOptions
from operators.field import capabilities
from pdespec.errors import ProblemError
from pdespec.laws import truncated_support
from pdespec.statements.problem import Problem
from pdespec.symbols import Param

REFERENCES = 8  # samples whose sizes are those of the problem
CARRIED = 10.0  # times its diffusion over the length of the domain, a transport too large for it


@dataclass(frozen=True)
class Choice:
    """`kind` is strong, energy, error (the estimate of `compiler.loss.error_estimate`) or dual;
    `reason` says why, "" where nothing was to be chosen.
    """

    kind: str
    reason: str = ""
    dual: DualNorm | None = None

    def record(self, setting: int | str | None) -> dict[str, Any]:
        """What is saved of it with the run, and the setting of `dual` that it answers."""
        return {
            "kind": self.kind,
            "reason": self.reason,
            "setting": setting,
            "resolution": self.dual and self.dual.options.resolution,
            "slabs": self.dual.steps if self.dual and self.dual.problem.time else None,
        }


@dataclass(frozen=True)
class References:
    """The samples whose sizes are those of a problem, and fields of its model on them; `own`:
    they are drawn by the problem's laws."""

    problem: Problem
    model: nn.Module
    options: TrainOptions
    own: bool = True

    @cached_property
    def samples(self) -> Batch:
        """Raises: NoWeakForm where samples are not drawn by the problem's laws."""
        if not self.own:
            raise NoWeakForm("the samples are not drawn by the problem's own laws")
        generator = seeded(self.options.seed, "dual", 0)
        return sample(
            self.problem,
            REFERENCES,
            dict(self.options.points),
            generator,
            dtype=torch.float64,
            **self.options.ansatz,
        )

    def batch(self) -> Batch:
        """The samples of the problem as it is computed."""
        return self.samples.local or self.samples

    @torch.no_grad()
    def value(self, dual: DualNorm) -> float:
        """The norm at the untrained model's field of the first sample. Raises: NoWeakForm where
        that field has no derivatives in its points.
        """
        batch, samples = meshed(dual, self.samples, lambda each: each.local or each)
        frame, computed = scaled(self.problem)
        field = self.model(batch.select([0]).to(next(self.model.parameters()).dtype).inputs)
        if not capabilities(field).pointwise:
            raise NoWeakForm(
                "values of this operator's fields at a point depend on the other points"
            )
        inner = (
            field
            if computed is self.problem
            else inner_field(field, frame, component_sizes(self.problem, frame))
        )
        return float(dual(inner, samples[:1], next(self.model.parameters())))


def choose(
    problem: Problem,
    options: TrainOptions,
    references: References,
    known: Mapping[str, Any] | None = None,
) -> Choice:
    """What `options.dual` asks for, of a problem as it is computed.

    "auto" is nothing where physics is not asked for and there are solutions or data. Else it keeps
    an energy, which measures the error itself; then takes the estimated error, where options allow
    it and it holds for every equation; then the dual norm, on the coarsest mesh whose own solution
    can be trusted; and the strong residual where none of these is. `known`: the record of an
    earlier session. Raises: NoWeakForm for a number where there is no weak form.
    """
    if options.dual is None:
        return Choice("strong")
    if options.form == "balance":
        return Choice("strong", "balances over control volumes, as form asks")
    given = options.solutions or problem.data
    if options.dual == "auto" and not options.physics and given:
        return Choice("strong", "physics=false: data alone")
    moving = ""
    if problem.trainables:
        moving = (
            f"{', '.join(problem.trainables)} moves while it trains, and the coarse reference of"
            " the dual norm does not move with it"
        )
    if options.dual != "auto":
        if moving:
            raise NoWeakForm(f"dual = {options.dual}: {moving}; set dual=none")
        dual = DualNorm(problem, int(options.dual), hard_conditions=options.hard_conditions)
        dual.refer(references.batch())
        return Choice("dual", f"weak residual on meshes of resolution {options.dual}", dual)
    if problem.functionals:
        return Choice("energy", "an energy is minimised: it measures the error as it stands")
    if options.error_estimate and estimated(problem):
        return Choice(
            "error",
            "strong residual with the error that it causes, by an approximate Green function",
        )
    if moving:
        return Choice("strong", f"strong residual: {moving}")
    if known and known["setting"] == "auto" and known["resolution"] is None:
        return Choice(known["kind"], known["reason"])
    try:
        batch = references.batch()
        if known and known["setting"] == "auto":
            slabs = known.get("slabs")  # of no run before they were chosen
            dual = DualNorm(
                problem, known["resolution"], slabs=slabs, hard_conditions=options.hard_conditions
            )
            reason = known["reason"]
        else:
            mesh, found = trusted_mesh(problem, batch)
            dual = DualNorm(
                problem, mesh.resolution, slabs=mesh.slabs, hard_conditions=options.hard_conditions
            )
            reason = f"weak residual on meshes of {mesh}, {found}"
        dual.refer(batch)
        value = references.value(dual)
    except (
        Exception
    ) as error:  # whatever it is, the strong residual does without: the reason is reported
        return Choice(
            "strong",
            "strong residual:"
            f" {error if isinstance(error, (SolverError, ProblemError)) else repr(error)}",
        )
    if not math.isfinite(value):
        return Choice(
            "strong",
            "strong residual: the dual norm of the weak residual is not finite where training"
            " begins",
        )
    return Choice("dual", reason, dual)


def estimated(problem: Problem) -> bool:
    """Whether the error that its residual causes is estimated for every equation, and by its
    principal part alone."""
    terms = [term for term in lower(problem) if term.kind == "equation"]
    return bool(terms) and all(
        error_term(problem, term) is not None and principal(term) for term in terms
    )


def principal(term: Term) -> bool:
    """Whether `a lap^m(u) + .. + b . grad(u) + c u + ..` is governed by its highest derivatives: b
    and what lies between is zero and c of the sign that makes the operator no smaller, where u is
    all but constant, and b no more than CARRIED times a, over the length 1 of the problem as it is
    computed, where u and its derivatives are of size 1. A wave number or a transport, also one by
    the unknown itself as in |grad(u)|^2 - eps lap(u) = 1, change what error a residual causes.
    """
    (expression,) = term.expressions
    jets = [s for s in expression.atoms(JetVariable) if not s.known]
    highest = max(sum(s.index) for s in jets)
    rest = {s: sp.S.Zero for s in jets if any(s.index)}
    slopes = [sp.diff(expression, s) for s in jets if 0 < sum(s.index) < highest]
    mass = sum((sp.diff(expression, s).xreplace(rest) for s in jets if not any(s.index)), sp.S.Zero)
    head = sp.diff(expression, next(s for s in jets if sum(s.index) == highest))
    if any(each.xreplace(rest) != 0 for each in slopes) or not bool(
        ((-1) ** (highest // 2) * mass * head).xreplace(rest).is_nonnegative
    ):
        return False
    sizes = [abs(_typical(each)) for each in slopes]
    return not slopes or bool(max(sizes) <= CARRIED * abs(_typical(head)))


def _typical(expression: sp.Expr) -> float:
    """Its value where the unknown, its derivatives, inputs and coordinates are 1, and params in the
    middle of their laws; NaN where there is none."""
    values: dict[sp.Basic, float] = {}
    for symbol in expression.free_symbols:
        declaration = getattr(symbol, "declaration", None)
        if not isinstance(declaration, Param):
            values[symbol] = 1.0
        elif declaration.value is not None:
            values[symbol] = float(declaration.value)
        else:
            law = declaration.law
            values[symbol] = sum(truncated_support(law)) / 2 if law is not None else 1.0
    try:
        return float(expression.xreplace(values))
    except TypeError:
        return math.nan
