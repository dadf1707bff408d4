"""W02, W03, W04, T06: conditions cover the boundary, agree where they overlap, and are stated on
boundaries of their unknown."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import sympy as sp

from pdespec.calculus import TwoSided
from pdespec.coordinates import Coordinate, Time
from pdespec.errors import Diagnostic
from pdespec.geometry import (
    Boundary,
    Box,
    Domain,
    Interval,
    Rectangle,
    coincide,
    combined,
    in_place,
)
from pdespec.jets import sympy_form
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.probe import TOLERANCE, points, vanishes
from pdespec.rules.registry import Analysis, Row, rule
from pdespec.statements.boundary_parts import Part, certain, domain_parts, parts
from pdespec.statements.statements import Condition
from pdespec.symbols import Unknown

DIRECTION = (sp.Rational(3, 5), sp.Rational(5, 7), sp.Rational(2, 3))  # generic, across a boundary


@rule("W02")
def conditions_cover_the_boundary(analysis: Analysis) -> Iterator[Diagnostic]:
    """On every part of the boundary as many conditions as half the order of the equations across
    it.

    Functionals imply natural conditions wherever nothing is prescribed, and first-order equations
    need conditions on a part of the boundary that depends on the solution: neither is reported.
    Conditions are counted for all unknowns together, since a condition on one may replace that
    of another (stream function and vorticity).
    """
    problem = analysis.problem
    if analysis.failures:
        return
    exempt = analysis.minimised | analysis.measured | _coupled(analysis)
    for domain in problem.domains.values():
        unknowns = [
            unknown
            for unknown in problem.unknowns.values()
            if unknown.region == domain and unknown.name not in exempt
        ]
        uncovered: dict[tuple[str, int, int], list[Part]] = {}
        stated = [row.region for row in analysis.boundary_rows if row.region.domain == domain]
        for part in domain_parts(domain, stated):
            if not certain(part, domain):
                continue
            across = [x for x in domain.coordinates if part.coordinate in (None, x.name)]
            rows = [
                row
                for row in analysis.boundary_rows
                if row.region.domain == domain and part in parts(row.region, stated)
            ]
            names = {unknown.name for unknown in unknowns}
            counted = sum(1 for row in rows if any(u.name in names for u in row.unknowns))
            # no unknown needs more than half its orders, and what it needs takes longer to find
            if counted >= sum(n // 2 for u in unknowns for n in _orders(analysis, u, across)):
                continue
            needs = {u.name: _needed(analysis, u, across) for u in unknowns}
            if counted >= sum(needs.values()):
                continue
            for name, needed in needs.items():
                have = sum(1 for row in rows if any(u.name == name for u in row.unknowns))
                if have < needed:
                    uncovered.setdefault((name, needed, have), []).append(part)
        for (name, needed, have), pieces in uncovered.items():
            yield _uncovered(analysis, domain, problem.unknowns[name], needed, have, pieces)


def _orders(analysis: Analysis, unknown: Unknown, across: list[Coordinate]) -> list[int]:
    """The order of each component in the coordinates that a boundary crosses."""
    return [analysis.order(c, *across, rows=analysis.stated) for c in unknown.fields]


def _needed(analysis: Analysis, unknown: Unknown, across: list[Coordinate]) -> int:
    """How many conditions an unknown needs where the boundary crosses some coordinates: half the
    order of each component; of a vector whose second derivatives are those of `curl(curl(E))` one
    less, since they do not see what points along the normal."""
    orders = _orders(analysis, unknown, across)
    if set(orders) != {2} or len(orders) < 2:
        return sum(order // 2 for order in orders)
    places = {field: k for k, field in enumerate(unknown.fields)}
    rows = []
    for row in analysis.stated:
        symbol = [sp.S.Zero] * len(orders)
        for jet in row.unknown_jets:
            if jet.field in places and sum(jet.over(across)) == 2:
                counts = zip(DIRECTION, (jet.over([x])[0] for x in across), strict=False)
                symbol[places[jet.field]] += row.form.diff(jet) * sp.Mul(*(d**n for d, n in counts))
        rows.append(symbol)
    matrix = sp.Matrix(rows)
    (place,) = points(1, *matrix)
    return sp.Matrix(matrix.xreplace(place)).evalf(30).rank(iszerofunc=lambda v: abs(v) < TOLERANCE)


def _coupled(analysis: Analysis) -> set[str]:
    """Unknowns with a condition on the boundary of another domain: what an interface covers
    cannot be inferred from the shapes alone."""
    rows = [
        row
        for row in analysis.boundary_rows
        if row.region.kind != "level" and not nodes_of(row.form, TwoSided)
    ]
    return {
        unknown.name
        for row in rows
        for unknown in row.unknowns
        if _meets(row.region, unknown.region)
    }


def _meets(region: Boundary, home: Domain) -> bool:
    """Whether a condition on a region may stand for one on the boundary of a domain."""
    if region.kind == "interface":
        return home in (region.domain, region.others[0].domain)
    return home.domain != region.domain


def _uncovered(
    analysis: Analysis, domain: Domain, unknown: Unknown, needed: int, have: int, pieces: list[Part]
) -> Diagnostic:
    where = ", ".join(str(piece) for piece in pieces)
    number = (
        f"no condition on `{unknown.name}`"
        if have == 0
        else f"{have} of {needed} conditions on `{unknown.name}`"
    )
    place = _written(analysis, domain, unknown, pieces)
    hint = (
        f"write `on {place}: {unknown.name} = 0`, or dot(grad({unknown.name}), n) = 0 where nothing"
        " crosses"
    )
    row = analysis.first(unknown.fields[0], analysis.stated)
    message = f"part of the boundary of `{domain.name}` has {number}: {where}"
    cause = (
        "an equation of second order needs one condition everywhere on the boundary, of fourth"
        " order two"
    )
    return (
        row.report("W02", message, hint, cause)
        if row
        else Diagnostic("W02", message, hint, cause, label=unknown.name)
    )


def _written(analysis: Analysis, domain: Domain, unknown: Unknown, pieces: list[Part]) -> str:
    """How a text names some pieces of the boundary: `rest(L)` leaves out what is declared, and
    what is written in place must be named."""
    every = domain_parts(domain)
    if pieces == list(every):
        return f"boundary({domain.name})"
    if len(pieces) == 1 and pieces[0].coordinate is not None and not pieces[0].signs:
        return f"side({domain.name}, {pieces[0].coordinate} = {short(pieces[0].value)[1:-1]})"
    own = [each for each in analysis.problem.boundaries.values() if each.domain == domain]
    declared = [each for each in own if each.kind not in ("all", "rest") and not in_place(each)]
    if declared and _left(every, declared) == pieces:
        return f"rest({domain.name})"
    stated = dict.fromkeys(
        row.region
        for row in analysis.boundary_rows
        if unknown in row.unknowns and row.region.domain == domain
    )
    return f"rest({', '.join([domain.name, *(each.name for each in stated)])})"


def _left(every: tuple[Part, ...], regions: list[Boundary]) -> list[Part]:
    taken = {piece for region in regions for piece in parts(region)}
    return [piece for piece in every if piece not in taken]


@rule("W03")
def conditions_agree_where_they_overlap(analysis: Analysis) -> Iterator[Diagnostic]:
    """Two conditions that fix the same quantity at the same place fix it to the same value."""
    rows = [(row, *_fixed_value(row)) for row in analysis.conditions]
    for i, (row, quantity, fixed) in enumerate(rows):
        for other, other_quantity, other_value in rows[:i]:
            if quantity != other_quantity or quantity is None:
                continue
            where = _conflict(row, fixed, other, other_value)
            if where is not None:
                name = short(sympy_form(quantity))
                values = (
                    f"{short(sympy_form(other_value))} by `{other.label}` and"
                    f" {short(sympy_form(fixed))} by `{row.label}`"
                )
                hint = (
                    "leave one out, or give them parts of the boundary that do not overlap:"
                    " rest(..)"
                )
                yield row.report("W03", f"{name} has two values at {where}: {values}", hint)


def _fixed_value(row: Row) -> tuple[Any, Any]:
    """What a row fixes and to which value: the part with unknowns, scaled to a leading
    coefficient of one, and the rest."""
    known, unknown = (
        row.form.as_independent(*row.unknown_jets, as_Add=True)
        if row.unknown_jets
        else (row.form, sp.S.Zero)
    )
    if unknown == 0:
        return None, known
    scale = unknown.diff(row.unknown_jets[0])
    if scale.is_number and scale != 0:
        return unknown / scale, -known / scale  # SymPy draws a number into a sum by itself
    return unknown, -known


def _conflict(row: Row, value: Any, other: Row, other_value: Any) -> str | None:
    """Where two conditions hold at once with different values."""
    first, second = row.condition, other.condition
    if first is None or second is None or first.region.domain != second.region.domain:
        return None
    if "point" in (first.kind, second.kind):
        return (
            _conflict_at(first, value, second, other_value)
            if first.kind == "point"
            else _conflict_at(second, other_value, first, value)
        )
    if first.kind != second.kind:
        return None
    if first.kind == "initial":
        same = first.at == second.at and first.region == second.region
        return f"the time {first.at}" if same and _differ(value, other_value, {}) else None
    among = (first.region, second.region)
    for part in parts(first.region, among):
        if part in parts(second.region, among) and certain(part, first.region.domain):
            place = {x: part.value for x in first.region.coordinates if x.name == part.coordinate}
            if _differ(value, other_value, place):
                return str(part)
    return None


def _conflict_at(first: Condition, value: Any, second: Condition, other_value: Any) -> str | None:
    """The point of a condition, where another gives another value: at the same point, on a
    straight side of a box, or at the start."""
    place: dict[Any, Any] = dict(zip(first.region.coordinates, first.place, strict=True))
    moments = [each.at for each in (first, second) if each.at is not None]
    if second.kind == "point":
        meet = all(coincide(a, b) for a, b in zip(first.place, second.place, strict=True))
    elif second.kind == "boundary":
        meet = any(_passes(piece, place, first.region.domain) for piece in parts(second.region))
    else:
        # else a start that is left at once
        meet = second.region == first.region and first.at is not None
    if not meet or (len(moments) == 2 and not coincide(*moments)):
        return None
    time = dict.fromkeys((value - other_value).atoms(Time), moments[0]) if moments else {}
    text = ", ".join(short(each)[1:-1] for each in (*first.place, *moments[:1]))
    return f"the point ({text})" if _differ(value, other_value, place | time) else None


def _passes(piece: Part, place: dict[Any, Any], domain: Domain) -> bool:
    """Whether a whole side of a box holds a point."""
    at = {x.name: value for x, value in place.items()}
    boxed = isinstance(domain.shape, (Interval, Rectangle, Box)) and not piece.signs
    return (
        boxed
        and piece.coordinate is not None
        and piece.value is not None
        and coincide(at[piece.coordinate], piece.value)
    )


def _differ(a: Any, b: Any, place: dict[Any, Any]) -> bool:
    return not vanishes((a - b).xreplace(place))


@rule("W04")
def periodic_sides_have_no_conditions(analysis: Analysis) -> Iterator[Diagnostic]:
    """No condition is stated on a side of a periodic coordinate, and every condition is stated
    somewhere."""
    for label, condition in analysis.problem.conditions.items():
        region = condition.region
        if (
            not isinstance(region, Boundary)
            or region.kind in ("level", "interface")
            or parts(region)
        ):
            continue
        domain = region.domain
        if domain.periodic and (region.coordinate in domain.periodic or region.kind != "side"):
            axes = ", ".join(domain.periodic)
            message = f"`{region.name}` is not a boundary: `{domain.name}` is periodic in {axes}"
            yield Diagnostic(
                "W04",
                message,
                "leave the condition out, or the coordinate out of `periodic`",
                "",
                condition.span,
                label,
            )
        else:
            sides = ", ".join(str(part) for part in domain_parts(domain))
            message = (
                f"`{region.name}` is empty: the boundary of `{domain.name}` consists of {sides}"
            )
            yield Diagnostic("S01", message, "name a part that exists", "", condition.span, label)


@rule("T06")
def conditions_stand_where_their_unknown_lives(analysis: Analysis) -> Iterator[Diagnostic]:
    """A condition on the boundary of a domain from which that of its unknown was cut is about
    that of the unknown."""
    for label, condition in analysis.problem.conditions.items():
        region = condition.region
        if not isinstance(region, Boundary):
            continue
        found = dict.fromkeys(
            u for row in analysis.conditions if row.condition is condition for u in row.unknowns
        )
        if any(unknown.region == region.domain for unknown in found):  # an interface
            continue
        for unknown in found:
            home = unknown.region
            if region.domain.shape == home.shape or region.domain.shape not in set(
                combined(home.shape)
            ):
                continue
            message = (
                f"`{region.name}` is a boundary of `{region.domain.name}`, and `{unknown.name}`"
                f" lives on `{home.name}`"
            )
            own = (
                f"boundary({home.name}, {region.domain.name})"
                if region.kind == "all"
                else f"a boundary of `{home.name}`"
            )
            hint = (
                f"write {own} for what is left of it, boundary({home.name}) for all around"
                f" `{unknown.name}`"
            )
            yield Diagnostic("T06", message, hint, "", condition.span, label)
            break
