"""Viscous Burgers equations on a periodic interval, recognised in what a problem declares."""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from pdespec.geometry import Interval
from pdespec.statements.problem import Problem, once
from pdespec.symbols import InputField, Scalar


@dataclass(frozen=True)
class ViscousBurgers:
    """`inertia u_t + (steepening u + drift) u_x = diffusion u_xx` for start <= x < end, periodic,
    with u = initial at the start of the time. All are expressions of params and constants,
    `initial` also of x and of inputs."""

    component: str
    inertia: sp.Expr
    steepening: sp.Expr
    drift: sp.Expr
    diffusion: sp.Expr
    initial: sp.Expr
    start: sp.Expr
    end: sp.Expr


@once
def viscous_burgers(problem: Problem) -> ViscousBurgers | str:
    """The equation that a problem declares, however it is written; or why it is another one."""
    frame = _frame(problem)
    if isinstance(frame, str):
        return frame
    start, end = frame
    initial = _initial(problem)
    if isinstance(initial, str):
        return initial
    terms = _terms(problem)
    if isinstance(terms, str):
        return terms
    inertia, steepening, drift, diffusion = terms
    return ViscousBurgers(
        problem.components[0], inertia, steepening, drift, diffusion, initial, start, end
    )


def _frame(problem: Problem) -> tuple[sp.Expr, sp.Expr] | str:
    """Both ends of the interval."""
    if len(problem.components) != 1 or len(problem.coordinates) != 1 or problem.time is None:
        return "it is not one number as a function of x and t"
    if problem.time.periodic:
        return "it is periodic in time and has no initial state"
    if problem.functionals or problem.requirements or len(problem.equations) != 1:
        return "it has more than one equation"
    (equation,) = problem.equations.values()
    region = next(iter(problem.unknowns.values())).region
    shape = getattr(region, "shape", None)
    if equation.region != region or not isinstance(shape, Interval):
        return "its domain is not an interval"
    if not getattr(region, "periodic", ()):
        return "its interval is not periodic"
    return sp.sympify(shape.start), sp.sympify(shape.end)


def _initial(problem: Problem) -> sp.Expr | str:
    """The initial state."""
    conditions = list(problem.conditions.values())
    unknown = next(iter(problem.unknowns.values())).symbol
    if len(conditions) != 1 or conditions[0].kind != "initial" or conditions[0].lhs != unknown:
        return "its only condition is not an initial state of u"
    if sp.simplify(conditions[0].at - problem.time.start) != 0:
        return f"its state is given at {problem.time} = {conditions[0].at}, not at the start"
    state = sp.sympify(conditions[0].rhs)
    if state.has(sp.Derivative):
        return "its initial state holds derivatives"
    known = {*problem.coordinates}
    if any(not isinstance(s, Scalar) for s in state.free_symbols - known):
        return "its initial state holds more than x, params and inputs"
    return state


def _terms(problem: Problem) -> tuple[sp.Expr, sp.Expr, sp.Expr, sp.Expr] | str:
    """The coefficients of u_t, u u_x, u_x and -u_xx."""
    if problem.trainables:
        return "it holds numbers that are to be found"
    (residual,) = problem.residuals().values()
    (x,), t = problem.coordinates, problem.time
    unknown = next(iter(problem.unknowns.values())).symbol
    value, rate, slope, curvature = (sp.Dummy(n) for n in ("u", "u_t", "u_x", "u_xx"))
    stands = {
        sp.Derivative(unknown, t): rate,
        sp.Derivative(unknown, x): slope,
        sp.Derivative(unknown, (x, 2)): curvature,
    }
    plain = sp.expand(residual).xreplace(stands).xreplace({unknown: value})
    try:
        found = dict(sp.Poly(plain, rate, slope, curvature, value).terms())
    except sp.PolynomialError:
        return "its equation is not a polynomial in u and its derivatives"
    wanted = ((1, 0, 0, 0), (0, 1, 0, 1), (0, 1, 0, 0), (0, 0, 1, 0))
    if set(found) - set(wanted):
        return "its equation has terms other than u_t, u u_x, u_x and u_xx"
    for index, name in zip(wanted, ("u_t", "u u_x", "", "u_xx"), strict=True):
        if name and not found.get(index, 0):
            return f"its equation has no term {name}"
    inertia, steepening, drift, diffusion = (sp.sympify(found.get(index, 0)) for index in wanted)
    for each in (inertia, steepening, drift, diffusion):
        plain_numbers = all(isinstance(s, Scalar) for s in each.free_symbols)
        if not plain_numbers or each.has(sp.Derivative) or each.atoms(InputField):
            return "its coefficients depend on position or time"
    return inertia, steepening, drift, -diffusion
