"""Problem -> weak form: find u with  sum over regions of  int_region sum_rows (F_0 w + F_j d_j w) =
0  for all test functions w.

From an energy the coefficients are its derivatives, F_0 = dW/du and F_j = dW/d(d_j u). From a
strong form they come by integration by parts, and the natural conditions become boundary integrals.
Everything is an expression over the streams of `compiler.lowering.terms`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import sympy as sp

from compiler.fem.errors import NoWeakForm
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
    over_streams,
    pins,
    split_conditions,
    tangential,
    unknown_streams,
)
from compiler.fem.forms.curvature import Skeleton, Slope, bending, slope_of, with_kinks
from compiler.fem.forms.divergence import divergence_form, order
from compiler.fem.forms.nonsmooth import smoothed
from compiler.fem.forms.pairing import (
    BENDING,
    CONSTANT,
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
from compiler.lowering.terms import MultiIndex, values
from pdespec.calculus import Integral, TwoSided
from pdespec.coordinates import Normal, Time
from pdespec.curvilinear import angles, power
from pdespec.geometry import Boundary, Domain
from pdespec.jumps import slope
from pdespec.notation import short
from pdespec.statements.natural import implied
from pdespec.statements.problem import IntegralRequirement, Problem
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
    `nonsmooth.WIDTH`. `energy` is empty unless the problem is one functional; `minimized` tells a
    minimum from a stationary point.
    """

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

    @property
    def names(self) -> tuple[str, ...]:
        """What the indices of streams count: coordinates, then the problem's time."""
        return tuple(
            s.name for s in (*self.coordinates, *((self.time,) if self.time is not None else ()))
        )


def by_region(form: WeakForm) -> list[tuple[Region, list[Integrand]]]:
    """The integrands of each region, in the order of first appearance."""
    regions = dict.fromkeys(i.region for i in form.integrands)
    return [(region, [i for i in form.integrands if i.region == region]) for region in regions]


def weak_form(problem: Problem) -> WeakForm:
    """The weak form of a declared problem.

    Raises: NoWeakForm saying what is missing.
    """
    return problem.once(_weak_form)


def _weak_form(problem: Problem) -> WeakForm:
    if problem.time is not None and problem.time.periodic:
        raise NoWeakForm(
            f"the problem is periodic in {problem.time}, and the reference solver marches from a"
            f" start; give it one, `at {problem.time} = {problem.time.start}: ..`, and a time of"
            " many periods"
        )
    domain = the_domain(problem)
    refuse_nonlocal(problem)
    refuse_jumps(problem)
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
    fluxes = {c for c, space in spaces.items() if not space.continuous}
    essentials, naturals = split_conditions(problem, rewrite, fluxes)
    if bent:
        naturals, slopes = clamped(problem, naturals, bent)
        energy, varied = variations(problem, given, slopes)
    constants = constant_unknowns(rows, problem.coordinates) - {
        c for e in essentials for c, _ in e.coefficients
    }
    spaces |= dict.fromkeys(constants, CONSTANT)
    parted, settled, used = by_parts(
        problem,
        domain,
        [r for r in rows if r.component not in constants],
        spaces,
        naturals,
        essentials,
    )
    for condition in naturals:
        if condition not in (natural for _, natural in used):
            raise NoWeakForm(unmatched(condition, rows, problem))
    bounds, needed = obstacles_of(problem, energy)
    return WeakForm(
        name=problem.name,
        coordinates=tuple(problem.coordinates),
        time=problem.time,
        domain=domain,
        given=given,
        components=(*given, *(row.component for row in rows if row.component not in given)),
        spaces=spaces,
        integrands=tuple(i for i in (*varied, *parted) if i.coefficient != 0),
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
        settled=settled,
        labels={row.component: row.label for row in rows},
        pins=pins(problem),
        naturals={
            row.component: tuple(
                (condition.label, condition.region)
                for component, condition in used
                if component == row.component
            )
            for row in rows
        },
    )


def refuse_nonlocal(problem: Problem) -> None:
    """Raises: NoWeakForm for an equation or condition that holds an integral over a region."""
    for label, statement in {**problem.equations, **problem.conditions}.items():
        if found := (statement.lhs - statement.rhs).atoms(Integral):
            raise NoWeakForm(
                f"`{label}` holds {found.pop()}, which couples every point with every other: no"
                " local weak form"
            )


def refuse_jumps(problem: Problem) -> None:
    """Raises: NoWeakForm for a condition on an interface: elements are continuous there, and so
    are their fluxes."""
    for label, condition in problem.conditions.items():
        inner = isinstance(condition.region, Boundary) and condition.region.kind in (
            "level",
            "interface",
        )
        if inner or (condition.lhs - condition.rhs).atoms(TwoSided):
            raise NoWeakForm(
                f"condition `{label}` stands on the interface {condition.region.name}, where the"
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


def the_domain(problem: Problem) -> Domain:
    domains = {unknown.region for unknown in problem.unknowns.values()}
    if len(domains) != 1:
        names = ", ".join(sorted(d.name for d in domains))
        raise NoWeakForm(
            f"the unknowns live on {len(domains)} domains ({names}); the reference solver takes"
            " problems on one domain"
        )
    return domains.pop()


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
    """The energy and its first variation: one integrand for each stream of the densities."""
    energy: tuple[tuple[sp.Expr, Region], ...] = ()
    varied = []
    for functional in problem.functionals:
        of = {
            component
            for unknown in functional.unknowns
            for component in components_of(problem, unknown)
        } or set(given)
        terms = with_kinks(
            tuple((smoothed(over_streams(problem, d)), region) for d, region in functional.terms),
            slopes,
            problem.coordinates,
        )
        energy += terms
        for density, region in terms:
            varied += [
                Integrand(region, s.component, s.index, slope(density, s))
                for s in unknown_streams(density)
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


def by_parts(
    problem: Problem,
    domain: Domain,
    rows: Sequence[Row],
    spaces: Mapping[str, Space],
    naturals: Sequence[Natural],
    essentials: Sequence[Essential],
) -> tuple[list[Integrand], dict[str, tuple[Boundary, ...]], list[tuple[str, Natural]]]:
    """The rows integrated by parts: integrands, where their boundary terms are settled, and the
    natural conditions that did it, each with the component whose test function it multiplies.
    """
    moving = {c for c, space in spaces.items() if space.below}
    fluxes = {c for c, space in spaces.items() if not space.continuous}
    value = (0,) * (len(problem.coordinates) + (problem.time is not None))
    integrands: list[Integrand] = []
    settled: dict[str, tuple[Boundary, ...]] = {}
    used: list[tuple[str, Natural]] = []
    across: dict[str, list[sp.Expr]] = {}
    branch = branches(problem, domain)
    for row in rows:
        place = [r.component for r in rows if r.label == row.label].index(row.component)
        form = divergence_form(
            row.residual, problem.coordinates, lambda inner: any(holds(inner, c) for c in moving)
        )
        flux = [over_streams(problem, f) for f in form.flux]
        integrands.append(
            Integrand(domain, row.component, value, over_streams(problem, form.source))
        )
        integrands += [
            Integrand(domain, row.component, unit_index(value, j), -f) for j, f in enumerate(flux)
        ]
        if all(f == 0 for f in flux):
            continue
        across[row.component] = flux
        free = [n for n in naturals if n not in (condition for _, condition in used)]
        there = lambda region, flux=flux: [branch(f, region) for f in flux]  # noqa: E731
        matched = natural(there, place, free, fluxes, problem.coordinates)
        used += [(row.component, condition) for condition, _ in matched]
        integrands += [
            Integrand(condition.region, row.component, value, rest) for condition, rest in matched
        ]
        fixed = [e.region for e in essentials if row.component in dict(e.coefficients)]
        settled[row.component] = (*fixed, *(condition.region for condition, _ in matched))
    left = [n for n in naturals if n not in (condition for _, condition in used)]
    for region in dict.fromkeys(condition.region for condition in left):
        numbers = normals_of(region)
        here = [condition for condition in left if condition.region == region]
        stated = [replace(each, residual=each.residual.subs(numbers)) for each in here]
        held = [
            {c: sp.sympify(factor).subs(numbers) for c, factor in e.coefficients}
            for e in essentials
            if e.region == region
        ]
        acting = {
            c: flux_across([branch(f, region) for f in flux], region, problem.coordinates)
            for c, flux in across.items()
            if any(c in each for each in held)
        }
        normal = [Normal(x).subs(numbers) for x in problem.coordinates]
        found = tangential(acting, stated, held, normal) if acting else None
        for component, rest in (found or {}).items():
            integrands.append(Integrand(region, component, value, rest))
            settled[component] = (*settled[component], region)
            used += [(component, condition) for condition in here]
    return integrands, settled, used


def unit_index(value: MultiIndex, j: int) -> MultiIndex:
    return tuple(int(k == j) for k in range(len(value)))


def unmatched(condition: Natural, rows: Sequence[Row], problem: Problem) -> str:
    coordinates = problem.coordinates
    expected = []
    for row in rows:
        form = divergence_form(row.residual, coordinates, lambda inner: False)
        flux = [over_streams(problem, each) for each in form.flux]
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
    density = over_streams(problem, requirement.density)
    held = {s.component for s in unknown_streams(density)}
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
        expression = over_streams(problem, sign * (requirement.lhs - requirement.rhs))
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
    return tuple(bounds), tuple(expression for expression in found if unknown_streams(expression))
