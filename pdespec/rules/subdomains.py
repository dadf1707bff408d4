"""Equations that hold in parts of a domain, as one equation with coefficients that change from part
to part.

    in A: sum_j d_j F_j + f = 0,   in B: sum_j d_j G_j + g = 0

become

    sum_j d_j [F_j in A, G_j in B] + [f in A, g in B] = 0,

which holds across what A and B share as well: there it says that the flux is continuous.
"""

from __future__ import annotations

from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec.calculus import TwoSided, entries, partial
from pdespec.coordinates import Coordinate
from pdespec.geometry import (
    Ball,
    Box,
    Difference,
    Disk,
    Domain,
    Ellipse,
    Ellipsoid,
    Exterior,
    Extruded,
    Intersection,
    Interval,
    Moved,
    Point,
    Polygon,
    Rectangle,
    Rotated,
    Scaled,
    Shape,
    Star,
    Union,
    placement,
    shape_symbols,
)
from pdespec.jets import carry_out, jet_form, jets_of, sympy_form
from pdespec.rules.membership import points
from pdespec.statements.interfaces import carried, flux, same_sign
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Equation
from pdespec.symbols import UnknownField

PROBES = 64  # points at which it is seen whether a comparison holds everywhere


def subdomains(problem: Problem) -> dict[Domain, list[str]]:
    """Equations that hold in a part of the domain of their unknowns only, by that domain."""
    found: dict[Domain, list[str]] = {}
    for label, equation in problem.equations.items():
        homes = {
            field.func.declaration.region
            for field in (equation.lhs - equation.rhs).atoms(UnknownField)
        }
        if len(homes) == 1 and equation.region not in homes:
            found.setdefault(homes.pop(), []).append(label)
    return found


def merged(problem: Problem) -> Problem | None:
    """The problem with the equations of subdomains made one; itself where there are none, None
    where they cannot be.

    That is where a shape has no inequality, where subdomains state different numbers of equations,
    or where a condition says what holds between them.
    """
    shared = subdomains(problem)
    if not shared:
        return problem
    if any((each.lhs - each.rhs).atoms(TwoSided) for each in problem.conditions.values()):
        return None
    within = {label for labels in shared.values() for label in labels}
    equations: dict[str, Equation] = {
        label: each for label, each in problem.equations.items() if label not in within
    }
    for domain, labels in shared.items():
        by_region: dict[Domain, list[sp.Expr]] = {}
        for label in labels:
            equation = problem.equations[label]
            by_region.setdefault(equation.region, []).extend(entries(equation.lhs - equation.rhs))
        if len({len(rows) for rows in by_region.values()}) > 1:
            return None
        first, *others = (
            [(row, carried([flux(row, domain.coordinates) or ()], region)) for row in rows]
            for region, rows in by_region.items()
        )
        matched = [[row for row, _ in first], *(_in_order_of(first, each) for each in others)]
        try:
            places = [
                _within(inside(region.shape, domain.coordinates), domain) for region in by_region
            ]
        except NotImplementedError:
            return None
        rows = [
            _together(parts, places, domain.coordinates) for parts in zip(*matched, strict=True)
        ]
        lhs = sp.ImmutableMatrix(rows) if len(rows) > 1 else rows[0]
        equations[labels[0]] = Equation(lhs, lhs * 0, domain, problem.equations[labels[0]].span)
    return problem.revised(equations=equations)


def _in_order_of(
    first: list[tuple[sp.Expr, set[Any]]], others: list[tuple[sp.Expr, set[Any]]]
) -> list[sp.Expr]:
    """The rows of another subdomain, each in the place of one whose flux is of the same unknowns;
    the rest as they are written."""
    left, found = list(others), []
    for _, unknowns in first:
        found.append(next((each for each in left if each[1] == unknowns), None))
        if found[-1] is not None:
            left.remove(found[-1])
    return [(each or left.pop(0))[0] for each in found]


def _together(
    parts: tuple[sp.Expr, ...], places: list[Any], coordinates: tuple[Coordinate, ...]
) -> sp.Expr:
    """One equation from those of the parts; the last one holds wherever the others do not."""
    zero = (sp.S.Zero,) * len(coordinates)
    fluxes = [flux(part, coordinates) or zero for part in parts]
    conditions = [*places[:-1], sp.true]
    signs = [1 if same_sign(each, fluxes[0], coordinates) == each else -1 for each in fluxes]
    sources = []
    for part, across in zip(parts, fluxes, strict=True):
        whole = sp.Add(*(partial(each, x) for each, x in zip(across, coordinates, strict=True)))
        sources.append(sp.expand(carry_out(part) - carry_out(whole)))

    def pieces(values: list[sp.Expr]) -> sp.Expr:
        return _piecewise(
            [sign * value for sign, value in zip(signs, values, strict=True)], conditions
        )

    across = [partial(pieces([each[j] for each in fluxes]), x) for j, x in enumerate(coordinates)]
    return sp.Add(*across, pieces(sources))


def _piecewise(values: list[sp.Expr], conditions: list[Any]) -> sp.Expr:
    """Values by condition, as coefficients of jets where they are affine in them: then what
    multiplies a derivative can be read off."""
    forms = [jet_form(value) for value in values]
    jets = sorted(
        set().union(*(jets_of(form, UnknownField) for form in forms)), key=sp.default_sort_key
    )
    slopes = [[form.diff(jet) for form in forms] for jet in jets]
    if any(jets_of(slope, UnknownField) for row in slopes for slope in row):
        return sp.Piecewise(*zip(values, conditions, strict=True))
    rest = [form.xreplace(dict.fromkeys(jets, sp.S.Zero)) for form in forms]
    parts = [
        jet * sp.Piecewise(*zip(row, conditions, strict=True))
        for jet, row in zip(jets, slopes, strict=True)
    ]
    return sympy_form(sp.Add(*parts, sp.Piecewise(*zip(rest, conditions, strict=True))))


def _within(condition: Any, domain: Domain) -> Any:
    """A condition without the comparisons that hold everywhere in a domain, such as those with
    its own sides."""
    if not isinstance(condition, sp.And):
        return condition
    found = points(domain, PROBES, {})
    if found is None or shape_symbols(domain.shape):
        return condition
    places = [dict(zip(domain.coordinates, map(sp.Float, point), strict=True)) for point in found]
    placed = [each for each in condition.args if each.free_symbols <= set(domain.coordinates)]
    always = [each for each in placed if all(each.subs(place) is sp.true for place in places)]
    return sp.And(*(each for each in condition.args if each not in always))


@singledispatch
def inside(shape: Shape, coordinates: tuple[Coordinate, ...]) -> Any:
    """The condition that a point lies in a shape. Raises: NotImplementedError for a shape
    without one."""
    raise NotImplementedError(type(shape).__name__)


@inside.register(Interval)
@inside.register(Rectangle)
@inside.register(Box)
def _(shape: Interval | Rectangle | Box, coordinates: tuple[Coordinate, ...]) -> Any:
    ends = zip(coordinates, shape.lower, shape.upper, strict=True)
    return sp.And(*(sp.And(sp.Gt(x, low), sp.Lt(x, high)) for x, low, high in ends))


@inside.register(Disk)
@inside.register(Ball)
def _(shape: Disk | Ball, coordinates: tuple[Coordinate, ...]) -> Any:
    return sp.Lt(
        sp.Add(*((x - c) ** 2 for x, c in zip(coordinates, shape.center, strict=True))),
        shape.radius**2,
    )


@inside.register(Ellipse)
@inside.register(Ellipsoid)
def _(shape: Ellipse | Ellipsoid, coordinates: tuple[Coordinate, ...]) -> Any:
    along = [x - c for x, c in zip(coordinates, shape.center, strict=True)]
    if isinstance(shape, Ellipse):
        c, s = sp.cos(shape.angle), sp.sin(shape.angle)
        along = [c * along[0] + s * along[1], c * along[1] - s * along[0]]
    return sp.Lt(sp.Add(*((x / r) ** 2 for x, r in zip(along, shape.radii, strict=True))), 1)


@inside.register
def _(shape: Extruded, coordinates: tuple[Coordinate, ...]) -> Any:
    return sp.And(
        inside(shape.shape, coordinates[:2]),
        sp.Gt(coordinates[2], 0),
        sp.Lt(coordinates[2], shape.height),
    )


@inside.register(Moved)
@inside.register(Rotated)
@inside.register(Scaled)
def _(shape: Moved | Rotated | Scaled, coordinates: tuple[Coordinate, ...]) -> Any:
    place = placement(shape)
    moved = [(x - by) / place.scale for x, by in zip(coordinates, place.shift, strict=True)]
    there = [
        sp.Add(*(place.turn[i][k] * moved[i] for i in range(len(moved)))) for k in range(len(moved))
    ]
    return inside(shape.shape, coordinates).xreplace(dict(zip(coordinates, there, strict=True)))


@inside.register
def _(shape: Star, coordinates: tuple[Coordinate, ...]) -> Any:
    x, y = (a - c for a, c in zip(coordinates, shape.center, strict=True))
    return sp.Lt(x**2 + y**2, shape.radius.subs(shape.angle, sp.atan2(y, x)) ** 2)


@inside.register
def _(shape: Polygon, coordinates: tuple[Coordinate, ...]) -> Any:
    edges = list(zip(shape.points, (*shape.points[1:], shape.points[0]), strict=True))
    turns = [_turn(a, b, c) for (a, b), (_, c) in zip(edges, edges[1:] + edges[:1], strict=True)]
    if not (all(turn.is_positive for turn in turns) or all(turn.is_negative for turn in turns)):
        raise NotImplementedError("a polygon that is not convex")
    sign = 1 if turns[0].is_positive else -1
    return sp.And(*(sp.Gt(sign * _turn(a, b, coordinates), 0) for a, b in edges))


def _turn(a: Point, b: Point, c: Any) -> sp.Expr:
    """Twice the signed area of a triangle."""
    return sp.sympify((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


@inside.register
def _(shape: Union, coordinates: tuple[Coordinate, ...]) -> Any:
    return sp.Or(inside(shape.a, coordinates), inside(shape.b, coordinates))


@inside.register
def _(shape: Intersection, coordinates: tuple[Coordinate, ...]) -> Any:
    return sp.And(inside(shape.a, coordinates), inside(shape.b, coordinates))


@inside.register
def _(shape: Difference, coordinates: tuple[Coordinate, ...]) -> Any:
    return sp.And(inside(shape.a, coordinates), sp.Not(inside(shape.b, coordinates)))


@inside.register
def _(shape: Exterior, coordinates: tuple[Coordinate, ...]) -> Any:
    return sp.And(inside(shape.farfield, coordinates), sp.Not(inside(shape.body, coordinates)))
