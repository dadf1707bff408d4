"""The reference solver: a declared problem, its weak form by symbolic derivation, and its finite element solution."""

from __future__ import annotations

from compiler.fem.errors import NoConvergence, NoWeakForm, SampleError, SolverError
from compiler.fem.forms.weak import WeakForm, weak_form
from compiler.fem.solution import Solution
from compiler.fem.solve import solve

__all__ = ["NoConvergence", "NoWeakForm", "SampleError", "Solution", "SolverError", "WeakForm", "solve", "weak_form"]
