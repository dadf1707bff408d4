"""T06, W07, W09: conditions at a point."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

from pdespec.coordinates import Normal
from pdespec.errors import Diagnostic
from pdespec.geometry import Domain, shape_symbols
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.probe import Elimination
from pdespec.rules.null_space import all_modes, look, noticing, place_of
from pdespec.rules.registry import Analysis, Row, rule
from pdespec.statements.membership import bind, bounds, halton
from pdespec.statements.statements import Condition
from pdespec.symbols import Scalar

# points about a point, of which one lies in the domain where the point lies in its closure
AROUND = 2048
NEAR = 1e-6  # their distance, of the size of the domain


def written(condition: Condition) -> str:
    """`(0.5, 0.5)`"""
    return f"({', '.join(short(each)[1:-1] for each in condition.place)})"


@rule("T06")
def points_lie_in_the_domain(analysis: Analysis) -> Iterator[Diagnostic]:
    """No condition is stated at a point that is provably outside of its domain: one of numbers, the
    domain a shape of numbers."""
    for label, condition in analysis.problem.conditions.items():
        domain = condition.region
        if (
            condition.kind == "point"
            and isinstance(domain, Domain)
            and _outside(condition.place, domain)
        ):
            message = f"the point {written(condition)} lies outside of `{domain.name}`"
            yield Diagnostic(
                "T06",
                message,
                f"give a point of `{domain.name}` or of its boundary",
                "",
                condition.span,
                label,
            )


def _outside(place: Sequence[Any], domain: Domain) -> bool:
    """Whether no point near a given one lies in the domain."""
    symbols = shape_symbols(domain.shape).union(*(each.free_symbols for each in place))
    values = {
        s: s.declaration.value
        for s in symbols
        if isinstance(s, Scalar) and s.declaration.kind == "const"
    }
    if set(values) != symbols or None in values.values():
        return False
    try:
        inside, (lower, upper) = bind(domain.shape, values), bounds(domain.shape, values)
    except NotImplementedError:
        return False
    point = [float(each.subs(values)) for each in place]
    reach = NEAR * (max(map(abs, (*lower, *upper))) + math.dist(lower, upper))
    box = [-1.0] * domain.dim, [1.0] * domain.dim
    moves = ([*step] for step in halton(*map(tuple, box), AROUND))  # type: ignore[arg-type]
    return not any(
        inside(tuple(x + reach * s for x, s in zip(point, step, strict=True))) for step in moves
    )


@rule("W07")
def points_have_no_normal(analysis: Analysis) -> Iterator[Diagnostic]:
    """No unit normal occurs in a condition at a point."""
    for row in analysis.point_rows:
        if nodes_of(row.form, Normal):
            hint = (
                "give the direction as numbers, `dot(grad(u), [1, 0])`, or state it `on` a part of"
                " the boundary"
            )
            yield row.report(
                "W07",
                f"the unit normal n appears in a condition at the point {written(row.condition)}",
                hint,
            )


@rule("W09")
def points_are_noticed(analysis: Analysis) -> Iterator[Diagnostic]:
    """A value at a point says something: in one dimension, where it takes a freedom of the solution
    away, or where the equation has a high enough order.

    The solution of an elliptic equation of order m has k derivatives at a point that its energy
    bounds where m - 2k > d, d the dimension (Sobolev's embedding): else fields of arbitrarily small
    energy take any value there.
    """
    problem = analysis.problem
    if analysis.failures or not analysis.point_rows or problem.trainables:
        return
    modes = all_modes(analysis)
    system = Elimination(len(modes))
    for form, place in noticing(analysis, points=False):
        look(system, modes, form, place)
    redundant: dict[str, Row] = {}
    for row in analysis.point_rows:
        free = len(system.free)
        look(system, modes, row.form, place_of(row))
        if len(system.free) == free:
            redundant.setdefault(row.label, row)
    undetermined = {modes[column].unknown for column in system.free}  # W05 says so
    for row in redundant.values():
        if undetermined.isdisjoint(row.unknowns) and (found := _unnoticed(analysis, row)):
            yield found


def _unnoticed(analysis: Analysis, row: Row) -> Diagnostic | None:
    problem, dim = analysis.problem, row.region.dim
    if dim == 1 or _outside(row.condition.place, row.region):
        return None
    for jet in row.unknown_jets:
        order = analysis.order(jet.field, *problem.coordinates)
        if order - 2 * sum(jet.over(problem.coordinates)) > dim:
            return None
    unknown = row.unknowns[0]
    where = f"at the point {written(row.condition)}"
    message = f"`{unknown.name}` is determined without the condition {where}, and hardly notices it"
    hint = "leave it out, or give the point an extent: cut a small hole, "
    center = ", ".join(short(each)[1:-1] for each in row.condition.place)
    shape = "disk" if dim == 2 else "ball"
    hint += (
        f"`{row.region.name} - {shape}(radius = 0.01, center = [{center}])`, and state it on"
        f" `inner({row.region.name})`"
    )
    order = max(analysis.order(jet.field, *problem.coordinates) for jet in row.unknown_jets)
    cause = (
        f"in {dim} dimensions a peak at one point costs an equation of order {order} nothing, so"
        " the answer depends on the mesh or network"
    )
    return row.report("W09", message, hint, cause, "warning")
