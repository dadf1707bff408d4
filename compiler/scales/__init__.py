"""Units and scales: a problem is computed in local, scaled coordinates and sizes, and answered in
the user's.

`scaled(problem)` is the one place where this is decided. Sampling, building, training and the
losses run on the scaled problem; batches, fields and residuals are handed out in the coordinates
and units that the problem was written in.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

from compiler.geometry.shapes.meshfile import files
from compiler.lowering.frame import Frame
from compiler.lowering.rewrite import ScaledProblem, Unscalable, rewritten
from compiler.measurements.named import input_stamps
from compiler.scales.sizes import coordinates, field_and_residual_sizes, in_time, input_sizes
from compiler.scales.views import component_sizes
from compiler.trainable_fields import expanded
from pdespec.errors import ProblemError
from pdespec.statements.problem import Problem
from pdespec.table import Table

__all__ = ["Frame", "component_sizes", "scaled"]


def scaled(problem: Problem) -> tuple[Frame, Problem]:
    """The frame of a problem and the problem in it, which is the problem itself, the same
    object, where the frame is trivial and it has no functions to be found (these are written out).
    """
    problem = expanded(problem)
    frame, local = _scaled(problem, (*files(problem), *input_stamps(problem)))
    # of equal problems the first one is remembered
    return frame, problem if frame.trivial else local


@lru_cache(maxsize=64)
def _scaled(problem: Problem, read: tuple[Any, ...]) -> tuple[Frame, Problem]:
    try:
        return _measured(problem)
    except RecursionError:
        # SymPy 1.14 turns in circles on some choices whose conditions hold other numbers than they
        # were written with
        return Frame(tuple(0 * x for x in problem.coordinates)), problem


def _measured(problem: Problem) -> tuple[Frame, Problem]:
    if isinstance(problem, ScaledProblem):
        return Frame(tuple(0 * x for x in problem.coordinates)), problem
    frame, local = _placed(problem)
    try:
        inputs = input_sizes(local)
        frame, local = _again(problem, replace(frame, fields=Table(inputs)))
        sizes = field_and_residual_sizes(local, inputs, frame.length)
    except (
        ProblemError
    ):  # of what cannot be drawn nothing can be measured; who asks for it gets the reason
        return _again(problem, frame)
    return _again(
        problem,
        replace(
            frame,
            fields=sizes.fields,
            statements=sizes.statements,
            functionals=sizes.functionals,
            requirements=sizes.requirements,
            reasons=sizes.reasons,
        ),
    )


def _placed(problem: Problem) -> tuple[Frame, Problem]:
    """The frame of coordinates and params; only of time where a shape or a law cannot be mapped, or
    the domain is not known yet: its params have no law.
    """
    try:
        return _again(problem, coordinates(problem))
    except (Unscalable, ProblemError):
        return _again(problem, in_time(problem, Frame(tuple(0 * x for x in problem.coordinates))))


def _again(problem: Problem, frame: Frame) -> tuple[Frame, Problem]:
    return frame, problem if frame.trivial else rewritten(problem, frame)
