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
from functools import partial as bind
from functools import reduce
from typing import TYPE_CHECKING, Any

import sympy as sp

from pdespec.calculus import Integral, coordinates_of, describe, entries, partial
from pdespec.complexes import split, stacked
from pdespec.coordinates import Coordinate, as_exact
from pdespec.curvilinear import angles, divided
from pdespec.errors import fail
from pdespec.geometry import Domain
from pdespec.jets import Jet, jet_form, jets_of, sympy_form
from pdespec.jumps import slope
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.probe import vanishes
from pdespec.statements.normalise import energy_terms, numbered
from pdespec.statements.statements import Equation, Functional
from pdespec.symbols import Scalar, TestField, UnknownField, component_function

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
    psi, by = as_exact(psi), as_exact(by)
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
    """d psi / d e_k where the entries occur in psi as subexpressions, such as C = F'*F in a
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

    For psi(u, grad u) this is d psi/d u - div(d psi/d grad(u)), the divergence not expanded.
    Vectors give a vector, and a complex unknown a + i b the derivative by a plus i times that by b.

    Raises: V01 when the energy is not a sum of integrals; T05 when `field` is not an unknown.
    """
    _check_varied(field)
    terms = energy_terms(energy, "vary")
    densities = [jet_form(density) for density, region in terms if isinstance(region, Domain)]
    return _entrywise(field, lambda entry: _euler_lagrange(densities, entry))


def first_variation(energy: Any, *fields: Any) -> Any:
    """The derivative of an energy in the direction of test functions, an energy again: integrals
    linear in `test.u`, ..

    Applied twice it gives the second variation, from which Newton's method takes its matrix.

    Raises: V01 when the energy is not a sum of integrals; T05 when one of `fields` is not an
    unknown."""
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
            f"variation by {short(field)}, which is not an unknown",
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
        for jet, flux in fluxes(density, field):
            along = [
                argument
                for argument, order in zip(field.args, jet.index, strict=True)
                for _ in range(order)
            ]
            term = reduce(partial, along, sympy_form(flux))
            terms.append(term if len(along) % 2 == 0 else -term)
    return divided(sp.Add(*terms), frame)


def fluxes(density: sp.Expr, field: Any) -> Iterator[tuple[Jet, sp.Expr]]:
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
            for jet, flux in fluxes(density, field)
        )
    )
