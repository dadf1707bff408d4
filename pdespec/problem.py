"""The problem: one frozen value that both front doors build and everything downstream reads."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import sympy as sp
from sympy.core.relational import Relational
from sympy.logic.boolalg import BooleanAtom

from pdespec.calculus import describe, rank, short
from pdespec.errors import Diagnostic, Span, fail, nearest
from pdespec.geometry import Boundary, Domain, Region
from pdespec.jets import MultiIndex, carry_out, jet_form, jets_of
from pdespec.symbols import Coordinate, Input, Param, Time, Unknown, UnknownField, exact

Expression = Any  # a SymPy scalar or ImmutableMatrix


class Table(Mapping[str, Any]):
    """A mapping that cannot change and can be hashed. Keeps its order; equality ignores it."""

    __slots__ = ("_items",)

    def __init__(self, items: Mapping[str, Any] | Iterable[tuple[str, Any]] = ()) -> None:
        self._items = dict(items)

    def __getitem__(self, name: str) -> Any:
        if name not in self._items:
            near = nearest(str(name), self._items)
            raise KeyError(f"{name!r}; did you mean {near!r}?" if near else f"{name!r}; there are {', '.join(self._items) or 'none'}")
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def get(self, name: str, default: Any = None) -> Any:
        return self._items.get(name, default)

    def __hash__(self) -> int:
        return hash(frozenset(self._items.items()))

    def __repr__(self) -> str:
        return repr(self._items)


class Channels(Table):
    """A table whose order counts: that of the unknowns is the order of a field's channels."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        same_order = list(self) == list(other) if isinstance(other, Channels) else True
        return same_order and super().__eq__(other)

    def __hash__(self) -> int:
        return super().__hash__()


# --------------------------------------------------------------------------------------------------------------------- statements


@dataclass(frozen=True)
class Equation:
    """lhs = rhs everywhere in `region`. Derivatives stand as they were written. `written` is the user's own notation."""

    lhs: Expression
    rhs: Expression
    region: Domain
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Condition:
    """lhs = rhs on a boundary (`kind` "boundary"), or on a domain at the time `at` (`kind` "initial")."""

    lhs: Expression
    rhs: Expression
    region: Region
    kind: str
    at: sp.Expr | None = None
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Functional:
    """`kind` "minimize" or "stationary": the sum of the integrals of `terms`, as a functional of the named unknowns."""

    kind: str
    terms: tuple[tuple[sp.Expr, Region], ...]
    unknowns: tuple[str, ...]
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Requirement:
    """lhs `op` rhs at every point of `region`, `op` one of > >= < <=."""

    lhs: sp.Expr
    op: str
    rhs: sp.Expr
    region: Region
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class IntegralRequirement:
    """The integral of `density` over `region` equals `value`."""

    density: sp.Expr
    region: Region
    value: sp.Expr
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Output:
    """A named quantity to report: a field, or an integral."""

    name: str
    value: Expression
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Data:
    """Measured values of `value` on `region`, read from the file `source`."""

    value: Expression
    region: Region
    source: str
    span: Span | None = field(default=None, compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True)
class Stated:
    """Equations as the user states them in Python, with their place: what `inside`, `on` and `at` return."""

    kind: str
    region: Any  # Domain or Boundary; None where the fields decide
    equations: tuple[Any, ...]
    at: sp.Expr | None = None


def inside(region: Domain, *equations: Any) -> Stated:
    """Equations in a domain, for problems with several: `inside(Omega, sp.Eq(lap(u), f))`."""
    if not isinstance(region, Domain):
        raise fail("T05", f"inside needs a domain, {region!r} given", "write on(boundary, ..) for conditions on a boundary")
    return Stated("equation", region, equations)


def on(region: Boundary, *equations: Any) -> Stated:
    """Boundary conditions: `on(Gamma, sp.Eq(u, g))`."""
    if not isinstance(region, Boundary):
        hint = "write on(boundary(Omega), ..), or inside(Omega, ..) for equations in a domain"
        raise fail("T05", f"on needs a boundary, {getattr(region, 'name', region)!r} given", hint)
    if not equations:
        raise fail("T05", f"nothing is stated on `{region.name}`", f"write on({region.name}, sp.Eq(u, 0))")
    return Stated("boundary", region, equations)


def at(time: Time, value: Any, *equations: Any, region: Domain | None = None) -> Stated:
    """Conditions at one time: `at(t, 0, sp.Eq(u, u0))`. The region is that of the fields, unless given."""
    if not isinstance(time, Time):
        raise fail("T05", f"at needs the time, {time!r} given", "write at(t, 0, sp.Eq(u, u0)); conditions at a place are stated with on")
    return Stated("initial", region, equations, exact(value))


def sides(stated: Any) -> tuple[Any, Any]:
    """lhs and rhs of an equation given as `sp.Eq`, a pair, or an expression that is to vanish; 0 promoted to the zero of the other.

    Raises: T05 when SymPy has folded the equation to true or false; T01 when the two sides differ in rank or size.
    """
    if isinstance(stated, (bool, BooleanAtom)):
        hint = "write the pair (lhs, rhs) instead of sp.Eq(lhs, rhs), and check that both sides differ and hold a field"
        cause = "SymPy decides an sp.Eq between a matrix and a number, and between expressions it can compare, at once"
        raise fail("T05", f"the equation has been folded to {bool(stated)} before it arrived", hint, cause)
    if isinstance(stated, Relational):
        if not isinstance(stated, sp.Eq):
            raise fail("T05", f"{stated} is a comparison, not an equation", "comparisons stand in require=")
        lhs, rhs = stated.args
    elif isinstance(stated, (tuple, list)):
        if len(stated) != 2:
            raise fail("T05", f"an equation is a pair (lhs, rhs), {len(stated)} entries given", "write sp.Eq(lhs, rhs) or (lhs, rhs)")
        lhs, rhs = stated
    else:
        lhs, rhs = stated, 0
    lhs, rhs = promote(exact(lhs), exact(rhs))
    rank(lhs)
    return lhs, rhs


def promote(lhs: Any, rhs: Any) -> tuple[Any, Any]:
    """Both sides with one shape; only the number 0 promotes.

    Raises: T01 when they differ.
    """
    shapes = [getattr(each, "shape", ()) for each in (lhs, rhs)]
    if shapes[0] == shapes[1]:
        return lhs, rhs
    if lhs == 0:
        return sp.ImmutableMatrix.zeros(*rhs.shape), rhs
    if rhs == 0:
        return lhs, sp.ImmutableMatrix.zeros(*lhs.shape)
    hint = "both sides need one rank and size; only 0 promotes to a zero vector"
    raise fail("T01", f"left is {describe(lhs)}, right {describe(rhs)}: {short(lhs)} = {short(rhs)}", hint)


# ------------------------------------------------------------------------------------------------------------------------ problem


@dataclass(frozen=True, init=False, repr=False)
class Problem:
    """A boundary, initial or variational problem with everything that varies from sample to sample.

    Built from SymPy expressions; the unknowns, inputs, params, regions, coordinates and time are found in them. `equations` maps
    labels to equations (or is a sequence; labels are then eq1, eq2, ..), `conditions` holds what `on` and `at` return.

    Raises: `ProblemError` with everything that keeps the statements from being a problem at all (ranks, folded equations, names
    declared twice). Whether it is well posed is for `pdespec.check` to say.
    """

    name: str
    coordinates: tuple[Coordinate, ...]
    time: Time | None
    domains: Mapping[str, Domain]
    boundaries: Mapping[str, Boundary]
    unknowns: Mapping[str, Unknown]
    inputs: Mapping[str, Input]
    params: Mapping[str, Param]
    constants: Mapping[str, Param]
    trainables: Mapping[str, Param]
    equations: Mapping[str, Equation]
    conditions: Mapping[str, Condition]
    functionals: tuple[Functional, ...]
    requirements: tuple[Requirement | IntegralRequirement, ...]
    outputs: Mapping[str, Output]
    data: tuple[Data, ...]
    references: Mapping[str, Expression]
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)

    def __init__(
        self,
        name: str,
        equations: Mapping[str, Any] | Sequence[Any] | Any = (),
        conditions: Mapping[str, Any] | Sequence[Any] | Any = (),
        *,
        minimize: Any = None,
        stationary: Any = None,
        require: Sequence[Any] | Any = (),
        output: Mapping[str, Any] | Sequence[Output] = (),
        data: Sequence[Data | tuple] = (),
        reference: Mapping[Any, Any] | None = None,
        unknowns: Iterable[Any] = (),
        inputs: Iterable[Any] = (),
        params: Iterable[Any] = (),
        regions: Iterable[Region] = (),
        coordinates: Sequence[Coordinate] | None = None,
        time: Time | None = None,
        written: Any = None,
    ) -> None:
        from pdespec.assemble import assemble

        values = assemble(
            name,
            equations=equations,
            conditions=conditions,
            minimize=minimize,
            stationary=stationary,
            require=require,
            output=output,
            data=data,
            reference=reference or {},
            unknowns=unknowns,
            inputs=inputs,
            params=params,
            regions=regions,
            coordinates=coordinates,
            time=time,
        )
        for attribute, value in {**values, "warnings": (), "written": written}.items():
            object.__setattr__(self, attribute, value)

    def revised(self, **changes: Any) -> Problem:
        """A copy with the given attributes changed, as they are: nothing is found or checked anew."""
        names = set(self.__dataclass_fields__)
        if unknown := sorted(set(changes) - names):
            raise TypeError(f"a problem has no attribute {unknown[0]!r}; it has {', '.join(sorted(names))}")
        revised = copy.copy(self)
        for cached in ("_residuals", "_derivatives"):
            revised.__dict__.pop(cached, None)
        for attribute, value in changes.items():
            kind = type(getattr(self, attribute))
            object.__setattr__(revised, attribute, kind(value) if issubclass(kind, Table) else value)
        return revised

    @property
    def components(self) -> tuple[str, ...]:
        """The component names of all unknowns, in declaration order: the channels of a field."""
        return tuple(name for unknown in self.unknowns.values() for name in unknown.components)

    @property
    def variables(self) -> tuple[sp.Symbol, ...]:
        """The coordinates of a point: space, then time."""
        return (*self.coordinates, *((self.time,) if self.time is not None else ()))

    def residuals(self) -> dict[str, Any]:
        """lhs - rhs of every equation with all derivatives carried out, and the Euler-Lagrange equations of every functional."""
        return dict(self._residuals)

    def derivatives(self) -> dict[str, set[MultiIndex]]:
        """The derivatives of each unknown component that the residuals hold, as multi-indices over (coordinates..., time)."""
        return {name: set(indices) for name, indices in self._derivatives.items()}

    @cached_property
    def _residuals(self) -> dict[str, Any]:
        from pdespec.variation import stationarity

        stated = {label: carry_out(equation.lhs - equation.rhs) for label, equation in self.equations.items()}
        return {**stated, **{label: carry_out(equation.lhs - equation.rhs) for label, equation in stationarity(self).items()}}

    @cached_property
    def _derivatives(self) -> dict[str, frozenset[MultiIndex]]:
        found: dict[str, set[MultiIndex]] = {name: set() for name in self.components}
        for residual in self._residuals.values():
            for jet in jets_of(jet_form(residual), UnknownField):
                found[jet.field.func.__name__].add(jet.over(self.variables))
        return {name: frozenset(indices) for name, indices in found.items()}

    def __repr__(self) -> str:
        parts = {
            "unknowns": self.components,
            "inputs": (*self.inputs, *self.params),
            "equations": self.equations,
            "conditions": self.conditions,
        }
        return f"<Problem {self.name}: " + "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names) + ">"

    def to_dsl(self) -> str:
        """The problem as text: `pdespec.parse(problem.to_dsl()) == problem`."""
        from pdespec.text.printer import to_dsl

        return to_dsl(self)

    def to_latex(self) -> str:
        """The problem typeset, as the body of a LaTeX display."""
        from pdespec.text.printer import to_latex

        return to_latex(self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.to_latex()}$"
