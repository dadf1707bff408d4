"""W05: modes of the unknowns that no statement determines."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec.calculus import Integral, entries
from pdespec.errors import Diagnostic
from pdespec.geometry import Boundary
from pdespec.jets import jet_form, jets_of, total_derivative
from pdespec.jumps import slope
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.probe import DIGITS, Elimination, points, slopes, value
from pdespec.rules.registry import Analysis, Row, rule
from pdespec.statements.statements import IntegralRequirement
from pdespec.symbols import Unknown, UnknownField

PLACES = 4  # points at which the density of an integral is looked at


@rule("W05")
def the_solution_is_pinned(analysis: Analysis) -> Iterator[Diagnostic]:
    """No unknown may be shifted by a constant (or turned, or tilted) without anything noticing.

    Exact: a mode is reported only when every equation, condition, energy, requirement and
    measurement is unchanged by it, to first order, alone or together with other modes. Each
    statement, evaluated at generic points, is a row of a homogeneous linear system for the
    amplitudes of the modes; what remains free after elimination is the null space.
    """
    modes = all_modes(analysis)
    if analysis.failures or not analysis.equations:
        return
    system = Elimination(len(modes))
    for form, place in noticing(analysis):
        if not system.free:
            return
        look(system, modes, form, place)
    reported = set()
    for mode in (modes[column] for column in system.free):
        row = analysis.first(next(iter(mode.shift)))
        if row is not None and mode.unknown not in reported:
            reported.add(mode.unknown)
            message = f"`{mode.unknown.name}` is determined only up to {mode.name}"
            hint = f"add `require {mode.gauge} = 0`, or a condition that fixes its value"
            yield row.report(
                "W05", message, hint, "the equations and conditions hold its derivatives only"
            )


def look(system: Elimination, modes: list[Mode], form: Any, place: dict[Any, Any]) -> None:
    """What a statement says of the modes that are not known to be zero by now."""
    loose = system.loose
    for row in changes(form, place, [modes[k] for k in loose]):
        found = dict(zip(loose, row, strict=True))
        system.add([found.get(k, 0) for k in range(len(modes))])


@dataclass(frozen=True)
class Mode:
    """A candidate for the null space: how it is called, component -> shift, and the integral
    that would pin it."""

    unknown: Unknown
    name: str
    shift: dict[Any, sp.Expr]
    gauge: str


def all_modes(analysis: Analysis) -> list[Mode]:
    """The candidates of all unknowns."""
    return [
        mode
        for unknown in analysis.problem.unknowns.values()
        for mode in modes_of(analysis, unknown)
    ]


def modes_of(analysis: Analysis, unknown: Unknown) -> Iterator[Mode]:
    """Constants, and rotations of vectors and linear functions of scalars where nothing is
    periodic."""
    time, domain, fields = analysis.problem.time, unknown.region, unknown.fields
    if (
        time is not None
        and not time.periodic
        and any(analysis.order(component, time) for component in fields)
    ):
        return  # pinned by its initial condition, or reported by W01
    for component in fields:
        yield Mode(
            unknown,
            "a constant",
            {component: sp.S.One},
            f"integral({short(component)[1:-1]}, {domain.name})",
        )
    if domain.periodic:
        return
    x = domain.coordinates
    for i in range(domain.dim if unknown.rank == "vector" and not unknown.complex else 0):
        for j in range(i):
            turn = f"integral(d{x[j]}({fields[i].func.__name__}), {domain.name})"
            yield Mode(unknown, "a rotation", {fields[i]: x[j], fields[j]: -x[i]}, turn)
    for each in x if unknown.rank == "scalar" else ():
        yield Mode(
            unknown,
            "a linear function",
            {fields[0]: each},
            f"integral(d{each}({unknown.name}), {domain.name})",
        )


def noticing(
    analysis: Analysis, gauges: bool = True, points: bool = True
) -> Iterator[tuple[Any, dict[Any, Any]]]:
    """Every expression that may notice a mode, with where it is evaluated; short ones first, since
    most modes stop there.

    Without `gauges`, requirements that an integral be zero are left out, without `points`
    conditions at points.
    """
    for each in analysis.problem.requirements:
        if isinstance(each, IntegralRequirement) and (gauges or each.value != 0):
            yield Integral(each.density, each.region), {}
    for row in analysis.conditions if points else (*analysis.boundary_rows, *analysis.initial_rows):
        yield row.form, place_of(row)
    for data in analysis.problem.data:
        for entry in entries(data.value):
            yield analysis.problem.derivative_form(entry), _place(data.region)
    for row in (*analysis.natural, *analysis.stated, *analysis.varied):
        yield row.form, {}


def place_of(row: Row) -> dict[Any, Any]:
    """The coordinates that are fixed where a condition holds."""
    if row.condition is not None and row.condition.kind == "point":
        return dict(zip(row.region.coordinates, row.condition.place, strict=True))
    return _place(row.region)


def _place(region: Any) -> dict[Any, Any]:
    """The coordinate that is fixed on a side."""
    if isinstance(region, Boundary) and region.kind == "side":
        return {x: region.value for x in region.coordinates if x.name == region.coordinate}
    return {}


def changes(form: Any, place: dict[Any, Any], modes: list[Mode]) -> Iterator[list[Any]]:
    """The change of a statement under each mode, one row for each generic point.

    Without integrals it is the directional derivative along the mode, taken by `slopes`: the
    symbolic one of an elastic energy in space has ten thousand operations a mode.
    """
    if nodes_of(form, Integral):
        changes = [_change(form, mode.shift) for mode in modes]
        if any(change != 0 for change in changes):
            for point in points(len(modes) + 1, form, *changes, *map(sp.sympify, place.values())):
                yield [value(change, _placed(point, place)) for change in changes]
        return
    jets = jets_of(form, UnknownField)
    moved = [
        {jet: _shift(jet, mode.shift) for jet in jets if jet.field in mode.shift} for mode in modes
    ]
    if any(shift != 0 for each in moved for shift in each.values()):
        shifts = [shift for each in moved for shift in each.values()]
        generic = points(
            len(modes) + 1, form, *map(sp.sympify, shifts), *map(sp.sympify, place.values())
        )
        where = [_placed(point, place) for point in generic]
        directions = [
            [{jet: shift.xreplace(point) for jet, shift in each.items()} for each in moved]
            for point in where
        ]
        yield from slopes(form, where, directions)


def _placed(point: dict[Any, Any], place: dict[Any, Any]) -> dict[Any, Any]:
    """A generic point moved to where a statement holds."""
    return point | {x: sp.N(sp.sympify(at).xreplace(point), DIGITS) for x, at in place.items()}


def _shift(jet: Any, shift: dict[Any, sp.Expr]) -> sp.Expr:
    """The change of a jet when its field is shifted."""
    along = [
        variable
        for variable, order in zip(jet.field.args, jet.index, strict=True)
        for _ in range(order)
    ]
    return sp.sympify(total_derivative(shift[jet.field], *along))


def _change(form: Any, shift: dict[Any, sp.Expr]) -> Any:
    """The first-order change of an expression in jet form under a shift of its unknowns.

    The change of an integral is a number; the mean of that of its density at some generic points
    replaces it. One point would not do: there the moment `integral(x*u.y - y*u.x)` is a sum of
    `integral(u.x)` and `integral(u.y)`.
    """
    nodes = {
        node: sp.Symbol(f"integral{k}")
        for k, node in enumerate(sorted(nodes_of(form, Integral), key=sp.default_sort_key))
    }
    form = form.xreplace(nodes)
    change = []
    for jet in jets_of(form, UnknownField):
        if jet.field in shift:
            change.append(slope(form, jet) * _shift(jet, shift))
    for node, symbol in nodes.items():
        density = _change(jet_form(node.density), shift)
        here = [density.xreplace(_generic(node.region, number)) for number in range(PLACES)]
        change.append(slope(form, symbol) * sp.Add(*here) / PLACES)
    return sp.Add(*change)


def _generic(region: Any, number: int) -> dict[Any, sp.Expr]:
    """A point that no statement was made for."""
    first = 2 + number * len(region.coordinates)
    return {x: sp.sqrt(sp.prime(first + k)) / 3 for k, x in enumerate(region.coordinates)}
