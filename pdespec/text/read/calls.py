"""Evaluation of calls in a text: built-ins, derivatives, the user's functions, and handlers
registered by `handles`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import sympy as sp

from pdespec import calculus
from pdespec.beyond import DELAY
from pdespec.calculus import split_derivative
from pdespec.coordinates import Time, as_exact
from pdespec.errors import nearest
from pdespec.geometry import Domain
from pdespec.jets import value_at
from pdespec.symbols import FoundField, Scalar
from pdespec.text.read.evaluate import (
    checked,
    condition,
    expression,
    kind_of,
    region,
    value,
)
from pdespec.text.read.scope import BROKEN, Broken, Function, Scope
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.vocabulary import CALLED, WORDS, Word
from pdespec.words import CONDITIONS

MAX_ARGUMENT = 600  # of exp, sinh and cosh of a number: the result stays a floating-point number
MAX_ORDER = 12  # of a written derivative
MAX_CALLS = 40  # user functions in user functions
MAX_EVALUATIONS = 1000  # of user functions with different arguments, in one problem

HANDLERS: dict[str, Callable[[t.Call, Scope], Any]] = {}
"""Calls that need more than their evaluated arguments: integral, entry, derivatives by `d`;
shapes and regions join in regions.py."""


def handles(
    *names: str,
) -> Callable[[Callable[[t.Call, Scope], Any]], Callable[[t.Call, Scope], Any]]:
    """Enters a function as the meaning of calls of the given names."""

    def enter(function: Callable[[t.Call, Scope], Any]) -> Callable[[t.Call, Scope], Any]:
        for name in names:
            HANDLERS[name] = function
        return function

    return enter


@value.register
def _call(node: t.Call, scope: Scope) -> Any:
    name = node.function
    if name in scope.local or (name in scope.entries and name != "d"):
        return _call_named(node, scope)
    letters = split_derivative(name, scope.variables)
    if node.keywords and (name in WORDS or name in ("d", *CONDITIONS) or letters):
        first = node.keywords[0]
        if name in CONDITIONS:
            hint = (
                f"write equal({first.name}, {text(first.value)}), or with < or >, which hold on"
                " more than a line"
            )
            return scope.fail("S02", f"`=` in a condition of `{name}`", first.span, hint)
        return scope.fail(
            "S02",
            f"`{name}` takes no argument named `{first.name}`",
            first.span,
            "write its arguments without names",
        )
    if name in HANDLERS:
        return HANDLERS[name](node, scope)
    if letters:
        return _derivative(node, letters, scope)
    if name in CALLED:
        return apply(CALLED[name], node, scope)
    if split_derivative(name, (*scope.variables, "t")):
        return scope.fail(
            "B04",
            f"`{name}` differentiates by time, and the problem has none",
            node.span,
            "declare it: time t in [0, 1]",
        )
    return scope.unknown(name, node.span, called=True)


def _call_named(node: t.Call, scope: Scope) -> Any:
    called = scope.lookup(node.function, node.span)
    if isinstance(called, Broken):
        return BROKEN
    if isinstance(called, Function):
        return _call_function(called, node, scope)
    entry = scope.entries.get(node.function)
    if entry is not None and (
        entry.kind in ("unknown", "input") or isinstance(entry.value, FoundField)
    ):
        if _delayed(node, scope):
            asked, cure = DELAY
            message = f"`{text(node)}` asks for {asked}, which the language does not have"
            return scope.fail("N01", message, node.span, cure)
        if scope.pointwise:
            return _at_point(node, called, scope)
        message = f"`{node.function}` is evaluated at a point, inside an equation"
        hint = (
            f"write `{node.function}`, it depends on {', '.join(scope.variables)} already; values"
            " at a point belong in `on` and `at`"
        )
        return scope.fail("W07", message, node.span, hint)
    one = len(node.arguments) == 1 and not node.keywords
    hint = (
        f"write {node.function}*({text(node.arguments[0])})"
        if one
        else "only functions take arguments: k(w) := 1 + w^2"
    )
    return scope.fail(
        "S04", f"`{node.function}` is {kind_of(called)} and takes no arguments", node.span, hint
    )


def _at_point(node: t.Call, field: Any, scope: Scope) -> Any:
    """A field at a point in space, at any time or a given one: `u(0.5, 1)`, `u(0.5, 1, t)`,
    `u(0.5, 1, 2)`."""
    arguments = [expression(argument, scope) for argument in node.arguments]
    if any(isinstance(argument, Broken) for argument in arguments):
        return BROKEN
    own = calculus.entries(field)[0].args
    spatial = sum(not isinstance(each, Time) for each in own)
    if len(arguments) == spatial:
        arguments = [*arguments, *own[spatial:]]
    usage = f"{node.function}({', '.join(map(str, own))})"
    if node.keywords or len(arguments) != len(own):
        return scope.fail(
            "S02",
            f"`{node.function}` is asked for at a point of {_count(spatial)}",
            node.span,
            f"write {usage} with numbers",
        )
    for argument, variable in zip(arguments, own, strict=True):
        free = getattr(argument, "free_symbols", {None}) - (
            {variable} if isinstance(variable, Time) else set()
        )
        if any(not isinstance(symbol, Scalar) for symbol in free) or isinstance(
            argument, sp.MatrixBase
        ):
            message = f"`{text(node)}` is not a value at one point"
            return scope.fail(
                "W07",
                message,
                node.span,
                f"give numbers or params in {usage}, or write `{node.function}` for the field"
                " itself",
            )
    moved = [entry.func(*arguments) for entry in calculus.entries(field)]
    return sp.ImmutableMatrix(*field.shape, moved) if isinstance(field, sp.MatrixBase) else moved[0]


@handles("at")
def _value_at(node: t.Call, scope: Scope) -> Any:
    """`at(dx(u), [0.5, 1])`: an expression at a point, at any time or at a given one."""
    usage = f"write at(e, {_point_of(scope)})"
    if len(node.arguments) != 2:
        return scope.fail(
            "S02",
            f"`at` takes an expression and a point, {_count(len(node.arguments))} given",
            node.span,
            usage,
        )
    what, where = (expression(each, scope) for each in node.arguments)
    if isinstance(what, Broken) or isinstance(where, Broken):
        return BROKEN
    if not scope.pointwise:
        return scope.fail(
            "W07",
            f"`{text(node)}` is a value at a point, inside an equation",
            node.span,
            "name it as an output, output q := at(..); a condition at a point goes on a line of"
            " its own, at (0, 0): u = 0",
        )
    variables = (*scope.coordinates, *([scope.time] if scope.time is not None else []))
    numbers = calculus.entries(where)
    if not len(scope.coordinates) <= len(numbers) <= len(variables):
        return scope.fail(
            "T06",
            f"`{text(node.arguments[1])}` is not a point: it has {len(numbers)} coordinates",
            node.arguments[1].span,
            usage,
        )
    if any(not isinstance(each, Scalar) for number in numbers for each in number.free_symbols):
        return scope.fail(
            "W07",
            f"`{text(node.arguments[1])}` is not one point",
            node.arguments[1].span,
            "give numbers or params",
        )
    place = dict(zip(variables, numbers, strict=False))
    return checked(lambda e: value_at(e, place), [what], node.span, scope)


def _point_of(scope: Scope) -> str:
    names = [x.name for x in scope.coordinates]
    return f"[{', '.join(names)}]" if len(names) > 1 else "".join(names)


def _delayed(node: t.Call, scope: Scope) -> bool:
    """Whether a field is asked for at another time that goes along with the present one: `u(x, t
    - 1)`."""
    now = scope.time.name if scope.time is not None else None
    moved = [
        each
        for each in (*node.arguments, *(each.value for each in node.keywords))
        if not isinstance(each, t.Name)
    ]
    return any(
        isinstance(part, t.Name) and part.name == now for each in moved for part in t.walk(each)
    )


def _call_function(function: Function, node: t.Call, scope: Scope) -> Any:
    if node.keywords or len(node.arguments) != len(function.parameters):
        usage = f"{function.name}({', '.join(function.parameters)})"
        given = len(node.arguments) + len(node.keywords)
        return scope.fail(
            "S02",
            f"`{function.name}` takes {_count(len(function.parameters))}, {given} given",
            node.span,
            f"write {usage}",
        )
    arguments = [expression(argument, scope) for argument in node.arguments]
    if any(isinstance(argument, Broken) for argument in arguments):
        return BROKEN
    key = (function.name, *arguments)
    if key in scope.called:
        return scope.called[key]
    if scope.calls >= MAX_CALLS or len(scope.called) >= MAX_EVALUATIONS:
        message = f"functions call each other more than {MAX_CALLS} deep or {MAX_EVALUATIONS} times"
        return scope.fail("S02", message, node.span, "write the inner ones out")
    inside = replace(
        scope, local=dict(zip(function.parameters, arguments, strict=True)), calls=scope.calls + 1
    )
    before = len(scope.report)
    result = expression(function.body, inside)
    for i in range(before, len(scope.report)):
        problem = scope.report[i]
        scope.report[i] = replace(
            problem,
            message=f"{problem.message} (in `{function.name}`, called here)",
            span=node.span,
        )
    scope.called[key] = result
    return result


def apply(word: Word, node: t.Call, scope: Scope) -> Any:
    """The value of an operator of the language for the arguments of a call; what is wrong with
    them goes into the report of the scope."""
    arguments = [expression(argument, scope) for argument in node.arguments]
    if not word.least <= len(arguments) <= word.most:
        wanted = (
            _count(word.least)
            if word.least == word.most
            else f"{word.least} to {word.most} arguments"
        )
        return scope.fail(
            "S02",
            f"`{node.function}` takes {wanted}, {len(arguments)} given",
            node.span,
            f"write {word.usage}",
        )
    if node.function in ("exp", "sinh", "cosh") and _exceeds(
        arguments[0], MAX_ARGUMENT, both=node.function != "exp"
    ):
        hint = "scale the problem: choose units in which its numbers are near 1"
        return scope.fail("S02", "this number is too large", node.span, hint)
    return checked(word.function, arguments, node.span, scope)


def _exceeds(argument: Any, bound: float, both: bool) -> bool:
    """Whether an argument is a number whose real part is above a bound, or below minus that
    bound as well."""
    if not isinstance(argument, sp.Expr) or not argument.is_number:
        return False
    size = complex(argument.evalf(15)).real
    return (abs(size) if both else size) > bound


@handles("integral")
def _integral(node: t.Call, scope: Scope) -> Any:
    if len(node.arguments) == 1:
        domains = [name for name, entry in scope.entries.items() if isinstance(entry.value, Domain)]
        density = "psi" if not isinstance(node.arguments[0], t.Name) else node.arguments[0].name
        return scope.fail(
            "V01",
            "integral without a region",
            node.span,
            f"write integral({density}, {domains[0] if domains else 'Omega'})",
        )
    if len(node.arguments) != 2:
        return scope.fail(
            "S02",
            f"`integral` takes 2 arguments, {len(node.arguments)} given",
            node.span,
            "write integral(psi, Omega)",
        )
    density, over = expression(node.arguments[0], scope), region(node.arguments[1], scope)
    return checked(calculus.integral, [density, over], node.span, scope)


@handles("if")
def _if(node: t.Call, scope: Scope) -> Any:
    """`if(c1, a, c2, b, otherwise)`: the first value whose condition holds."""
    given = node.arguments
    usage = "write if(condition, value, otherwise), or if(c1, a, c2, b, otherwise)"
    if len(given) < 2:
        return scope.fail(
            "S02", f"`if` takes 3, 5, 7, .. arguments, {len(given)} given", node.span, usage
        )
    if len(given) % 2 == 0:
        return scope.fail(
            "V05", "`if` has no value where its conditions do not hold", node.span, usage
        )
    conditions = [condition(each, scope) for each in given[:-1:2]]
    values = [expression(each, scope) for each in (*given[1::2], given[-1])]
    if any(isinstance(each, Broken) for each in (*conditions, *values)):
        return BROKEN
    shapes = [getattr(each, "shape", None) for each in values]
    for each, written, size in zip(values, (*given[1::2], given[-1]), shapes, strict=True):
        if size != shapes[0]:
            message = (
                f"the values of `if` are {calculus.describe(values[0])} and"
                f" {calculus.describe(each)}"
            )
            return scope.fail("T01", message, written.span, "give all of them one rank and size")
    return checked(lambda: _chosen(values, conditions), [], node.span, scope)


def _chosen(values: list[Any], conditions: list[Any]) -> Any:
    """The first value whose condition holds, the last where none does; of vectors and tensors
    entry by entry."""
    if isinstance(values[0], sp.MatrixBase):
        rows, columns = values[0].shape
        return sp.ImmutableMatrix(
            rows, columns, lambda i, j: _chosen([each[i, j] for each in values], conditions)
        )
    return as_exact(sp.Piecewise(*zip(values, (*conditions, True), strict=True)))


@handles("equal")
def _equal(node: t.Call, scope: Scope) -> Any:
    sides = [expression(each, scope) for each in node.arguments]
    if len(sides) != 2 or any(isinstance(each, sp.MatrixBase) for each in sides):
        return scope.fail("S02", "`equal` compares two scalars", node.span, "write equal(x, 0)")
    return BROKEN if any(isinstance(each, Broken) for each in sides) else sp.Eq(*sides)


@handles("xor")
def _xor(node: t.Call, scope: Scope) -> Any:
    parts = [condition(each, scope) for each in node.arguments]
    return BROKEN if any(isinstance(each, Broken) for each in parts) else sp.Xor(*parts)


@handles("entry")
def _entry(node: t.Call, scope: Scope) -> Any:
    if len(node.arguments) not in (2, 3):
        return scope.fail(
            "S02",
            f"`entry` takes 2 or 3 arguments, {len(node.arguments)} given",
            node.span,
            "write entry(d, 0) or entry(T, 0, 1)",
        )
    base, *places = (expression(argument, scope) for argument in node.arguments)
    if any(isinstance(each, Broken) for each in (base, *places)):
        return BROKEN
    if not isinstance(base, sp.MatrixBase) or (base.cols == 1) != (len(places) == 1):
        return scope.fail(
            "T02",
            f"`entry` with {len(places)} places of {calculus.describe(base)}",
            node.span,
            "write entry(v, i) or entry(T, i, j)",
        )
    for place, limit in zip(places, base.shape, strict=False):
        if not (place.is_Integer and 0 <= place < limit):
            return scope.fail(
                "S02",
                f"`entry` has no place {place}",
                node.span,
                f"places count from 0 to {limit - 1}",
            )
    return base[int(places[0]), int(places[1]) if len(places) > 1 else 0]


def _derivative(node: t.Call, letters: tuple[str, ...], scope: Scope) -> Any:
    if len(node.arguments) != 1:
        return scope.fail(
            "S02",
            f"`{node.function}` takes 1 argument, {len(node.arguments)} given",
            node.span,
            f"write {node.function}(u)",
        )
    return _differentiate(expression(node.arguments[0], scope), letters, node, scope)


@handles("d")
def _derivative_by(node: t.Call, scope: Scope) -> Any:
    if len(node.arguments) < 2:
        return scope.fail(
            "S02",
            "`d` takes an expression and the coordinates to differentiate by",
            node.span,
            "write d(u, x, x, y)",
        )
    first, *others = node.arguments
    letters = []
    for other in others:
        if not (isinstance(other, t.Name) and other.name in scope.variables):
            near = nearest(other.name, scope.variables) if isinstance(other, t.Name) else None
            hint = (
                f"did you mean `{near}`?"
                if near
                else "diff(psi, F) differentiates by an expression"
            )
            return scope.fail("S01", "`d` differentiates by coordinates only", other.span, hint)
        letters.append(other.name)
    return _differentiate(expression(first, scope), tuple(letters), node, scope)


def _differentiate(operand: Any, letters: tuple[str, ...], node: t.Call, scope: Scope) -> Any:
    if len(letters) > MAX_ORDER:
        return scope.fail(
            "S02",
            f"a derivative of order {len(letters)}, more than {MAX_ORDER}",
            node.span,
            "introduce an unknown for a lower derivative",
        )
    variables: dict[str, Any] = {x.name: x for x in scope.coordinates}
    if scope.time is not None:
        variables[scope.time.name] = scope.time
    return checked(
        calculus.d, [operand, *(variables[letter] for letter in letters)], node.span, scope
    )


def _count(number: int) -> str:
    return f"{number} argument" + ("" if number == 1 else "s")
