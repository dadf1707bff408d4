"""The reference solver: a declared problem, its weak form by symbolic derivation, and its finite element solution."""

from __future__ import annotations

from .failure import NoConvergence, NoWeakForm, SampleError, SolverError
from .solution import Solution
from .solve import solve
from .weak import WeakForm, weak_form

__all__ = ["NoConvergence", "NoWeakForm", "SampleError", "Solution", "SolverError", "WeakForm", "solve", "weak_form"]
