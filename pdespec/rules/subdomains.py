"""Equations that hold in parts of a domain, as one equation with coefficients that change from part
to part.

    in A: sum_j d_j F_j + f = 0,   in B: sum_j d_j G_j + g = 0

become

    sum_j d_j [F_j in A, G_j in B] + [f in A, g in B] = 0,

which holds across what A and B share as well: there it says that the flux is continuous.
"""

from __future__ import annotations

import contextlib
from typing import Any

import sympy as sp

from pdespec.calculus import TwoSided, entries, partial
from pdespec.coordinates import Coordinate
from pdespec.geometry import Domain, shape_symbols
from pdespec.jets import expand_derivatives, jet_form, jets_of, sympy_form
from pdespec.statements.interfaces import carried, flux, same_sign
from pdespec.statements.membership import inside, points
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Equation
from pdespec.symbols import UnknownField

PROBES = 64  # points at which it is seen whether a comparison holds everywhere


def subdomains(problem: Problem) -> dict[Domain, list[str]]:
    """Equations that hold in a part of the domain of their unknowns only, by that domain."""
    found: dict[Domain, list[str]] = {}
    for label, equation in problem.equations.items():
        domains = {
            field.func.declaration.region
            for field in (equation.lhs - equation.rhs).atoms(UnknownField)
        }
        if len(domains) == 1 and equation.region not in domains:
            found.setdefault(domains.pop(), []).append(label)
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
    whole = problem.revised(equations=equations)
    parts = dict.fromkeys(
        problem.equations[label].region for labels in shared.values() for label in labels
    )
    whole._kept[_divided_into] = tuple(parts)
    return whole


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
        sources.append(sp.expand(expand_derivatives(part) - expand_derivatives(whole)))

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


def memberships(problem: Problem, whole: Domain) -> dict[Domain, Any]:
    """The conditions by which `merged` distinguishes the parts of a domain that had equations of
    their own, which do not overlap; none for shapes without one."""
    found: dict[Domain, Any] = {}
    for each in problem.once(_divided_into):
        with contextlib.suppress(NotImplementedError):
            found[each] = _within(inside(each.shape, each.coordinates), whole)
    return found


def _divided_into(problem: Problem) -> tuple[Domain, ...]:
    """The parts whose equations were made one; `merged` keeps them with the problem it makes."""
    return ()


def _within(condition: Any, domain: Domain) -> Any:
    """A condition without the comparisons that hold everywhere in a domain, such as those with
    its own sides."""
    if not isinstance(condition, sp.And):
        return condition
    found = None if shape_symbols(domain.shape) else points(domain, PROBES, {})
    if found is None:
        return condition
    places = [dict(zip(domain.coordinates, map(sp.Float, point), strict=True)) for point in found]
    placed = [each for each in condition.args if each.free_symbols <= set(domain.coordinates)]
    always = [each for each in placed if all(each.subs(place) is sp.true for place in places)]
    return sp.And(*(each for each in condition.args if each not in always))
