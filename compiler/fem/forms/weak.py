"""Problem -> weak form: find u with  sum over regions of  int_region sum_rows (F_0 w + F_j d_j w) =
0  for all test functions w.

From an energy the coefficients are its derivatives, F_0 = dW/du and F_j = dW/d(d_j u). From a
strong form they come by integration by parts, and the natural conditions become boundary integrals.
Everything is an expression over the jet variables of `compiler.lowering.terms`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.fem.forms.component_domains import ComponentDomains, component_domains
from compiler.fem.forms.conditions import (
    Essential,
    Initial,
    Natural,
    Obstacle,
    Pin,
    branches,
    flux_across,
    initials,
    natural,
    normals_of,
    obstacle,
    over_jet_variables,
    pins,
    split_conditions,
    unknown_jet_variables,
)
from compiler.fem.forms.coupled import Coupled, coupled
from compiler.fem.forms.curls import of_curl_alone
from compiler.fem.forms.curvature import Skeleton, Slope, bending, slope_of, with_kinks
from compiler.fem.forms.divergence import divergence_form, order
from compiler.fem.forms.nonsmooth import smoothed
from compiler.fem.forms.pairing import (
    BENDING,
    CONSTANT,
    EDGE,
    MAIN,
    Row,
    Space,
    choose_spaces,
    differentiated,
    energy_spaces,
    holds,
    name,
    pair,
)
from compiler.fem.forms.reduction import reduce_order
from compiler.lowering.terms import JetVariable, values
from pdespec.calculus import Integral, TwoSided
from pdespec.coordinates import Normal, Time
from pdespec.curvilinear import angles, power
from pdespec.geometry import Boundary, Domain
from pdespec.jets import MultiIndex
from pdespec.jumps import slope
from pdespec.notation import short
from pdespec.statements.natural import implied
from pdespec.statements.problem import IntegralRequirement, Problem, once
from pdespec.symbols import UnknownField

Region = Domain | Boundary | Skeleton


@dataclass(frozen=True)
class Integrand:
    """`int_region coefficient * d^test w`, w the test function of the unknown component `row`."""

    region: Region
    row: str
    test: MultiIndex
    coefficient: sp.Expr


@dataclass(frozen=True)
class Gauge:
    """`int_region density = value`, kept by one Lagrange multiplier.

    `constrains`: it is a constraint of a minimisation, whose multiplier is part of the solution. A
    multiplier of equations must vanish instead, since they hold no such term: see `solvability.py`.
    """

    region: Region
    density: sp.Expr
    value: sp.Expr
    constrains: bool = False
    text: str = ""


@dataclass(frozen=True)
class WeakForm:
    """All that the discretisation needs to know of a problem, as values.

    `given` are the declared unknown components, `components` those and the further ones of an order
    reduction. `settled` says for each row that was integrated by parts on which boundaries a
    condition gives its boundary term; no other boundary may be left. `naturals` are those of them
    that are natural, by label and region. `obstacles` are requirements that bound an unknown of a
    minimum, see `obstacles.py`; all others are `admissible`. An energy with kinks holds the symbol
    `nonsmooth.WIDTH`. `component_domains` are the domains of components where there are several of
    them, `beyond` the domains behind boundaries that two of them share, `edges` expressions that
    vanish on their boundaries. `energy` is empty unless the problem is one functional; `minimized`
    tells a minimum from a stationary point."""

    name: str
    coordinates: tuple[sp.Symbol, ...]
    time: Time | None
    domain: Domain
    given: tuple[str, ...]
    components: tuple[str, ...]
    spaces: Mapping[str, Space]
    integrands: tuple[Integrand, ...]
    essentials: tuple[Essential, ...]
    initials: tuple[Initial, ...]
    gauges: tuple[Gauge, ...]
    admissible: tuple[sp.Expr, ...]
    energy: tuple[tuple[sp.Expr, Region], ...]
    minimized: bool
    settled: Mapping[str, tuple[Boundary, ...]]
    labels: Mapping[str, str]
    pins: tuple[Pin, ...] = ()
    naturals: Mapping[str, tuple[tuple[str, Boundary], ...]] = field(default_factory=dict)
    obstacles: tuple[Obstacle, ...] = ()
    component_domains: Mapping[str, Domain] = field(default_factory=dict)
    beyond: Mapping[Boundary, Domain] = field(default_factory=dict)
    edges: tuple[sp.Expr, ...] = ()
    cosines: tuple[tuple[str, Boundary, sp.Expr], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """What the indices of jet variables count: coordinates, then the problem's time."""
        return tuple(
            s.name for s in (*self.coordinates, *((self.time,) if self.time is not None else ()))
        )


def by_region(form: WeakForm) -> list[tuple[Region, list[Integrand]]]:
    """The integrands of each region, in the order of first appearance."""
    regions = dict.fromkeys(i.region for i in form.integrands)
    return [(region, [i for i in form.integrands if i.region == region]) for region in regions]


@once
def weak_form(problem: Problem) -> WeakForm:
    """The weak form of a declared problem.

    Raises: NoWeakForm saying what is missing.
    """
    if problem.time is not None and problem.time.periodic:
        raise NoWeakForm(
            f"the problem is periodic in {problem.time}, and the reference solver marches from a"
            f" start; give it one, `at {problem.time} = {problem.time.start}: ..`, and a time of"
            " many periods"
        )
    domains = component_domains(problem)
    refuse_nonlocal(problem)
    refuse_jumps(problem, domains)
    given = tuple(
        component for unknown in problem.unknowns.values() for component in unknown.components
    )
    energy, varied = variations(problem, given)
    rows = strong_rows(problem, [c for c in given if c not in {i.row for i in varied}])
    rows, rewrite = reduce_order(rows, problem.coordinates)
    owner = {
        component: name
        for name, unknown in problem.unknowns.items()
        for component in unknown.components
    }
    spaces = energy_spaces(
        [(i.row, i.test, i.coefficient) for i in varied], owner, len(problem.coordinates)
    )
    bent = {s.component for i in varied for s in bending(i.coefficient, len(problem.coordinates))}
    spaces |= dict.fromkeys(bent, BENDING)
    spaces |= choose_spaces(rows, problem.coordinates)
    refuse_transport(problem, rows, spaces)
    spaces |= dict.fromkeys(curling(problem, domains, rows, varied, spaces), EDGE)
    fluxes = {c for c, space in spaces.items() if not space.continuous}
    essentials, naturals = split_conditions(problem, rewrite, fluxes)
    if bent:
        naturals, slopes = clamped(problem, naturals, bent)
        energy, varied = variations(problem, given, slopes)
    constants = constant_unknowns(rows, problem.coordinates) - {
        c for e in essentials for c, _ in e.coefficients
    }
    spaces |= dict.fromkeys(constants, CONSTANT)
    parted = by_parts(
        problem,
        domains,
        [r for r in rows if r.component not in constants],
        spaces,
        naturals,
        essentials,
    )
    for condition in naturals:
        if condition not in (natural for _, natural in parted.used):
            raise NoWeakForm(unmatched(condition, rows, problem))
    bounds, needed = obstacles_of(problem, energy)
    return WeakForm(
        name=problem.name,
        coordinates=tuple(problem.coordinates),
        time=problem.time,
        domain=domains.whole,
        component_domains=domains.parts,
        beyond=domains.beyond,
        edges=domains.edges,
        given=given,
        components=(*given, *(row.component for row in rows if row.component not in given)),
        spaces=spaces,
        integrands=tuple(i for i in (*varied, *parted.integrands) if i.coefficient != 0),
        essentials=essentials,
        initials=initials(problem),
        gauges=tuple(
            gauge(problem, r, spaces)
            for r in problem.requirements
            if isinstance(r, IntegralRequirement)
        ),
        admissible=needed,
        obstacles=bounds,
        energy=energy,
        minimized=bool(energy) and problem.functionals[0].kind == "minimize",
        settled=parted.settled,
        cosines=parted.cosines,
        labels={row.component: row.label for row in rows},
        pins=pins(problem),
        naturals={
            row.component: tuple(
                (condition.label, condition.region)
                for component, condition in parted.used
                if component == row.component
            )
            for row in rows
        },
    )


def curling(
    problem: Problem,
    domains: ComponentDomains,
    rows: Sequence[Row],
    varied: Sequence[Integrand],
    spaces: Mapping[str, Space],
) -> tuple[str, ...]:
    """Components of vectors that edge elements have to carry, in stationary problems.

    Raises: NoWeakForm for such a vector on a periodic domain.
    """
    vectors = [
        unknown.components
        for unknown in problem.unknowns.values()
        if all(spaces.get(c) is MAIN for c in unknown.components)
    ]
    axes = len(problem.coordinates)
    if problem.time is not None or axes < 2 or not any(len(own) == axes for own in vectors):
        return ()
    value = (0,) * axes
    terms = [(i.row, i.test, i.coefficient) for i in varied if isinstance(i.region, Domain)]
    for row in rows:
        form = divergence_form(row.residual, problem.coordinates)
        terms.append((row.component, value, over_jet_variables(problem, form.source)))
        terms += [
            (row.component, unit_index(value, j), -over_jet_variables(problem, f))
            for j, f in enumerate(form.flux)
        ]
    found = of_curl_alone(terms, vectors, axes)
    if found and domains.whole.periodic:
        raise NoWeakForm(
            f"{', '.join(found)} need edge elements, and {domains.whole.name} is periodic: the"
            " reference solver has no such elements there"
        )
    return found


def refuse_nonlocal(problem: Problem) -> None:
    """Raises: NoWeakForm for an equation or condition that holds an integral over a region."""
    for label, statement in {**problem.equations, **problem.conditions}.items():
        if found := (statement.lhs - statement.rhs).atoms(Integral):
            raise NoWeakForm(
                f"`{label}` holds {found.pop()}, which couples every point with every other: no"
                " local weak form"
            )


def refuse_jumps(problem: Problem, domains: ComponentDomains) -> None:
    """Raises: NoWeakForm for a condition on an interface: elements are continuous there, and so
    are their fluxes."""
    for label, condition in problem.conditions.items():
        inner = isinstance(condition.region, Boundary) and (
            condition.region.kind == "level"
            or (condition.region.kind == "interface" and condition.region not in domains.beyond)
        )
        if inner or (condition.lhs - condition.rhs).atoms(TwoSided):
            raise NoWeakForm(
                f"condition `{label}` is on the interface {condition.region.name}, where the"
                " reference solver keeps values and fluxes continuous; where that is what it says,"
                " leave it out"
            )


def refuse_transport(problem: Problem, rows: Sequence[Row], spaces: Mapping[str, Space]) -> None:
    """Raises: NoWeakForm for a stationary system of first-order equations, for which Galerkin's
    method is unstable."""
    residuals = {row.component: row.expanded for row in rows}
    transported = [
        c
        for c, r in residuals.items()
        if differentiated(r, c) and order(r, problem.coordinates) == 1
    ]
    second = any(order(r, problem.coordinates) > 1 for r in residuals.values())
    if (
        problem.time is None
        and transported
        and not second
        and not any(space.below for space in spaces.values())
    ):
        labels = ", ".join(
            dict.fromkeys(f"`{row.label}`" for row in rows if row.component in transported)
        )
        raise NoWeakForm(
            f"{labels} carry {', '.join(transported)} by first derivatives alone, without"
            " diffusion: Galerkin's method is unstable for stationary transport; add a viscosity"
            " such as - eps*lap(u), or use a finite-volume reference"
        )


def clamped(
    problem: Problem, naturals: Sequence[Natural], bent: set[str]
) -> tuple[tuple[Natural, ...], tuple[Slope, ...]]:
    """Conditions with derivatives, without those that an energy of second derivatives implies; and
    the slopes that are prescribed of its unknowns."""
    left, slopes = [], []
    for condition in naturals:
        if implied(problem, problem.conditions[condition.label]):
            continue
        found = slope_of(condition, problem.coordinates)
        if found is not None and found.component in bent:
            slopes.append(found)
        else:
            left.append(condition)
    return tuple(left), tuple(slopes)


def variations(
    problem: Problem, given: Sequence[str], slopes: Sequence[Slope] = ()
) -> tuple[tuple[tuple[sp.Expr, Region], ...], tuple[Integrand, ...]]:
    """The energy and its first variation: one integrand for each jet variable of the densities."""
    energy: tuple[tuple[sp.Expr, Region], ...] = ()
    varied = []
    for functional in problem.functionals:
        of = {
            component
            for unknown in functional.unknowns
            for component in components_of(problem, unknown)
        } or set(given)
        terms = with_kinks(
            tuple(
                (smoothed(over_jet_variables(problem, d)), region) for d, region in functional.terms
            ),
            slopes,
            problem.coordinates,
        )
        energy += terms
        for density, region in terms:
            varied += [
                Integrand(region, s.component, s.index, slope(density, s))
                for s in unknown_jet_variables(density)
                if s.component in of
            ]
    alone = not problem.equations and len(problem.functionals) == 1
    return energy if alone else (), tuple(varied)


def components_of(problem: Problem, unknown: object) -> tuple[str, ...]:
    """Components of an unknown given as its name or its declaration."""
    return problem.unknowns[getattr(unknown, "name", unknown)].components


def strong_rows(problem: Problem, components: Sequence[str]) -> tuple[Row, ...]:
    """Scalar equations as written, each with the unknown that tests it."""
    written = {label: equation.lhs - equation.rhs for label, equation in problem.equations.items()}
    rows = []
    for label, residual in written.items():
        entries = list(residual) if isinstance(residual, sp.MatrixBase) else [residual]
        rows += [
            Row(label, weighted(values(problem, entry), problem.coordinates)) for entry in entries
        ]
    return pair(rows, components, problem.coordinates) if rows or components else ()


def weighted(residual: sp.Expr, coordinates: Sequence[sp.Symbol]) -> sp.Expr:
    """A residual times r^k about an axis or a centre, so that r^-k d_r(r^k ..) becomes a
    divergence.

    Raises: NoWeakForm for orders above two, whose Laplacians are not those of the reduction.
    """
    if not angles(coordinates):
        return residual
    if order(residual, tuple(coordinates)) > 2:
        raise NoWeakForm(
            f"derivatives of order above two in {coordinates[0].system} coordinates; introduce an"
            " unknown for the Laplacian"
        )
    return sp.Add(*(power(coordinates) * term for term in sp.Add.make_args(residual)))


Cosine = tuple[str, Boundary, sp.Expr]


@dataclass(frozen=True)
class ByParts:
    """Rows integrated by parts: where their boundary terms are `settled`, by component; the natural
    conditions that did it, each with the component whose test function it multiplies; of oblique
    ones, label, place and the cosine of their direction and the normal."""

    integrands: tuple[Integrand, ...]
    settled: Mapping[str, tuple[Boundary, ...]]
    used: tuple[tuple[str, Natural], ...]
    cosines: tuple[Cosine, ...]


def by_parts(
    problem: Problem,
    domains: ComponentDomains,
    rows: Sequence[Row],
    spaces: Mapping[str, Space],
    naturals: Sequence[Natural],
    essentials: Sequence[Essential],
) -> ByParts:
    """The rows integrated by parts."""
    moving = {c for c, space in spaces.items() if space.below}
    discontinuous = {c for c, space in spaces.items() if not space.continuous}
    value = (0,) * (len(problem.coordinates) + (problem.time is not None))
    integrands: list[Integrand] = []
    terms: dict[tuple[Boundary, str], sp.Expr] = {}
    used: dict[tuple[Boundary, str], tuple[Natural, ...]] = {}
    fluxes: dict[str, Callable[[Boundary], list[sp.Expr]]] = {}
    cosines: list[Cosine] = []
    branch = branches(problem, domains.whole)

    def beside(one: str, other: str) -> bool:
        """Whether two components are of one vector on edge elements, whose flux is one."""
        edges = spaces.get(one) is EDGE and spaces.get(other) is EDGE
        return edges and one.rpartition(".")[0] == other.rpartition(".")[0]

    for row in rows:
        place = [r.component for r in rows if r.label == row.label].index(row.component)
        form = divergence_form(
            row.residual, problem.coordinates, lambda inner: any(holds(inner, c) for c in moving)
        )
        flux = [over_jet_variables(problem, f) for f in form.flux]
        own_domain = domains.domain_of(row.component)
        integrands.append(
            Integrand(own_domain, row.component, value, over_jet_variables(problem, form.source))
        )
        integrands += [
            Integrand(own_domain, row.component, unit_index(value, j), -f)
            for j, f in enumerate(flux)
        ]
        if all(f == 0 for f in flux):
            continue
        there = lambda region, flux=flux: [branch(f, region) for f in flux]  # noqa: E731
        fluxes[row.component] = there
        free = [
            n
            for n in naturals
            if n.region not in domains.beyond
            and not any(n in each for (_, c), each in used.items() if not beside(c, row.component))
        ]
        for condition, rest, cosine in natural(
            there, place, free, discontinuous, problem.coordinates
        ):
            used[condition.region, row.component] = (condition,)
            terms[condition.region, row.component] = rest
            if cosine is not None:
                cosines.append((condition.label, condition.region, cosine))
    tangential = {c for c in fluxes if spaces[c] is EDGE}
    for (region, c), condition in list(used.items()):
        for other in tangential - {c} if c in tangential else ():
            if beside(
                c, other
            ):  # the flux of one may vanish on a side where that of another is given
                used.setdefault((region, other), condition)
                terms.setdefault((region, other), sp.S.Zero)
    plain = dict(terms)
    factors: dict[str, sp.Expr] = {}
    left = [n for n in naturals if not any(n in each for each in used.values())]
    for region in dict.fromkeys(condition.region for condition in left):
        across = {
            c: domains.side(c, region) * flux_across(flux(region), region, problem.coordinates)
            for c, flux in fluxes.items()
            if domains.side(c, region)
        }
        here = [n for n in naturals if n.region == region]
        found, conditions = together(
            across, here, left, [e for e in essentials if e.region == region], problem.coordinates
        )
        if found is None or any(factors.get(c, k) != k for c, k in found.factors.items()):
            continue
        factors |= found.factors
        for component, rest in found.terms.items():
            terms[region, component] = rest
            used[region, component] = conditions
            plain.pop((region, component), None)
    integrands += [
        Integrand(region, component, value, rest) for (region, component), rest in plain.items()
    ]
    integrands = [
        replace(i, coefficient=factors[i.row] * i.coefficient) if i.row in factors else i
        for i in integrands
    ]
    integrands += [
        Integrand(region, component, value, rest)
        for (region, component), rest in terms.items()
        if (region, component) not in plain
    ]
    settled = {
        c: (
            *(
                e.region
                for e in essentials
                if any(c == o or beside(c, o) for o, _ in e.coefficients)
            ),
            *(region for region, component in terms if component == c),
        )
        for c in fluxes
    }
    pairs = [(component, each) for (_, component), found in used.items() for each in found]
    return ByParts(tuple(integrands), settled, tuple(pairs), tuple(cosines))


def together(
    across: Mapping[str, sp.Expr],
    here: Sequence[Natural],
    left: Sequence[Natural],
    essentials: Sequence[Essential],
    coordinates: Sequence[sp.Symbol],
) -> tuple[Coupled | None, tuple[Natural, ...]]:
    """What conditions on one region give together: those `left` by themselves, with all that bear
    on the fluxes that they hold. across: the fluxes by component. here: all conditions with
    derivatives on the region.
    """
    region, axes = here[0].region, len(coordinates)
    numbers = normals_of(region)
    stated = {n: n.residual.subs(numbers) for n in here}
    held = [{c: sp.sympify(f).subs(numbers) for c, f in e.coefficients} for e in essentials]

    def slopes(expression: sp.Expr) -> set[JetVariable]:
        return {s for s in unknown_jet_variables(expression) if any(s.index[:axes])}

    chosen = {n for n in here if n in left}
    names: set[str] = set()
    while True:
        jets = set().union(*(slopes(stated[n]) for n in chosen))
        grown = {c for c, q in across.items() if slopes(q) & jets}
        grown |= {c for each in held if set(each) & grown for c in each if c in across}
        more = {n for n in here if any(slopes(across[c]) & slopes(stated[n]) for c in grown)}
        if grown == names and more <= chosen:
            break
        names, chosen = names | grown, chosen | more
    if not names:
        return None, ()
    conditions = tuple(n for n in here if n in chosen)
    normal = [Normal(x).subs(numbers) for x in coordinates]
    found = coupled(
        {c: across[c] for c in across if c in names},
        [replace(n, residual=stated[n]) for n in conditions],
        [each for each in held if set(each) <= names],
        normal,
        axes,
    )
    return found, conditions


def unit_index(value: MultiIndex, j: int) -> MultiIndex:
    """The first derivative along axis j, as a multi-index of the length of `value`."""
    return tuple(int(k == j) for k in range(len(value)))


def unmatched(condition: Natural, rows: Sequence[Row], problem: Problem) -> str:
    """Why a condition with derivatives is none that integration by parts leaves on its boundary,
    and which ones are."""
    coordinates = problem.coordinates
    expected = []
    for row in rows:
        form = divergence_form(row.residual, coordinates, lambda inner: False)
        flux = [over_jet_variables(problem, each) for each in form.flux]
        across = sp.expand(flux_across(flux, condition.region, coordinates))
        if across != 0:
            expected.append(f"`{short(across)}`")
    if not rows:
        return (
            f"condition `{condition.label}` on {condition.region.name} holds derivatives, and"
            " natural conditions follow from the energy: leave it out, or add what acts there to"
            f" the energy, such as - integral(g*u, {condition.region.name})"
        )
    labels = ", ".join(sorted({f"`{row.label}`" for row in rows}))
    return (
        f"condition `{condition.label}` on {condition.region.name} gives no boundary term of"
        f" {labels}: a condition with derivatives must give the flux n . A of an equation div(A) ="
        " .. , times a factor, plus terms without derivatives or with those along the boundary;"
        f" expected {', or '.join(expected)} = .."
    )


def gauge(problem: Problem, requirement: IntegralRequirement, spaces: Mapping[str, Space]) -> Gauge:
    """An integral requirement as a row of the weak form: one that removes a null space, or one
    that constrains the minimum of an energy."""
    density = over_jet_variables(problem, requirement.density)
    held = {s.component for s in unknown_jet_variables(density)}
    constrains = False
    for functional in problem.functionals:
        varied = {
            c for unknown in functional.unknowns for c in components_of(problem, unknown)
        } or set(spaces)
        # the level of a multiplier
        level = functional.kind != "minimize" and any(spaces[c].below for c in held & varied)
        constrains |= held <= varied and not level
    text = (
        f"require integral({short(requirement.density)}, {requirement.region.name}) ="
        f" {requirement.value}".replace("`", "")
    )
    return Gauge(
        requirement.region,
        density,
        values(problem, sp.sympify(requirement.value)),
        constrains,
        text,
    )


def constant_unknowns(rows: Sequence[Row], coordinates: Sequence[sp.Symbol]) -> set[str]:
    """Unknowns whose own equation says no more than that they do not vary in space: `dx(m) = 0`
    on an interval."""
    if len(coordinates) != 1:
        return set()
    found = set()
    for row in rows:
        _, rest = sp.expand(row.expanded).as_independent(sp.Derivative, as_Add=False)
        first = isinstance(rest, sp.Derivative) and rest.variable_count == ((coordinates[0], 1),)
        if first and isinstance(rest.expr, UnknownField) and name(rest.expr) == row.component:
            found.add(row.component)
    return found


def obstacles_of(
    problem: Problem, energy: Sequence[tuple[sp.Expr, Region]]
) -> tuple[tuple[Obstacle, ...], tuple[sp.Expr, ...]]:
    """Bounds on values of a minimum, and the expressions that must stay positive at every
    quadrature point: the requirements in the domain.

    Unknowns declared positive are not among them: the iteration begins at zero, which would be
    refused.
    """
    bounds: list[Obstacle] = []
    found = []
    minimized = bool(energy) and problem.functionals[0].kind == "minimize" and not problem.equations
    for requirement in problem.requirements:
        if isinstance(requirement, IntegralRequirement) or not isinstance(
            requirement.region, Domain
        ):
            continue
        sign = 1 if requirement.op in (">", ">=") else -1
        expression = over_jet_variables(problem, sign * (requirement.lhs - requirement.rhs))
        text = (
            f"require {short(requirement.lhs)} {requirement.op} {short(requirement.rhs)}".replace(
                "`", ""
            )
        )
        bound = (
            obstacle(expression, text, [density for density, _ in energy]) if minimized else None
        )
        if bound is not None:
            bounds.append(bound)
        else:
            found.append(expression)
    return tuple(bounds), tuple(
        expression for expression in found if unknown_jet_variables(expression)
    )
