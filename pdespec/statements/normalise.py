"""Normalises what a user states: splits sides, finds domains, chooses labels, takes energies
apart."""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom

from pdespec import complexes
from pdespec.calculus import Integral, rank
from pdespec.coordinates import Coordinate, Normal, as_exact
from pdespec.curvilinear import angles, divided, measure
from pdespec.errors import fail
from pdespec.geometry import Boundary, Domain, Interval, Region, coincide, side
from pdespec.nodes import nodes_of
from pdespec.notation import short
from pdespec.statements.statements import (
    Condition,
    Data,
    Equation,
    Functional,
    IntegralRequirement,
    Output,
    Requirement,
    Stated,
    promote,
    sides,
)
from pdespec.symbols import Input, InputField, Param, Scalar, Unknown, UnknownField
from pdespec.trainable_fields import TrainableField

COMPARISONS = {
    sp.StrictGreaterThan: ">",
    sp.GreaterThan: ">=",
    sp.StrictLessThan: "<",
    sp.LessThan: "<=",
}


def fields_of(expression: Any) -> tuple[Any, ...]:
    """The applied unknown and input components in an expression, by name."""
    found = {
        field for field in nodes_of(expression, AppliedUndef) if hasattr(field.func, "declaration")
    }
    return tuple(sorted(found, key=lambda field: (field.func.__name__, sp.default_sort_key(field))))


def declaration_of(expression: Any) -> Unknown | Input | Param | TrainableField:
    """The declaration behind a symbol, a field or a whole vector of them."""
    if isinstance(expression, (Unknown, Input, Param, TrainableField)):
        return expression
    if isinstance(expression, sp.MatrixBase) and expression.shape != (0, 0):
        declaration = declaration_of(expression[0])
        if declaration.symbol == expression:
            return declaration
    elif isinstance(expression, Scalar):
        return expression.declaration
    elif isinstance(expression, (UnknownField, InputField)):
        return expression.func.declaration
    elif isinstance(expression, sp.Add):
        for field in fields_of(expression):  # a complex field is the sum of its parts
            if field.func.declaration.complex and field.func.declaration.symbol == expression:
                return field.func.declaration
    raise fail(
        "T05",
        f"{expression} is not a declared field or param",
        "give what unknown(..), input_function(..) or param(..) returned",
    )


def to_equation(each: Any, stated: Stated | None) -> Equation:
    """An equation from what stands among the equations, on the region it was stated in or on
    that of its unknowns."""
    if isinstance(each, Equation):
        return each
    if stated is not None and stated.kind != "equation":
        raise fail(
            "T05",
            "a condition is given among the equations",
            "what on(..) and at(..) return belongs in conditions=",
        )
    lhs, rhs = sides(each)
    return Equation(lhs, rhs, domain_of(lhs, rhs) if stated is None else stated.region.domain)


def domain_of(*expressions: Any) -> Domain:
    """The domain on which the fields of an equation live."""
    fields = [field for expression in expressions for field in fields_of(expression)]
    domains = dict.fromkeys(
        field.func.declaration.region.domain for field in fields if isinstance(field, UnknownField)
    )
    if not domains:
        raise fail(
            "W06",
            f"no unknown in {' = '.join(short(each) for each in expressions)}",
            "an equation determines an unknown",
        )
    if len(domains) > 1:
        names = ", ".join(domain.name for domain in domains)
        raise fail(
            "T05",
            f"the unknowns of the equation live on several domains: {names}",
            "say where it holds: inside(Omega, ..)",
        )
    return next(iter(domains))


def to_condition(each: Any, stated: Stated | None) -> Condition:
    """A condition from what `on` or `at` was given."""
    if isinstance(each, Condition):
        return each
    if stated is None or stated.kind == "equation":
        raise fail(
            "T05", f"{each} does not say where it holds", "write on(Gamma, ..) or at(t, 0, ..)"
        )
    lhs, rhs = sides(each)
    region = stated.region if stated.region is not None else domain_of(lhs, rhs)
    if stated.kind == "point":
        return at_point(lhs, rhs, region, stated.place)
    return Condition(lhs, rhs, region, stated.kind, stated.at)


def at_point(lhs: Any, rhs: Any, domain: Domain, place: Sequence[Any]) -> Condition:
    """The condition at a point of a domain, with its time last where it has one. At the end of an
    interval it is one on the boundary.

    Raises: T01 for a wrong number of coordinates, T05 for coordinates that are not numbers or vary
    in space or time.
    """
    names = [x.name for x in domain.coordinates]
    times = dict.fromkeys(
        f.func.declaration.time
        for side in (lhs, rhs)
        for f in fields_of(side)
        if f.func.declaration.time is not None
    )
    text = f"({', '.join(short(each)[1:-1] for each in place)})"
    if len(place) not in (domain.dim, domain.dim + len(times)):
        meant = ", ".join([*names, *(str(time) for time in times)])
        hint = f"give its values of {', '.join(names)}" + (
            f", or of {meant} where it holds at one time" if times else ""
        )
        numbers = "1 coordinate" if len(place) == 1 else f"{len(place)} coordinates"
        raise fail("T01", f"the point {text} has {numbers}, `{domain.name}` has {domain.dim}", hint)
    for each in place:
        if (
            isinstance(each, sp.MatrixBase)
            or not each.is_real
            or any(not _settled(symbol) for symbol in each.free_symbols)
        ):
            raise fail(
                "T05",
                f"{short(each)} is not a coordinate of a point",
                "a coordinate is a number, or made of params and constants",
            )
    point, moment = (
        tuple(place[: domain.dim]),
        place[domain.dim] if len(place) > domain.dim else None,
    )
    ends = (
        (domain.shape.start, domain.shape.end)
        if isinstance(domain.shape, Interval) and not domain.periodic
        else ()
    )
    if moment is None and any(coincide(point[0], end) for end in ends):
        return Condition(lhs, rhs, side(domain, **{names[0]: point[0]}), "boundary")
    return Condition(lhs, rhs, domain, "point", moment, point)


def _settled(symbol: Any) -> bool:
    """Whether a symbol is a number of each sample."""
    return isinstance(symbol, Scalar) and symbol.declaration.kind != "trainable"


def condition_label(condition: Condition, taken: Mapping[str, Any]) -> str:
    """`Gamma.u`, `initial.u`, `point.u`: the place and the unknowns of an unlabeled condition.
    Holds a dot, as no user's label can."""
    place = condition.region.name if condition.kind == "boundary" else condition.kind
    fields = (*fields_of(condition.lhs), *fields_of(condition.rhs))
    names = dict.fromkeys(
        field.func.declaration.name for field in fields if isinstance(field, UnknownField)
    )
    label = ".".join([place, *names])
    return label if label not in taken else free_label(label + ".", taken, start=2)


def numbered(label: str, taken: Container[str]) -> str:
    """The label, with the first number from 2 behind it where it is taken."""
    return label if label not in taken else free_label(label, taken, start=2)


def free_label(prefix: str, taken: Container[str], start: int = 1) -> str:
    """The prefix with the first number, from `start`, that makes it a label not taken."""
    number = start
    while f"{prefix}{number}" in taken:
        number += 1
    return f"{prefix}{number}"


def to_functional(kind: str, given: Any) -> Functional:
    """A functional from an energy, or a pair of an energy and the unknowns it is varied by."""
    if isinstance(given, Functional):
        return given
    energy, over = given if isinstance(given, tuple) else (given, ())
    terms = energy_terms(energy, kind)
    held = [
        field.func.declaration.name
        for density, _ in terms
        for field in fields_of(density)
        if isinstance(field, UnknownField)
    ]
    names = (
        [
            declaration_of(each).name
            for each in (over if isinstance(over, (list, tuple)) else [over])
        ]
        if over != ()
        else held
    )
    for name in names:
        if name not in held:
            raise fail(
                "V01",
                f"the functional to {kind} does not depend on `{name}`",
                "vary it by the unknowns it holds",
            )
    return Functional(kind, terms, tuple(dict.fromkeys(names)))


def energy_terms(energy: Any, kind: str = "minimize") -> tuple[tuple[sp.Expr, Region], ...]:
    """The (density, region) terms of a sum of integrals, factors and signs drawn into the
    densities.

    Raises: V01 when the energy is not scalar, or a part of it has no region.
    """
    energy = complexes.real_valued(as_exact(energy), f"the energy to {kind}")
    if isinstance(energy, sp.MatrixBase):
        raise fail(
            "V01",
            f"the energy to {kind} is {rank(energy)}, not scalar",
            "an energy is one number: integral(psi, Omega)",
        )
    nodes = sorted(nodes_of(energy, Integral), key=sp.default_sort_key)
    # so that the densities stay as they are written
    dummies = [sp.Dummy(f"integral{k}") for k in range(len(nodes))]
    back: dict[Any, Any] = dict(zip(dummies, nodes, strict=True))
    terms = []
    for term in sp.Add.make_args(
        sp.expand_mul(energy.xreplace(dict(zip(nodes, dummies, strict=True))))
    ):
        integrals = [factor for factor in sp.Mul.make_args(term) if factor in back]
        if len(integrals) != 1 or (term / integrals[0]).has(*dummies):
            what = (
                "is a product of integrals"
                if term.has(*dummies)
                else "is not integrated over a region"
            )
            message = f"{short(term.xreplace(back))} in the energy to {kind} {what}"
            raise fail("V01", message, f"write {kind} integral(psi, Omega)")
        coefficient = term / integrals[0]
        if fields_of(coefficient):
            raise fail(
                "V01",
                f"{short(term.xreplace(back))}: a field multiplies an integral",
                "move the field into the density",
            )
        node = back[integrals[0]]
        terms.append((coefficient * node.density, node.region))
    return gathered(terms)


def gathered(terms: Iterable[tuple[sp.Expr, Region]]) -> tuple[tuple[sp.Expr, Region], ...]:
    """One term a region, domains before boundaries: the same functional gives the same terms
    however its sum is written."""
    densities: dict[Region, list[sp.Expr]] = {}
    for density, region in terms:
        densities.setdefault(region, []).append(density)
    regions = sorted(densities, key=lambda region: (isinstance(region, Boundary), region.name))
    sums = [(_weighted(densities[region], region.coordinates), region) for region in regions]
    return tuple((density, region) for density, region in sums if density != 0)


def _weighted(densities: list[sp.Expr], frame: Any) -> sp.Expr:
    """The sum of densities, with the measure of a body of revolution in front of it."""
    if not angles(frame):
        return sp.Add(*densities)
    return measure(frame) * sp.Add(*(divided(density, frame) for density in densities))


def to_requirement(each: Any) -> Requirement | IntegralRequirement:
    """A requirement from a comparison, a pair of it and its region, or an equation between an
    integral and a number."""
    if isinstance(each, (Requirement, IntegralRequirement)):
        return each
    relation, region = (
        each
        if isinstance(each, tuple) and len(each) == 2 and isinstance(each[1], (Domain, Boundary))
        else (each, None)
    )
    if isinstance(relation, (bool, BooleanAtom)):
        raise fail(
            "T05",
            f"the requirement has been folded to {bool(relation)} before it arrived",
            "a requirement holds a field",
        )
    if isinstance(relation, Relational) and type(relation) in COMPARISONS:
        lhs, rhs = (
            complexes.real_valued(as_exact(side), "a side of the requirement")
            for side in relation.args
        )
        return Requirement(lhs, COMPARISONS[type(relation)], rhs, region or domain_of(lhs, rhs))
    lhs, rhs = sides(relation)
    terms = [term for term in sp.Add.make_args(lhs - rhs) if term.atoms(Integral)]
    if isinstance(lhs, sp.MatrixBase) or not terms:
        hint = "write integral(p, Omega) = 0, or (J > 0, Omega)"
        raise fail(
            "T05",
            f"cannot require {short(lhs)} = {short(rhs)}",
            hint,
            "what must hold at every point is an equation",
        )
    densities = energy_terms(sp.Add(*terms), "require")
    if len(densities) > 1:
        raise fail(
            "T05",
            "the integrals of a requirement are over several regions",
            "state one requirement a region",
        )
    value = -sp.Add(*(term for term in sp.Add.make_args(lhs - rhs) if not term.atoms(Integral)))
    if value.atoms(Coordinate, Normal):
        hint = "give a number, a param or a constant; what holds at every point is an equation"
        raise fail(
            "T05", f"an integral is one number, {short(value)} has a value at every point", hint
        )
    return IntegralRequirement(*densities[0], value)


def to_output(name: str | None, each: Any) -> Output:
    """An output from an expression and its name."""
    if isinstance(each, Output):
        return each
    if name is None:
        raise fail("T05", "an output has no name", 'write output={"P": diff(psi, F)}')
    return Output(name, complexes.stacked(as_exact(each)))


def to_data(each: Any) -> Data:
    """Data from a triple of an expression, its region and the file of its values."""
    if isinstance(each, Data):
        return replace(each, value=complexes.stacked(as_exact(each.value)))
    if (
        isinstance(each, tuple)
        and len(each) == 3
        and isinstance(each[1], (Domain, Boundary))
        and isinstance(each[2], str)
    ):
        return Data(complexes.stacked(as_exact(each[0])), each[1], each[2])
    raise fail("T05", f"{each!r} is not data", 'write data=[(p, foil, "airfoils.h5")]')


def to_reference(key: Any, value: Any) -> tuple[str, Any]:
    """The name of an unknown and its known solution."""
    declared = None if key is None else declaration_of(key)
    if not isinstance(declared, Unknown):
        raise fail(
            "T05",
            f"reference of {declared.name if declared else 'an unknown name'}, which is not an"
            " unknown",
            "name an unknown",
        )
    return declared.name, known_solution(declared, as_exact(value))


def to_reference_file(key: Any, value: str | Data) -> Data:
    """Values of an unknown that are known, from the name of their file."""
    declared = None if key is None else declaration_of(key)
    if not isinstance(declared, Unknown):
        raise fail("T05", "a reference of something that is not an unknown", "name an unknown")
    if isinstance(value, Data):
        return replace(value, value=complexes.stacked(as_exact(value.value)))
    return Data(complexes.stacked(declared.symbol), declared.region, value)


def known_solution(unknown: Unknown, value: Any) -> Any:
    """The known solution of an unknown; of a complex one the column of its real components,
    which may be given as such."""
    if not unknown.complex:
        return complexes.real_valued(
            promote(unknown.symbol, value)[1], f"the solution of `{unknown.name}`"
        )
    if (
        isinstance(value, sp.MatrixBase)
        and value.shape == (len(unknown.components), 1)
        and not complexes.is_complex(value)
    ):
        return value
    return complexes.column(promote(unknown.symbol, value)[1])
