"""Interfaces at which coefficients jump, and the flux conditions that the equations imply there.

An equation in divergence form, `sum_j d_j F_j + rest = 0`, holds across a surface on which a
coefficient jumps as well. Pointwise residuals on both sides do not see that surface: what they
leave out is the jump condition

    (F on the side the normal points to - F on the other side) . n = 0,

the flux is continuous. It is derived here as conditions, as natural conditions are from an energy.
For `div(k*grad(u))` with k = 1.38 below and 400 above it is all that tells the solution from a
field with one slope everywhere.

Source: the distributional derivative of a piecewise smooth function (Gelfand and Shilov,
Generalized Functions I, 1.3).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import sympy as sp

from pdespec.calculus import Minus, Plus, TwoSided, entries
from pdespec.coordinates import Coordinate, Normal, Time
from pdespec.errors import ProblemError
from pdespec.geometry import Boundary, Disk, Domain, interface
from pdespec.jets import jet_form, jets_of, sympy_form
from pdespec.jumps import surfaces
from pdespec.probe import vanishes
from pdespec.statements.boundary_parts import parts
from pdespec.statements.statements import Condition, Equation
from pdespec.symbols import InputField, UnknownField

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem


# --------------------------------------------------------------------------------------------------
# level sets


def levels(expression: Any) -> tuple[sp.Expr, ...]:
    """Expressions of position that vanish where a term jumps. Thresholds of parameters or time
    alone are not places."""
    found = dict.fromkeys(normalised(sympy_form(level)) for level in surfaces(jet_form(expression)))
    places = [level for level in found if level.atoms(Coordinate, InputField, UnknownField)]
    return tuple(sorted(places, key=sp.default_sort_key))


def normalised(level: sp.Expr) -> sp.Expr:
    """One form for `y - 1`, `1 - y` and `2*y - 2`: expanded, without a numerical factor, its
    last term positive."""
    _, primitive = sp.expand(level).as_content_primitive()
    return -primitive if primitive.could_extract_minus_sign() else primitive


# --------------------------------------------------------------------------------------------------
# fluxes


def flux(residual: Any, coordinates: tuple[Coordinate, ...]) -> tuple[sp.Expr, ...] | None:
    """F of one scalar equation `sum_j d_j F_j + rest`, its derivatives as they were written; None
    where it has none.

    A factor in front of a derivative that does not jump itself is drawn inside, up to terms without
    derivatives of jumps.
    """
    total = [sp.S.Zero] * len(coordinates)

    def add(term: Any, factor: sp.Expr) -> None:
        if isinstance(term, sp.Add):
            for each in term.args:
                add(each, factor)
        elif isinstance(term, sp.Mul):
            derivatives = [each for each in term.args if each.has(sp.Derivative)]
            if len(derivatives) == 1:
                others = sp.Mul(*(each for each in term.args if each is not derivatives[0]))
                add(derivatives[0], factor * others if not levels(others) else factor)
        elif isinstance(term, sp.Derivative):
            outer = next((v for v in reversed(term.variables) if v in coordinates), None)
            if outer is not None:
                total[coordinates.index(outer)] += factor * _without(term, outer)

    add(residual, sp.S.One)
    return tuple(total) if any(each != 0 for each in total) else None


def _without(term: sp.Derivative, variable: sp.Symbol) -> sp.Expr:
    """The derivative with one of its variables taken off."""
    variables = list(term.variables)
    del variables[len(variables) - 1 - variables[::-1].index(variable)]
    return sp.Derivative(term.expr, *variables) if variables else term.expr


def order(expression: Any, coordinates: tuple[Coordinate, ...]) -> int:
    """The highest number of space derivatives on an unknown."""
    return max(
        (sum(jet.over(coordinates)) for jet in jets_of(jet_form(expression), UnknownField)),
        default=0,
    )


# --------------------------------------------------------------------------------------------------
# conditions


@lru_cache(maxsize=64)
def flux_conditions(problem: Problem) -> Mapping[str, Condition]:
    """The flux of every equation on every interface where nothing stated says what it does there:
    `LABEL.flux`.

    Interfaces are level sets on which a coefficient inside a divergence jumps, and what subdomains
    with equations of their own share.
    """
    found: dict[str, Condition] = {}
    held = {normalised(each.value) for each in supports(problem)}
    for region, sides in _interfaces(problem):
        if _stated(problem, region) or (
            region.kind == "level" and normalised(region.value) in held
        ):
            continue
        n = [Normal(x) for x in problem.coordinates]
        for label, plus, minus in sides:
            rows = [
                _across(p, n, Plus) - _across(m, n, Minus) for p, m in zip(plus, minus, strict=True)
            ]
            kept = [row for row in rows if row != 0]
            if kept:
                lhs = sp.ImmutableMatrix(kept) if len(kept) > 1 else kept[0]
                found[_free(f"{label}.flux", found)] = Condition(lhs, lhs * 0, region, "boundary")
    return found


def interfaces(problem: Problem) -> tuple[Boundary, ...]:
    """Every surface across which the solution may have a jump of its gradient, or of its value
    where a condition says so."""
    found = [region for region, _ in _interfaces(problem)]
    found += [
        condition.region for condition in problem.conditions.values() if _two_sided(condition)
    ]
    found += supports(problem)
    return tuple(dict.fromkeys(each for each in found if isinstance(each, Boundary)))


def supports(problem: Problem) -> list[Boundary]:
    """Points inside of intervals where a condition holds a value at all times and the equations are
    of second order: what holds a string there bends it.
    """
    densities = [density for functional in problem.functionals for density, _ in functional.terms]
    stated = [
        (row, 1)
        for equation in problem.equations.values()
        for row in entries(equation.lhs - equation.rhs)
    ]
    # an energy of first derivatives makes an equation of second
    stated += [(density, 2) for density in densities]
    found = []
    for condition in problem.conditions.values():
        rows = entries(condition.lhs - condition.rhs)
        if (
            condition.kind != "point"
            or condition.at is not None
            or len(condition.place) != 1
            or any(_slopes(rows, problem))
        ):
            continue
        held = {field for row in rows for field in row.atoms(UnknownField)}
        if (
            max(
                (
                    times * order(row, problem.coordinates)
                    for row, times in stated
                    if row.atoms(UnknownField) & held
                ),
                default=0,
            )
            == 2
        ):
            found.append(point_level(condition))
    return found


def _slopes(rows: Iterable[sp.Expr], problem: Problem) -> list[int]:
    return [order(row, problem.coordinates) for row in rows]


def point_level(condition: Condition) -> Boundary:
    """A point of an interval as the surface where `x - place` vanishes."""
    (x,) = condition.region.coordinates
    return interface(condition.region.domain, x - condition.place[0])


def torn(problem: Problem, region: Boundary) -> bool:
    """Whether a value itself may jump across an interface: a condition there holds the jump of
    one, other than `jump(u) = 0`."""
    for condition in problem.conditions.values():
        if condition.region != region:
            continue
        for row in entries(condition.lhs - condition.rhs):
            valued = [
                node for node in row.atoms(TwoSided) if order(node.args[0], region.coordinates) == 0
            ]
            if valued and not (len(sp.Add.make_args(row)) == 1 and isinstance(row, TwoSided)):
                return True
    return False


def moving(problem: Problem) -> tuple[tuple[str, sp.Expr], ...]:
    """Jumps inside a divergence whose place changes in time while what is differentiated in time
    jumps too."""
    found = []
    for label, equation in problem.equations.items():
        for row in entries(equation.lhs - equation.rhs):
            across = flux(row, problem.coordinates) or ()
            found += [
                (label, level)
                for level in levels(sp.Add(*across))
                if level.atoms(Time) and _stored(row, problem)
            ]
    return tuple(dict.fromkeys(found))


def _stored(row: Any, problem: Problem) -> bool:
    """Whether what is differentiated in time jumps."""
    return any(
        problem.time in node.variables and levels(node.expr) for node in row.atoms(sp.Derivative)
    )


# label, fluxes on the plus and on the minus side, by row
Sides = list[tuple[str, list[tuple[sp.Expr, ...]], list[tuple[sp.Expr, ...]]]]


@lru_cache(maxsize=64)
def _interfaces(problem: Problem) -> tuple[tuple[Boundary, Sides], ...]:
    fluxes = {
        label: rows
        for label, each in problem.equations.items()
        if (rows := _fluxes(each, problem.coordinates))
    }
    found: list[tuple[Boundary, Sides]] = []
    regions = dict.fromkeys(equation.region for equation in problem.equations.values())
    for region in [
        *regions,
        *(
            r
            for f in problem.functionals
            for _, r in f.terms
            if isinstance(r, Domain) and r not in regions
        ),
    ]:
        own = {
            label: rows
            for label, rows in fluxes.items()
            if problem.equations[label].region == region
        }
        places = [level for rows in own.values() for row in rows for level in levels(sp.Add(*row))]
        places += [
            level
            for f in problem.functionals
            for d, r in f.terms
            if r == region
            for level in _energy_levels(d, problem.coordinates)
        ]
        for level in dict.fromkeys(places):
            if not level.atoms(UnknownField):
                found.append(
                    (interface(region, level), [(label, rows, rows) for label, rows in own.items()])
                )
    return (*found, *_between(problem, fluxes))


def _between(problem: Problem, fluxes: Mapping[str, list]) -> Iterator[tuple[Boundary, Sides]]:
    """What two subdomains share, with the fluxes of the same unknowns on both sides. Equations that
    carry several unknowns, as cross-diffusion does, are paired as they are written."""
    pairs: dict[tuple[Domain, Domain], Sides] = {}
    paired: set[tuple[str, Domain]] = set()
    for first, second in itertools.combinations(fluxes, 2):
        a, b = problem.equations[first], problem.equations[second]
        across = carried(fluxes[first], a.region)
        if (
            a.region == b.region
            or not across
            or across != carried(fluxes[second], b.region)
            or len(fluxes[first]) != len(fluxes[second])
            or {(first, b.region), (second, a.region)} & paired
        ):
            continue
        paired |= {(first, b.region), (second, a.region)}
        plus = [
            same_sign(p, m, problem.coordinates)
            for p, m in zip(fluxes[second], fluxes[first], strict=True)
        ]
        pairs.setdefault((a.region, b.region), []).append(
            (f"{first}.{second}", plus, fluxes[first])
        )
    for (a, b), sides in pairs.items():
        yield interface(a, b), sides


def carried(rows: Iterable[tuple[sp.Expr, ...]], region: Domain) -> set[Any]:
    """The unknowns whose first derivatives occur in a flux and that live on more than a region."""
    jets = {jet for row in rows for each in row for jet in jets_of(jet_form(each), UnknownField)}
    declared = {jet.field.func.declaration for jet in jets if any(jet.index)}
    return {each for each in declared if each.region != region}


def same_sign(
    plus: tuple[sp.Expr, ...], minus: tuple[sp.Expr, ...], coordinates: tuple[Coordinate, ...]
) -> tuple[sp.Expr, ...]:
    """The flux of the other side with the sign of this one: `-div(k*grad(u)) = f` here and
    `div(k*grad(u)) = -f` there."""
    signs = [
        sp.sign(sp.N(total.subs({s: sp.Rational(7, 11) for s in total.free_symbols})))
        for total in map(_diffusion, (plus, minus))
    ]
    return tuple(-each for each in plus) if signs[0] == -signs[1] != 0 else plus


def _diffusion(across: tuple[sp.Expr, ...]) -> sp.Expr:
    """sum_i dF_i / d(d_i u): the trace of the coefficient of a flux, over all components."""
    return sp.Add(*(by_slopes(jet_form(each), axis) for axis, each in enumerate(across)))


def by_slopes(form: sp.Expr, axis: int) -> sp.Expr:
    """sum_u dF / d(d_axis u): the derivative of a jet form by the slopes of unknowns along one
    axis."""
    total = sp.S.Zero
    for jet in jets_of(form, UnknownField):
        along = [
            argument
            for argument, count in zip(jet.field.args, jet.index, strict=True)
            for _ in range(count)
        ]
        if (
            len(along) == 1
            and isinstance(along[0], Coordinate)
            and along[0].frame.index(along[0].name) == axis
        ):
            total += form.diff(jet)
    return total


def _fluxes(equation: Equation, coordinates: tuple[Coordinate, ...]) -> list[tuple[sp.Expr, ...]]:
    """The fluxes of an equation row by row: those that hold first derivatives of an unknown, or
    jump. None of fourth order."""
    zero = (sp.S.Zero,) * len(coordinates)
    try:
        rows = [flux(row, coordinates) or zero for row in entries(equation.lhs - equation.rhs)]
        orders = [max(order(each, coordinates) for each in row) for row in rows]
    except ProblemError:  # reported where the equation is expanded
        return []
    kept = [
        row if top == 1 or (top == 0 and levels(sp.Add(*row))) else zero
        for row, top in zip(rows, orders, strict=True)
    ]
    return kept if any(row != zero for row in kept) else []


def _energy_levels(density: Any, coordinates: tuple[Coordinate, ...]) -> tuple[sp.Expr, ...]:
    """Where coefficients of first derivatives in an energy density jump."""
    try:
        form = jet_form(density)
    except ProblemError:
        return ()
    slopes = [
        form.diff(jet) for jet in jets_of(form, UnknownField) if sum(jet.over(coordinates)) == 1
    ]
    return levels(sympy_form(sp.Add(*slopes))) if slopes else ()


def _across(across: tuple[sp.Expr, ...], n: list[Normal], side: type[TwoSided]) -> sp.Expr:
    total = sp.Add(*(each * component for each, component in zip(across, n, strict=True)))
    return side(total) if total != 0 else sp.S.Zero


def _two_sided(condition: Condition) -> bool:
    return bool((condition.lhs - condition.rhs).atoms(TwoSided))


def _stated(problem: Problem, region: Boundary) -> bool:
    """Whether a condition says what a flux does on an interface: it holds derivatives on that
    surface."""
    stated = [
        c
        for c in problem.conditions.values()
        if isinstance(c.region, Boundary) and c.kind == "boundary"
    ]
    return any(
        _coincide(region, c.region)
        and any(order(row, region.coordinates) for row in entries(c.lhs - c.rhs))
        for c in stated
    )


def _coincide(region: Boundary, other: Boundary) -> bool:
    """Whether a stated boundary lies on an interface, as far as their forms tell."""
    if region == other:
        return True
    if region.kind == "interface":
        domains = {region.domain, *(each.domain for each in region.others)}
        return other.domain in domains or bool(
            set(parts(other)) & {part for each in domains for part in parts(each)}
        )
    if other.kind == "level" or region.value is None:
        return (
            other.value is not None
            and other.kind == region.kind
            and vanishes(normalised(other.value) - normalised(region.value))
        )
    return any(_on(region.value, part) for part in parts(other))


def _on(level: sp.Expr, part: Any) -> bool:
    """Whether a level set holds a piece of a boundary."""
    coordinates = sorted(level.atoms(Coordinate), key=lambda x: x.frame.index(x.name))
    if part.coordinate is not None:
        return vanishes(
            level.subs({x: part.value for x in coordinates if x.name == part.coordinate})
        )
    if isinstance(part.shape, Disk) and len(coordinates) == 2:
        turn = sp.Symbol("turn", real=True)
        circle = [
            c + part.shape.radius * f(turn)
            for c, f in zip(part.shape.center, (sp.cos, sp.sin), strict=True)
        ]
        return vanishes(
            sp.simplify(level.subs(dict(zip(coordinates, circle, strict=True)), simultaneous=True))
        )
    return False


def _free(label: str, taken: Mapping[str, Any]) -> str:
    number, free = 2, label
    while free in taken:
        free, number = f"{label}{number}", number + 1
    return free


__all__ = [
    "carried",
    "flux",
    "flux_conditions",
    "interfaces",
    "levels",
    "moving",
    "normalised",
    "point_level",
    "same_sign",
    "supports",
    "torn",
]
