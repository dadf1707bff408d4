"""Unknowns on domains that touch: which conditions they need where they do, and those with equal
values and equal fluxes as one unknown on all of them.

    in A: div F(a) + f = 0,   in B: div G(b) + g = 0,   on what both share: a = b, F . n = G . n

is one unknown u on A + B with an equation in each part: `subdomains.merged` makes them one, which
says of what A and B share that u and its flux are continuous.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import sympy as sp

from pdespec.calculus import entries
from pdespec.coordinates import Normal
from pdespec.geometry import Boundary, Difference, Domain, Shape
from pdespec.jets import jet_form, jets_of
from pdespec.notation import short
from pdespec.probe import vanishes
from pdespec.statements.interfaces import flux, same_sign
from pdespec.statements.membership import inside
from pdespec.statements.problem import Problem
from pdespec.statements.statements import Condition, Equation
from pdespec.symbols import Unknown, UnknownField


class Apart(ValueError):
    """Why unknowns on several domains are not one unknown on all of them."""


@dataclass(frozen=True)
class Joined:
    """`problem` has one unknown in place of several. `places` says of each component of those, in
    the order of their declaration, which component of it that is, and on which domain. `others`
    are the conditions on boundaries of one domain, by label."""

    problem: Problem
    places: Mapping[str, tuple[str, Domain]]
    others: Mapping[str, Condition]

    def own(self, boundary: str, component: str) -> str:
        """The component that a component of `problem` stands for on a boundary."""
        own_domain = next(
            each.region.domain for each in self.others.values() if each.region.name == boundary
        )
        return next(own for own, place in self.places.items() if place == (component, own_domain))


def domains_of_unknowns(problem: Problem) -> tuple[Domain, ...]:
    """The domains that unknowns live on."""
    return tuple(dict.fromkeys(each.region for each in problem.unknowns.values()))


def joined(problem: Problem) -> Joined:
    """A problem on several domains as one on all of them.

    Raises: Apart, with the reason.
    """
    for what, stated in (("an energy", problem.functionals), ("a require", problem.requirements)):
        if stated:
            raise Apart(f"{what} stands beside them")
    contacts = {label: each for label, each in problem.conditions.items() if _between(each)}
    for label, each in problem.conditions.items():
        if label not in contacts and getattr(each.region, "kind", "") == "interface":
            raise Apart(f"`{label}` says what one of them alone does on {each.region.name}")
    whole = united(problem, domains_of_unknowns(problem))
    groups = _groups(problem, contacts)
    images, places = {}, {}
    for group in groups:
        one = replace(group[0], region=whole)
        for unknown in group:
            images |= dict(zip(unknown.fields, one.fields, strict=True))
            for own, shared in zip(unknown.components, one.components, strict=True):
                places[own] = shared, unknown.region
    for label, condition in contacts.items():
        _refuse_other_fluxes(problem, label, condition)

    def on_all(expression: Any) -> Any:
        return sp.sympify(expression).xreplace(images)

    equations = {
        label: Equation(on_all(each.lhs), on_all(each.rhs), each.region, each.span)
        for label, each in problem.equations.items()
    }
    conditions = {
        label: replace(each, lhs=on_all(each.lhs), rhs=on_all(each.rhs), written=None)
        for label, each in problem.conditions.items()
        if label not in contacts and each.kind != "initial"
    }
    return Joined(
        problem.revised(
            unknowns={group[0].name: replace(group[0], region=whole) for group in groups},
            domains={**problem.domains, whole.name: whole},
            equations=equations,
            conditions={**conditions, **_starts(problem, whole, images)},
            outputs={},
            data=(),
            references={},
        ),
        {name: places[name] for name in problem.components},
        {label: each for label, each in conditions.items() if each.kind == "boundary"},
    )


def neighbours(problem: Problem) -> dict[Boundary, Domain]:
    """Of boundaries with conditions that hold unknowns of two domains, the domain that the normal
    points into. Each has as many conditions as there are fluxes: one for every component with a
    flux on either side.

    Raises: Apart where some are missing or too many, and where unknowns meet on a boundary of
    neither.
    """
    found: dict[Boundary, Domain] = {}
    every = domains_of_unknowns(problem)
    for label, condition in problem.conditions.items():
        region = condition.region
        if isinstance(region, Boundary) and region.kind == "interface":
            other = region.others[0].domain
            if region.domain in every and other in every:
                found[region] = other
                continue
        if not _between(condition):
            continue
        held = (condition.lhs - condition.rhs).atoms(UnknownField)
        sides = list(dict.fromkeys(each.func.declaration.region for each in held))
        if len(sides) > 2 or not isinstance(region, Boundary) or region.domain not in sides:
            raise Apart(
                f"`{label}` holds unknowns of {', '.join(each.name for each in sides)} on"
                f" {region.name}, which is not what two of them share"
            )
        found[region] = next(each for each in sides if each != region.domain)
    for region, other in found.items():
        rows = sum(
            len(entries(each.lhs - each.rhs))
            for each in problem.conditions.values()
            if each.region == region and each.kind == "boundary"
        )
        fluxes = sum(len(_fluxes(problem, own_domain)) for own_domain in (region.domain, other))
        if rows != fluxes:
            raise Apart(
                f"{region.name} has {rows} scalar condition{'s' * (rows != 1)} where"
                f" {fluxes} fluxes meet: say what {'else' if rows < fluxes else 'less'} holds"
                " there, such as `a = b` and equal fluxes, or both fluxes by the values on both"
                " sides"
            )
    return found


def solvable(problem: Problem) -> bool:
    """Whether the reference solver has a way for unknowns on several domains: as one unknown, or
    each with values of its own."""
    try:
        for own_domain in domains_of_unknowns(problem):
            inside(own_domain.shape, own_domain.coordinates)
    except NotImplementedError:
        return False
    for way in (joined, neighbours):
        try:
            way(problem)
            return True
        except Apart:
            continue
    return False


def _between(condition: Condition) -> bool:
    """Whether a condition holds unknowns of several domains."""
    held = (condition.lhs - condition.rhs).atoms(UnknownField)
    return len({each.func.declaration.region for each in held}) > 1


def united(problem: Problem, parts: tuple[Domain, ...]) -> Domain:
    """The union of domains that touch."""

    def add(a: Shape, b: Shape) -> Shape:
        for outer, inner in ((a, b), (b, a)):
            if isinstance(outer, Difference) and outer.b == inner:
                return outer.a  # what fills a hole
        return a + b

    name = "_".join(each.name for each in parts)
    while name in problem.domains or name in problem.boundaries:
        name += "_"
    return replace(parts[0], name=name, shape=reduce(add, (each.shape for each in parts)))


def _groups(problem: Problem, contacts: Mapping[str, Condition]) -> list[list[Unknown]]:
    """Unknowns that are one, each group with one on every domain.

    Raises: Apart.
    """
    group = {name: [name] for name in problem.unknowns}
    for label, condition in contacts.items():
        for row in entries(condition.lhs - condition.rhs):
            if _differentiated(row):
                continue
            pair = _equal(row)
            if pair is None:
                raise Apart(f"`{label}` says something else of values than that they are equal")
            a, b = (each.func.declaration.name for each in pair)
            if group[a] is not group[b]:
                group[a] += group[b]
                for name in group[a]:
                    group[name] = group[a]
    found = [
        [problem.unknowns[name] for name in problem.unknowns if name in names]
        for names in {id(each): each for each in group.values()}.values()
    ]
    everywhere = set(domains_of_unknowns(problem))
    for each in found:
        regions = [unknown.region for unknown in each]
        if set(regions) != everywhere or len(regions) != len(everywhere):
            missing = next(
                (d.name for d in domains_of_unknowns(problem) if d not in regions), regions[0].name
            )
            raise Apart(
                f"no condition says which unknown continues `{each[0].name}` in {missing}"
                if len(regions) < len(everywhere)
                else f"{', '.join(f'`{u.name}`' for u in each)} are equal where they live together"
            )
        if len({(len(u.components), u.positive, u.complex, u.time) for u in each}) > 1:
            raise Apart(f"{', '.join(f'`{u.name}`' for u in each)} are of several kinds")
    return found


def _differentiated(row: sp.Expr) -> bool:
    return any(any(jet.over(jet.field.args)) for jet in jets_of(jet_form(row), UnknownField))


def _equal(row: sp.Expr) -> tuple[Any, Any] | None:
    """a and b of a row `c*(a - b)`: the same component of two unknowns; else None."""
    fields = sorted(row.atoms(UnknownField), key=sp.default_sort_key)
    if len(fields) != 2 or fields[0].func.component != fields[1].func.component:
        return None
    one, other = (sp.diff(row, each) for each in fields)
    rest = row - one * (fields[0] - fields[1])
    return (fields[0], fields[1]) if one != 0 and one + other == 0 and vanishes(rest) else None


def _refuse_other_fluxes(problem: Problem, label: str, condition: Condition) -> None:
    """Raises: Apart where a condition says something else of fluxes than that they are equal, or
    where some are not said to be."""
    region = condition.region
    rows = [row for row in entries(condition.lhs - condition.rhs) if _differentiated(row)]
    held = (condition.lhs - condition.rhs).atoms(UnknownField)
    sides = dict.fromkeys(each.func.declaration.region for each in held)
    if len(sides) > 2:
        raise Apart(f"`{label}` holds unknowns of {len(sides)} domains")
    one, other = (_fluxes(problem, own_domain) for own_domain in sides)
    n = [Normal(x) for x in problem.coordinates]
    gaps = [
        sp.Add(*(normal * (p - q) for normal, p, q in zip(n, a, matched, strict=True)))
        for a in one
        for matched in (same_sign(b, a, problem.coordinates) for b in other)
    ]
    for row in rows:
        if not any(_proportional(row, gap) for gap in gaps):
            raise Apart(f"`{label}` says something else of fluxes than that they are equal")
    stated = sum(
        _differentiated(row)
        for each in problem.conditions.values()
        if each.region == region and _between(each)
        for row in entries(each.lhs - each.rhs)
    )
    if stated < min(len(one), len(other)):
        raise Apart(f"no condition says that the fluxes are equal on {region.name}")


def _fluxes(problem: Problem, own_domain: Domain) -> list[tuple[sp.Expr, ...]]:
    """F of every equation `div F + rest = 0` of a domain that has one."""
    found = [
        flux(row, problem.coordinates)
        for equation in problem.equations.values()
        if equation.region == own_domain
        for row in entries(equation.lhs - equation.rhs)
    ]
    return [each for each in found if each is not None]


def _proportional(row: sp.Expr, other: sp.Expr) -> bool:
    """Whether two expressions that are linear in derivatives differ by a factor."""
    a, b = jet_form(row), jet_form(other)
    jets = sorted(
        set(jets_of(a, UnknownField)) & set(jets_of(b, UnknownField)), key=sp.default_sort_key
    )
    for jet in jets:
        below = b.diff(jet)
        if below != 0:
            return vanishes(sp.expand(a - sp.cancel(a.diff(jet) / below) * b))
    return False


def _starts(problem: Problem, whole: Domain, images: Mapping[Any, Any]) -> dict[str, Condition]:
    """Initial conditions of all parts: by what they give, and when, one with a value a part.

    Raises: Apart for those that are not of the form `u = value`, or where a shape has no
    inequality.
    """
    found: dict[tuple[Any, Any], tuple[str, dict[Domain, Any]]] = {}
    for label, condition in problem.conditions.items():
        if condition.kind != "initial":
            continue
        pairs = zip(entries(condition.lhs), entries(condition.rhs), strict=True)
        for k, (lhs, rhs) in enumerate(pairs):
            held = {each.func.declaration.region for each in lhs.atoms(UnknownField)}
            if len(held) != 1 or rhs.atoms(UnknownField):
                raise Apart(f"`{label}` is not a value at the start")
            key = lhs.xreplace(images), condition.at
            found.setdefault(key, (f"{label}.{k}", {}))[1][held.pop()] = rhs
    conditions = {}
    for (lhs, at), (label, values) in found.items():
        if len(values) != len(domains_of_unknowns(problem)):
            raise Apart(f"the start of {short(lhs)} is given in some of the domains only")
        try:
            *parts, (_, last) = [(inside(d.shape, d.coordinates), v) for d, v in values.items()]
        except NotImplementedError as reason:
            raise Apart(f"{reason}: no inequality tells its inside") from None
        value = sp.Piecewise(*((v, where) for where, v in parts), (last, True))
        conditions[label] = Condition(lhs, value, whole, "initial", at)
    return conditions
