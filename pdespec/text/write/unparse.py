"""Statements of a problem that was not written as text, from its meaning."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any

import sympy as sp

from pdespec.calculus import entries
from pdespec.errors import ProblemError
from pdespec.functions import WRITTEN
from pdespec.geometry import Boundary, in_place
from pdespec.statements import normalise as forms
from pdespec.statements.statements import Condition, IntegralRequirement
from pdespec.symbols import Input, Param, Unknown, UnknownField
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.units import unit_of
from pdespec.text.write.express import Express
from pdespec.text.write.places import law, shape
from pdespec.trainable_fields import TrainableField
from pdespec.words import COMPLEX, YIELDING

if TYPE_CHECKING:
    from pdespec.statements.problem import Problem


def recover(problem: Problem) -> tuple[t.Node, ...]:
    """The statements that mean the problem, in the order of a file.

    Raises: T05 for a function that has no text form.
    """
    express = Express(
        tuple(variable.name for variable in problem.variables), called=_called(problem)
    )
    parts: list[t.Node] = [t.ProblemName(express.name(problem.name))]
    if problem.coordinates:
        unit = unit_of(problem.coordinates[0].unit)
        system = t.Name(problem.coordinates[0].system) if problem.coordinates[0].system else None
        parts.append(
            t.Space(tuple(express.name(x.name) for x in problem.coordinates), unit, system)
        )
    if problem.time is not None:
        time = problem.time
        parts.append(
            t.Time(
                express.name(time.name), express(time.start), express(time.end), unit_of(time.unit)
            )
        )
        if time.periodic:
            parts.append(t.Periodic((express.name(time.name),)))
    trainables = problem.trainables.values()
    fields = [each for each in trainables if isinstance(each, TrainableField)]
    for each in (
        *problem.params.values(),
        *problem.constants.values(),
        *(each for each in trainables if each not in fields),
    ):
        parts.append(t.Declaration(each.kind, (_given(each, express),)))
    parts += _regions(problem, express)
    parts += [t.Declaration("trainable", (_found(each, express),)) for each in fields]
    parts += [t.Declaration("input", (_input(each, express),)) for each in problem.inputs.values()]
    parts += [
        t.Declaration("unknown", (_unknown(each, problem, express),))
        for each in problem.unknowns.values()
    ]
    parts += _equations(problem, express)
    parts += [_extremum(each, problem, express) for each in problem.functionals]
    parts += _conditions(problem, express)
    parts += [_requirement(each, express) for each in problem.requirements]
    parts += [
        t.Reference(express.name(name), express.side(value))
        for name, value in problem.references.items()
    ]
    parts += [
        t.Reference(
            express.name(entries(each.value)[0].func.declaration.name),
            None,
            each.source,
            each.columns,
        )
        for each in problem.reference_files
    ]
    parts += [
        t.Output(express.name(name), express(each.value)) for name, each in problem.outputs.items()
    ]
    parts += [
        t.Data(express(each.value), express.region(each.region), each.source, each.columns)
        for each in problem.data
    ]
    return tuple(parts)


def _called(problem: Problem) -> set[str]:
    """The functions a problem uses whose names a declaration could take."""
    stated = [
        side
        for each in (*problem.equations.values(), *problem.conditions.values())
        for side in (each.lhs, each.rhs)
    ]
    stated += [density for functional in problem.functionals for density, _ in functional.terms]
    stated += [each.value for each in (*problem.outputs.values(), *problem.data)] + list(
        problem.references.values()
    )
    for each in problem.requirements:
        stated += [each.density] if isinstance(each, IntegralRequirement) else [each.lhs, each.rhs]
    nodes = [
        node
        for expression in stated
        for part in entries(expression)
        for node in sp.preorder_traversal(part)
    ]
    found = {WRITTEN[node.func] for node in nodes if node.func in WRITTEN}
    words = {sp.Piecewise: "if", sp.Eq: "equal", sp.Ne: "equal", sp.Xor: "xor"}
    return {
        *(found & set(YIELDING)),
        *(word for kind, word in words.items() if any(isinstance(node, kind) for node in nodes)),
    }


def _given(param: Param, express: Express) -> t.Given:
    stated = param.value is not None and param.law is None
    value = express(param.value) if stated else None
    drawn = law(param.law, param.size, express) if param.law is not None else None
    size = t.Number(str(param.size)) if param.size is not None and drawn is None else None
    return t.Given(express.name(param.name), value, drawn, unit_of(param.unit), size)


def _regions(problem: Problem, express: Express) -> list[t.Node]:
    domains = tuple(problem.domains.values())
    parts: list[t.Node] = [
        t.Declaration("domain", (t.Region(express.name(each.name), shape(each.shape, express)),))
        for each in domains
    ]
    for periodic, group in groupby(
        sorted(domains, key=lambda each: each.periodic), key=lambda each: each.periodic
    ):
        members = tuple(express.name(each.name) for each in group)
        if periodic:
            parts.append(
                t.Periodic(
                    tuple(express.name(axis) for axis in periodic),
                    () if len(members) == len(domains) else members,
                )
            )
    named = [each for each in problem.boundaries.values() if not in_place(each)]
    done: list[Boundary] = []
    while named:  # those that others leave out come first
        ready = [each for each in named if all(other not in named for other in each.others)]
        done += ready
        named = [each for each in named if each not in ready]
    parts += [
        t.Declaration("boundary", (t.Region(express.name(each.name), express.boundary(each)),))
        for each in done
    ]
    return parts


def _input(declaration: Input, express: Express) -> t.GivenFunction:
    return t.GivenFunction(
        express.name(declaration.name),
        t.Name(f"{COMPLEX} {declaration.rank}" if declaration.complex else declaration.rank),
        express.region(declaration.region),
        express.name(declaration.time.name) if declaration.time is not None else None,
        law(declaration.law, None, express) if declaration.law is not None else None,
        declaration.source,
        unit_of(declaration.unit),
        declaration.columns,
    )


def _found(field: TrainableField, express: Express) -> t.FoundFunction:
    return t.FoundFunction(
        express.name(field.name),
        express(field.first) if field.first is not None else None,
        t.Name(field.rank),
        express.region(field.region),
        express.name(field.time.name) if field.time is not None else None,
        (">", t.Number("0")) if field.positive else None,
        law(field.law, None, express) if field.law is not None else None,
        unit_of(field.unit),
        t.Number(str(field.modes)) if field.modes is not None else None,
    )


def _unknown(declaration: Unknown, problem: Problem, express: Express) -> t.UnknownFunction:
    return t.UnknownFunction(
        express.name(declaration.name),
        t.Name(f"{COMPLEX} {declaration.rank}" if declaration.complex else declaration.rank),
        express.region(declaration.region),
        problem.time is not None and declaration.time is None,
        (">", t.Number("0")) if declaration.positive else None,
        unit_of(declaration.unit),
    )


def _equations(problem: Problem, express: Express) -> list[t.Node]:
    taken: dict[str, Any] = {}
    members = []
    for label, equation in problem.equations.items():
        own = label if label != forms.free_label("eq", taken) else None
        taken[label] = equation
        members.append((equation.region, _member(own, equation, express)))
    return [
        t.Block(t.Head("in", express.region(region)), tuple(member for _, member in group))
        for region, group in groupby(members, key=lambda pair: pair[0])
    ]


def _conditions(problem: Problem, express: Express) -> list[t.Node]:
    taken: dict[str, Any] = {}
    members = []
    for label, condition in problem.conditions.items():
        own = label if label != forms.condition_label(condition, taken) else None
        taken[label] = condition
        members.append(
            (
                (condition.kind, condition.region, condition.at, condition.place),
                _member(own, condition, express),
            )
        )
    return [
        t.Block(
            _head(*place, members=group, problem=problem, express=express),
            tuple(member for _, member in group),
        )
        for place, group in (
            (place, list(group)) for place, group in groupby(members, key=lambda pair: pair[0])
        )
    ]


def _member(label: str | None, statement: Any, express: Express) -> t.Equality:
    return t.Equality(
        t.Name(label) if label is not None else None,
        express.side(statement.lhs),
        express.side(statement.rhs),
    )


def _head(
    kind: str,
    region: Any,
    at: Any,
    place: tuple[Any, ...],
    members: Any,
    problem: Problem,
    express: Express,
) -> t.Head:
    if kind == "boundary":
        return t.Head("on", express.region(region))
    own = (kind, region, at, place)
    conditions = [
        each
        for each in problem.conditions.values()
        if (each.kind, each.region, each.at, each.place) == own
    ]
    stated = (
        None
        if all(_stated_domain(each) == region for each in conditions)
        else express.region(region)
    )
    if kind == "point":
        return t.Head(
            "at",
            stated,
            point=tuple(express(each) for each in (*place, *(() if at is None else (at,)))),
        )
    time = problem.time
    if time is None:
        raise ValueError("an initial condition in a problem without time")
    return t.Head("at", stated, express.name(time.name), express(at))


def _stated_domain(condition: Condition) -> Any:
    """The region a condition has by itself, None when it does not say."""
    try:
        return forms.domain_of(condition.lhs, condition.rhs)
    except ProblemError:
        return None


def _extremum(functional: Any, problem: Problem, express: Express) -> t.Extremum:
    first, *others = [express.integral(density, region) for density, region in functional.terms]
    fields = [
        field
        for density, _ in functional.terms
        for field in forms.fields_of(density)
        if isinstance(field, UnknownField)
    ]
    implied = tuple(dict.fromkeys(field.func.declaration.name for field in fields))
    over = (
        ()
        if implied == functional.unknowns
        else tuple(express.name(name) for name in functional.unknowns)
    )
    return t.Extremum(
        functional.kind,
        t.Sum(first, tuple(("+", each) for each in others)) if others else first,
        over,
    )


def _requirement(requirement: Any, express: Express) -> t.Require:
    if isinstance(requirement, IntegralRequirement):
        return t.Require(
            express.integral(requirement.density, requirement.region),
            "=",
            express(requirement.value),
            None,
        )
    return t.Require(
        express(requirement.lhs),
        requirement.op,
        express(requirement.rhs),
        express.region(requirement.region),
    )
