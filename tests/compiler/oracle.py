"""Residuals of closed-form fields by sympy.lambdify alone: no code of the compiler."""

from __future__ import annotations

import numpy as np
import sympy as sp
import torch
from sympy.core.function import AppliedUndef

from pdespec import Problem
from pdespec.symbols import Scalar


def torch_field(forms, variables):
    """The closed forms as a field, by lambdify with torch functions: no code of the compiler."""
    functions = [sp.lambdify(variables, form, "torch") for form in forms]
    return lambda points: torch.stack(
        [f(*points.unbind(-1)).expand(points.shape[:-1]) for f in functions], -1
    )


def exact_residuals(problem: Problem, forms, points: torch.Tensor, params, inputs):
    """lambdify of problem.residuals() with the closed forms put in."""
    table = dict(zip(problem.components, forms, strict=True))
    result = {}
    for label, residual in problem.residuals().items():
        matrix = sp.Matrix([residual]) if isinstance(residual, sp.Expr) else sp.Matrix(residual)
        matrix = matrix.replace(
            lambda e: isinstance(e, AppliedUndef),
            lambda e: table.get(e.func.__name__, inputs.get(e.func.__name__)),
        )
        matrix = matrix.doit().subs(
            {s: params.get(s.name, s.declaration.value) for s in matrix.atoms(Scalar)}
        )
        function = sp.lambdify(problem.variables, list(matrix), "numpy")
        columns = function(*np.moveaxis(points.numpy(), -1, 0))
        result[label] = np.stack([np.broadcast_to(c, points.shape[:-1]) for c in columns], -1)
    return result
