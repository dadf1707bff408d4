"""A problem in the coordinates and sizes of a frame: a pure pass, problem in, problem out.

Every statement keeps its form (`div(k*grad(u))` stays a divergence), its label and its place in the
text; residuals are divided by their sizes. Names stay; what they mean is in the frame's units. The
input laws draw what the user's laws draw, carried into the frame.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from functools import lru_cache, singledispatchmethod
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from compiler.lowering.frame import Frame
from pdespec import geometry as shapes
from pdespec.calculus import Integral
from pdespec.coordinates import Coordinate, Time
from pdespec.geometry import Domain, Region, Shape
from pdespec.jets import expand_derivatives
from pdespec.laws import FunctionLaw, Gaussian, Law, LogUniform, Uniform
from pdespec.shapes.described import Described, kinds
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem
from pdespec.statements.statements import (
    Condition,
    Equation,
    Functional,
    IntegralRequirement,
    Requirement,
)
from pdespec.symbols import Input, Param, Scalar, Unknown, component_function


@dataclass(frozen=True)
class Carried(FunctionLaw):
    """What the law of an input of the user's draws, or its file holds, as a function of the
    frame's coordinates and in its size."""

    declaration: Input
    frame: Frame


class Unscalable(Exception):
    """A shape without a rule here: its problem keeps the coordinates it was written in."""


def term_units(problem: Problem, frame: Frame) -> dict[str, float]:
    """What each term of the loss of the problem in a frame is to be multiplied by to be one of
    the problem as it was written, by name."""
    found = {label: float(size) ** 2 for label, size in frame.statements.items()}
    for name in flux_conditions(problem):
        size = next(
            (
                frame.statements[label]
                for label in name.split(".")[:-1]
                if label in frame.statements
            ),
            sp.S.One,
        )
        found[name] = float(size * frame.length) ** 2
    for number, (_, size) in enumerate(_with_sizes(problem.functionals, frame.functionals), 1):
        found["energy" if len(problem.functionals) == 1 else f"energy{number}"] = float(size)
    for number, (each, size) in enumerate(_with_sizes(problem.requirements, frame.requirements), 1):
        # to what is asked for: a number without unit
        relative = isinstance(each, IntegralRequirement) and each.value != 0
        found[f"require{number}"] = 1.0 if relative else float(size) ** 2
    if len(problem.unknowns) == 1:
        (size,) = (float(frame.fields.get(name, 1)) for name in problem.unknowns)
        found |= {f"{label}.error": size**2 for label in problem.equations}
    return found


class ScaledProblem(Problem):
    """A problem in a frame: it is computed as it is."""


def rewritten(problem: Problem, frame: Frame) -> ScaledProblem:
    """The problem in a frame. Raises: Unscalable."""
    pass_ = _Pass(problem.coordinates, problem.time, frame)
    changed = problem.revised(
        time=pass_.time,
        domains={name: pass_.region(domain) for name, domain in problem.domains.items()},
        boundaries={name: pass_.region(boundary) for name, boundary in problem.boundaries.items()},
        unknowns={name: pass_.declaration(unknown) for name, unknown in problem.unknowns.items()},
        inputs={name: pass_.declaration(each) for name, each in problem.inputs.items()},
        params={name: pass_.param(each) for name, each in problem.params.items()},
        equations={
            label: pass_.statement(each, label) for label, each in problem.equations.items()
        },
        conditions={
            label: pass_.statement(each, label) for label, each in problem.conditions.items()
        },
        functionals=tuple(
            pass_.functional(each, size)
            for each, size in _with_sizes(problem.functionals, frame.functionals)
        ),
        requirements=tuple(
            pass_.requirement(each, size)
            for each, size in _with_sizes(problem.requirements, frame.requirements)
        ),
        outputs={},
        data=tuple(
            replace(each, value=pass_(each.value), region=pass_.region(each.region), written=None)
            for each in problem.data
        ),
        references={
            name: pass_(value) / frame.fields.get(name, sp.S.One)
            for name, value in problem.references.items()
        },
        written=None,
    )
    scaled = object.__new__(ScaledProblem)
    scaled.__dict__.update(changed.__dict__)
    return scaled


def carried(region: Region, frame: Frame) -> Region:
    """A region in a frame."""
    return _carried(
        region, frame, tuple(mesh.folder for mesh in shapes.meshes(region.domain.shape))
    )


@lru_cache(maxsize=256)
def _carried(region: Region, frame: Frame, folders: tuple[str, ...]) -> Region:
    return _Pass(region.coordinates, None, frame).region(region)


def _with_sizes(each: tuple, sizes: tuple[sp.Expr, ...]) -> list[tuple[Any, sp.Expr]]:
    return list(zip(each, sizes or (sp.S.One,) * len(each), strict=True))


def residual_units(problem: Problem, frame: Frame) -> dict[str, sp.Expr]:
    """What the residual of each equation, and of the Euler-Lagrange equation of each functional,
    is divided by in a frame."""
    found = {label: frame.statements.get(label, sp.S.One) for label in problem.equations}
    derived = iter([label for label in problem.residuals() if label not in problem.equations])
    for functional, size in _with_sizes(problem.functionals, frame.functionals):
        for name in functional.unknowns:
            cell = frame.length ** problem.unknowns[name].region.dim
            found[next(derived)] = size / (cell * frame.fields.get(name, sp.S.One))
    return found


class _Pass:
    """One walk over everything a problem states; expressions and regions that occur again are
    mapped once."""

    def __init__(self, axes: tuple[Coordinate, ...], t: Time | None, frame: Frame) -> None:
        self.axes, self.frame = axes, frame
        self.done: dict[sp.Basic, sp.Expr] = {}
        self.regions: dict[Region, Region] = {}
        self.shapes: dict[Shape, Shape] = {}
        self.time = None
        for x, shift in zip(axes, frame.origin, strict=True):
            self.done[x] = shift + frame.length * x
        if t is not None:
            self.time = Time(
                t.name,
                (t.start - frame.start) / frame.duration,
                (t.end - frame.start) / frame.duration,
                periodic=t.periodic,
            )
            self.done[t] = frame.start + frame.duration * self.time

    # ----------------------------------------------------------------------------------------------
    # expressions

    def __call__(self, expression: Any) -> Any:
        """The value of an expression, in the user's unit, written in the frame's coordinates and
        unknowns."""
        if isinstance(expression, sp.MatrixBase):
            return sp.ImmutableMatrix(expression).applyfunc(self)
        expression = sp.sympify(expression)
        if expression not in self.done:
            self.done[expression] = self._visit(expression)
        return self.done[expression]

    def _visit(self, e: Any) -> Any:
        if isinstance(e, Scalar):
            return self._scalar(e)
        if not e.args:
            return e
        if isinstance(e, AppliedUndef):
            return self._field(e)
        if isinstance(e, Integral):
            region = self.region(e.region)
            return self.frame.length ** max(0, e.region.dim) * Integral(self(e.density), region)
        if isinstance(e, sp.Derivative):
            return self._derivative(e)
        return e.func(*(self(argument) for argument in e.args))

    def _scalar(self, symbol: Scalar) -> sp.Expr:
        offset, size = self.frame.params.get(symbol.declaration.name, (0, 1))
        return (
            symbol
            if (offset, size) == (0, 1)
            else offset + size * Scalar(self.param(symbol.declaration), symbol.index)
        )

    def _field(self, e: AppliedUndef) -> sp.Expr:
        declaration = getattr(e.func, "declaration", None)
        if declaration is None:
            return e.func(*(self(argument) for argument in e.args))
        function = component_function(
            self.declaration(declaration), e.func.component, e.func.__bases__[0]
        )
        axes = (
            *declaration.region.coordinates,
            *((declaration.time,) if declaration.time is not None else ()),
        )
        places = [self._place(axis, argument) for axis, argument in zip(axes, e.args, strict=True)]
        return self.frame.fields.get(declaration.name, sp.S.One) * function(*places)

    def _place(self, axis: sp.Symbol, argument: sp.Expr) -> sp.Expr:
        if argument == axis:
            return self.time if isinstance(axis, Time) else axis
        return self.inward(axis, self(argument))

    def _derivative(self, e: sp.Derivative) -> sp.Expr:
        if not all(isinstance(variable, (Coordinate, Time)) for variable in e.variables):
            carried = expand_derivatives(e)
            return (
                self(carried) if carried != e else e.func(*(self(argument) for argument in e.args))
            )
        scale, inner = sp.S.One, self(e.expr)
        for variable, count in e.variable_count:
            moves = isinstance(variable, Time)
            scale *= (self.frame.duration if moves else self.frame.length) ** count
            for _ in range(int(count)):
                along = self.time if moves else variable
                inner = sp.Derivative(inner, along) if along in inner.free_symbols else sp.S.Zero
        return inner / scale

    def inward(self, axis: sp.Symbol, value: sp.Expr) -> sp.Expr:
        """A place along an axis, in the frame."""
        if isinstance(axis, Time):
            return (value - self.frame.start) / self.frame.duration
        return (
            value - self.frame.origin[[x.name for x in self.axes].index(axis.name)]
        ) / self.frame.length

    # ----------------------------------------------------------------------------------------------
    # declarations

    def declaration(self, each: Unknown | Input) -> Any:
        time = None if each.time is None else self.time
        changed = replace(each, region=self.region(each.region), time=time, unit=None)
        if isinstance(changed, Input) and (changed.law, changed.source) != (None, None):
            changed = replace(changed, law=Carried(each, self.frame))  # type: ignore[arg-type]
        return changed

    def param(self, param: Param) -> Param:
        offset, size = self.frame.params.get(param.name, (0, 1))
        if (offset, size) == (0, 1):
            return param
        value = None if param.value is None else (param.value - offset) / size
        return replace(param, law=affine_law(param.law, offset, size), value=value, unit=None)

    # ----------------------------------------------------------------------------------------------
    # statements

    def statement(self, each: Equation | Condition, label: str) -> Any:
        size = self.frame.statements.get(label, sp.S.One)
        changes: dict[str, Any] = {}
        if isinstance(each, Condition) and each.at is not None:
            changes["at"] = (self(each.at) - self.frame.start) / self.frame.duration
        if isinstance(each, Condition) and each.place:
            changes["place"] = self._point(each.place)
        lhs, rhs = (over(self(side), size) for side in (each.lhs, each.rhs))
        return replace(
            each, lhs=lhs, rhs=rhs, region=self.region(each.region), written=None, **changes
        )

    def functional(self, each: Functional, size: sp.Expr) -> Functional:
        terms = [
            (
                over(self(density), size / self.frame.length ** max(0, region.dim)),
                self.region(region),
            )
            for density, region in each.terms
        ]
        return replace(each, terms=tuple(terms), written=None)

    def requirement(self, each: Requirement | IntegralRequirement, size: sp.Expr) -> Any:
        region = self.region(each.region)
        if isinstance(each, Requirement):
            return replace(
                each,
                lhs=over(self(each.lhs), size),
                rhs=over(self(each.rhs), size),
                region=region,
                written=None,
            )
        value = over(self(each.value), size * self.frame.length ** max(0, each.region.dim))
        return replace(
            each, density=over(self(each.density), size), value=value, region=region, written=None
        )

    # ----------------------------------------------------------------------------------------------
    # regions

    def region(self, region: Region) -> Any:
        if region not in self.regions:
            self.regions[region] = self._region(region)
        return self.regions[region]

    def _region(self, region: Region) -> Region:
        if isinstance(region, Domain):
            return replace(region, shape=self.shape(region.shape))
        changes: dict[str, Any] = {
            "domain": self.region(region.domain),
            "others": tuple(map(self.region, region.others)),
        }
        if region.value is not None and region.coordinate is None:
            changes["value"] = self(region.value) / self.frame.length  # a level set
        elif region.value is not None:
            axis = next(x for x in region.coordinates if x.name == region.coordinate)
            changes["value"] = self.inward(axis, self(region.value))
        if region.part is not None:
            changes["part"] = self.shape(region.part)
        known = {"name", "kind", "domain", "coordinate", "value", "others", "part"}
        for each in fields(region):  # bounds of a part of a side, as relations in the coordinates
            if each.name not in known and isinstance(
                value := getattr(region, each.name), (sp.Basic, tuple)
            ):
                changes[each.name] = self._bounds(value)
        return replace(region, **changes)

    def _bounds(self, value: Any) -> Any:
        return (
            tuple(map(self._bounds, value))
            if isinstance(value, tuple)
            else self(value)
            if isinstance(value, sp.Basic)
            else value
        )

    def shape(self, shape: Shape) -> Shape:
        if self.frame.length == 1 and not any(self.frame.origin) and not self.frame.params:
            return shape
        if shape not in self.shapes:
            self.shapes[shape] = self._shape(shape)
        return self.shapes[shape]

    def _number(self, value: sp.Expr) -> sp.Expr:
        """A length."""
        return self(value) / self.frame.length

    def _point(self, place: tuple[sp.Expr, ...]) -> tuple[sp.Expr, ...]:
        return tuple(
            (self(value) - shift) / self.frame.length
            for value, shift in zip(place, self.frame.origin, strict=False)
        )  # of the plane in space, too

    @singledispatchmethod
    def _shape(self, shape: Shape) -> Shape:
        raise Unscalable(type(shape).__name__)

    @_shape.register
    def _(self, shape: shapes.Interval) -> Shape:
        return shapes.Interval(*self._point(shape.lower), *self._point(shape.upper))

    @_shape.register(shapes.Rectangle)
    @_shape.register(shapes.Box)
    def _(self, shape: Any) -> Shape:
        return replace(shape, lower=self._point(shape.lower), upper=self._point(shape.upper))

    @_shape.register(shapes.Disk)
    @_shape.register(shapes.Ball)
    @_shape.register(shapes.Star)
    def _(self, shape: Any) -> Shape:
        return replace(shape, radius=self._number(shape.radius), center=self._point(shape.center))

    @_shape.register
    def _(self, shape: shapes.Polygon) -> Shape:
        return shapes.Polygon(tuple(map(self._point, shape.points)))

    @_shape.register
    def _(self, shape: Described) -> Shape:
        fields = kinds(type(shape))
        return replace(
            shape,
            **{
                name: kind.carried(getattr(shape, name), self._number, self._point)
                for name, kind in fields.items()
            },
        )

    @_shape.register
    def _(self, shape: shapes.Cylinder) -> Shape:
        return replace(
            shape,
            radius=self._number(shape.radius),
            height=self._number(shape.height),
            base=self._point(shape.base),
        )

    @_shape.register
    def _(self, shape: shapes.Mesh) -> Shape:
        return replace(
            shape,
            scale=shape.scale / self.frame.length,
            shift=self._point(shape.shift or (sp.S.Zero,) * shape.space),
        )

    @_shape.register
    def _(self, shape: shapes.Extruded) -> Shape:
        standing = shapes.Extruded(self.shape(shape.shape), self._number(shape.height))
        raised = self._point((sp.S.Zero,) * 3)[2]
        return shapes.Moved(standing, (sp.S.Zero, sp.S.Zero, raised)) if raised != 0 else standing

    @_shape.register
    def _(self, shape: shapes.Moved) -> Shape:
        # at once: what is moved near the origin may have been made far from it
        if all(each.is_number for each in shape.vector):
            origin = tuple(
                start - by for start, by in zip(self.frame.origin, shape.vector, strict=True)
            )
            return _Pass(self.axes, None, replace(self.frame, origin=origin)).shape(shape.shape)
        return shapes.Moved(self.shape(shape.shape), tuple(map(self._number, shape.vector)))

    @_shape.register(shapes.Rotated)
    @_shape.register(shapes.Scaled)
    def _(self, shape: Any) -> Shape:
        return replace(shape, shape=self.shape(shape.shape), center=self._point(shape.center))

    @_shape.register
    def _(self, shape: shapes.Lattice) -> Shape:
        return replace(shape, shape=self.shape(shape.shape))

    @_shape.register
    def _(self, shape: shapes.Exterior) -> Shape:
        return shapes.Exterior(self.shape(shape.body), self.shape(shape.farfield))

    @_shape.register(shapes.Union)
    @_shape.register(shapes.Difference)
    @_shape.register(shapes.Intersection)
    def _(self, shape: Any) -> Shape:
        return replace(shape, a=self.shape(shape.a), b=self.shape(shape.b))


def over(expression: Any, size: sp.Expr) -> Any:
    """An expression divided by a number term by term, so that a sum stays one."""
    if isinstance(expression, sp.MatrixBase):
        return sp.ImmutableMatrix(expression).applyfunc(lambda entry: over(entry, size))
    if size == 1:
        return expression
    return sp.Add(*(term / size for term in sp.Add.make_args(sp.sympify(expression))))


def affine_law(law: Law | None, offset: sp.Expr, size: sp.Expr) -> Law | None:
    """The law of (p - offset) / size. Raises: Unscalable for a law without a rule, or of
    positive numbers with an offset."""
    if law is None:
        return None
    if isinstance(law, Uniform):
        return Uniform((law.low - offset) / size, (law.high - offset) / size)
    if isinstance(law, Gaussian):
        return Gaussian((law.mean - offset) / size, law.std / size)
    if isinstance(law, LogUniform) and offset == 0:
        return LogUniform(law.low / size, law.high / size)
    raise Unscalable(type(law).__name__)
