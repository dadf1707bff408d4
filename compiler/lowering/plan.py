"""Derivative planner: for each group of points a backend, the derivatives it carries, their cost,
and the reasons.

For jets the planner collapses top-order derivatives: where a residual holds them only in fixed
linear combinations, such as u_xx + u_yy, each combination travels as one stream (derivatives.md
5.2; Dangel et al. 2025, Collapsing Taylor Mode).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import sympy as sp

from compiler.derivatives import DERIVATIVES, Backend, LeastSquares, Request
from compiler.derivatives import Form as FormRequest
from compiler.lowering.selection import backend_name, choice
from compiler.lowering.terms import (
    Form,
    JetVariable,
    MultiIndex,
    Term,
    letters,
)
from operators import WEIGHTS
from operators.field import Capabilities
from pdespec.errors import Diagnostic, ProblemError

# of a value step per stream: an estimate for activations next to the matrix products; it decides
# only near a tie
ELEMENTWISE = 0.15


@dataclass(frozen=True)
class Group:
    """Terms that read the same points and share one evaluation of the field, and of both sides
    of those points where there are `sides`."""

    points: str
    terms: tuple[Term, ...]
    backend: str
    options: Backend
    request: Request
    streams: int
    cost: float
    reasons: tuple[str, ...]
    sides: Group | None = None  # of the expressions that are taken on both sides of an interface


@dataclass(frozen=True)
class DerivativePlan:
    """What is computed how. `str(plan)` is the table that `pdespec explain --stage plan` prints."""

    groups: tuple[Group, ...]
    components: tuple[str, ...]
    names: tuple[str, ...]
    warnings: tuple[Diagnostic, ...] = ()
    fallback: str = ""  # why jets were not to be had where they would have been chosen

    def __str__(self) -> str:
        lines = []
        for group in (each.sides or each for each in self.groups):
            needs = (
                ", ".join(
                    sorted({s.name for t in group.terms for s in t.jet_variables() if not s.known})
                )
                or "no unknown"
            )
            lines.append(f"{group.points}: {', '.join(t.label for t in group.terms)}")
            lines.append(f"  needs    {needs}")
            lines.append(
                f"  backend  {group.backend}, {group.streams} stream{'s' * (group.streams != 1)},"
                f" about {group.cost:.1f} value steps"
            )
            lines += [f"           {reason}" for reason in group.reasons]
        lines += [f"warning {w.code}: {w.message}" for w in self.warnings]
        return "\n".join(lines)


def plan(
    terms: tuple[Term, ...],
    components: tuple[str, ...],
    names: tuple[str, ...],
    capabilities: Capabilities,
    derivatives: str | Backend | Mapping[str, object] = "auto",
) -> DerivativePlan:
    """Groups terms by points and backend and chooses streams.

    `derivatives` is one backend (a name, or an instance with its options), or a mapping from the
    label of a term, the name of an unknown component or of a region to one, with "default" for the
    rest. Raises: ProblemError P03 where the field is not smooth enough; what
    `compiler.lowering.selection` raises.
    """
    chosen: dict[tuple[str, object, bool], list[Term]] = {}
    for term in terms:
        chosen.setdefault((term.points, choice(term, derivatives), bool(term.inner)), []).append(
            term
        )
    groups, warnings = [], []
    for (points, backend, sided), members in chosen.items():
        warnings += smoothness(members, names, capabilities)
        if not sided:
            groups.append(group(points, tuple(members), backend, components, capabilities))
            continue
        inner = tuple(replace(t, expressions=t.inner, inner=()) for t in members)
        warnings += smoothness(inner, names, capabilities)
        both = one_sided(group(points, inner, backend, components, capabilities), capabilities)
        groups.append(
            replace(group(points, tuple(members), backend, components, capabilities), sides=both)
        )
    nested = any(
        backend == "auto" and g.backend == "autograd"
        for (_, backend, _), g in zip(chosen, groups, strict=True)
    )
    fallback = capabilities.reason if nested and not capabilities.taylor else ""
    return DerivativePlan(
        tuple(groups), components, names, tuple(dict.fromkeys(warnings)), fallback
    )


def one_sided(both: Group, capabilities: Capabilities) -> Group:
    """The group itself. Raises: ProblemError P08 where its derivatives would read the field on
    the other side of the interface too."""
    if both.backend in ("autograd", "taylor") and capabilities.pointwise:
        return both
    label = both.terms[0].label
    what = f"{both.backend} reads the field on both sides of the interface of `{label}`"
    hint = "use autograd or taylor, and a field that is pointwise in its queries: gino, fno or pinn"
    cause = "the gradient jumps there, and one-sided derivatives are what the term compares"
    raise ProblemError(Diagnostic("P08", what, hint, cause, span=both.terms[0].span, label=label))


def smoothness(
    terms: Iterable[Term], names: tuple[str, ...], capabilities: Capabilities
) -> list[Diagnostic]:
    """P03: a derivative of order k needs a field of class C^(k-1) to be a function at all, and
    C^k to be continuous."""
    warnings = []
    for term in terms:
        top = max(
            (s for s in term.jet_variables() if not s.known),
            key=lambda s: sum(s.index),
            default=None,
        )
        k = sum(top.index) if top is not None else 0
        if k <= max(capabilities.smoothness, 0):
            continue
        kind = f"is only C^{capabilities.smoothness}" if capabilities.smoothness >= 0 else "jumps"
        what = (
            f"`{term.label}` takes d{letters(top.index, names)}({top.component}), the field {kind}"
        )
        hint = smooth_enough(k, jumps=capabilities.smoothness < 0)
        if k > capabilities.smoothness + 1:
            cause = (
                f"a derivative of order {k} of a field that {kind} holds delta terms that no"
                " pointwise derivative sees"
            )
            raise ProblemError(
                Diagnostic("P03", what, hint, cause, span=term.span, label=term.label)
            )
        cause = (
            f"the derivative of order {k} jumps wherever a query crosses the rim of a latent node's"
            " ball; its mean square is still right"
        )
        warnings.append(
            Diagnostic(
                "P03", what, hint, cause, span=term.span, label=term.label, severity="warning"
            )
        )
    return warnings


def smooth_enough(k: int, jumps: bool) -> str:
    """Which weights are of class C^k, the least smooth ones first, and what else a field that
    jumps lacks."""
    classes = sorted(
        (weight.smoothness, name)
        for name, weight in WEIGHTS.items()
        if k <= weight.smoothness < math.inf
    )
    named = [f'"{name}" (C^{smooth})' for smooth, name in classes[:2]] + ['"bump" (C^inf)']
    reduction = (
        ', and a reduction that does not count neighbours: "integral", "sum" or "shepard"'
        if jumps
        else ""
    )
    return (
        f"use a weight of class C^{k} or more:"
        f" weight={', '.join(named[:-1])}{' or ' * (len(named) > 1)}{named[-1]}{reduction}"
    )


def group(
    points: str,
    terms: tuple[Term, ...],
    backend: object,
    components: tuple[str, ...],
    capabilities: Capabilities,
) -> Group:
    """One group with its backend settled."""
    needed = {component: indices(terms, component) for component in components}
    needed = {component: found for component, found in needed.items() if found}
    jets, collapsed = collapse(terms, needed)
    forms = tuple(
        sorted({s for t in jets for s in t.jet_variables() if s.form}, key=lambda s: s.name)
    )
    lower = closure(needed, forms)
    streams = len(lower) + len({s.form for s in forms})
    costs = {"taylor": streams * (1 + ELEMENTWISE) - ELEMENTWISE, "autograd": nested_cost(needed)}
    top = max((sum(a) for found in needed.values() for a in found), default=0)
    name, reasons = backend_name(backend), ()
    if name == "auto":
        name, reasons = automatic(costs, streams, capabilities, top)
    if name == "taylor" and top:
        reasons += collapsed
        terms = jets
    else:
        forms = ()
        streams = len({a for found in needed.values() for a in found})
    position = {component: k for k, component in enumerate(components)}
    operators: dict[str, FormRequest] = {}
    for jet in forms:
        key = form_name(jet.form)
        wanted = {position[jet.component]} | (
            operators[key].components if key in operators else frozenset()
        )
        operators[key] = FormRequest({a: float(c) for a, c in jet.form}, frozenset(wanted))
    plain = {
        position[c]: frozenset(
            s.index
            for t in terms
            for s in t.jet_variables()
            if not s.known and s.component == c and not s.form
        )
        for c in needed
    }
    options = DERIVATIVES[name]() if isinstance(backend, str) else backend
    if isinstance(options, LeastSquares) and top:
        power = options.accuracy((top,))
        reasons += (
            f"its error at order {top} "
            + (
                f"falls as the spacing to the power {power:g}"
                if power
                else "does not fall with the spacing"
            ),
        )
    cost = costs.get(name, float(options.points_per_query(Request(plain, operators))))
    return Group(points, terms, name, options, Request(plain, operators), streams, cost, reasons)


def automatic(
    costs: Mapping[str, float], streams: int, capabilities: Capabilities, top: int
) -> tuple[str, tuple[str, ...]]:
    """The backend that is exact for this field, and among those the cheapest.

    From order two on always jets: they need no backward through a backward, whose graph is what
    fills the memory. At order one the streams decide against the adjoints of reverse mode, and at a
    tie jets, for the same reason.
    """
    if top == 0:
        return "autograd", ("values only, nothing to differentiate",)
    if not capabilities.pointwise:
        mixing = "autograd, taylor declined: the field mixes its queries"
        if capabilities.grid is None:
            return "least_squares", (
                f"{mixing}; fourier, finite_difference declined: it has no grid of its own",
            )
        if capabilities.periodic and all(capabilities.periodic):
            return "fourier", (f"{mixing}; its grid is periodic",)
        return "finite_difference", (f"{mixing}; fourier declined: its grid is not periodic",)
    if not capabilities.taylor:
        return "autograd", (f"taylor declined: {capabilities.reason or 'the field has no jets'}",)
    name = "taylor" if top >= 2 or streams <= costs["autograd"] else "autograd"
    other = "autograd" if name == "taylor" else "taylor"
    compared = f"{costs[other]:.1f} value steps against {costs[name]:.1f}"
    return name, (
        f"{other} declined: {compared}"
        + (", and its nested sweeps keep the whole graph" if name == "taylor" else ""),
    )


def indices(terms: Iterable[Term], component: str) -> frozenset[MultiIndex]:
    """Every multi-index of one unknown component in some terms."""
    return frozenset(
        s.index
        for t in terms
        for s in t.jet_variables()
        if not s.known and s.component == component and not s.form
    )


def divisors(index: MultiIndex) -> set[MultiIndex]:
    """All multi-indices below or equal to one."""
    return set(itertools.product(*(range(k + 1) for k in index)))


def closure(
    needed: Mapping[str, frozenset[MultiIndex]], forms: Iterable[JetVariable]
) -> frozenset[MultiIndex]:
    """The multi-indices jets carry: everything needed and not collapsed, with all that lies
    below it and below the forms."""
    collapsed = {a for s in forms for a, _ in s.form}
    lower = set()
    for index in set().union(*needed.values()) if needed else ():
        lower |= divisors(index) - ({index} if index in collapsed else set())
    return frozenset(lower)


def nested_cost(needed: Mapping[str, frozenset[MultiIndex]]) -> float:
    """Value steps of nested reverse mode: 1 for the value, then 1, 2, 4, .. for each gradient
    taken of a derivative of order 0, 1, 2, .."""
    parents = {
        (component, p) for component, found in needed.items() for a in found for p in ancestors(a)
    }
    return 1.0 + sum(2.0 ** sum(parent) for _, parent in parents)


def ancestors(index: MultiIndex) -> list[MultiIndex]:
    """The derivatives that nested mode passes on its way to one, from the value up: the last
    coordinate is taken last."""
    path = []
    while any(index):
        axis = max(k for k, count in enumerate(index) if count)
        index = (*index[:axis], index[axis] - 1, *index[axis + 1 :])
        path.append(index)
    return path


def collapse(
    terms: tuple[Term, ...], needed: Mapping[str, frozenset[MultiIndex]]
) -> tuple[tuple[Term, ...], tuple[str, ...]]:
    """Top-order derivatives gathered into forms where that saves streams, with the reason to print.

    The residuals must be affine in the top-order streams: r = r0 + sum_a C_a d^a u. Those a whose
    C_a have constant ratios make one form. Residuals that are not affine (Monge-Ampere) or whose
    forms are as many as their parts (KdV) stay as they are.
    """
    every = set().union(*needed.values()) if needed else set()
    tops = {
        a
        for a in every
        if sum(a) >= 2
        and not any(a != b and all(i <= j for i, j in zip(a, b, strict=True)) for b in every)
    }
    if len(tops) < 2:
        return terms, ()
    rewritten = []
    for term in terms:
        expressions = []
        for expression in (*term.expressions, *term.guards):
            heads = sorted(
                (s for s in expression.atoms(JetVariable) if not s.known and s.index in tops),
                key=lambda s: (s.component, s.index),
            )
            coefficients = {s: sp.diff(expression, s) for s in heads}
            if any(c.has(*heads) for c in coefficients.values()):
                return terms, (
                    f"not collapsed: `{term.label}` is nonlinear in its top-order derivatives",
                )
            rest = expression.xreplace(dict.fromkeys(heads, sp.S.Zero))
            expressions.append(rest + sum(k * s for k, s in gather(coefficients)))
        count = len(term.expressions)
        rewritten.append(
            replace(term, expressions=tuple(expressions[:count]), guards=tuple(expressions[count:]))
        )
    forms = {s.form for t in rewritten for s in t.jet_variables() if s.form}
    if len(forms) >= len(tops):
        return terms, ()
    reason = ", ".join(sorted({s.name for t in rewritten for s in t.jet_variables() if s.form}))
    return tuple(rewritten), (
        f"{len(tops)} top-order derivatives collapsed into {len(forms)}: {reason}",
    )


def gather(coefficients: Mapping[JetVariable, sp.Expr]) -> list[tuple[sp.Expr, JetVariable]]:
    """`sum_a C_a d^a u` as `sum K * form`: indices of one component whose coefficients have
    constant ratios go together."""
    classes: list[tuple[sp.Expr, JetVariable, dict[MultiIndex, sp.Expr]]] = []
    for jet, coefficient in coefficients.items():
        for leading, first, form in classes:
            ratio = (
                constant_ratio(coefficient, leading) if first.component == jet.component else None
            )
            if ratio is not None:
                form[jet.index] = ratio
                break
        else:
            classes.append((coefficient, jet, {jet.index: sp.S.One}))
    return [
        (k, JetVariable(s.component, s.index, s.names, tuple(sorted(form.items()))))
        for k, s, form in classes
    ]


def constant_ratio(a: sp.Expr, b: sp.Expr) -> sp.Expr | None:
    """a / b where that is one number, else None.

    Decided at three random rational points (Schwartz-Zippel): cancelling the coefficients of a
    large strain energy would take minutes.
    """
    symbols = sorted(a.free_symbols | b.free_symbols, key=lambda s: s.name)
    ratios = set()
    for trial in range(3):
        draw = random.Random(trial)
        at = {s: sp.Rational(draw.randint(1, 997), draw.randint(1, 997)) for s in symbols}
        below = b.xreplace(at)
        if below == 0:
            return None
        ratios.add(a.xreplace(at) / below)
    ratio, *others = ratios
    return ratio if not others and ratio.is_number else None


def form_name(form: Form) -> str:
    """A key for a form that reads as one: `1*(2, 0) + 1*(0, 2)`."""
    return " + ".join(f"{c}*{a}" for a, c in form)
