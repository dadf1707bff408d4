"""Evaluation of declarations: each adds its part to the draft of a problem."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec import geometry
from pdespec.calculus import split_derivative
from pdespec.coordinates import Coordinate, Time, check_system
from pdespec.errors import ProblemError, Span, suggestion
from pdespec.geometry import Boundary, Domain, Shape
from pdespec.statements.statements import Condition, Data, Equation, Output
from pdespec.symbols import Input, Param, Unknown, check_prior, check_sign, check_tensor
from pdespec.text.read.calls import HANDLERS
from pdespec.text.read.evaluate import expression, region, value
from pdespec.text.read.regions import LAWS, law, whole_size
from pdespec.text.read.scope import BROKEN, Broken, Function, Scope, folder_of
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import unit_text
from pdespec.trainable_fields import TrainableField, check_found
from pdespec.units import unknown_unit
from pdespec.vocabulary import CALLED
from pdespec.words import COMPLEX, IDENTIFIER, RANKS, bare


@dataclass(slots=True)
class Draft:
    """What the statements have said so far, in the form `Problem` takes."""

    scope: Scope
    name: t.Name | None = None
    periodic: list[t.Periodic] = field(default_factory=list)
    unknowns: list[Unknown] = field(default_factory=list)
    inputs: list[Input] = field(default_factory=list)
    params: list[Param | TrainableField] = field(default_factory=list)
    regions: list[Domain | Boundary] = field(default_factory=list)
    equations: dict[str, Equation] = field(default_factory=dict)
    conditions: dict[str, Condition] = field(default_factory=dict)
    functionals: list[Any] = field(default_factory=list)
    requirements: list[Any] = field(default_factory=list)
    outputs: dict[str, Output] = field(default_factory=dict)
    data: list[Data] = field(default_factory=list)
    references: dict[str, Any] = field(default_factory=dict)
    labels: dict[str, Span | None] = field(default_factory=dict)
    broken: set[str] = field(default_factory=set)
    """Kinds of statements of which at least one has no meaning."""
    reading: t.Node | None = None
    """The statement that is read now."""


@singledispatch
def declare(statement: t.Node, draft: Draft) -> None:
    """Adds the statement to the draft; mistakes go to the report of its scope."""
    raise TypeError(f"{type(statement).__name__} is not a statement")


def declared(statement: t.Node) -> list[t.Name]:
    """The names a statement declares."""
    if isinstance(statement, t.Declaration):
        return [item.name for item in statement.items]  # type: ignore[attr-defined]
    if isinstance(statement, t.Space):
        return list(statement.names)
    if isinstance(statement, (t.Time, t.Definition)):
        return [statement.name]
    return []


# ---- the frame


@declare.register
def _problem(statement: t.ProblemName, draft: Draft) -> None:
    if draft.name is not None:
        draft.scope.fail(
            "S05",
            f"the problem has a name already, `{draft.name.name}`",
            statement.name.span,
            "a file holds one problem",
        )
    if not IDENTIFIER.fullmatch(bare(statement.name.name)):
        draft.scope.fail(
            "S03",
            f"{statement.name.name} cannot name a problem",
            statement.name.span,
            "a name is a letter followed by letters, digits or _",
        )
    draft.name = draft.name or statement.name


@declare.register
def _space(statement: t.Space, draft: Draft) -> None:
    scope = draft.scope
    if scope.coordinates:
        scope.fail(
            "S05",
            "the coordinates are declared twice",
            statement.span,
            "give all of them in one statement: space x, y",
        )
        return
    if len(statement.names) > 3:
        scope.fail(
            "S02",
            f"space takes one to three coordinates, {len(statement.names)} given",
            statement.span,
            "a problem lives in 1D, 2D or 3D",
        )
        return
    system = statement.system.name if statement.system is not None else ""
    try:
        check_system(system, len(statement.names))
    except ProblemError as error:
        scope.adopt(error, statement.span)
        return
    frame = tuple(
        dict.fromkeys(bare(name.name) for name in statement.names if scope.free(name, "coordinate"))
    )
    coordinates = {
        name: Coordinate(name, frame, _unit(statement.unit, scope), system) for name in frame
    }
    for name in statement.names:
        if bare(name.name) in coordinates:
            scope.declare(name, coordinates[bare(name.name)], "coordinate")
    scope.coordinates = tuple(coordinates.values())


@declare.register
def _time(statement: t.Time, draft: Draft) -> None:
    scope = draft.scope
    if scope.time is not None:
        scope.fail("S05", "time is declared twice", statement.span, "a problem has one time")
        return
    start, end = numbers((statement.start, statement.end), scope)
    if isinstance(start, Broken) or isinstance(end, Broken):
        scope.declare(statement.name, BROKEN, "time")
        return
    if not (end - start).is_positive:
        scope.fail(
            "S02",
            f"time runs from {start} to {end}",
            statement.span,
            "the end comes after the start",
        )
        return
    if scope.free(statement.name, "time"):
        name = bare(statement.name.name)
        periodic = any(name == bare(each.name) for other in draft.periodic for each in other.names)
        scope.time = Time(name, start, end, _unit(statement.unit, scope), periodic)
        scope.declare(statement.name, scope.time, "time")


def numbers(nodes: tuple[t.Node, ...], scope: Scope) -> list[Any]:
    """The values of expressions that must be numbers."""
    results = []
    for node in nodes:
        result = expression(node, scope)
        if not isinstance(result, Broken) and not (
            isinstance(result, sp.Expr) and result.is_number and result.is_real
        ):
            what = "a vector" if isinstance(result, sp.MatrixBase) else f"{result}"
            result = scope.fail(
                "T05",
                f"a number is needed here, `{what}` is none",
                node.span,
                "write it in digits; pi and functions of numbers count too",
            )
        results.append(result)
    return results


def _unit(unit: t.Unit | None, scope: Scope) -> str | None:
    if unit is None:
        return None
    if wrong := unknown_unit(unit):
        scope.fail("S01", f"unknown unit `{wrong[0]}`", unit.span, wrong[1])
        return None
    return unit_text(unit)


# ---- regions and numbers


@declare.register
def _declaration(statement: t.Declaration, draft: Draft) -> None:
    for item in statement.items:
        _ITEMS[statement.kind](item, statement.kind, draft)


@declare.register
def _periodic(statement: t.Periodic, draft: Draft) -> None:
    """What the statement says is known when the domains are made; here its names are checked."""
    scope = draft.scope
    axes = list(scope.variables)
    for name in statement.names:
        if bare(name.name) not in axes and not scope.later.get(name.name):
            hint = suggestion(name.name, axes, f"the coordinates are {', '.join(axes)}")
            scope.fail("S01", f"`{name.name}` is not a coordinate", name.span, hint)
    for name in statement.domains:
        if not scope.later.get(name.name):
            region(name, scope, (Domain,))


def _domain(item: t.Region, kind: str, draft: Draft) -> None:
    scope = draft.scope
    scope.wanted = "shapes"
    made = value(item.value, scope)
    scope.wanted = ""
    if isinstance(made, Domain):
        made = made.shape
    if isinstance(made, Broken):
        scope.declare(item.name, BROKEN, kind)
        return
    if not isinstance(made, Shape):
        scope.fail(
            "T05",
            f"`{item.name.name}` is given no shape",
            item.value.span,
            "write a shape such as rectangle([0, 0], [1, 1])",
        )
        scope.declare(item.name, BROKEN, kind)
        return
    if made.dim != len(scope.coordinates):
        axes = ", ".join(x.name for x in scope.coordinates)
        hint = f"the coordinates are {axes}" if axes else "begin with `space x, y`"
        scope.fail(
            "T06",
            f"`{item.name.name}` is {made.dim}D, the space of the problem"
            f" {len(scope.coordinates)}D",
            item.value.span,
            hint,
        )
        scope.declare(item.name, BROKEN, kind)
        return
    domain = _made_periodic(Domain(bare(item.name.name), made, scope.coordinates), item.name, draft)
    scope.declare(item.name, domain, kind)
    draft.regions.append(domain)


def _made_periodic(domain: Domain, name: t.Name, draft: Draft) -> Domain:
    """The domain, periodic where the problem says so."""
    result: Any = domain
    for statement in draft.periodic:
        if statement.domains and name not in statement.domains:
            continue
        named = {bare(each.name) for each in statement.names}
        axes = [axis for axis in domain.coordinates if axis.name in named]
        try:
            result = geometry.periodic(result, *axes) if axes else result
        except ProblemError as error:
            draft.scope.adopt(error, statement.span)
    return result


def _boundary(item: t.Region, kind: str, draft: Draft) -> None:
    draft.scope.wanted = "boundaries"
    made = region(item.value, draft.scope, (Boundary,))
    draft.scope.wanted = ""
    if isinstance(made, Boundary):
        made = replace(made, name=bare(item.name.name))
        draft.regions.append(made)
    draft.scope.declare(item.name, made, kind)


def _given(item: t.Given, kind: str, draft: Draft) -> None:
    scope, number, drawn, size = draft.scope, None, None, None
    if item.law is not None and kind == "const":
        hint = (
            f"write {kind} {item.name.name} = ..., or param {item.name.name} ~ ... for a number"
            " drawn per sample"
        )
        scope.fail("S02", f"{kind} `{item.name.name}` is drawn from a law", item.law.span, hint)
        return scope.declare(item.name, BROKEN, kind)
    if item.law is not None:
        made = law(item.law, scope, "number")
        if isinstance(made, Broken):
            return scope.declare(item.name, BROKEN, kind)
        drawn, size = made
        if kind == "trainable":
            try:
                number = check_prior(bare(item.name.name), drawn).mean
            except ProblemError as error:
                scope.adopt(error, item.law.span)
                return scope.declare(item.name, BROKEN, kind)
    elif item.value is not None:
        (number,) = numbers((item.value,), scope)
        if isinstance(number, Broken):
            return scope.declare(item.name, BROKEN, kind)
    elif kind == "const":
        scope.fail(
            "S02",
            f"const `{item.name.name}` has no value",
            item.span,
            f"write const {item.name.name} = 1",
        )
        return scope.declare(item.name, BROKEN, kind)
    elif kind == "trainable":
        number = sp.S.One
    if item.size is not None:
        size = whole_size(item.size, scope)
        if size is None:
            return scope.declare(item.name, BROKEN, kind)
    param = Param(bare(item.name.name), kind, number, drawn, size, _unit(item.unit, scope))
    if scope.free(item.name, kind):
        draft.params.append(param)
    return scope.declare(item.name, param.symbol, kind)


# ---- fields


def _rank(name: t.Name, field_name: str, scope: Scope) -> tuple[str, bool] | None:
    """The rank that is written, and whether the field is complex."""
    first, _, second = name.name.rpartition(" ")
    if second in RANKS and first in ("", COMPLEX):
        return second, first == COMPLEX
    hint = suggestion(
        name.name,
        (*RANKS, *(f"{COMPLEX} {each}" for each in RANKS)),
        "a field is scalar, vector or tensor, or complex scalar, complex vector",
    )
    scope.fail("S01", f"unknown rank `{name.name}` of `{field_name}`", name.span, hint)
    return None


def _over(name: t.Name | None, scope: Scope) -> Any:
    """The time that a function depends on, if it does."""
    if name is None:
        return None
    if scope.time is not None and name.name == scope.time.name:
        return scope.time
    hint = (
        f"write over {scope.time.name}"
        if scope.time
        else "declare the time first: time t in [0, 1]"
    )
    scope.fail("S01", f"`{name.name}` is not the time", name.span, hint)
    return BROKEN


def _trainable(item: t.Node, kind: str, draft: Draft) -> None:
    """A number to be found, or a function."""
    if not isinstance(item, t.FoundFunction):
        return _given(item, kind, draft)  # type: ignore[arg-type]
    scope, name = draft.scope, bare(item.name.name)
    rank, where, over = (
        _rank(item.rank, name, scope),
        region(item.region, scope),
        _over(item.over, scope),
    )
    first: Any = None if item.value is None else numbers((item.value,), scope)[0]
    drawn: Any = law(item.law, scope, "function") if item.law is not None else (None, None)
    modes = None if item.modes is None else whole_size(item.modes, scope)
    if rank is not None and rank != ("scalar", False):
        hint = "declare one function for each component: trainable kx : scalar on Omega, .."
        scope.fail("T05", f"`{name}` is to be found and not a real scalar", item.rank.span, hint)
        rank = None
    if item.positive is not None and (item.positive[0] != ">" or float(item.positive[1].text) != 0):  # type: ignore[attr-defined]
        scope.fail(
            "S02",
            "a function to be found can be declared positive, and nothing else",
            item.positive[1].span,
            f"write `> 0`; another bound is that of {name} - 1, or of its negative",
        )
        rank = None
    broken = any(isinstance(each, Broken) for each in (where, over, first, drawn))
    if rank is None or broken or (modes is None) != (item.modes is None):
        return scope.declare(item.name, BROKEN, kind)
    made = TrainableField(
        name,
        where,
        drawn[0],
        first,
        item.positive is not None,
        modes,
        over,
        _unit(item.unit, scope),
    )
    try:
        check_found(made)
    except ProblemError as error:
        scope.adopt(error, item.span)
        return scope.declare(item.name, BROKEN, kind)
    if scope.free(item.name, kind):
        draft.params.append(made)
    return scope.declare(item.name, made.symbol, kind)


def _input(item: t.GivenFunction, kind: str, draft: Draft) -> None:
    scope = draft.scope
    rank = _rank(item.rank, item.name.name, scope)
    where = region(item.region, scope)
    drawn: Any = law(item.law, scope, "function") if item.law is not None else None
    size = None
    if isinstance(drawn, tuple):
        drawn, size = drawn
    if size is not None and item.law is not None:
        scope.fail(
            "S02",
            "an input function has no size",
            item.law.span,
            "its rank says how many components it has",
        )
    over = _over(item.over, scope)
    if (
        rank is None
        or isinstance(over, Broken)
        or isinstance(where, Broken)
        or isinstance(drawn, Broken)
    ):
        return scope.declare(item.name, BROKEN, kind)
    try:
        check_tensor(item.name.name, rank[0], scope.coordinates)
    except ProblemError as error:
        scope.adopt(error, item.span)
        return scope.declare(item.name, BROKEN, kind)
    made = Input(
        bare(item.name.name),
        rank[0],
        where,
        drawn,
        item.source,
        over,
        _unit(item.unit, scope),
        rank[1],
        folder_of(item) if item.source is not None else "",
        item.columns,
    )
    if scope.free(item.name, kind):
        draft.inputs.append(made)
    return scope.declare(item.name, made.symbol, kind)


def _unknown(item: t.UnknownFunction, kind: str, draft: Draft) -> None:
    scope = draft.scope
    rank = _rank(item.rank, item.name.name, scope)
    where = region(item.region, scope, (Domain,))
    if item.positive is not None and (item.positive[0] != ">" or float(item.positive[1].text) != 0):  # type: ignore[attr-defined]
        hint = (
            f"write `> 0` here; other bounds are requirements: require {item.name.name} < 1 in"
            f" {getattr(where, 'name', 'Omega')}"
        )
        scope.fail(
            "S02",
            "an unknown can be declared positive, and nothing else",
            item.positive[1].span,
            hint,
        )
    if rank is None or isinstance(where, Broken):
        return scope.declare(item.name, BROKEN, kind)
    time, positive = None if item.steady else scope.time, item.positive is not None
    try:
        check_sign(item.name.name, positive, rank[1])
        check_tensor(item.name.name, rank[0], scope.coordinates)
    except ProblemError as error:
        scope.adopt(error, item.span)
        return scope.declare(item.name, BROKEN, kind)
    made = Unknown(
        bare(item.name.name), rank[0], where, time, positive, _unit(item.unit, scope), rank[1]
    )
    if scope.free(item.name, kind):
        draft.unknowns.append(made)
    return scope.declare(item.name, made.symbol, kind)


_ITEMS: dict[str, Any] = {
    "domain": _domain,
    "boundary": _boundary,
    "const": _given,
    "param": _given,
    "trainable": _trainable,
    "input": _input,
    "unknown": _unknown,
}


# ---- definitions


@declare.register
def _definition(statement: t.Definition, draft: Draft) -> None:
    scope = draft.scope
    scope.place = statement.name.name
    if statement.parameters is None:
        result = value(statement.body, scope)
        scope.declare(statement.name, result, "definition")
        return
    for parameter in statement.parameters:
        # it may bear the name of a field: inside the function it is the argument
        scope.unreserved(parameter, "argument")
    parameters = tuple(parameter.name for parameter in statement.parameters)
    if len(set(parameters)) < len(parameters):
        scope.fail(
            "S05",
            f"`{statement.name.name}` has two arguments of one name",
            statement.span,
            "give each its own name",
        )
    if _known(statement, parameters, scope):
        scope.declare(
            statement.name, Function(statement.name.name, parameters, statement.body), "function"
        )
    else:
        scope.declare(statement.name, BROKEN, "function")


def _known(statement: t.Definition, parameters: tuple[str, ...], scope: Scope) -> bool:
    """Whether all names in the body of a function mean something; reports those that do not."""
    inside = replace(scope, local=dict.fromkeys(parameters, BROKEN))
    before = len(scope.report)
    for node in t.walk(statement.body):
        if isinstance(node, t.Name) and not known_name(node.name, inside):
            inside.unknown(node.name, node.span)
        elif isinstance(node, t.Call) and not known_name(node.function, inside, called=True):
            inside.unknown(node.function, node.span, called=True)
    return len(scope.report) == before


def known_name(name: str, scope: Scope, called: bool = False) -> bool:
    """Whether a name means anything here."""
    if (
        name in scope.local
        or scope.declared(name)
        or name in scope.lost
        or name in ("pi", "I", "i", "n", "theta")
    ):
        return True
    return (
        name in CALLED
        or name in HANDLERS
        or (called and name in LAWS)
        or split_derivative(name, scope.variables) is not None
    )
