"""Boundary, initial and point conditions, sorted into essential and natural ones of the weak form.

Essential ones fix values at nodes, natural ones turn into boundary integrals, initial ones start
time stepping.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.unit_normal import zero
from compiler.lowering.terms import JetVariable, scalars
from pdespec.coordinates import Normal
from pdespec.geometry import Boundary, Domain
from pdespec.jets import sympy_form
from pdespec.jumps import slope
from pdespec.rules.subdomains import memberships
from pdespec.statements.problem import Condition, Problem


@dataclass(frozen=True)
class Essential:
    """`sum_c coefficient_c u_c = value` at the nodes of `region`."""

    label: str
    region: Boundary
    coefficients: tuple[tuple[str, sp.Expr], ...]
    value: sp.Expr


@dataclass(frozen=True)
class Pin:
    """`sum_c coefficient_c u_c = value` at the point `place`, at all times."""

    label: str
    place: tuple[sp.Expr, ...]
    coefficients: tuple[tuple[str, sp.Expr], ...]
    value: sp.Expr


@dataclass(frozen=True)
class Natural:
    """`residual = 0` on `region`, with derivatives of unknowns; `place` is its position in a
    vector condition."""

    label: str
    region: Boundary
    residual: sp.Expr
    place: int


@dataclass(frozen=True)
class Initial:
    """`d_t^order component = value` at the start."""

    component: str
    order: int
    value: sp.Expr


@dataclass(frozen=True)
class Obstacle:
    """`component >= bound` (sign 1) or `<= bound` (sign -1), as required by `text`."""

    component: str
    sign: int
    bound: sp.Expr
    text: str


def obstacle(expression: sp.Expr, text: str, densities: Sequence[sp.Expr]) -> Obstacle | None:
    """A requirement `expression > 0` as a bound on one unknown component; None for others, and
    where the energy needs it to be defined."""
    jets = unknown_jet_variables(expression)
    if len(jets) != 1 or any(jets[0].index):
        return None
    factor = slope(expression, jets[0])
    if not factor.is_number or factor == 0:
        return None
    for density in densities:
        powers = [
            p
            for p in density.atoms(sp.Pow)
            if not (p.exp.is_integer and p.exp.is_positive) and p.base.has(jets[0])
        ]
        if powers or any(each.has(jets[0]) for each in density.atoms(sp.log)):
            return None
    bound = -expression.subs(jets[0], 0) / factor
    return Obstacle(jets[0].component, 1 if factor > 0 else -1, bound, text)


def split_conditions(
    problem: Problem, rewrite: Callable[[sp.Expr], sp.Expr], fluxes: set[str]
) -> tuple[tuple[Essential, ...], tuple[Natural, ...]]:
    """Boundary conditions by kind. Values of discontinuous unknowns (`fluxes`) cannot be fixed
    at nodes, so they are natural."""
    essentials, naturals = [], []
    for label, condition in problem.conditions.items():
        if condition.kind != "boundary":
            continue
        for place, residual in enumerate(entries(condition)):
            residual = over_jet_variables(
                problem, rewrite(sympy_form(problem.derivative_form(residual)))
            ).subs(normals_of(condition.region))
            unknown = unknown_jet_variables(residual)
            if not unknown:
                if residual != 0:
                    raise NoWeakForm(
                        f"condition `{label}` on {condition.region.name} holds no unknown:"
                        f" {residual} = 0"
                    )
            elif any(any(s.index) or s.component in fluxes for s in unknown):
                naturals.append(Natural(label, condition.region, residual, place))
            else:
                essentials.append(
                    Essential(
                        label,
                        condition.region,
                        *linear(f"`{label}` on {condition.region.name}", residual, unknown),
                    )
                )
    return tuple(essentials), tuple(naturals)


def linear(
    what: str, residual: sp.Expr, unknown: Sequence[JetVariable]
) -> tuple[tuple[tuple[str, sp.Expr], ...], sp.Expr]:
    """Coefficients by component, and the value that their sum takes.

    Raises: NoWeakForm where the condition is not linear in the unknowns.
    """
    coefficients = tuple((s.component, sp.diff(residual, s)) for s in unknown)
    if any(unknown_jet_variables(c) for _, c in coefficients):
        raise NoWeakForm(f"condition {what} is not linear in {', '.join(s.name for s in unknown)}")
    value = -residual.subs(dict.fromkeys(unknown, 0))
    return tuple((name, c) for name, c in coefficients if c != 0), value


def pins(problem: Problem) -> tuple[Pin, ...]:
    """Conditions at points.

    Raises: NoWeakForm for derivatives, which elements have two of on the side of a cell, and for
    those that hold at one time only.
    """
    found = []
    for label, condition in problem.conditions.items():
        if condition.kind != "point":
            continue
        if condition.at is not None:
            raise NoWeakForm(
                f"condition `{label}` holds at one time only, {problem.time} = {condition.at}, and"
                " time stepping knows no later times"
            )
        for residual in entries(condition):
            residual = over_jet_variables(problem, residual)
            unknown = unknown_jet_variables(residual)
            if any(any(s.index) for s in unknown):
                names = ", ".join(s.name for s in unknown if any(s.index))
                raise NoWeakForm(
                    f"condition `{label}` gives {names} at a point, where the reference solver"
                    " fixes values only"
                )
            if unknown:
                found.append(Pin(label, condition.place, *linear(f"`{label}`", residual, unknown)))
    return tuple(found)


def natural(
    flux: Callable[[Boundary], Sequence[sp.Expr]],
    place: int,
    candidates: Sequence[Natural],
    fluxes: set[str],
    coordinates: Sequence[sp.Symbol],
) -> list[tuple[Natural, sp.Expr, sp.Expr | None]]:
    """The boundary integrands of one row: `flux . n` on each region with a condition that gives it,
    written without derivatives; of an oblique one, the cosine of its direction and the normal too.
    `flux`: as it is on a boundary.

    A condition B = 0 gives the flux q when q = alpha B + r with r free of derivatives in space, or
    with those along the boundary alone (an oblique derivative); then r is the integrand.
    """
    found: dict[Boundary, tuple[Natural, sp.Expr, sp.Expr | None]] = {}
    for candidate in sorted(candidates, key=lambda c: abs(c.place - place)):
        across = flux_across(flux(candidate.region), candidate.region, coordinates)
        normals = normals_of(candidate.region)
        normal = [Normal(x).subs(normals) for x in coordinates]
        rest = remainder(across, candidate.residual.subs(normals), fluxes, normal)
        cosine = None
        if rest is None:
            rest, cosine = oblique(across, candidate.residual.subs(normals), coordinates, normals)
        if rest is not None and candidate.region not in found:
            found[candidate.region] = (candidate, rest, cosine)
    return list(found.values())


def remainder(
    across: sp.Expr, residual: sp.Expr, fluxes: set[str], normal: Sequence[sp.Expr]
) -> sp.Expr | None:
    """`r` of q = alpha B + r, or None. `normal`: the components of n, numbers where they are
    known."""
    axes = len(normal)

    def leading(expression: sp.Expr) -> set[JetVariable]:
        return {
            s
            for s in unknown_jet_variables(expression)
            if any(s.index[:axes]) or s.component in fluxes
        }

    shared = sorted(leading(across) & leading(residual), key=lambda s: s.name)
    if not shared:
        return None
    alpha = sp.cancel(sp.diff(across, shared[0]) / sp.diff(residual, shared[0]))
    rest = sp.expand(across - alpha * residual)
    left = leading(rest)
    if left and zero([sp.diff(rest, s) for s in left], normal):
        rest = rest.xreplace(dict.fromkeys(left, sp.S.Zero))
        return sp.simplify(rest) if rest.has(sp.Piecewise) else rest
    return None if left else rest


def flux_across(
    flux: Sequence[sp.Expr], region: Boundary, coordinates: Sequence[sp.Symbol]
) -> sp.Expr:
    """flux . n, with n as numbers where it is known."""
    products = (f * Normal(x) for f, x in zip(flux, coordinates, strict=True))
    return sum(products, sp.S.Zero).subs(normals_of(region))


Branches = Callable[[sp.Expr, Boundary], sp.Expr]


def branches(problem: Problem, whole: Domain) -> Branches:
    """Of coefficients that differ from part to part, since the equations of parts were made one
    (`pdespec.rules.subdomains`), those of the part that a boundary bounds.

    Only a branch whose condition says no more than which part a point lies in is chosen.
    """
    places = memberships(problem, whole)

    def of(expression: sp.Expr, region: Boundary) -> sp.Expr:
        own = places.get(region.domain)
        taken = {}
        for each in expression.atoms(sp.Piecewise) if own is not None else ():
            for before, (branch, condition) in enumerate(each.args):
                if condition == own or (condition is sp.true and before):
                    taken[each] = branch
                if condition == own or condition not in places.values():
                    break
        return expression.xreplace(taken)

    return of


def oblique(
    across: sp.Expr,
    residual: sp.Expr,
    coordinates: Sequence[sp.Symbol],
    normals: Mapping[sp.Symbol, sp.Expr],
) -> tuple[sp.Expr, sp.Expr] | tuple[None, None]:
    """`r` of q = alpha B + r where r has derivatives along the boundary only, and the cosine of
    beta and n; or None.

    alpha is the ratio of the derivatives along n in q and B: with `beta . grad(u) = g` and q = n .
    grad(u), r = (n - beta / (n . beta)) . grad(u) + g / (n . beta).
    """
    axes = len(coordinates)
    jets = [
        s
        for s in dict.fromkeys((*unknown_jet_variables(across), *unknown_jet_variables(residual)))
        if any(s.index[:axes])
    ]
    if {sum(s.index[:axes]) for s in jets} != {1} or len({s.component for s in jets}) != 1:
        return None, None

    def along_normal(expression: sp.Expr) -> sp.Expr:
        slopes = [
            (sp.diff(expression, s), Normal(coordinates[s.index.index(1)]).subs(normals))
            for s in jets
        ]
        return sum((slope * n for slope, n in slopes), sp.S.Zero)

    normal = [Normal(x).subs(normals) for x in coordinates]
    below = along_normal(residual)
    if unknown_jet_variables(below) or zero([below], normal):
        return None, None  # no derivative across the boundary at all
    rest = sp.expand(across - along_normal(across) / below * residual)
    if not zero([along_normal(rest)], normal):
        return None, None
    return rest, below / sp.sqrt(sp.Add(*(sp.diff(residual, s) ** 2 for s in jets)))


def initials(problem: Problem) -> tuple[Initial, ...]:
    """Initial values and rates, from the initial conditions.

    Raises: NoWeakForm for one that does not give a value at the start.
    """
    found = []
    for label, condition in problem.conditions.items():
        if condition.kind != "initial":
            continue
        if sp.simplify(condition.at - problem.time.start) != 0:
            raise NoWeakForm(
                f"condition `{label}` is given at {problem.time} = {condition.at}; time stepping"
                f" starts at {problem.time.start}"
            )
        for residual in entries(condition):
            residual = over_jet_variables(problem, residual)
            unknown = unknown_jet_variables(residual)
            if (
                len(unknown) != 1
                or any(unknown[0].index[:-1])
                or unknown_jet_variables(sp.diff(residual, unknown[0]))
            ):
                raise NoWeakForm(
                    f"initial condition `{label}` is not of the form u = value or dt(u) = value"
                )
            value = -residual.subs(unknown[0], 0) / sp.diff(residual, unknown[0])
            found.append(Initial(unknown[0].component, unknown[0].index[-1], value))
    return tuple(found)


def over_jet_variables(problem: Problem, expression: sp.Expr) -> sp.Expr:
    """A scalar over jet variables, derivatives expanded and constants put to their numbers."""
    return scalars(problem, expression)[0]


def entries(condition: Condition) -> list[sp.Expr]:
    """The components of left minus right of a condition."""
    difference = condition.lhs - condition.rhs
    return list(difference) if isinstance(difference, sp.MatrixBase) else [difference]


def unknown_jet_variables(expression: sp.Expr) -> list[JetVariable]:
    """The derivatives of unknowns in an expression, by name."""
    return sorted(
        (s for s in sp.sympify(expression).atoms(JetVariable) if not s.known), key=lambda s: s.name
    )


def normals_of(region: Boundary) -> dict[sp.Symbol, sp.Expr]:
    """On a side of a box the normal is an axis: its components as numbers, where they are known."""
    if region.kind != "side":
        return {}
    table: dict[sp.Symbol, sp.Expr] = {
        Normal(x): sp.S.Zero for x in region.coordinates if x.name != region.coordinate
    }
    axis = [x.name for x in region.coordinates].index(region.coordinate)
    own = Normal(region.coordinates[axis])
    shape = region.domain.shape
    for corner, sign in ((getattr(shape, "lower", None), -1), (getattr(shape, "upper", None), 1)):
        if corner is not None and sp.simplify(corner[axis] - region.value) == 0:
            table[own] = sp.Integer(sign)
    return table
