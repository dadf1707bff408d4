"""From shapes, boundaries and laws back to the syntax tree."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable
from functools import singledispatch
from typing import Any

import sympy as sp

from pdespec import geometry as g
from pdespec.laws import Law, NumberLaw
from pdespec.shapes.described import Described, kinds
from pdespec.text.read.regions import LAWS
from pdespec.text.syntax import ast as t

LAW_NAMES = {
    inspect.signature(make, eval_str=True).return_annotation: name for name, make in LAWS.items()
}

Express = Callable[[Any], t.Node]  # writes an expression


def law(value: Law, size: int | None, express: Express) -> t.Node:
    """The expression that makes a law."""
    written = {name: express(sp.sympify(each)) for name, each in value.arguments.items()}
    keywords = (
        ()
        if isinstance(value, NumberLaw)
        else tuple(t.Keyword(name, each) for name, each in written.items())
    )
    sized = (t.Keyword("size", t.Number(str(size))),) if size is not None else ()
    return t.Call(
        LAW_NAMES[type(value)],
        tuple(written.values()) if isinstance(value, NumberLaw) else (),
        keywords + sized,
    )


# ---- shapes


def _point(values: Iterable[Any], express: Express) -> t.Node:
    return t.Bracket(tuple(express(value) for value in values))


def _centred(name: str, radius: Any, center: tuple[Any, ...], express: Express) -> t.Node:
    keywords = (t.Keyword("radius", express(radius)),)
    return t.Call(
        name,
        (),
        keywords if not any(center) else (*keywords, t.Keyword("center", _point(center, express))),
    )


@singledispatch
def shape(value: Any, express: Express) -> t.Node:
    """The expression that makes a shape."""
    raise TypeError(f"{type(value).__name__} has no text form")


@shape.register
def _interval(value: g.Interval, express: Express) -> t.Node:
    return t.Call("interval", (express(value.start), express(value.end)))


@shape.register
def _rectangle(value: g.Rectangle, express: Express) -> t.Node:
    return t.Call("rectangle", (_point(value.lower, express), _point(value.upper, express)))


@shape.register
def _box(value: g.Box, express: Express) -> t.Node:
    return t.Call("box", (_point(value.lower, express), _point(value.upper, express)))


@shape.register
def _disk(value: g.Disk, express: Express) -> t.Node:
    return _centred("disk", value.radius, value.center, express)


@shape.register
def _ball(value: g.Ball, express: Express) -> t.Node:
    return _centred("ball", value.radius, value.center, express)


@shape.register
def _star(value: g.Star, express: Express) -> t.Node:
    return _centred("star", value.radius, value.center, express)


@shape.register
def _polygon(value: g.Polygon, express: Express) -> t.Node:
    return t.Call("polygon", tuple(_point(point, express) for point in value.points))


@shape.register
def _airfoil(value: g.Airfoil, express: Express) -> t.Node:
    section = t.Call("naca", tuple(t.Number(str(digit)) for digit in value.digits))
    displaced = (
        (t.Keyword("displacement", express(sp.ImmutableMatrix(value.displacement))),)
        if value.displacement
        else ()
    )
    return t.Call("airfoil", (section,), displaced)


@shape.register
def _lattice(value: g.Lattice, express: Express) -> t.Node:
    return t.Call(
        "lattice", (shape(value.shape, express), t.Number(str(value.nx)), t.Number(str(value.ny)))
    )


@shape.register
def _exterior(value: g.Exterior, express: Express) -> t.Node:
    return t.Call(
        "exterior",
        (shape(value.body, express),),
        (t.Keyword("farfield", shape(value.farfield, express)),),
    )


@shape.register
def _described(value: Described, express: Express) -> t.Node:
    defaults = {each.name: each.default for each in dataclasses.fields(value)}
    written = tuple(
        t.Keyword(name, _point(each, express) if kind.many else express(each))
        for name, kind in kinds(type(value)).items()
        if (each := getattr(value, name)) != defaults[name]
    )
    return t.Call(type(value).__name__.lower(), (), written)


@shape.register
def _cylinder(value: g.Cylinder, express: Express) -> t.Node:
    base = (t.Keyword("base", _point(value.base, express)),) if any(value.base) else ()
    axis = (t.Keyword("axis", _point(value.axis, express)),) if value.axis != (0, 0, 1) else ()
    numbers = (
        t.Keyword("radius", express(value.radius)),
        t.Keyword("height", express(value.height)),
    )
    return t.Call("cylinder", (), (*numbers, *base, *axis))


@shape.register
def _mesh(value: g.Mesh, express: Express) -> t.Node:
    grown = (t.Keyword("scale", express(value.scale)),) if value.scale != 1 else ()
    read = t.Call("mesh", (t.Quoted(value.path),), grown)
    return t.Call("moved", (read, _point(value.shift, express))) if any(value.shift) else read


@shape.register
def _extruded(value: g.Extruded, express: Express) -> t.Node:
    return t.Call("extruded", (shape(value.shape, express), express(value.height)))


@shape.register
def _moved(value: g.Moved, express: Express) -> t.Node:
    return t.Call("moved", (shape(value.shape, express), _point(value.vector, express)))


@shape.register
def _rotated(value: g.Rotated, express: Express) -> t.Node:
    axis = (
        (t.Keyword("axis", _point(value.axis, express)),)
        if value.axis not in ((), (0, 0, 1))
        else ()
    )
    return t.Call(
        "rotated",
        (shape(value.shape, express), express(value.angle)),
        (*_about(value.center, express), *axis),
    )


@shape.register
def _scaled(value: g.Scaled, express: Express) -> t.Node:
    return t.Call(
        "scaled",
        (shape(value.shape, express), express(value.factor)),
        _about(value.center, express),
    )


def _about(center: Iterable[Any], express: Express) -> tuple[t.Keyword, ...]:
    return (t.Keyword("center", _point(center, express)),) if any(center) else ()


@shape.register
def _union(value: g.Union, express: Express) -> t.Node:
    return t.Sum(shape(value.a, express), (("+", shape(value.b, express)),))


@shape.register
def _difference(value: g.Difference, express: Express) -> t.Node:
    return t.Sum(shape(value.a, express), (("-", shape(value.b, express)),))


@shape.register
def _intersection(value: g.Intersection, express: Express) -> t.Node:
    return t.Intersection(shape(value.a, express), shape(value.b, express))
