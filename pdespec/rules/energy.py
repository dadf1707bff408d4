"""V01, V02: functionals and the conditions they imply."""

from __future__ import annotations

from collections.abc import Iterator

import sympy as sp

from pdespec.errors import Diagnostic
from pdespec.notation import short
from pdespec.rules.registry import Analysis, rule
from pdespec.statements.natural import implied, natural_term, prescribed

LONGEST = 160  # letters of a natural condition that is printed


@rule("V01")
def functionals_have_a_minimiser(analysis: Analysis) -> Iterator[Diagnostic]:
    """Every functional depends on an unknown."""
    for functional in analysis.problem.functionals:
        if not functional.unknowns:
            hint = (
                "the density holds the unknown to be found: minimize integral(dot(grad(u),"
                " grad(u))/2 - f*u, Omega)"
            )
            yield Diagnostic(
                "V01",
                f"the functional to {functional.kind} holds no unknown",
                hint,
                "",
                functional.span,
                functional.kind,
            )


@rule("V02")
def natural_conditions_stand_once(analysis: Analysis) -> Iterator[Diagnostic]:
    """A condition that a functional already implies is not stated again."""
    for row in analysis.boundary_rows:
        unknowns = [unknown for unknown in row.unknowns if unknown.name in analysis.minimised]
        if not unknowns or not any(sum(jet.index) for jet in row.unknown_jets):
            continue
        order = max(
            sum(jet.index) for density in analysis.densities for jet in density.unknown_jets
        )
        fixed = {count for _, count in prescribed(analysis.problem, row.condition)}
        if fixed and max(fixed) < order:
            # a slope prescribed where the energy holds curvature is an essential condition
            continue
        if order > 1 and implied(analysis.problem, row.condition):
            continue
        hint = (
            f"leave it out; put loads into the energy: - integral(h*{unknowns[0].components[0]},"
            f" {row.region.name}), and what ties it to values or slopes as a spring: +"
            f" integral(k*{unknowns[0].components[0]}^2/2, {row.region.name})"
        )
        message = (
            f"the functional already gives the natural condition of `{unknowns[0].name}` on"
            f" `{row.region.name}`"
        )
        jet = max(row.unknown_jets, key=lambda each: sum(each.index))
        term = natural_term(analysis.problem, jet.field, row.region, sum(jet.index))
        if term is not None and len(short(term)) <= LONGEST:
            message += f", {short(sp.expand(term))} = 0".replace("`", "")
        yield row.report(
            "V02",
            message,
            hint,
            "boundary conditions with derivatives follow from an energy where nothing is"
            " prescribed",
        )
