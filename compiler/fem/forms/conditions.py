"""Conditions as the weak form takes them.

Essential ones fix values at nodes, natural ones turn into boundary integrals, initial ones start
the march.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import sympy as sp

from compiler.fem.errors import NoWeakForm
from compiler.lowering.terms import Stream, scalars
from pdespec.coordinates import Normal
from pdespec.geometry import Boundary
from pdespec.jets import sympy_form
from pdespec.jumps import slope
from pdespec.statements.problem import Condition, Problem


@dataclass(frozen=True)
class Essential:
    """`sum_c coefficient_c u_c = value` at the nodes of `region`."""

    label: str
    region: Boundary
    coefficients: tuple[tuple[str, sp.Expr], ...]
    value: sp.Expr


@dataclass(frozen=True)
class Pin:
    """`sum_c coefficient_c u_c = value` at the point `place`, at all times."""

    label: str
    place: tuple[sp.Expr, ...]
    coefficients: tuple[tuple[str, sp.Expr], ...]
    value: sp.Expr


@dataclass(frozen=True)
class Natural:
    """`residual = 0` on `region`, with derivatives of unknowns; `place` is its position in a
    vector condition."""

    label: str
    region: Boundary
    residual: sp.Expr
    place: int


@dataclass(frozen=True)
class Initial:
    """`d_t^order component = value` at the start."""

    component: str
    order: int
    value: sp.Expr


@dataclass(frozen=True)
class Obstacle:
    """`component >= bound` (sign 1) or `<= bound` (sign -1), as required by `text`."""

    component: str
    sign: int
    bound: sp.Expr
    text: str


def obstacle(expression: sp.Expr, text: str, densities: Sequence[sp.Expr]) -> Obstacle | None:
    """A requirement `expression > 0` as a bound on one unknown component; None for others, and
    where the energy needs it to be defined."""
    streams = unknown_streams(expression)
    if len(streams) != 1 or any(streams[0].index):
        return None
    factor = slope(expression, streams[0])
    if not factor.is_number or factor == 0:
        return None
    for density in densities:
        powers = [
            p
            for p in density.atoms(sp.Pow)
            if not (p.exp.is_integer and p.exp.is_positive) and p.base.has(streams[0])
        ]
        if powers or any(each.has(streams[0]) for each in density.atoms(sp.log)):
            return None
    bound = -expression.subs(streams[0], 0) / factor
    return Obstacle(streams[0].component, 1 if factor > 0 else -1, bound, text)


def split_conditions(
    problem: Problem, rewrite: Callable[[sp.Expr], sp.Expr], fluxes: set[str]
) -> tuple[tuple[Essential, ...], tuple[Natural, ...]]:
    """Boundary conditions by kind. Values of discontinuous unknowns (`fluxes`) cannot be fixed
    at nodes, so they are natural."""
    essentials, naturals = [], []
    for label, condition in problem.conditions.items():
        if condition.kind != "boundary":
            continue
        for place, residual in enumerate(entries(condition)):
            residual = over_streams(
                problem, rewrite(sympy_form(problem.derivative_form(residual)))
            ).subs(normals_of(condition.region))
            unknown = unknown_streams(residual)
            if not unknown:
                if residual != 0:
                    raise NoWeakForm(
                        f"condition `{label}` on {condition.region.name} holds no unknown:"
                        f" {residual} = 0"
                    )
            elif any(any(s.index) or s.component in fluxes for s in unknown):
                naturals.append(Natural(label, condition.region, residual, place))
            else:
                essentials.append(
                    Essential(
                        label,
                        condition.region,
                        *linear(f"`{label}` on {condition.region.name}", residual, unknown),
                    )
                )
    return tuple(essentials), tuple(naturals)


def linear(
    what: str, residual: sp.Expr, unknown: Sequence[Stream]
) -> tuple[tuple[tuple[str, sp.Expr], ...], sp.Expr]:
    """Coefficients by component, and the value that their sum takes.

    Raises: NoWeakForm where the condition is not linear in the unknowns.
    """
    coefficients = tuple((s.component, sp.diff(residual, s)) for s in unknown)
    if any(unknown_streams(c) for _, c in coefficients):
        raise NoWeakForm(f"condition {what} is not linear in {', '.join(s.name for s in unknown)}")
    value = -residual.subs(dict.fromkeys(unknown, 0))
    return tuple((name, c) for name, c in coefficients if c != 0), value


def pins(problem: Problem) -> tuple[Pin, ...]:
    """Conditions at points.

    Raises: NoWeakForm for derivatives, which elements have two of on the side of a cell, and for
    those that hold at one time only.
    """
    found = []
    for label, condition in problem.conditions.items():
        if condition.kind != "point":
            continue
        if condition.at is not None:
            raise NoWeakForm(
                f"condition `{label}` holds at one time only, {problem.time} = {condition.at}, and"
                " the march knows no later times"
            )
        for residual in entries(condition):
            residual = over_streams(problem, residual)
            unknown = unknown_streams(residual)
            if any(any(s.index) for s in unknown):
                names = ", ".join(s.name for s in unknown if any(s.index))
                raise NoWeakForm(
                    f"condition `{label}` gives {names} at a point, where the reference solver"
                    " fixes values only"
                )
            if unknown:
                found.append(Pin(label, condition.place, *linear(f"`{label}`", residual, unknown)))
    return tuple(found)


def natural(
    flux: Sequence[sp.Expr],
    place: int,
    candidates: Sequence[Natural],
    fluxes: set[str],
    coordinates: Sequence[sp.Symbol],
) -> list[tuple[Natural, sp.Expr]]:
    """The boundary integrands of one row: `flux . n` on each region with a condition that gives it,
    written without derivatives.

    A condition B = 0 gives the flux q when q = alpha B + r with r free of derivatives in space;
    then r is the integrand.
    """
    found: dict[Boundary, tuple[Natural, sp.Expr]] = {}
    for candidate in sorted(candidates, key=lambda c: abs(c.place - place)):
        across = sum(
            (f * Normal(x) for f, x in zip(flux, coordinates, strict=True)), sp.S.Zero
        ).subs(normals_of(candidate.region))
        rest = remainder(across, candidate.residual, fluxes, len(coordinates))
        if rest is not None and candidate.region not in found:
            found[candidate.region] = (candidate, rest)
    return list(found.values())


def remainder(across: sp.Expr, residual: sp.Expr, fluxes: set[str], axes: int) -> sp.Expr | None:
    """`r` of q = alpha B + r, or None. The first `axes` entries of an index count derivatives in
    space."""

    def leading(expression: sp.Expr) -> set[Stream]:
        return {
            s for s in unknown_streams(expression) if any(s.index[:axes]) or s.component in fluxes
        }

    shared = sorted(leading(across) & leading(residual), key=lambda s: s.name)
    if not shared:
        return None
    for attempt in (sp.expand, sp.simplify):
        alpha = sp.cancel(sp.diff(across, shared[0]) / sp.diff(residual, shared[0]))
        rest = attempt(across - alpha * residual)
        if not leading(rest):
            return rest
    return None


def initials(problem: Problem) -> tuple[Initial, ...]:
    """Initial values and rates, from the initial conditions.

    Raises: NoWeakForm for one that does not give a value at the start.
    """
    found = []
    for label, condition in problem.conditions.items():
        if condition.kind != "initial":
            continue
        if sp.simplify(condition.at - problem.time.start) != 0:
            raise NoWeakForm(
                f"condition `{label}` is given at {problem.time} = {condition.at}; the march starts"
                f" at {problem.time.start}"
            )
        for residual in entries(condition):
            residual = over_streams(problem, residual)
            unknown = unknown_streams(residual)
            if (
                len(unknown) != 1
                or any(unknown[0].index[:-1])
                or unknown_streams(sp.diff(residual, unknown[0]))
            ):
                raise NoWeakForm(
                    f"initial condition `{label}` is not of the form u = value or dt(u) = value"
                )
            value = -residual.subs(unknown[0], 0) / sp.diff(residual, unknown[0])
            found.append(Initial(unknown[0].component, unknown[0].index[-1], value))
    return tuple(found)


def over_streams(problem: Problem, expression: sp.Expr) -> sp.Expr:
    """A scalar over streams, derivatives carried out and constants put to their numbers."""
    return scalars(problem, expression)[0]


def entries(condition: Condition) -> list[sp.Expr]:
    difference = condition.lhs - condition.rhs
    return list(difference) if isinstance(difference, sp.MatrixBase) else [difference]


def unknown_streams(expression: sp.Expr) -> list[Stream]:
    return sorted(
        (s for s in sp.sympify(expression).atoms(Stream) if not s.known), key=lambda s: s.name
    )


def normals_of(region: Boundary) -> dict[sp.Symbol, sp.Expr]:
    """On a side of a box the normal is an axis: its components as numbers, where they are known."""
    if region.kind != "side":
        return {}
    table: dict[sp.Symbol, sp.Expr] = {
        Normal(x): sp.S.Zero for x in region.coordinates if x.name != region.coordinate
    }
    axis = [x.name for x in region.coordinates].index(region.coordinate)
    own = Normal(region.coordinates[axis])
    shape = region.domain.shape
    for corner, sign in ((getattr(shape, "lower", None), -1), (getattr(shape, "upper", None), 1)):
        if corner is not None and sp.simplify(corner[axis] - region.value) == 0:
            table[own] = sp.Integer(sign)
    return table
