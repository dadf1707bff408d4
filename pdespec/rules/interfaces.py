"""J01, J02, J03, J04: coefficients that jump inside a domain. (Jumps that move with the
solution, or are differentiated: V04.)"""

from __future__ import annotations

from collections.abc import Iterator

from pdespec.calculus import TwoSided
from pdespec.errors import Diagnostic
from pdespec.jets import jets_of
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.rules.contact import domains_of_unknowns, solvable
from pdespec.rules.functions import differentiated_jumps
from pdespec.rules.registry import Analysis, rule
from pdespec.statements.interfaces import flux_conditions, moving
from pdespec.symbols import UnknownField


@rule("J01")
def jumps_of_coefficients_are_seen(analysis: Analysis) -> Iterator[Diagnostic]:
    """Where a coefficient jumps inside a divergence, the flux is kept continuous, and the user is
    warned."""
    if analysis.failures:
        return
    problem = analysis.problem
    refused = {each.label for each in differentiated_jumps(problem)}
    for label, condition in flux_conditions(problem).items():
        source = label.rpartition(".flux")[0]
        if source in refused:
            continue
        first = problem.equations.get(source) or problem.equations.get(source.partition(".")[0])
        place = condition.region.name
        if condition.region.kind == "level":
            message = f"a coefficient inside a divergence of `{source}` jumps across {place}"
        else:
            message = f"the subdomains of `{source.replace('.', '` and `')}` meet at {place}"
        message += f": the flux is kept continuous there by the term `{label}`"
        hint = f"if something else holds there, state it, for example `on {place}: jump(..) = ..`"
        cause = (
            "residuals on both sides do not see the surface between; the gradient of the solution"
            " jumps there"
        )
        yield Diagnostic(
            "J01",
            message,
            hint,
            cause,
            first.span if first else None,
            source.partition(".")[0],
            "warning",
        )


@rule("J02")
def jumps_stand_still(analysis: Analysis) -> Iterator[Diagnostic]:
    """The surface across which a coefficient inside a divergence jumps is known beforehand."""
    if analysis.failures:
        return
    for label, level in moving(analysis.problem):
        message = (
            f"a coefficient inside a divergence of `{label}` jumps where {short(level)} is 0, and"
            " so does what is stored: it moves"
        )
        hint = "make the step smooth, (1 + tanh(s/width))/2 for step(s)"
        cause = "the moving surface takes up what is stored on one side and not on the other"
        yield Diagnostic("J02", message, hint, cause, analysis.problem.equations[label].span, label)


@rule("J03")
def jumps_have_two_sides(analysis: Analysis) -> Iterator[Diagnostic]:
    """What a jump or an average is taken of lives on both sides."""
    for row in analysis.conditions:
        for node in sorted(nodes_of(row.form, TwoSided), key=str):
            for jet in jets_of(node, UnknownField):
                unknown = jet.field.func.declaration
                if row.condition.kind != "boundary" or (
                    row.region.domain == unknown.region and row.region.kind != "level"
                ):
                    where = row.region.name
                    message = (
                        f"`{unknown.name}` has one side only on `{where}`: `{unknown.region.name}`"
                        " ends there"
                    )
                    hint = (
                        "write the difference of the two unknowns that meet there, a - b, or give"
                        " an interface inside of the domain: "
                    )
                    hint += (
                        f"interface({unknown.region.name}, {unknown.region.coordinates[0]} - 1/2)"
                    )
                    yield row.report(
                        "J03",
                        message,
                        hint,
                        "jump and avg are of the values on both sides of a surface",
                    )
                    break


@rule("J04")
def interfaces_have_no_reference(analysis: Analysis) -> Iterator[Diagnostic]:
    """Whoever will want to know the error hears before training that the reference solver keeps one
    unknown continuous on one domain."""
    if analysis.failures:
        return
    apart = tuple(each.name for each in domains_of_unknowns(analysis.problem))
    if len(apart) > 1 and solvable(analysis.problem):
        return
    inner = (
        row
        for row in analysis.conditions
        if row.condition.kind == "boundary"
        and (row.region.kind in ("level", "interface") or row.form.atoms(TwoSided))
    )
    row = next(inner, None) or next(iter(analysis.stated if len(apart) > 1 else ()), None)
    if row is None:
        return
    what = f"`{row.label}` says what holds on `{row.region.name}`"
    if len(apart) > 1:
        what = f"the unknowns live on {len(apart)} domains ({', '.join(apart)})"
    yield row.report(
        "J04",
        f"{what}: this trains, but has no reference solution to be measured against",
        "where values and fluxes are continuous, leave the condition out; between unknowns on two"
        " domains give one condition for each of their fluxes",
        "the reference solver keeps one unknown continuous on its domain, and takes what several"
        " unknowns do where their domains meet",
        "warning",
    )
