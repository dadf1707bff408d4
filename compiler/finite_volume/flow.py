"""Whether a declared problem is the steady flow of an ideal gas about a section, by its equations.

The residuals are held to the divergences of the fluxes of mass, momentum and energy,

    div(rho v),   div(rho v v^T + p I),   div((gamma/(gamma - 1) p + rho |v|^2/2) v),

up to a constant factor each, whatever the unknowns are called. Other forms, such as the equation of
the velocity divided by the density, are refused: they have other shocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import permutations
from typing import Any

import sympy as sp
from sympy.core.function import AppliedUndef

from pdespec.coordinates import Coordinate, Normal
from pdespec.errors import PdespecError
from pdespec.geometry import Airfoil, Boundary, Disk, Domain, Exterior
from pdespec.statements.problem import Problem


class NotAFlow(PdespecError):
    """Why a problem is not one that finite volumes solve."""


@dataclass(frozen=True)
class Flow:
    """The flow that a problem declares: its domain, the boundary of the section, the names of the
    components (rho, u, v, p), and as expressions in params the ratio of specific heats and
    (rho, u, v, p) far away."""

    domain: Domain
    section: Boundary
    components: tuple[str, str, str, str]
    gamma: sp.Expr
    far: tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]


@lru_cache(maxsize=64)
def flow(problem: Problem) -> Flow:
    """Raises: NotAFlow."""
    if problem.time is not None or len(problem.coordinates) != 2:
        raise NotAFlow("finite volumes solve steady flows in the plane")
    if problem.inputs or problem.functionals or problem.trainables or len(problem.domains) != 1:
        raise NotAFlow("the equations are not those of a steady flow alone")
    fields, gamma = _equations(problem)
    (domain,) = problem.domains.values()
    shape = domain.shape
    if not isinstance(shape, Exterior) or not isinstance(shape.body, Airfoil):
        raise NotAFlow(
            f"the equations are Euler's, and `{domain.name}` is not the outside of an airfoil:"
            " write exterior(airfoil(naca(0, 0, 12)), farfield = disk(radius = 40))"
        )
    if not isinstance(shape.farfield, Disk):
        raise NotAFlow("the equations are Euler's, and the far field is not a disk")
    section, far = _conditions(problem, fields)
    return Flow(domain, section, tuple(problem.components[k] for k in fields), gamma, far)


def _equations(problem: Problem) -> tuple[tuple[int, int, int, int], sp.Expr]:
    """Numbers of the components (rho, u, v, p), and gamma."""
    unknowns = list(problem.unknowns.values())
    ranks = sorted(each.rank for each in unknowns)
    residuals = list(problem.residuals().values())
    sizes = sorted(len(sp.flatten(sp.Matrix([each]))) for each in residuals)
    if ranks != ["scalar", "scalar", "vector"] or sizes != [1, 1, 2]:
        raise NotAFlow(
            "the equations are not Euler's: a density, a velocity and a pressure with the balances"
            " of mass, momentum and energy"
        )
    velocity = next(each for each in unknowns if each.rank == "vector")
    scalars = [each for each in unknowns if each.rank == "scalar"]
    order = list(problem.components)
    for rho, p in permutations(scalars):
        found = _gamma(problem, residuals, rho.symbol, velocity.symbol, p.symbol)
        if found is not None:
            names = (*rho.components, *velocity.components, *p.components)
            return tuple(order.index(name) for name in names), found  # type: ignore[return-value]
    raise NotAFlow(
        "the equations are not the balances of mass, momentum and energy of an ideal gas in"
        " divergence form: div(rho*v), div(rho*outer(v, v) + p*I), div((E + p)*v) with"
        " E = p/(gamma - 1) + rho/2*dot(v, v)"
    )


def _gamma(problem: Problem, residuals: list[Any], rho: Any, v: Any, p: Any) -> sp.Expr | None:
    """The ratio of specific heats if the residuals are Euler's with these unknowns."""
    space = problem.coordinates

    def div(*flux: Any) -> sp.Expr:
        return sum(sp.diff(each, x) for each, x in zip(flux, space, strict=True))

    mass = div(*(rho * each for each in v))
    momentum = [
        div(*(rho * a * b + (p if k == m else 0) for m, b in enumerate(v))) for k, a in enumerate(v)
    ]
    kinetic, heat = (
        div(*(rho * v.dot(v) / 2 * each for each in v)),
        div(*(p * each for each in v)),
    )
    scalars = [each for each in residuals if not isinstance(each, sp.MatrixBase)]
    (vector,) = (each for each in residuals if isinstance(each, sp.MatrixBase))
    for first, second in permutations(scalars):
        if _ratio(first, mass) is None:
            continue
        if any(_ratio(a, b) is None for a, b in zip(vector, momentum, strict=True)):
            return None
        plain, enthalpy = sp.Dummy("k"), sp.Dummy("h")
        gap = _polynomial(second - plain * kinetic - enthalpy * heat)
        if gap is None:
            return None
        solved = sp.solve(gap.coeffs(), [plain, enthalpy], dict=True)
        if len(solved) == 1 and len(solved[0]) == 2 and solved[0][plain] != 0:
            ratio = sp.simplify(solved[0][enthalpy] / solved[0][plain])  # gamma/(gamma - 1)
            if ratio != 1:
                return sp.simplify(ratio / (ratio - 1))
    return None


def _polynomial(expression: sp.Expr) -> sp.Poly | None:
    """As a polynomial in the fields and their derivatives; None where it is not one, or holds
    coordinates."""
    expression = sp.expand(expression.doit())
    jets = sorted(expression.atoms(sp.Derivative), key=sp.default_sort_key)
    plain = {each: sp.Dummy(f"d{k}") for k, each in enumerate(jets)}
    expression = expression.xreplace(plain)
    fields = sorted(expression.atoms(AppliedUndef), key=sp.default_sort_key)
    values = {each: sp.Dummy(f"f{k}") for k, each in enumerate(fields)}
    expression = expression.xreplace(values)
    if expression.atoms(Coordinate) or expression == 0:
        return None
    names = [*plain.values(), *values.values()]
    return sp.Poly(expression, *names) if expression.is_polynomial(*names) else None


def _ratio(found: sp.Expr, wanted: sp.Expr) -> sp.Expr | None:
    """The constant by which one expression is a multiple of another; None where it is not."""
    factor = sp.Dummy("k")
    gap = _polynomial(found - factor * wanted)
    solved = [] if gap is None else sp.solve(gap.coeffs(), [factor], dict=True)
    return solved[0][factor] if len(solved) == 1 and solved[0].get(factor, 0) != 0 else None


def _conditions(
    problem: Problem, fields: tuple[int, int, int, int]
) -> tuple[Boundary, tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr]]:
    """The boundary with v . n = 0, and (rho, u, v, p) on the other one."""
    values = [each for unknown in problem.unknowns.values() for each in unknown.fields]
    rho, u, v, p = (values[k] for k in fields)
    walls, outer = [], []
    for label, each in problem.conditions.items():
        if getattr(each.region, "where", ()):
            raise NotAFlow(
                f"the equations are Euler's, and `{label}` holds on a part of a boundary"
            )
        gap = sp.Matrix([each.lhs - each.rhs])
        if each.region.kind == "inner":
            through = sum(w * Normal(x) for w, x in zip((u, v), problem.coordinates, strict=True))
            if gap.shape != (1, 1) or _multiple(gap[0], through) is None:
                raise NotAFlow(
                    f"the equations are Euler's, and `{label}` is not dot(v, n) = 0 on the section"
                )
            walls.append(each.region)
        elif each.region.kind == "outer":
            outer += list(gap)
        else:
            raise NotAFlow(f"the equations are Euler's, and `{label}` holds on another boundary")
    solved = sp.solve(outer, [rho, u, v, p], dict=True)
    far = [solved[0].get(each) for each in (rho, u, v, p)] if len(solved) == 1 else [None]
    if len(walls) != 1 or any(
        each is None or each.atoms(AppliedUndef, Coordinate, Normal) for each in far
    ):
        raise NotAFlow(
            "the equations are Euler's; state dot(v, n) = 0 on the section once, and constants for"
            " density, velocity and pressure on the far field"
        )
    return walls[0], tuple(far)  # type: ignore[return-value]


def _multiple(found: sp.Expr, wanted: sp.Expr) -> sp.Expr | None:
    ratio = sp.cancel(found / wanted)
    return ratio if ratio != 0 and ratio.is_number else None
