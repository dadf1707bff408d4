"""The reference solver: a declared problem, its weak form by symbolic derivation, and its finite
element solution."""

from __future__ import annotations

from compiler.fem.error_estimate import ErrorEstimate
from compiler.fem.errors import (
    Contradiction,
    IllPosed,
    NoConvergence,
    NoWeakForm,
    SampleError,
    SolverError,
    SolverWarning,
)
from compiler.fem.forms.weak import WeakForm, weak_form
from compiler.fem.solution import Solution
from compiler.fem.solve import solve

__all__ = [
    "Contradiction",
    "ErrorEstimate",
    "IllPosed",
    "NoConvergence",
    "NoWeakForm",
    "SampleError",
    "Solution",
    "SolverError",
    "SolverWarning",
    "WeakForm",
    "solve",
    "weak_form",
]
