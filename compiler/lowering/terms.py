"""Problem -> scalar residuals over jet variables.

A *jet variable* is one derivative of one component, `d^a u`, as a symbol: what the derivative
backends deliver and all that a residual graph knows of a field. Lowering expands the vector
calculus, puts constants to their values and replaces every applied function and `Derivative` by its
jet variable; nothing else is decided here."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Literal

import sympy as sp

from pdespec.calculus import Average, Jump, Minus, Plus, TwoSided, entries
from pdespec.coordinates import Normal
from pdespec.curvilinear import angles
from pdespec.errors import Span
from pdespec.geometry import Boundary, Domain
from pdespec.jets import MultiIndex, jets_of
from pdespec.nodes import replaced
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import (
    Condition,
    IntegralRequirement,
    Problem,
    Requirement,
    once,
)
from pdespec.symbols import InputField, Scalar, UnknownField

Form = tuple[
    tuple[MultiIndex, sp.Expr], ...
]  # a linear differential operator sum c_a d^a, sorted by a


class JetVariable(sp.Symbol):
    """`d^index component` of an unknown or an input at the collocation points; with a `form`, the
    operator `sum c_a d^a component`.

    `index` counts derivatives along (coordinates..., time).
    """

    component: str
    index: MultiIndex
    names: tuple[str, ...]
    form: Form
    known: bool

    def __new__(
        cls,
        component: str,
        index: MultiIndex,
        names: tuple[str, ...],
        form: Form = (),
        known: bool = False,
    ) -> JetVariable:
        if form:
            tail = " + ".join(f"{c}*" * (c != 1) + letters(a, names) for a, c in reversed(form))
            name = f"({tail})[{component}]"
        else:
            name = f"{component}_{letters(index, names)}" if any(index) else component
        jet = sp.Symbol.__xnew__(cls, name, real=True)
        jet.component, jet.index, jet.names, jet.form, jet.known = (
            component,
            index,
            names,
            form,
            known,
        )
        return jet

    def __getnewargs_ex__(self) -> tuple[tuple, dict]:
        return (self.component, self.index, self.names, self.form, self.known), {}

    def _hashable_content(self):
        return (*super()._hashable_content(), self.component, self.index, self.form, self.known)


class OneSided(sp.Symbol):
    """The value of the expression `inner[place]` of a term on one side of an interface: that the
    normal points to (+1), or the other."""

    place: int
    side: int
    label: str

    def __new__(cls, place: int, side: int, label: str) -> OneSided:
        self = sp.Symbol.__xnew__(
            cls, f"{'plus' if side > 0 else 'minus'}{place} of {label}", real=True
        )
        self.place, self.side, self.label = place, side, label
        return self

    def __getnewargs_ex__(self) -> tuple[tuple, dict]:
        return (self.place, self.side, self.label), {}

    def _hashable_content(self):
        return (*super()._hashable_content(), self.place, self.side, self.label)


def letters(index: MultiIndex, names: tuple[str, ...]) -> str:
    """`(2, 1)` over `("x", "y")` -> `"xxy"`."""
    return "".join(name * count for name, count in zip(names, index, strict=True))


Kind = Literal[
    "equation", "boundary", "initial", "point", "energy", "requirement", "integral", "error"
]


@dataclass(frozen=True)
class Term:
    """One summand of the loss: scalar expressions over jet variables on one set of points.

    `points` is the key of its collocation points in `Batch.points`. For the kinds equation,
    boundary, initial and point the expressions are residuals; for energy and integral densities
    (`target` is the integral's prescribed value); for error `target` is the power of the Laplacian
    (see `compiler.loss.error_estimate`); for requirement they must be > 0. `functional` is the one
    of which an energy is the part over one region. `guards` must be > 0 where the density of an
    energy is to be trusted (see `compiler.loss.barrier`). `inner` are the expressions whose
    one-sided values on an interface the residuals hold as `OneSided` symbols.
    """

    label: str
    kind: Kind
    expressions: tuple[sp.Expr, ...]
    region: Domain | Boundary
    points: str
    target: sp.Expr = sp.S.Zero
    functional: str = ""
    guards: tuple[sp.Expr, ...] = ()
    inner: tuple[sp.Expr, ...] = ()
    span: Span | None = field(default=None, compare=False)

    @property
    def name(self) -> str:
        """Under which the term is reported and weighed: the parts of a functional together, since
        weights of their own would change what is made small.
        """
        return self.functional or self.label

    def jet_variables(self) -> tuple[JetVariable, ...]:
        """Every jet variable the expressions and guards hold, in a fixed order."""
        found = set().union(*(e.atoms(JetVariable) for e in (*self.expressions, *self.guards)))
        return tuple(sorted(found, key=lambda s: (s.known, s.component, sum(s.index), s.name)))


@once
def lower(problem: Problem) -> tuple[Term, ...]:
    """The terms of the physics loss, in the order of the declaration: equations, energies,
    conditions, requirements."""
    stated = [
        equation_term(problem, label, form)
        for label, form in problem.residual_forms.items()
        if label in problem.equations
    ]
    terms = [regular(term, problem.coordinates) for term in stated]
    for number, functional in enumerate(problem.functionals, 1):
        name = "energy" if len(problem.functionals) == 1 else f"energy{number}"
        for part, (density, region) in enumerate(functional.terms):
            terms.append(
                energy_term(
                    problem, name, name if part == 0 else f"{name}.{region.name}", density, region
                )
            )
    for label, condition in {**problem.conditions, **flux_conditions(problem)}.items():
        difference = condition.lhs - condition.rhs
        residuals, inner = one_sided(label, scalars(problem, difference))
        terms.append(
            Term(
                label,
                condition.kind,
                residuals,
                condition.region,
                points_key(condition),
                inner=inner,
                span=condition.span,
            )
        )
    for number, requirement in enumerate(problem.requirements, 1):
        terms.append(requirement_term(problem, f"require{number}", requirement))
    return tuple(terms)


@once
def strong_form(problem: Problem) -> tuple[Term, ...]:
    """The equations alone; for an energy, its Euler-Lagrange equation."""
    return tuple(
        equation_term(problem, label, form) for label, form in problem.residual_forms.items()
    )


def points_key(condition: Condition) -> str:
    """Key of the collocation points of a condition in a batch: `Gamma`, `Omega@0` at a time,
    `Omega(0, 1/2)` at a point."""
    if condition.kind == "boundary":
        return condition.region.name
    place = f"({', '.join(map(str, condition.place))})" if condition.kind == "point" else ""
    return f"{condition.region.domain.name}{place}" + (
        f"@{sp.S(condition.at)}" if condition.at is not None else ""
    )


def equation_term(problem: Problem, label: str, form: sp.Expr | sp.MatrixBase) -> Term:
    """An equation, or one of Euler and Lagrange, from its residual in jet form."""
    equation = problem.equations.get(label)
    region = equation.region if equation else problem.functionals[0].terms[0][1]
    return Term(
        label,
        "equation",
        tuple(with_jet_variables(problem, values(problem, entry)) for entry in entries(form)),
        region,
        region.name,
        span=equation.span if equation else None,
    )


def regular(term: Term, coordinates: tuple[sp.Symbol, ...]) -> Term:
    """A term about an axis or a centre times the power of r that leaves no division by r.

    On the axis such a row is the regularity of the field there (`dr(u) = 0`, `v.r = 0`), and a
    field that lacks it has a finite loss.
    """
    if not angles(coordinates):
        return term
    r, rows = coordinates[0], []
    for expression in map(sp.expand_mul, term.expressions):
        powers = [
            -node.exp
            for node in expression.atoms(sp.Pow)
            if node.base == r and node.exp.is_Integer and node.exp < 0
        ]
        rows.append(
            sp.Add(*(r ** max(powers, default=0) * part for part in sp.Add.make_args(expression)))
        )
    return replace(term, expressions=tuple(rows))


def energy_term(
    problem: Problem, name: str, label: str, density: sp.Expr, region: Domain | Boundary
) -> Term:
    """An energy over one region, guarded by the requirements that hold there.

    On a boundary those of its domain count as well, where the density is not a polynomial in the
    jet variables: a dead load is finite for every field, and asks for no strains at the surface.
    """
    densities = scalars(problem, density)
    own = {s for e in densities for s in e.atoms(JetVariable) if not s.known}
    regions = {region} if all(e.is_polynomial(*own) for e in densities) else {region, region.domain}
    stated = [
        requirement_term(problem, label, r) for r in problem.requirements if r.region in regions
    ]
    guards = tuple(
        e
        for t in stated
        if t.kind == "requirement"
        for e in t.expressions
        if any(not s.known for s in e.atoms(JetVariable))
    )
    return Term(label, "energy", densities, region, region.name, functional=name, guards=guards)


def requirement_term(
    problem: Problem, label: str, requirement: Requirement | IntegralRequirement
) -> Term:
    """The term of a requirement: the shortfall at points, or the defect of an integral."""
    region = requirement.region
    if isinstance(requirement, IntegralRequirement):
        density = scalars(problem, requirement.density)
        return Term(
            label,
            "integral",
            density,
            region,
            region.name,
            target=values(problem, sp.sympify(requirement.value)),
        )
    sign = 1 if requirement.op in (">", ">=") else -1
    return Term(
        label,
        "requirement",
        scalars(problem, sign * (requirement.lhs - requirement.rhs)),
        region,
        region.name,
    )


def scalars(problem: Problem, expression: sp.Expr | sp.MatrixBase) -> tuple[sp.Expr, ...]:
    """Components of an expression in their derivative form, written over jet variables."""
    return tuple(
        with_jet_variables(problem, values(problem, problem.derivative_form(sp.sympify(entry))))
        for entry in entries(expression)
    )


def one_sided(
    label: str, expressions: tuple[sp.Expr, ...]
) -> tuple[tuple[sp.Expr, ...], tuple[sp.Expr, ...]]:
    """Expressions with jumps and averages written out in one-sided values, and of what those are
    taken."""
    inner: list[sp.Expr] = []

    def value(node: sp.Expr, side: int) -> OneSided:
        if node not in inner:
            inner.append(node)
        return OneSided(inner.index(node), side, label)

    table = {}
    for node in sorted(
        set().union(*(e.atoms(TwoSided) for e in expressions)), key=sp.default_sort_key
    ):
        plus, minus = (value(node.args[0], side) for side in (1, -1))
        whole = {Jump: plus - minus, Average: (plus + minus) / 2, Plus: plus, Minus: minus}
        table[node] = whole[type(node)]
    return tuple(e.xreplace(table) for e in expressions), tuple(inner)


def values(problem: Problem, expression: sp.Expr) -> sp.Expr:
    """Constants replaced by their numbers; drawn, given and trainable parameters stay symbols."""
    constants = {
        s: s.declaration.value
        for s in expression.atoms(Scalar)
        if s.declaration.kind == "const" and s.declaration.value is not None
    }
    return expression.xreplace(constants)


def with_jet_variables(problem: Problem, expression: sp.Expr) -> sp.Expr:
    """The jets of unknowns and inputs as jet variables over all variables of the problem."""
    names = tuple(v.name for v in problem.variables)
    table = {
        jet: JetVariable(
            jet.field.func.__name__,
            jet.over(problem.variables),
            names,
            known=isinstance(jet.field, InputField),
        )
        for jet in jets_of(expression, (UnknownField, InputField))
    }
    return replaced(expression, table)


def parameters(term: Term) -> tuple[Scalar, ...]:
    """The drawn, given or trainable scalars a term reads."""
    found = set().union(
        *(e.atoms(Scalar) for e in (*term.expressions, *term.guards, *term.inner, term.target))
    )
    return tuple(sorted(found, key=lambda s: s.name))


def normals(term: Term) -> tuple[Normal, ...]:
    """The components of the outward normal a term reads."""
    return tuple(
        sorted(
            set().union(*(e.atoms(Normal) for e in (*term.expressions, *term.guards, *term.inner))),
            key=lambda s: s.name,
        )
    )
