"""Finds the unknown that is a displacement: pictures are drawn on the deformed body."""

from __future__ import annotations

from pdespec.statements.problem import Problem
from pdespec.symbols import Unknown


def displacement(problem: Problem) -> Unknown | None:
    """The unknown that is the displacement of the body, or None.

    It is a vector with a component for every coordinate, and
    - rigid translations cost nothing: the residuals hold its derivatives, never its value, as a
      velocity that is carried along has;
    - it does not flow: its highest derivative in time, where there is one, is not the first;
    - it is the only unknown, or the problem minimises an energy. A velocity with a pressure is a
      saddle point, not a minimum.
    """
    minimised = {
        name for each in problem.functionals if each.kind == "minimize" for name in each.unknowns
    }
    found = [
        unknown
        for name, unknown in problem.unknowns.items()
        if (name in minimised or len(problem.unknowns) == 1)
        and len(unknown.components) == len(problem.coordinates)
        and _moves(problem, unknown)
    ]
    return found[0] if len(found) == 1 else None


def _moves(problem: Problem, unknown: Unknown) -> bool:
    indices = {index for name in unknown.components for index in problem.derivatives()[name]}
    flows = problem.time is not None and max((index[-1] for index in indices), default=0) == 1
    return unknown.rank == "vector" and all(any(index) for index in indices) and not flows
