"""`Problem`: one frozen value, made from text or from Python."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, wraps
from typing import Any, TypeVar

import sympy as sp

from pdespec.coordinates import Coordinate, Time
from pdespec.errors import Diagnostic
from pdespec.geometry import Boundary, Domain, Region
from pdespec.jets import MultiIndex, jet_form, jets_of, sympy_form
from pdespec.notation import written
from pdespec.statements.assemble import Sections, assemble
from pdespec.statements.statements import (
    Condition,
    Data,
    Equation,
    Expression,
    Functional,
    IntegralRequirement,
    Output,
    Requirement,
)
from pdespec.statements.variation import stationarity
from pdespec.symbols import Input, Param, Unknown, UnknownField
from pdespec.table import Table

T = TypeVar("T")


@dataclass(frozen=True, init=False, repr=False)
class Problem:
    """A boundary, initial or variational problem with everything that varies from sample to sample.

    Built from SymPy expressions; the unknowns, inputs, params, regions, coordinates and time are
    found in them. `equations` maps labels to equations (or is a sequence; labels are then eq1, eq2,
    ..), `conditions` holds what `on` and `at` return.

    Raises: `ProblemError` with everything that keeps the statements from being a problem at all
    (ranks, folded equations, names declared twice). Whether it is well posed is for `pdespec.check`
    to say.
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
    reference_files: tuple[Data, ...] = ()
    warnings: tuple[Diagnostic, ...] = field(default=(), compare=False, repr=False)
    written: Any = field(default=None, compare=False, repr=False)

    def __init__(  # noqa: PLR0913 (its keywords are the sections of the language)
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
        given = Sections(
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
        values = assemble(name, given)
        for attribute, value in {**values, "warnings": (), "written": written}.items():
            object.__setattr__(self, attribute, value)

    def revised(self, **changes: Any) -> Problem:
        """A copy with the given attributes changed, as they are: nothing is found or checked
        anew."""
        names = set(self.__dataclass_fields__)
        if unknown := sorted(set(changes) - names):
            raise TypeError(
                f"a problem has no attribute {unknown[0]!r}; it has {', '.join(sorted(names))}"
            )
        revised = copy.copy(self)
        if set(changes) <= {"warnings", "written"}:  # which state nothing
            object.__setattr__(revised, "_kept", self._kept)
        for attribute, value in changes.items():
            kind = type(getattr(self, attribute))
            object.__setattr__(
                revised, attribute, kind(value) if issubclass(kind, Table) else value
            )
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
        """lhs - rhs of every equation with all derivatives expanded, and the Euler-Lagrange
        equations of every functional."""
        return dict(self.once(_residuals))

    def derivatives(self) -> dict[str, set[MultiIndex]]:
        """The derivatives of each unknown component that the residuals hold, as multi-indices
        over (coordinates..., time)."""
        return {name: set(indices) for name, indices in self.once(_derivatives).items()}

    def __getstate__(self) -> dict[str, Any]:
        """What copies and pickles hold: the statements, and nothing that follows from them."""
        return {name: getattr(self, name) for name in self.__dataclass_fields__}

    def once(self, function: Callable[[Problem], T]) -> T:
        """`function(self)`: computed once, and kept with the problem."""
        if function not in self._kept:
            self._kept[function] = function(self)
        return self._kept[function]

    def derivative_form(self, expression: Any) -> Any:
        """An expression of the problem with every derivative of a field as its `Jet`, see
        `pdespec.jets.jet_form`: computed once for each expression, and kept.

        Raises: what `jet_form` raises.
        """
        if expression not in self._kept:
            self._kept[expression] = jet_form(expression)
        return self._kept[expression]

    @property
    def stationarity(self) -> Mapping[str, Equation]:
        """The Euler-Lagrange equations of the functionals, by label."""
        return self.once(stationarity)

    @property
    def residual_forms(self) -> Mapping[str, Any]:
        """The residuals by label, in their derivative form."""
        return self.once(_residual_forms)

    @cached_property
    def _kept(self) -> dict[Any, Any]:
        """By function, what it gives of this problem; by expression, its derivative form."""
        return {}

    def __repr__(self) -> str:
        parts = {
            "unknowns": self.components,
            "inputs": (*self.inputs, *self.params),
            "equations": self.equations,
            "conditions": self.conditions,
        }
        return (
            f"<Problem {self.name}: "
            + "; ".join(f"{what} {', '.join(names)}" for what, names in parts.items() if names)
            + ">"
        )

    def to_dsl(self) -> str:
        """The problem as text: `pdespec.parse(problem.to_dsl()) == problem`."""
        return written("dsl", self)

    def to_latex(self) -> str:
        """The problem typeset, as the body of a LaTeX display."""
        return written("latex", self)

    def _repr_latex_(self) -> str:
        return f"$\\displaystyle {self.to_latex()}$"


def once(function: Callable[[Problem], T]) -> Callable[[Problem], T]:
    """A function of a problem alone whose values are computed once, and kept with the problem."""

    @wraps(function)
    def kept(problem: Problem) -> T:
        return problem.once(function)

    return kept


def _residual_forms(problem: Problem) -> Mapping[str, Any]:
    stated = {**problem.equations, **problem.stationarity}
    return {
        label: problem.derivative_form(equation.lhs - equation.rhs)
        for label, equation in stated.items()
    }


def _residuals(problem: Problem) -> Mapping[str, Any]:
    return {label: sympy_form(form) for label, form in problem.residual_forms.items()}


def _derivatives(problem: Problem) -> Mapping[str, set[MultiIndex]]:
    found: dict[str, set[MultiIndex]] = {name: set() for name in problem.components}
    for form in problem.residual_forms.values():
        for jet in jets_of(form, UnknownField):
            found[jet.field.func.__name__].add(jet.over(problem.variables))
    return found
