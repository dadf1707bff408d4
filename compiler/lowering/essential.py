"""Essential conditions: those that state a component of an unknown by known functions."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from pdespec.coordinates import Normal
from pdespec.statements.problem import Condition, Problem
from pdespec.symbols import Scalar, UnknownField


@dataclass(frozen=True)
class Essential:
    """One scalar condition `component = value` (order 0) or `d/dt component = value` (order 1)."""

    component: str
    value: sp.Expr
    order: int
    condition: Condition
    label: str


def essential(problem: Problem) -> tuple[Essential, ...]:
    """The conditions that state one component of an unknown, or at the start its rate, by known functions."""
    found = []
    for label, condition in problem.conditions.items():
        if condition.kind == "point":
            continue
        difference = sp.sympify(condition.lhs - condition.rhs)
        for entry in difference if isinstance(difference, sp.MatrixBase) else [difference]:
            solved = _solved(problem, condition, entry.doit())
            if solved is not None:
                found.append(Essential(*solved, condition, label))
    return tuple(found)


def _solved(problem: Problem, condition: Condition, entry: sp.Expr) -> tuple[str, sp.Expr, int] | None:
    """Component, value and order of `entry = 0`, if it is affine in one of them with a number as coefficient."""
    fields = entry.atoms(UnknownField)
    if len(fields) != 1 or entry.has(Normal):
        return None
    (unknown,) = fields
    derivatives = {each for each in entry.atoms(sp.Derivative) if each.has(UnknownField)}
    target, order = unknown, 0
    if derivatives:
        if condition.kind != "initial" or derivatives != {sp.Derivative(unknown, problem.time)}:
            return None
        target, order = sp.Derivative(unknown, problem.time), 1
    place = sp.Dummy()
    affine = entry.xreplace({target: place})
    coefficient = affine.diff(place)
    if affine.has(UnknownField) or not coefficient.is_number or coefficient == 0:
        return None
    value = sp.expand(-affine.subs(place, 0) / coefficient)
    if value.has(sp.Derivative) or any(scalar.declaration.kind == "trainable" for scalar in value.atoms(Scalar)):
        return None
    return unknown.func.__name__, value, order
