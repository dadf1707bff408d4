"""Natural conditions: boundary and corner terms of the first variation of an energy after
integration by parts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import sympy as sp

from pdespec.calculus import entries, partial
from pdespec.coordinates import Coordinate, Normal
from pdespec.errors import ProblemError, fail
from pdespec.geometry import Boundary, Rectangle, boundary, rest, side
from pdespec.jets import jet_form, jets_of, sympy_form
from pdespec.jumps import slope
from pdespec.probe import vanishes
from pdespec.statements.boundary_parts import Part, parts
from pdespec.statements.curvature import curvature, is_smooth
from pdespec.statements.normalise import numbered
from pdespec.statements.statements import Condition, Functional
from pdespec.statements.variation import fluxes
from pdespec.symbols import Unknown, UnknownField

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem


@dataclass(frozen=True)
class Natural:
    """`flux` is what a functional leaves on `region` in front of the `normal_order`-th normal
    derivative of a component's variation."""

    component: Any
    region: Boundary
    normal_order: int
    flux: sp.Expr


def natural_conditions(problem: Problem) -> dict[str, Condition]:
    """The conditions that the functionals imply on each part of the boundary where an unknown is
    not prescribed.

    With the flux `P_j = psi_(u_j) - div(M_j)`, where `M_ij = psi_(u_ij)`, and the density `phi` of
    a boundary integral:

        dot(P, n) - d(dot(M*n, t), s) + d phi/d u = 0      where u is not prescribed
        dot(M*n, n) = 0            where the normal derivative is not prescribed (label: moment)

    The tangential derivative, d/ds, turns the normal with the curvature of the boundary; it occurs
    in two dimensions only. At a corner where u is free the jump of dot(M*n, t) vanishes too
    (Kirchhoff's corner force), which is no condition on a part of the boundary: `corner_forces`.

    Raises: V01 for energies of derivatives above the second, or above the first in three
    dimensions, and where the curvature is not known.
    """
    found: dict[str, Condition] = {}
    for functional in problem.functionals:
        grouped: dict[tuple, list[sp.Expr]] = {}
        for natural in naturals(problem, functional):
            unknown = natural.component.func.declaration
            grouped.setdefault((unknown, natural.region, natural.normal_order), []).append(
                natural.flux
            )
        for (unknown, region, normal_order), rows in grouped.items():
            whole = unknown.rank == "vector" and len(rows) == len(unknown.components)
            for lhs in [sp.ImmutableMatrix(rows)] if whole else rows:
                label = numbered(
                    f"{region.name}.{unknown.name}.{'moment' if normal_order else 'natural'}", found
                )
                found[label] = Condition(lhs, lhs * 0, region, "boundary", span=functional.span)
    return found


def naturals(problem: Problem, functional: Functional) -> Iterator[Natural]:
    """The natural conditions of one functional, component by component, zero fluxes left out."""
    for name in functional.unknowns:
        unknown = problem.unknowns[name]
        components = list(unknown.fields)
        order = max(
            (
                sum(jet.index)
                for density, _ in functional.terms
                for component in components
                for jet, _ in fluxes(problem.derivative_form(density), component)
            ),
            default=0,
        )
        if order > 2 or (order == 2 and unknown.region.dim > 2):
            hint = "state the boundary conditions of the strong form yourself"
            raise fail(
                "V01",
                f"natural conditions of order {order} in {unknown.region.dim}D are not derived",
                hint,
                label=functional.kind,
            )
        for normal_order in range(order):
            for component in components:
                for region in _free_boundaries(
                    problem, functional, unknown, component, normal_order
                ):
                    flux = _boundary_term(problem, functional, component, region, normal_order)
                    if flux != 0:
                        yield Natural(component, region, normal_order, flux)


def _free_boundaries(
    problem: Problem, functional: Functional, unknown: Unknown, entry: Any, normal_order: int
) -> list[Boundary]:
    """The parts of the boundary where the normal derivative of order `normal_order` of a
    component is free, loads apart."""
    domain = unknown.region
    conditions = [
        condition
        for condition in problem.conditions.values()
        if (entry, normal_order) in prescribed(problem, condition)
    ]
    places = dict.fromkeys(condition.region for condition in conditions)
    fixed = [place for place in places if isinstance(place, Boundary) and place.domain == domain]
    loads = dict.fromkeys(
        region
        for _, region in functional.terms
        if isinstance(region, Boundary) and region.domain == domain
    )
    among = (*fixed, *loads)
    held = {part for region in fixed for part in parts(region, among)}
    loaded = [piece for region in loads for piece in _outside(region, held, fixed, among)]
    remaining = rest(domain, *fixed, *loaded) if fixed or loaded else boundary(domain)
    return [region for region in (*loaded, remaining) if parts(region)]


def _outside(
    region: Boundary, held: set[Part], fixed: list[Boundary], among: tuple[Boundary, ...]
) -> list[Boundary]:
    """What is left of a boundary without the held parts: itself, its free sides one by one, all
    else at once, or nothing."""
    own = parts(region, among)
    free = [part for part in own if part not in held]
    if len(free) == len(own):
        return [region]
    if all(part.coordinate is not None and not part.signs for part in free):
        sides: list[dict[str, Any]] = [{str(part.coordinate): part.value} for part in free]
        return [side(region.domain, **place) for place in sides]
    return [rest(region.domain, rest(region.domain, region), *fixed)]


def prescribed(problem: Problem, condition: Condition) -> Iterator[tuple[Any, int]]:
    """(component, k) for every k-th normal derivative that a boundary condition prescribes: rows
    that hold one component alone."""
    for row in entries(condition.lhs - condition.rhs):
        jets = jets_of(problem.derivative_form(row), UnknownField)
        components = {jet.field for jet in jets}
        if len(components) != 1:
            continue
        orders, space = {sum(jet.index) for jet in jets}, condition.region.coordinates
        across = {str(x) for jet in jets for x, k in zip(space, jet.over(space), strict=True) if k}
        if orders == {0} or (
            orders == {1}
            and (
                row.atoms(Normal)
                or len(space) == 1
                or across == {getattr(condition.region, "coordinate", None)}
            )
        ):
            yield components.pop(), orders.pop()


def natural_term(problem: Problem, component: Any, region: Boundary, order: int) -> sp.Expr | None:
    """What the energies of a problem say vanishes on a boundary where a component is free: of its
    conditions that with as many derivatives as `order`, or the nearest; None where it is not
    derived."""
    for functional in problem.functionals:
        found = [
            jet
            for density, _ in functional.terms
            for jet, _ in fluxes(problem.derivative_form(density), component)
        ]
        highest = max((sum(jet.index) for jet in found), default=0)
        if highest not in (1, 2) or (highest == 2 and len(problem.coordinates) > 2):
            continue
        turns = min(max(2 * highest - 1 - order, 0), highest - 1)
        try:
            return _boundary_term(problem, functional, component, region, turns)
        except ProblemError:
            return None
    return None


def implied(problem: Problem, condition: Condition) -> bool:
    """Whether a boundary condition says what an energy of second derivatives implies there anyway:
    `lap(w) = 0` on the straight edges of a plate on which w is held.

    Tangential derivatives of a value that is held at a number are zero on straight edges.
    """
    region = condition.region
    if condition.kind != "boundary" or not isinstance(region, Boundary):
        return False
    others = [each for each in problem.conditions.values() if each is not condition]
    held = {
        entry
        for other in others
        if isinstance(other.region, Boundary) and set(parts(region)) & set(parts(other.region))
        for entry in prescribed(problem, other)
    }
    return all(
        _row_implied(problem, region, problem.derivative_form(row), held)
        for row in entries(condition.lhs - condition.rhs)
    )


def _row_implied(
    problem: Problem, region: Boundary, row: sp.Expr, held: set[tuple[Any, int]]
) -> bool:
    jets = jets_of(row, UnknownField)
    fields = {jet.field for jet in jets}
    order = max((sum(jet.index) for jet in jets), default=0)
    if len(fields) != 1 or order < 2:
        return False
    field = fields.pop()
    for functional in problem.functionals:
        if field.func.declaration.name not in functional.unknowns:
            continue
        for normal_order in {2: (1,), 3: (0,)}.get(order, ()):
            if (field, normal_order) in held:
                continue
            try:
                term = _boundary_term(problem, functional, field, region, normal_order)
            except ProblemError:  # of a boundary whose curvature is not known
                continue
            flux = problem.derivative_form(term)
            pieces = parts(region)
            straight = [part for part in pieces if part.coordinate is not None]
            if len(straight) < len(pieces):
                same = _proportional(row, flux, region)
            else:
                same = all(
                    _proportional(
                        _on_edge(row, part, field, region, held),
                        _on_edge(flux, part, field, region, held),
                        region,
                    )
                    for part in straight
                )
            if same:
                return True
    return False


def _on_edge(
    expression: sp.Expr, part: Part, field: Any, region: Boundary, held: set[tuple[Any, int]]
) -> sp.Expr:
    """An expression on a straight part, where n is an axis, and without the derivatives along it of
    a value that is held."""
    across = [str(x) == part.coordinate for x in region.coordinates]
    numbers = {
        Normal(x): sp.Integer(own) for x, own in zip(region.coordinates, across, strict=True)
    }
    expression = expression.xreplace(numbers)
    if (field, 0) not in held:
        return expression
    along = [
        jet
        for jet in jets_of(expression, UnknownField)
        if jet.field == field
        and any(jet.index)
        and not any(
            count and own for count, own in zip(jet.over(region.coordinates), across, strict=True)
        )
    ]
    return expression.xreplace(dict.fromkeys(along, sp.S.Zero))


def _proportional(one: sp.Expr, other: sp.Expr, region: Boundary) -> bool:
    """Whether two expressions are multiples of each other by factors without unknowns."""
    if len(region.coordinates) == 2:
        angle = sp.Dummy("angle", real=True)
        turned = dict(
            zip(map(Normal, region.coordinates), (sp.cos(angle), sp.sin(angle)), strict=True)
        )
        one, other = (sp.simplify(each.xreplace(turned)) for each in (one, other))
    shared = [jet for jet in jets_of(one, UnknownField) if jet in jets_of(other, UnknownField)]
    if not shared:
        return False
    a, b = slope(one, shared[0]), slope(other, shared[0])
    known = not jets_of(a, UnknownField) and not jets_of(b, UnknownField)
    return known and a != 0 and b != 0 and vanishes(one * b - other * a)


@dataclass(frozen=True)
class _Slopes:
    """What an energy leaves in front of the variation of a component on a boundary, its first and
    second derivatives: `load` w + `couple_i` w_i on the boundary itself, `flux_i` w_i + `moment_ij`
    w_ij inside."""

    load: sp.Expr
    couple: list[sp.Expr]
    flux: list[sp.Expr]
    moment: sp.Matrix

    def bending(self, n: list[Any]) -> list[sp.Expr]:
        """M n, and the couples on the boundary."""
        axes = range(len(n))
        return [self.couple[i] + sp.Add(*(self.moment[i, j] * n[j] for j in axes)) for i in axes]


def _slopes(problem: Problem, functional: Functional, field: Any, region: Boundary) -> _Slopes:
    coordinates = region.coordinates
    axes = range(len(coordinates))
    flux, couple, moment, load = (
        [sp.S.Zero for _ in axes],
        [sp.S.Zero for _ in axes],
        sp.zeros(len(coordinates), len(coordinates)),
        sp.S.Zero,
    )
    for density, where in functional.terms:
        for jet, part in fluxes(problem.derivative_form(density), field):
            part = sympy_form(part)
            along = [i for i in axes for _ in range(jet.over(coordinates)[i])]
            if where == region and len(along) <= 1:
                load += part if not along else 0
                couple = [couple[i] + (part if along == [i] else 0) for i in axes]
            elif where == region.domain and len(along) == 1:
                flux[along[0]] += part
            elif where == region.domain and len(along) == 2:
                i, j = along
                # a mixed derivative is one jet and two entries of the symmetric moment
                moment[i, j] += part / 2
                moment[j, i] += part / 2
    return _Slopes(load, couple, flux, moment)


def _boundary_term(
    problem: Problem, functional: Functional, field: Any, region: Boundary, normal_order: int
) -> sp.Expr:
    """The factor of the `normal_order`-th normal derivative of the test function on the boundary.

    Derivatives of the test function split into w_i = n_i w_n + t_i w_s; what multiplies w_s is
    integrated by parts along the boundary.
    """
    coordinates = region.coordinates
    n = [Normal(x) for x in coordinates]
    axes = range(len(coordinates))
    found = _slopes(problem, functional, field, region)
    bending = found.bending(n)
    if normal_order == 1:
        return sp.Add(*(bending[i] * n[i] for i in axes))
    shear = [
        sp.Add(*(partial(found.moment[i, j], x) for j, x in enumerate(coordinates))) for i in axes
    ]
    result = sp.Add(*((found.flux[i] - shear[i]) * n[i] for i in axes)) + found.load
    if len(n) != 2:
        return result
    tangent = (-n[1], n[0])
    torque = sp.Add(*(tangent[i] * bending[i] for i in axes))
    along = sp.Add(*(tangent[k] * _along(torque, x) for k, x in enumerate(coordinates)))
    return result - along - _turned(torque, region, n)


def _turned(torque: sp.Expr, region: Boundary, n: list[Any]) -> sp.Expr:
    """What the derivative along a boundary does to the normals in an expression: kappa t is that of
    n.

    Raises: V01 where the curvature is not known in closed form.
    """
    turns = sp.expand(-torque.diff(n[0]) * n[1] + torque.diff(n[1]) * n[0])
    angle = sp.Dummy("angle", real=True)
    turned = turns.xreplace({n[0]: sp.cos(angle), n[1]: sp.sin(angle)})
    if turns == 0 or vanishes(jet_form(turned)):
        return sp.S.Zero
    bent = curvature(region)
    if bent is None:
        raise fail(
            "V01",
            f"natural conditions with derivatives along `{region.name}`, whose curvature is not"
            " known in closed form, or differs between its parts",
            "give its parts names; known are straight edges, disks, ellipses and stars",
        )
    return bent * turns


def corner_forces(
    problem: Problem, functional: Functional, field: Any
) -> list[tuple[sp.Expr, dict]]:
    """What a functional leaves in front of the variation of a component at the corners where its
    value is free: the jumps of dot(M*n, t), each with the coordinates of its corner.

    Raises: V01 where there may be such forces at corners whose places are not known.
    """
    domain = field.func.declaration.region
    if domain.dim != 2:
        return []
    n = [Normal(x) for x in domain.coordinates]
    loaded = [where for _, where in functional.terms if isinstance(where, Boundary)]
    found = {
        region: _slopes(problem, functional, field, region)
        for region in (boundary(domain), *loaded)
    }
    angle = sp.Dummy("angle", real=True)

    def torque(region: Boundary) -> sp.Expr:
        bending = found[region].bending(n)
        return n[0] * bending[1] - n[1] * bending[0]

    acting = [
        region
        for region in found
        if not vanishes(
            jet_form(torque(region).xreplace({n[0]: sp.cos(angle), n[1]: sp.sin(angle)}))
        )
    ]
    free = _free_boundaries(problem, functional, field.func.declaration, field, 0)
    if not acting or not free:
        return []
    whole = [part for region in acting for part in parts(region)]
    if is_smooth(boundary(domain)) and set(parts(domain)) <= set(whole):
        return []
    if acting != [boundary(domain)] or not isinstance(domain.shape, Rectangle):
        raise fail(
            "V01",
            f"`{functional.kind}` leaves forces at the corners of `{domain.name}` where"
            f" `{field.func.__name__}` is free, whose places are not derived",
            "prescribe it there, or take a rectangle, a disk, an ellipse or a star",
        )
    open_ = {(part.coordinate, part.value) for region in free for part in parts(region)}
    x, y = domain.coordinates
    forces = []
    for a, i in ((domain.shape.lower[0], -1), (domain.shape.upper[0], 1)):
        for b, j in ((domain.shape.lower[1], -1), (domain.shape.upper[1], 1)):
            if (x.name, a) in open_ and (y.name, b) in open_:
                sides = (
                    {n[0]: sp.Integer(i), n[1]: sp.S.Zero},
                    {n[0]: sp.S.Zero, n[1]: sp.Integer(j)},
                )
                one, other = (torque(boundary(domain)).xreplace(each) for each in sides)
                forces.append((one - other, {x: a, y: b}))
    return forces


def _along(expression: sp.Expr, x: Coordinate) -> sp.Expr:
    """The derivative along x with the unit normal held constant."""
    terms = [
        term.as_independent(*term.atoms(Normal), as_Add=False)
        for term in sp.Add.make_args(sp.expand_mul(expression))
    ]
    return sp.Add(*(normals * partial(slope, x) for slope, normals in terms))
