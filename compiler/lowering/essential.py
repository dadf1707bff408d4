"""Essential conditions: those that state a component of an unknown by known functions."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import sympy as sp

from pdespec.coordinates import Normal
from pdespec.geometry import Boundary, side
from pdespec.statements.boundary_parts import parts
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
    """The conditions that state one component of an unknown, or at the start its rate, by known
    functions; one that holds the normal, such as `dot(v, n) = 0` or `cross(n, E) = 0`, on the sides
    along the axes that its boundary consists of.
    """
    found: list[Essential] = []
    for label, condition in problem.conditions.items():
        between = getattr(condition.region, "kind", "") == "interface"  # inside of what is meshed
        if condition.kind == "point" or between:
            continue
        difference = sp.sympify(condition.lhs - condition.rhs)
        entries = [
            entry.doit()
            for entry in (difference if isinstance(difference, sp.MatrixBase) else [difference])
        ]
        if condition.kind == "boundary" and any(entry.has(Normal) for entry in entries):
            found += _along_axes(problem, condition, label, entries)
            continue
        for entry in entries:
            solved = _solved(problem, condition, entry)
            if solved is not None:
                found.append(Essential(*solved, condition, label))
    return tuple(found)


def _along_axes(
    problem: Problem, condition: Condition, label: str, entries: Sequence[sp.Expr]
) -> list[Essential]:
    """What entries that hold the normal state on flat sides, where it is a unit vector: that some
    components are zero. Nothing where a part of the boundary is no such side, or where they state
    anything else.
    """
    region = condition.region
    pieces = parts(region) if isinstance(region, Boundary) else ()
    if not pieces or any(
        piece.coordinate is None or piece.signs or piece.group is not None for piece in pieces
    ):
        return []
    found = []
    for piece in pieces:
        normal = {
            n: sp.Integer(n.name == f"n.{piece.coordinate}")
            for entry in entries
            for n in entry.atoms(Normal)
        }
        sided = replace(condition, region=side(region.domain, **{piece.coordinate: piece.value}))
        for entry in (entry.xreplace(normal).doit() for entry in entries):
            if entry == 0:
                continue
            solved = _solved(problem, sided, entry)
            if solved is None or solved[1] != 0:
                return []
            found.append(Essential(*solved, sided, label))
    return found


def _solved(
    problem: Problem, condition: Condition, entry: sp.Expr
) -> tuple[str, sp.Expr, int] | None:
    """Component, value and order of `entry = 0`, if it is affine in one of them with a number as
    coefficient."""
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
    if value.has(sp.Derivative) or any(
        scalar.declaration.kind == "trainable" for scalar in value.atoms(Scalar)
    ):
        return None
    return unknown.func.__name__, value, order


def normal_slopes(problem: Problem) -> tuple[Essential, ...]:
    """The boundary conditions that state the outward normal derivative of one component by known
    functions."""
    found = []
    for label, condition in problem.conditions.items():
        difference = sp.sympify(condition.lhs - condition.rhs)
        if condition.kind != "boundary" or isinstance(difference, sp.MatrixBase):
            continue
        solved = _normal_slope(problem, difference.doit())
        if solved is not None:
            found.append(Essential(*solved, 1, condition, label))
    return tuple(found)


def _normal_slope(problem: Problem, entry: sp.Expr) -> tuple[str, sp.Expr] | None:
    """Component and h of `c (dn(component) - h) = 0`, c a number and dn(u) = sum_i n_i du/dx_i."""
    fields = entry.atoms(UnknownField)
    derivatives = {each for each in entry.atoms(sp.Derivative) if each.has(UnknownField)}
    if len(fields) != 1 or not derivatives:
        return None
    (unknown,) = fields
    normals = {f"n.{c.name}": c for c in problem.coordinates}
    stands = {sp.Derivative(unknown, c): sp.Dummy() for c in problem.coordinates}
    affine = sp.expand(entry.xreplace(stands))
    slopes = {
        affine.diff(symbol).coeff(n)
        for n in affine.atoms(Normal)
        for symbol in [stands[sp.Derivative(unknown, normals[n.name])]]
    }
    if len(slopes) != 1 or not (coefficient := slopes.pop()).is_number or coefficient == 0:
        return None
    outward = sum(n * stands[sp.Derivative(unknown, normals[n.name])] for n in affine.atoms(Normal))
    value = sp.expand(outward - affine / coefficient)
    if len(affine.atoms(Normal)) != len(stands) or value.has(
        UnknownField, Normal, sp.Derivative, *stands.values()
    ):
        return None
    if any(scalar.declaration.kind == "trainable" for scalar in value.atoms(Scalar)):
        return None
    return unknown.func.__name__, value
