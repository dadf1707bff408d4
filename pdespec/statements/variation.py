"""Energies: stress, first variation, Euler-Lagrange equation and natural boundary conditions, all
derived.

An energy is a sum of integrals over domains and boundaries. With `psi_a = d psi / d (D^a u)`, a
running over multi-indices,

    first variation     sum_a  integral(psi_a * D^a w)  linear in the test function w: the weak form
    Euler-Lagrange      sum_a  (-1)^|a| D^a psi_a = 0   the strong form, in conservative form
    natural condition   what integration by parts leaves on the boundary where u is not prescribed
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial as bind
from functools import reduce
from typing import TYPE_CHECKING, Any

import sympy as sp

from pdespec.calculus import Integral, coordinates_of, describe, entries, partial
from pdespec.complexes import split, stacked
from pdespec.coordinates import Coordinate, Normal, exact
from pdespec.curvilinear import angles, divided
from pdespec.errors import fail
from pdespec.geometry import Boundary, Domain, boundary, rest, side
from pdespec.jets import Jet, jet_form, jets_of, sympy_form
from pdespec.jumps import slope
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.probe import vanishes
from pdespec.statements.boundary_parts import Part, parts
from pdespec.statements.normalise import energy_terms, numbered
from pdespec.statements.statements import Condition, Equation, Functional
from pdespec.symbols import Scalar, TestField, Unknown, UnknownField, component_function

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem

# --------------------------------------------------------------------------------------------------
# partial derivatives


def diff(psi: Any, by: Any) -> Any:
    """The partial derivative of `psi` by another expression: a field, a param, or a tensor such as
    F = I + grad(u).

    `diff(psi, F)[i, j] = d psi / d F_ij`, the first Piola stress when psi is an energy of the
    deformation gradient F. Equal entries (a symmetric tensor) share their derivative evenly, so
    that d psi = inner(diff(psi, E), dE).

    Raises: T05 when `psi` is not a function of the entries of `by` alone, or an entry is a number.
    """
    psi, by = exact(psi), exact(by)
    if isinstance(psi, sp.MatrixBase):
        if isinstance(by, sp.MatrixBase):
            raise fail(
                "T02",
                f"diff of {describe(psi)} by {describe(by)}",
                "one of the two is a scalar: diff(psi, F)",
            )
        return sp.ImmutableMatrix(psi).applyfunc(lambda entry: diff(entry, by))
    whole = entries(jet_form(by))
    frame = coordinates_of(by)
    hooped = (
        isinstance(by, sp.MatrixBase) and by.cols > 1 and angles(frame) and by.rows > len(frame)
    )
    # no field turns into the angle
    maps = [entry for entry in whole if not (hooped and entry.is_number)]
    for entry in maps:
        if isinstance(entry, Coordinate):
            raise fail(
                "T05",
                f"diff by the coordinate {entry}",
                f"write d(psi, {entry}) for the derivative along it",
            )
        if entry.is_number:
            hint = "leave constant entries out: differentiate by u or grad(u)"
            raise fail("T05", f"diff by {short(by)}, whose entry {entry} does not vary", hint)
    distinct = list(dict.fromkeys(maps))
    slopes = _affine_slopes(jet_form(psi), distinct) or _nested_slopes(jet_form(psi), distinct)
    if slopes is None:
        hint = (
            f"write psi in terms of {short(by)} alone, or as a function: psi(C) := ..;"
            " diff(psi(C), C)"
        )
        raise fail("T05", f"{short(psi)} is not a function of {short(by)}", hint)
    shares = {
        entry: sympy_form(each / maps.count(entry))
        for entry, each in zip(distinct, slopes, strict=True)
    }
    if not isinstance(by, sp.MatrixBase):
        return shares[maps[0]]
    return sp.ImmutableMatrix(by.rows, by.cols, [shares.get(entry, sp.S.Zero) for entry in whole])


def _affine_slopes(psi: Any, maps: list[Any]) -> list[Any] | None:
    """d psi / d e_k for entries affine in jets or params a_j, from the chain rule d psi / d a_j
    = sum_k (d psi / d e_k) (d e_k / d a_j)."""
    atoms = sorted({atom for entry in maps for atom in _variables(entry)}, key=sp.default_sort_key)
    jacobian = sp.Matrix(len(maps), len(atoms), lambda k, j: maps[k].diff(atoms[j]))
    if any(_variables(each) & set(atoms) for each in jacobian.flat()):
        return None
    pivots = jacobian.rref()[1]
    # entries that depend on each other: no partial derivative by one of them
    if len(pivots) < len(maps):
        return None
    gradient = [slope(psi, atom) for atom in atoms]
    square = sp.Matrix(len(pivots), len(pivots), lambda i, k: jacobian[k, pivots[i]])
    slopes = square.LUsolve(sp.Matrix([gradient[j] for j in pivots])).flat()
    others = [j for j in range(len(atoms)) if j not in pivots]
    chained = [sp.Add(*(jacobian[k, j] * each for k, each in enumerate(slopes))) for j in others]
    return (
        slopes
        if all(vanishes(a - gradient[j]) for a, j in zip(chained, others, strict=True))
        else None
    )


def _nested_slopes(psi: Any, maps: list[Any]) -> list[Any] | None:
    """d psi / d e_k where the entries stand in psi as subexpressions, such as C = F'*F in a
    function of C."""
    dummies = [sp.Dummy(f"e{k}", real=True) for k in range(len(maps))]
    nested = psi
    for entry, dummy in sorted(
        zip(maps, dummies, strict=True), key=lambda pair: -pair[0].count_ops()
    ):
        nested = nested.subs(entry, dummy)
    if _variables(nested) & {atom for entry in maps for atom in _variables(entry)}:
        return None
    back = dict(zip(dummies, maps, strict=True))
    return [slope(nested, dummy).xreplace(back) for dummy in dummies]


def _variables(expression: Any) -> set[Any]:
    """What a partial derivative may vary: jets, or params in an expression without jets."""
    jets = nodes_of(expression, Jet)
    return set(jets) if jets else set(nodes_of(expression, Scalar))


# --------------------------------------------------------------------------------------------------
# variations of energies


def variation(energy: Any, field: Any) -> Any:
    """The variational derivative of an energy by an unknown: `dt(u) = -variation(E, u)` is its
    gradient flow.

    For psi(u, grad u) this is d psi/d u - div(d psi/d grad(u)), the divergence not carried out.
    Vectors give a vector, and a complex unknown a + i b the derivative by a plus i times that by b.

    Raises: V01 when the energy is not a sum of integrals; T05 when `field` is no unknown.
    """
    _check_varied(field)
    terms = energy_terms(energy, "vary")
    densities = [jet_form(density) for density, region in terms if isinstance(region, Domain)]
    return _entrywise(field, lambda entry: _euler_lagrange(densities, entry))


def first_variation(energy: Any, *fields: Any) -> Any:
    """The derivative of an energy in the direction of test functions, an energy again: integrals
    linear in `test.u`, ..

    Applied twice it gives the second variation, from which Newton's method takes its matrix.

    Raises: V01 when the energy is not a sum of integrals; T05 when one of `fields` is no unknown.
    """
    for field in fields:
        _check_varied(field)
    varied = [part for field in fields for entry in entries(field) for part in _parts(entry)]
    terms = []
    for density, region in energy_terms(energy, "vary"):
        linear = _gateaux(jet_form(density), varied)
        if linear != 0:
            terms.append(Integral(sympy_form(linear), region))
    return sp.Add(*terms)


def weak_form(problem: Problem) -> dict[str, Any]:
    """The first variation of every functional of a problem by its unknowns: the energy's weak
    form, `stationarity` when there is one."""
    result = {}
    for functional in problem.functionals:
        fields = [problem.unknowns[name].symbol for name in functional.unknowns]
        energy = sp.Add(*(Integral(density, region) for density, region in functional.terms))
        result[numbered("stationarity", result)] = first_variation(energy, *fields)
    return result


def stationarity(problem: Problem) -> dict[str, Equation]:
    """The Euler-Lagrange equations of the functionals of a problem: `stationarity`, or
    `stationarity.u` where several unknowns vary."""
    found: dict[str, Equation] = {}
    for functional in problem.functionals:
        for name in functional.unknowns:
            unknown = problem.unknowns[name]
            lhs = stacked(_entrywise(unknown.symbol, bind(euler_lagrange, problem, functional)))
            label = "stationarity" if len(functional.unknowns) == 1 else f"stationarity.{name}"
            found[numbered(label, {**problem.equations, **found})] = Equation(
                lhs, lhs * 0, unknown.region, functional.span
            )
    return found


def euler_lagrange(problem: Problem, functional: Functional, component: Any) -> sp.Expr:
    """The left-hand side of the Euler-Lagrange equation of a functional for one component of an
    unknown."""
    domain = component.func.declaration.region
    return _euler_lagrange(
        [problem.derivative_form(each) for each, region in functional.terms if region == domain],
        component,
    )


def _check_varied(field: Any) -> None:
    if not all(
        isinstance(part, UnknownField) for entry in entries(field) for part in _parts(entry)
    ):
        raise fail(
            "T05",
            f"variation by {short(field)}, which is no unknown",
            "vary by an unknown: variation(E, u)",
        )


def _parts(entry: Any) -> tuple[Any, ...]:
    """The real components of an entry of an unknown."""
    return split(entry) if entry.has(sp.I) else (entry,)


def _entrywise(field: Any, function: Any) -> Any:
    if isinstance(field, sp.MatrixBase):
        return sp.ImmutableMatrix(field).applyfunc(lambda entry: _entrywise(entry, function))
    real, *imaginary = (function(part) for part in _parts(field))
    return real + sp.I * imaginary[0] if imaginary else real


def _euler_lagrange(densities: list[sp.Expr], field: Any) -> sp.Expr:
    """sum_a (-1)^|a| D^a psi_a of densities in jet form, the outer derivatives kept as such."""
    terms, frame = [], field.func.declaration.region.coordinates
    for density in densities:
        for jet, flux in _fluxes(density, field):
            along = [
                argument
                for argument, order in zip(field.args, jet.index, strict=True)
                for _ in range(order)
            ]
            term = reduce(partial, along, sympy_form(flux))
            terms.append(term if len(along) % 2 == 0 else -term)
    return divided(sp.Add(*terms), frame)


def _fluxes(density: sp.Expr, field: Any) -> Iterator[tuple[Jet, sp.Expr]]:
    """(D^a u, psi_a) of one component, in jet form."""
    for jet in jets_of(density, UnknownField):
        if jet.field == field:
            yield jet, slope(density, jet)


def _gateaux(density: sp.Expr, fields: list[Any]) -> sp.Expr:
    """The derivative of a density in the direction of the test functions of the given
    components."""
    tests = {
        field: component_function(field.func.declaration, field.func.component, TestField)(
            *field.args
        )
        for field in fields
    }
    return sp.Add(
        *(
            flux * Jet(test, jet.index)
            for field, test in tests.items()
            for jet, flux in _fluxes(density, field)
        )
    )


# --------------------------------------------------------------------------------------------------
# natural conditions


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

    The tangential derivative along s is that of a straight part (n constant); it stands in two
    dimensions only.

    Raises: V01 for energies of derivatives above the second, or above the first in three
    dimensions.
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
                for jet, _ in _fluxes(problem.derivative_form(density), component)
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
        orders = {sum(jet.index) for jet in jets}
        if (
            orders == {0}
            or (orders == {1} and row.atoms(Normal))
            or (orders == {1} and len(condition.region.coordinates) == 1)
        ):
            yield components.pop(), orders.pop()


def _boundary_term(
    problem: Problem, functional: Functional, field: Any, region: Boundary, normal_order: int
) -> sp.Expr:
    """What stands in front of the `normal_order`-th normal derivative of the test function on the
    boundary.

    Derivatives of the test function split into w_i = n_i w_n + t_i w_s; what multiplies w_s is
    integrated by parts along the boundary.
    """
    coordinates = region.coordinates
    n = [Normal(x) for x in coordinates]
    axes = range(len(coordinates))
    flux, couple, moment, load = (
        [sp.S.Zero for _ in axes],
        [sp.S.Zero for _ in axes],
        sp.zeros(len(n), len(n)),
        sp.S.Zero,
    )
    for density, where in functional.terms:
        for jet, part in _fluxes(problem.derivative_form(density), field):
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
    bending = [couple[i] + sp.Add(*(moment[i, j] * n[j] for j in axes)) for i in axes]
    if normal_order == 1:
        return sp.Add(*(bending[i] * n[i] for i in axes))
    shear = [sp.Add(*(partial(moment[i, j], x) for j, x in enumerate(coordinates))) for i in axes]
    result = sp.Add(*((flux[i] - shear[i]) * n[i] for i in axes)) + load
    if len(n) != 2:
        return result
    tangent = (-n[1], n[0])
    torque = sp.Add(*(tangent[i] * bending[i] for i in axes))
    return result - sp.Add(*(tangent[k] * _along(torque, x) for k, x in enumerate(coordinates)))


def _along(expression: sp.Expr, x: Coordinate) -> sp.Expr:
    """The derivative along x with the unit normal held constant."""
    terms = [
        term.as_independent(*term.atoms(Normal), as_Add=False)
        for term in sp.Add.make_args(sp.expand_mul(expression))
    ]
    return sp.Add(*(normals * partial(slope, x) for slope, normals in terms))
