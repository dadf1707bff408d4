"""What can go wrong in a reference solution."""

from __future__ import annotations


class SolverError(Exception):
    """A reference solution that could not be made; the message says what is missing and what to do."""


class NoWeakForm(SolverError):
    """The declared problem has no weak form that this solver knows how to derive."""


class NoConvergence(SolverError):
    """Newton's iteration did not reach its tolerance."""
