"""Whether the segment between two points crosses an interface of the problem."""

from __future__ import annotations

from collections.abc import Callable

import sympy as sp
from sympy.core.function import AppliedUndef
from torch import Tensor

from pdespec.geometry import Boundary
from pdespec.statements.interfaces import interfaces
from pdespec.statements.membership import inside
from pdespec.statements.problem import Problem

Crossing = Callable[[Tensor, Tensor], bool]


def crossing(problem: Problem) -> Crossing:
    """Whether the gradient of a solution may jump between two points that are close to one another.
    True of an interface whose place follows from more than the coordinates, such as a param.

    Shapes: points "D" each, time last.
    """
    sides = [_side(region, problem) for region in interfaces(problem)]

    def between(start: Tensor, end: Tensor) -> bool:
        one, other = ([float(x) for x in each.detach().cpu()] for each in (start, end))
        return any(side is None or side(*one) != side(*other) for side in sides)

    return between


def _side(region: Boundary, problem: Problem) -> Callable[..., int] | None:
    """What differs from one side of an interface to the other, as a function of the coordinates;
    None where more than those decide."""
    if region.kind == "level":
        what = sp.sympify(region.value)
    else:
        try:
            what = sp.sympify(inside(region.domain.shape, problem.coordinates))
        except NotImplementedError:
            return None
    if what.free_symbols - set(problem.variables) or what.atoms(AppliedUndef):
        return None
    value = sp.lambdify(problem.variables, what, modules=["math", "scipy"])
    return lambda *place: _sign(float(value(*place)))


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
