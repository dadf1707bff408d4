"""Errors raised by the reference solver."""

from __future__ import annotations

from pdespec.errors import PdespecError

SINGULAR = (
    "the linear system is singular: the problem leaves something undetermined, such as the constant"
    " of a pressure or of a pure Neumann problem (add `require integral(p, Omega) = 0`) or a rigid"
    " motion (fix it by a condition)"
)


class SolverError(PdespecError):
    """A reference solution that could not be made; the message says what is missing and what to
    do."""


class WrongOption(SolverError, TypeError):
    """An option of the solver that does not exist, or does not apply to the problem."""


class NoWeakForm(SolverError):
    """The declared problem has no weak form that this solver knows how to derive."""


class SolverWarning(UserWarning):
    """A reference solution that is less than it seems."""


class Contradiction(SolverError):
    """Statements that no function meets together: what would be solved is another problem than
    the one declared. F01, F02."""


class IllPosed(SolverError):
    """A problem whose solution does not depend continuously on its data, forwards in time: F03."""


class SampleError(SolverError):
    """One sample that has no reference solution; others of the same problem may have one."""


class Unbounded(SampleError):
    """An energy without a minimum: F04."""


class NoConvergence(SampleError):
    """Newton's iteration did not reach its tolerance."""


class Singular(SampleError):
    """A linear system without a unique solution."""

    def __init__(self, message: str = SINGULAR) -> None:
        super().__init__(message)
