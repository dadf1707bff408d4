"""Incompressible flows in closed rectangles, recognised in what a problem declares."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from pdespec.geometry import Boundary, Domain, Rectangle, coincide
from pdespec.statements.problem import Problem, once
from pdespec.statements.statements import IntegralRequirement
from pdespec.symbols import Scalar

SIDES = ("left", "right", "bottom", "top")


@dataclass(frozen=True)
class ClosedFlow:
    """`inertia v_t + steepening v . grad v + push grad p = friction lap v` and div v = 0 in a
    rectangle: names of the components of v and p; the coefficients, expressions of params and
    constants; the speed along each side, by `SIDES`, and the velocity at the start, of the
    coordinates and the time as well; the mean of p."""

    domain: Domain
    velocity: tuple[str, str]
    pressure: str
    inertia: sp.Expr
    steepening: sp.Expr
    push: sp.Expr
    friction: sp.Expr
    speeds: tuple[sp.Expr, ...]
    start: tuple[sp.Expr, sp.Expr]
    mean: sp.Expr


@once
def closed_flow(problem: Problem) -> ClosedFlow | str:
    """The flow that a problem declares; or why it is another problem."""
    if problem.time is None or problem.time.periodic or len(problem.coordinates) != 2:
        return "it is not a flow in the plane from an initial state"
    if problem.functionals or problem.trainables or len(problem.domains) != 1:
        return "it holds more than the equations of a flow in one domain"
    if problem.coordinates[0].system:
        return "its coordinates are not those of a plane"
    unknowns = list(problem.unknowns.values())
    if sorted(each.rank for each in unknowns) != ["scalar", "vector"]:
        return "its unknowns are not a velocity and a pressure"
    v, p = sorted(unknowns, key=lambda each: each.rank == "scalar")
    (domain,) = problem.domains.values()
    if v.complex or p.complex or v.positive or p.positive:
        return "its velocity and its pressure are not plain real numbers"
    if not isinstance(domain.shape, Rectangle) or domain.periodic:
        return "its domain is not a rectangle with walls"
    found = _coefficients(problem, v.symbol, p.symbol)
    if isinstance(found, str):
        return found
    mean = _mean(problem, domain, p.symbol)
    if isinstance(mean, str):
        return mean
    start = _start(problem, v.symbol)
    if isinstance(start, str):
        return start
    speeds = _speeds(problem, domain, domain.shape, v.symbol)
    if isinstance(speeds, str):
        return speeds
    first, second = v.components
    return ClosedFlow(domain, (first, second), p.components[0], *found, speeds, start, mean)


def _coefficients(problem: Problem, v: Any, p: Any) -> tuple[sp.Expr, ...] | str:
    """Of v_t, v . grad v, grad p and -lap v. The residuals may hold multiples of grad div v and of
    v div v in addition, which are zero."""
    reason = "its equations are not those of an incompressible flow with constant viscosity"
    residuals = list(problem.residuals().values())
    vectors = [each for each in residuals if isinstance(each, sp.MatrixBase)]
    scalars = [each for each in residuals if not isinstance(each, sp.MatrixBase)]
    if len(vectors) != 1 or len(scalars) != 1 or len(vectors[0]) != 2:
        return reason
    space, t = problem.coordinates, problem.time
    div = sum(sp.diff(a, x) for a, x in zip(v, space, strict=True))
    names = inertia, steepening, push, friction, first, second = sp.symbols(
        "a b c d e f", cls=sp.Dummy
    )
    ansatz = [
        inertia * sp.diff(a, t)
        + steepening * sum(b * sp.diff(a, z) for b, z in zip(v, space, strict=True))
        + push * sp.diff(p, x)
        - friction * sum(sp.diff(a, z, 2) for z in space)
        + first * sp.diff(div, x)
        + second * a * div
        for a, x in zip(v, space, strict=True)
    ]
    found = _matched([r - a for r, a in zip(vectors[0], ansatz, strict=True)], names)
    factor = sp.Dummy("k")
    mass = _matched([scalars[0] - factor * div], (factor,))
    if found is None or mass is None or mass[0] == 0:
        return reason
    if any(found[k] == 0 for k in (0, 2, 3)):
        return "it lacks the rate of the velocity, the pressure or the viscosity"
    for each in found[:4]:
        if any(not isinstance(s, Scalar) for s in each.free_symbols) or each.atoms(
            sp.core.function.AppliedUndef
        ):
            return "its coefficients depend on position or time"
    return found[:4]


def _matched(gaps: list[sp.Expr], names: tuple[sp.Dummy, ...]) -> tuple[sp.Expr, ...] | None:
    """The names for which all gaps vanish; None where there are none."""
    equations: list[sp.Expr] = []
    for gap in gaps:
        plain = sp.expand(gap.doit())
        for kind in (sp.Derivative, sp.core.function.AppliedUndef):
            atoms = sorted(plain.atoms(kind), key=sp.default_sort_key)
            plain = plain.xreplace({each: sp.Dummy(f"z{k}") for k, each in enumerate(atoms)})
        fields = [s for s in plain.free_symbols if isinstance(s, sp.Dummy) and s not in names]
        try:
            equations += sp.Poly(plain, *fields).coeffs() if fields else [plain]
        except sp.PolynomialError:
            return None
    solved = sp.solve(equations, names, dict=True)
    if len(solved) != 1 or set(solved[0]) != set(names):
        return None
    # an equation that holds none of the names, such as a force, is passed over by `solve`
    if any(sp.simplify(each.xreplace(solved[0])) != 0 for each in equations):
        return None
    return tuple(sp.sympify(solved[0][name]) for name in names)


def _mean(problem: Problem, domain: Domain, p: Any) -> sp.Expr | str:
    """The mean that a requirement gives the pressure; zero without one."""
    reason = "it requires more than a mean of the pressure"
    shape = domain.shape
    area = sp.prod([b - a for a, b in zip(shape.lower, shape.upper, strict=True)])
    if not problem.requirements:
        return sp.Integer(0)
    if len(problem.requirements) > 1:
        return reason
    (only,) = problem.requirements
    if not isinstance(only, IntegralRequirement) or only.region != domain:
        return reason
    ratio = sp.cancel(only.density / p)
    value = sp.sympify(only.value)
    if (
        ratio == 0
        or not ratio.is_number
        or any(not isinstance(s, Scalar) for s in value.free_symbols)
    ):
        return reason
    return value / ratio / area


def _start(problem: Problem, v: Any) -> tuple[sp.Expr, sp.Expr] | str:
    held: list[sp.Expr] = []
    for each in problem.conditions.values():
        if each.kind == "initial":
            if sp.simplify(each.at - problem.time.start) != 0:
                return "its state is not given at the start"
            held += list(sp.Matrix([each.lhs - each.rhs]))
    return _given(held, v, {*problem.coordinates}, "its initial velocity")


def _speeds(
    problem: Problem, domain: Domain, shape: Rectangle, v: Any
) -> tuple[sp.Expr, ...] | str:
    held: dict[str, list[sp.Expr]] = {name: [] for name in SIDES}
    for label, each in problem.conditions.items():
        if each.kind == "initial":
            continue
        sides = _sides(each.region, shape) if each.kind == "boundary" else None
        if sides is None:
            return f"`{label}` holds on other places than whole sides of `{domain.name}`"
        for name in sides:
            held[name] += list(sp.Matrix([each.lhs - each.rhs]))
    speeds = []
    for k, name in enumerate(SIDES):
        allowed = {*problem.coordinates, problem.time}
        found = _given(held[name], v, allowed, f"the velocity on its {name} side")
        if isinstance(found, str):
            return found
        through, along = found if k < 2 else found[::-1]
        if sp.simplify(through) != 0:
            return f"it flows through the {name} side of `{domain.name}`"
        speeds.append(along)
    return tuple(speeds)


def _sides(region: Any, shape: Rectangle) -> frozenset[str] | None:
    """The whole sides that a boundary consists of; None where it consists of others."""
    if not isinstance(region, Boundary) or region.where or region.part is not None:
        return None
    if region.kind == "all":
        return frozenset(SIDES)
    if region.kind == "rest":
        others = [_sides(each, shape) for each in region.others]
        if any(each is None for each in others):
            return None
        return frozenset(SIDES).difference(*others)
    if region.kind == "side":
        axis = [x.name for x in region.coordinates].index(region.coordinate)
        for end, name in zip((shape.lower, shape.upper), SIDES[2 * axis :], strict=False):
            if coincide(sp.sympify(end[axis]), sp.sympify(region.value)):
                return frozenset((name,))
    return None


def _given(
    held: list[sp.Expr], v: Any, known: set[Any], what: str
) -> tuple[sp.Expr, sp.Expr] | str:
    """Both components from conditions on them alone."""
    values = tuple(sp.Dummy(str(each.func)) for each in v)
    plain = [sp.sympify(each).xreplace(dict(zip(v, values, strict=True))) for each in held]
    if any(each.atoms(sp.Derivative, sp.core.function.AppliedUndef) for each in plain):
        return f"{what} is not given by coordinates, time and params alone"
    solved = sp.solve(plain, values, dict=True) if plain else []
    if len(solved) != 1 or set(solved[0]) != set(values):
        return f"{what} is not given once"
    found = tuple(sp.sympify(solved[0][each]) for each in values)
    if any(not isinstance(s, Scalar) for each in found for s in each.free_symbols - known):
        return f"{what} is not given by coordinates, time and params alone"
    return found
