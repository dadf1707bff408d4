"""Evaluation of shapes, regions and laws in a text."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import sympy as sp

from pdespec import domains, geometry, laws
from pdespec.calculus import entries
from pdespec.errors import ProblemError, nearest, suggestion
from pdespec.geometry import Boundary, Domain
from pdespec.laws import Law
from pdespec.shapes.described import SHAPES, instantiate, kinds, required
from pdespec.text.read.calls import apply, handles
from pdespec.text.read.evaluate import (
    checked,
    expression,
    kind_of,
    region,
    shape,
    value,
)
from pdespec.text.read.scope import BROKEN, Broken, Scope, folder_of
from pdespec.text.syntax import ast as t
from pdespec.text.syntax.printer import text
from pdespec.vocabulary import CALLED
from pdespec.words import bare

LAWS: dict[str, Callable[..., Law]] = {
    name: getattr(laws, name)
    for name in ("uniform", "loguniform", "normal", "gaussians", "fourier", "grf")
}


# arguments of shapes that are points or vectors
POINTS = ("lower", "upper", "center", "radii", "base", "axis", "vector")


@dataclass(frozen=True, slots=True)
class Naca:
    """The digits of a four-digit section, `naca(0, 0, 12)`."""

    digits: tuple[Any, ...]


def bind(
    node: t.Call, scope: Scope, parameters: tuple[str, ...], required: int
) -> dict[str, t.Node] | Broken:
    """The arguments of a call by parameter name, positional ones in order; reports what is
    missing, unknown or given twice."""
    shown = [f"{name} = [..]" if name in POINTS else f"{name} = ..." for name in parameters]
    usage = f"write {node.function}({', '.join(shown)})"
    if len(node.arguments) > len(parameters):
        return scope.fail(
            "S02",
            f"`{node.function}` takes {len(parameters)} arguments, {len(node.arguments)} given",
            node.span,
            usage,
        )
    order = parameters
    if parameters == ("radius", "center") and isinstance(
        next(iter(node.arguments), None), t.Bracket
    ):
        order = ("center", "radius")  # a point comes first as well: disk([0, 0], 1)
    found = dict(zip(order, node.arguments, strict=False))
    for each in node.keywords:
        if each.name not in parameters:
            known = (*parameters, *(["size"] if node.function in LAWS else []))
            hint = suggestion(each.name, known, usage)
            return scope.fail(
                "S01", f"`{node.function}` has no argument `{each.name}`", each.span, hint
            )
        if each.name in found:
            return scope.fail(
                "S02", f"`{node.function}` is given `{each.name}` twice", each.span, usage
            )
        found[each.name] = each.value
    if missing := [name for name in parameters[:required] if name not in found]:
        return scope.fail(
            "S02",
            f"`{node.function}` lacks {', '.join(f'`{name}`' for name in missing)}",
            node.span,
            usage,
        )
    return found


# ---- shapes


@handles("interval")
def _interval(node: t.Call, scope: Scope) -> Any:
    return _made(domains.make_interval, bind(node, scope, ("start", "end"), 2), node, scope)


@handles("rectangle", "box")
def _box(node: t.Call, scope: Scope) -> Any:
    dim = 2 if node.function == "rectangle" else 3
    return _made(
        lambda lower, upper: domains.make_box(lower, upper, dim),
        bind(node, scope, ("lower", "upper"), 2),
        node,
        scope,
    )


@handles("disk")
def _disk(node: t.Call, scope: Scope) -> Any:
    return _made(domains.make_disk, bind(node, scope, ("radius", "center"), 1), node, scope)


@handles("ball")
def _ball(node: t.Call, scope: Scope) -> Any:
    return _made(domains.make_ball, bind(node, scope, ("radius", "center"), 1), node, scope)


@handles("star")
def _star(node: t.Call, scope: Scope) -> Any:
    arguments = bind(node, scope, ("radius", "center"), 1)
    inside = replace(scope, local={**scope.local, "theta": geometry.THETA})
    return _made(domains.make_star, arguments, node, inside)


@handles("polygon")
def _polygon(node: t.Call, scope: Scope) -> Any:
    if node.keywords:
        return scope.fail(
            "S02",
            "`polygon` takes its corners without names",
            node.span,
            "write polygon([0, 0], [1, 0], [0, 1])",
        )
    corners = [expression(argument, scope) for argument in node.arguments]
    if len(corners) == 1 and isinstance(corners[0], sp.MatrixBase) and corners[0].cols > 1:
        corners = [corners[0][i, :] for i in range(corners[0].rows)]
    return checked(
        lambda *points: domains.make_polygon([_point(point) for point in points]),
        corners,
        node.span,
        scope,
    )


@handles(*SHAPES)
def _described(node: t.Call, scope: Scope) -> Any:
    kind = SHAPES[node.function]
    arguments = bind(node, scope, tuple(kinds(kind)), required(kind))
    return _made(partial(instantiate, kind), arguments, node, scope)


@handles("cylinder")
def _cylinder(node: t.Call, scope: Scope) -> Any:
    return _made(
        domains.make_cylinder,
        bind(node, scope, ("radius", "height", "base", "axis"), 2),
        node,
        scope,
    )


@handles("mesh")
def _mesh(node: t.Call, scope: Scope) -> Any:
    arguments = bind(node, scope, ("path", "scale"), 1)
    if isinstance(arguments, Broken):
        return BROKEN
    path = _quoted(arguments["path"], scope, 'write mesh("part.msh")')
    scale = expression(arguments["scale"], scope) if "scale" in arguments else 1
    folder = folder_of(node)
    return checked(
        lambda p, s: domains.make_mesh(p, len(scope.coordinates), s, folder),
        [path, scale],
        node.span,
        scope,
    )


def _quoted(node: t.Node, scope: Scope, usage: str) -> Any:
    """The text in quotes that a node is."""
    return (
        node.text
        if isinstance(node, t.Quoted)
        else scope.fail("T05", "a name in quotes belongs here", node.span, usage)
    )


PLACED: dict[str, tuple[Callable[..., Any], tuple[str, ...]]] = {
    "moved": (domains.moved, ("vector",)),
    "rotated": (domains.rotated, ("angle", "center", "axis")),
    "scaled": (domains.scaled, ("factor", "center")),
    "extruded": (domains.make_extruded, ("height",)),
}


@handles(*PLACED)
def _placed(node: t.Call, scope: Scope) -> Any:
    make, parameters = PLACED[node.function]
    arguments = bind(node, scope, ("shape", *parameters), 2)
    if isinstance(arguments, Broken):
        return BROKEN
    placed = shape(arguments.pop("shape"), scope)
    return (
        BROKEN
        if isinstance(placed, Broken)
        else _made(lambda **values: make(placed, **values), arguments, node, scope)
    )


@handles("naca")
def _naca(node: t.Call, scope: Scope) -> Any:
    digits = [expression(argument, scope) for argument in node.arguments]
    if any(isinstance(digit, Broken) for digit in digits):
        return BROKEN
    return Naca(tuple(digits))


@handles("airfoil")
def _airfoil(node: t.Call, scope: Scope) -> Any:
    arguments = bind(node, scope, ("digits", "displacement"), 1)
    if isinstance(arguments, Broken):
        return BROKEN
    section = value(arguments["digits"], scope)
    displaced = expression(arguments["displacement"], scope) if "displacement" in arguments else ()
    if isinstance(section, Broken) or isinstance(displaced, Broken):
        return BROKEN
    if not isinstance(section, Naca):
        return scope.fail(
            "T05",
            f"{kind_of(section)} is not an airfoil section",
            arguments["digits"].span,
            "write airfoil(naca(0, 0, 12))",
        )
    return checked(lambda: domains.make_airfoil(section.digits, displaced), [], node.span, scope)


@handles("lattice")
def _lattice(node: t.Call, scope: Scope) -> Any:
    arguments = bind(node, scope, ("shape", "nx", "ny"), 3)
    if isinstance(arguments, Broken):
        return BROKEN
    copied = shape(arguments["shape"], scope)
    return checked(
        domains.lattice,
        [copied, *(expression(arguments[name], scope) for name in ("nx", "ny"))],
        node.span,
        scope,
    )


@handles("exterior")
def _exterior(node: t.Call, scope: Scope) -> Any:
    arguments = bind(node, scope, ("body", "farfield"), 2)
    if isinstance(arguments, Broken):
        return BROKEN
    return checked(
        domains.exterior,
        [shape(arguments[name], scope) for name in ("body", "farfield")],
        node.span,
        scope,
    )


def _made(
    make: Callable[..., Any], arguments: dict[str, t.Node] | Broken, node: t.Call, scope: Scope
) -> Any:
    """A shape of numbers and points."""
    if isinstance(arguments, Broken):
        return BROKEN
    values = {name: expression(argument, scope) for name, argument in arguments.items()}
    if any(isinstance(each, Broken) for each in values.values()):
        return BROKEN
    points = {name: _point(each) if name in POINTS else each for name, each in values.items()}
    return checked(lambda: make(**points), [], node.span, scope)


def _point(value: Any) -> tuple[Any, ...]:
    return tuple(entries(value))


# ---- boundaries


@handles("boundary")
def _boundary(node: t.Call, scope: Scope) -> Any:
    node, held = _divided(node, scope)
    arguments = bind(node, scope, ("domain", "part"), 1)
    if isinstance(arguments, Broken):
        return BROKEN
    domain = region(arguments["domain"], scope, (Domain,))
    part = value(arguments["part"], scope) if "part" in arguments else None
    return checked(
        lambda d, p, w: geometry.boundary(d, p, where=w), [domain, part, held], node.span, scope
    )


def _divided(node: t.Call, scope: Scope) -> tuple[t.Call, Any]:
    """The call of a boundary without the inequalities among its arguments, and these."""
    tests = [each for each in node.arguments if isinstance(each, (t.Comparison, t.Logic, t.Not))]
    held = [value(each, scope) for each in tests]
    plain = replace(node, arguments=tuple(each for each in node.arguments if each not in tests))
    return plain, BROKEN if any(isinstance(each, Broken) for each in held) else tuple(held)


@handles("inner", "outer")
def _inner_or_outer(node: t.Call, scope: Scope) -> Any:
    node, held = _divided(node, scope)
    if len(node.arguments) > 1:  # the tensor products of the same names
        return apply(CALLED[node.function], node, scope)
    arguments = bind(node, scope, ("domain",), 1)
    if isinstance(arguments, Broken):
        return BROKEN
    domain = region(arguments["domain"], scope, (Domain,))
    make = geometry.inner if node.function == "inner" else geometry.outer
    return checked(lambda d, w: make(d, where=w), [domain, held], node.span, scope)


@handles("side")
def _side(node: t.Call, scope: Scope) -> Any:
    node, held = _divided(node, scope)
    if len(node.arguments) != 1 or len(node.keywords) != 1:
        axis = scope.coordinates[-1].name if scope.coordinates else "x"
        return scope.fail(
            "S02",
            "`side` takes a domain and one coordinate with its value",
            node.span,
            f"write side(Omega, {axis} = 1)",
        )
    domain = region(node.arguments[0], scope, (Domain,))
    (place,) = node.keywords
    at = expression(place.value, scope)
    return checked(
        lambda d, v, w: geometry.side(d, None, w, **{bare(place.name): v}),
        [domain, at, held],
        node.span,
        scope,
    )


@handles("group")
def _group(node: t.Call, scope: Scope) -> Any:
    node, held = _divided(node, scope)
    arguments = bind(node, scope, ("domain", "name"), 2)
    if isinstance(arguments, Broken):
        return BROKEN
    domain = region(arguments["domain"], scope, (Domain,))
    named = _quoted(arguments["name"], scope, 'write group(Omega, "wall")')
    return checked(
        lambda d, g, w: geometry.group(d, g, where=w), [domain, named, held], node.span, scope
    )


@handles("rest")
def _rest(node: t.Call, scope: Scope) -> Any:
    if not node.arguments or node.keywords:
        return scope.fail(
            "S02",
            "`rest` takes a domain and the boundaries to leave out",
            node.span,
            "write rest(Omega), or rest(Omega, lid)",
        )
    domain = region(node.arguments[0], scope, (Domain,))
    others = [region(argument, scope, (Boundary,)) for argument in node.arguments[1:]]
    if isinstance(domain, Domain) and not others:
        others = [
            entry.value for entry in scope.entries.values() if isinstance(entry.value, Boundary)
        ]
        others = [
            each
            for each in others
            if domain in geometry.sharing(each)
            and each.kind not in ("rest", "level")
            and (each.kind != "all" or each.where)
        ]
        if any(
            isinstance(entry.value, Broken) and entry.kind == "boundary"
            for entry in scope.entries.values()
        ):
            return BROKEN
        others = others or _in_conditions(domain, scope)
    return checked(geometry.rest, [domain, *others], node.span, scope)


def _in_conditions(domain: Domain, scope: Scope) -> list[Any]:
    """The parts of the boundary of a domain that conditions name where they occur, `on side(Omega,
    x = 0):`, but for `rest` and the whole."""
    named = [region(node, scope, (Boundary,)) for node in scope.in_place]
    if any(isinstance(each, Broken) for each in named):
        return [BROKEN]
    return [
        each
        for each in dict.fromkeys(named)
        if domain in geometry.sharing(each) and (each.kind != "all" or each.where)
    ]


@handles("interface")
def _interface(node: t.Call, scope: Scope) -> Any:
    arguments = bind(node, scope, ("domain", "other"), 2)
    if isinstance(arguments, Broken):
        return BROKEN
    domain = region(arguments["domain"], scope, (Domain,))
    return checked(geometry.interface, [domain, value(arguments["other"], scope)], node.span, scope)


# ---- laws


@handles(*LAWS)
def _misplaced_law(node: t.Call, scope: Scope) -> Any:
    hint = (
        f"draw a param from it, param c ~ {text(node)}, and write c here"
        if _draws(node.function) == "number"
        else "laws follow `~`"
    )
    return scope.fail(
        "T05", f"the law `{node.function}` appears where an expression is expected", node.span, hint
    )


def law(node: t.Node, scope: Scope, draws: str) -> tuple[Law, int | None] | Broken:
    """The law a node stands for, and the `size` given with it. `draws` is "number" or
    "function"."""
    if not isinstance(node, t.Call) or node.function not in LAWS:
        name = (
            node.function
            if isinstance(node, t.Call)
            else node.name
            if isinstance(node, t.Name)
            else None
        )
        near = nearest(name, LAWS) if name else None
        laws_here = [each for each in LAWS if _draws(each) == draws]
        hint = f"did you mean `{near}`?" if near else f"laws of a {draws}: {', '.join(laws_here)}"
        return scope.fail(
            "S01",
            f"unknown law `{name}`" if name else "a law is expected after `~`",
            node.span,
            hint,
        )
    make = LAWS[node.function]
    parameters = inspect.signature(make).parameters
    required = sum(each.default is inspect.Parameter.empty for each in parameters.values())
    sizes = [each.value for each in node.keywords if each.name == "size"]
    sizeless = replace(node, keywords=tuple(each for each in node.keywords if each.name != "size"))
    arguments = bind(sizeless, scope, tuple(parameters), required)
    if isinstance(arguments, Broken):
        return BROKEN
    values = {name: expression(argument, scope) for name, argument in arguments.items()}
    if any(isinstance(each, Broken) for each in values.values()):
        return BROKEN
    try:
        made = make(**values)
    except ProblemError as error:
        return scope.adopt(error, node.span)
    if made.draws != draws:
        laws_here = ", ".join(each for each in LAWS if _draws(each) == draws)
        return scope.fail(
            "T05",
            f"`{node.function}` draws a {made.draws}, a {draws} is needed here",
            node.span,
            f"use one of {laws_here}",
        )
    return made, whole_size(sizes[0], scope) if sizes else None


def _draws(name: str) -> str:
    return (
        "number"
        if issubclass(
            inspect.signature(LAWS[name], eval_str=True).return_annotation, laws.NumberLaw
        )
        else "function"
    )


def whole_size(node: t.Node, scope: Scope) -> int | None:
    """How many numbers a param is; None, reported, for what counts nothing."""
    size = expression(node, scope)
    if isinstance(size, Broken):
        return None
    if not (isinstance(size, sp.Integer) and 1 <= size <= MAX_SIZE):
        scope.fail(
            "S02",
            f"size = {size} is not a whole number from 1 to {MAX_SIZE}",
            node.span,
            "size counts the numbers drawn",
        )
        return None
    return int(size)


MAX_SIZE = 1000
