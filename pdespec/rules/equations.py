"""W06, W07: as many equations as unknowns, each of them everywhere in its region."""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.calculus import Integral, TwoSided, entries
from pdespec.coordinates import Normal
from pdespec.errors import Diagnostic
from pdespec.geometry import Boundary, Domain
from pdespec.jets import jets_of, sympy_form
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.rules.registry import Analysis, counted, rule
from pdespec.rules.subdomains import subdomains
from pdespec.statements.membership import ASIDE, bind, points, typical
from pdespec.statements.problem import Problem
from pdespec.symbols import Scalar

POINTS = 512  # at which the cover of a domain by subdomains is looked at


@rule("W06")
def equations_match_unknowns(analysis: Analysis) -> Iterator[Diagnostic]:
    """As many scalar equations as unknown components."""
    problem = analysis.problem
    shared = subdomains(problem)
    uncovered = [
        found
        for domain, labels in shared.items()
        if (found := _uncovered(analysis, domain, labels)) is not None
    ]
    yield from uncovered
    if any(each.severity == "error" for each in uncovered):
        return
    within = {label for labels in shared.values() for label in labels}
    rows = sum(
        len(entries(equation.lhs))
        for label, equation in problem.equations.items()
        if label not in within
    )
    rows += sum(_needed(problem, domain) for domain in shared)
    varied = sum(
        len(problem.unknowns[name].components)
        for functional in problem.functionals
        for name in functional.unknowns
    )
    unknown, given = len(problem.components), rows + varied
    if unknown == 0:
        hint = (
            "declare what is to be found, `unknown u : scalar on Omega`, and state an equation"
            " for it"
        )
        yield Diagnostic(
            "W06",
            "the problem has no unknown",
            hint,
            "there is nothing to find",
            label=problem.name,
        )
        return
    if unknown == given:
        return
    label, last = list(problem.equations.items())[-1] if problem.equations else (problem.name, None)
    names = ", ".join(problem.components)
    message = f"{counted(unknown, 'unknown component')} ({names}), {counted(given, 'equation')}"
    if given < unknown:
        held = {jet.field.func.__name__ for row in analysis.equations for jet in row.unknown_jets}
        free = [name for name in problem.components if name not in held]
        hint = (
            f"`{free[0]}` appears in no equation"
            if free
            else f"state {counted(unknown - given, 'more equation')}"
        )
        hint += ", or declare as input what is given"
        yield Diagnostic(
            "W06",
            message,
            hint,
            "every component needs an equation",
            last.span if last else None,
            label,
        )
    else:
        hint = (
            "leave out an equation that follows from the others, or keep it if it is meant as an"
            " additional penalty"
        )
        yield Diagnostic(
            "W06",
            message,
            hint,
            "the system is overdetermined",
            last.span if last else None,
            label,
            "warning",
        )


@rule("W06")
def statements_hold_an_unknown(analysis: Analysis) -> Iterator[Diagnostic]:
    """No equation or condition is true or false whatever the unknowns are. (A row 0 = 0 of a
    vector is not a mistake.)"""
    rows = [*analysis.stated, *analysis.conditions]
    alive = {row.label for row in rows if row.unknown_jets}
    for row in rows:
        if row.unknown_jets or any(
            scalar.declaration.kind == "trainable" for scalar in nodes_of(row.form, Scalar)
        ):
            continue
        if row.form == 0 and row.label in alive:
            continue
        what = "condition" if row.condition is not None else "equation"
        hint = "leave it out" if row.form == 0 else "state it for an unknown"
        message = f"the {what} holds no unknown: it says {short(sympy_form(row.form))} = 0"
        yield row.report("W06", message, hint, "terms may have cancelled each other")


def _needed(problem: Problem, domain: Domain) -> int:
    """Equations that the subdomains of a domain have to give: one a component, but for those
    stated in all of it and for energies."""
    varied = {name for functional in problem.functionals for name in functional.unknowns}
    own = [
        unknown
        for unknown in problem.unknowns.values()
        if unknown.region == domain and unknown.name not in varied
    ]
    whole = sum(
        len(entries(equation.lhs))
        for equation in problem.equations.values()
        if equation.region == domain
    )
    return sum(len(unknown.components) for unknown in own) - whole


def _uncovered(analysis: Analysis, domain: Domain, labels: list[str]) -> Diagnostic | None:
    """Where the equations of subdomains are too few or too many, found at points of the domain;
    None where they are right."""
    problem, needed = analysis.problem, _needed(analysis.problem, domain)
    parts = [
        (problem.equations[label].region, len(entries(problem.equations[label].lhs)))
        for label in labels
    ]
    values = typical(domain, *(region for region, _ in parts))
    where = points(domain, POINTS, values, ASIDE)
    try:
        inside = [(bind(region.shape, values), count) for region, count in parts]
    except NotImplementedError:
        return None
    last = problem.equations[labels[-1]]
    for point in where or ():
        given = sum(count for has, count in inside if has(point))
        if given != needed:
            place = ", ".join(
                f"{x} = {value:.3g}" for x, value in zip(domain.coordinates, point, strict=True)
            )
            message = (
                f"{counted(given, 'equation')} for {counted(needed, 'unknown component')} of"
                f" `{domain.name}` at {place}"
            )
            names = ", ".join(dict.fromkeys(region.name for region, _ in parts))
            if given < needed:
                hint = (
                    f"{names} do not cover `{domain.name}`: state the equation of what is left, in"
                    f" {domain.name} - .."
                )
                return Diagnostic(
                    "W06",
                    message,
                    hint,
                    "every component needs an equation everywhere",
                    last.span,
                    labels[-1],
                )
            hint = (
                f"{names} overlap: take one from the other, for example Omega - {parts[-1][0].name}"
            )
            return Diagnostic(
                "W06",
                message,
                hint,
                "the system is overdetermined there",
                last.span,
                labels[-1],
                "warning",
            )
    return None


def _lies_in(part: Domain, whole: Domain) -> bool:
    """Whether a domain is a part of another, as far as points of it tell; of shapes that cannot
    be looked into, it is believed."""
    values = typical(part, whole)
    where = points(part, POINTS, values, ASIDE)
    try:
        inside = bind(whole.shape, values)
    except NotImplementedError:
        return part.coordinates == whole.coordinates
    return part.coordinates == whole.coordinates and all(map(inside, where or ()))


@rule("W07")
def equations_hold_everywhere(analysis: Analysis) -> Iterator[Diagnostic]:
    """No boundary quantity stands inside an equation of the interior. (Values at a point are
    found when derivatives are expanded.)"""
    for row in analysis.stated:
        if nodes_of(row.form, Normal):
            hint = "write it as a condition: `on boundary(Omega): ..`"
            yield row.report(
                "W07",
                "the unit normal n appears in an equation of the interior",
                hint,
                "n is known on the boundary only",
            )
        if nodes_of(row.form, TwoSided):
            hint = "write it as a condition: `on interface: jump(u) = 0`"
            yield row.report(
                "W07",
                "a jump or average appears in an equation of the interior",
                hint,
                "fields have two sides on an interface only",
            )
        if nodes_of(row.form, Integral):
            hint = (
                "write what it stands for as an unknown with an equation of its own, or state it as"
                " `require integral(..) = ..`"
            )
            yield row.report(
                "W07",
                "an integral appears in an equation of the interior",
                hint,
                "an equation holds point by point",
            )
        for jet in jets_of(row.form):
            region = jet.field.func.declaration.region
            if region != row.region and not (
                isinstance(region, Domain)
                and isinstance(row.region, Domain)
                and _lies_in(row.region, region)
            ):
                name = jet.field.func.declaration.name
                what = "boundary" if isinstance(region, Boundary) else "domain"
                hint = (
                    "use it in a condition with `on`"
                    if what == "boundary"
                    else "couple the domains by conditions on their interface"
                )
                yield row.report(
                    "W07",
                    f"`{name}` lives on the {what} `{region.name}`, the equation holds in"
                    f" `{row.region.name}`",
                    hint,
                )
                break
