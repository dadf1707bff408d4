"""How wrong u is, from its residual: an estimate that measures what the residual alone hides.

The mean square of a residual weighs the error's fine scales by the fourth power of their wave number; a small residual can go with a
large error. For an equation `a lap(u) + ... = 0` with u given on the boundary the error solves `a lap(e) = r` up to lower order, so

    e(x) = -integral G(x, y) r(y)/a dy,      G(x, y) = E(|x - y|) - E(sqrt(|x - y|^2 + 4 d(x) d(y)))

with E the fundamental solution of -lap and d the distance to the boundary: exact where the boundary is a plane, and on the disk with
d = (1 - |x|^2)/2; elsewhere an approximation with the right singularity that vanishes on the boundary. Minimising the estimate beside
the residual removes the ill-conditioning of the residual and moves no solution: both vanish together.

Source: method of images (Evans, Partial Differential Equations, 2.2.4); measured in docs/notes/poisson_training.md.
"""

from __future__ import annotations

import math
from dataclasses import replace

import sympy as sp
import torch
from torch import Tensor

from compiler.lowering.essential import essential
from compiler.lowering.terms import Stream, Term
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem


def error_term(problem: Problem, term: Term) -> Term | None:
    """The term `LABEL.error` whose mean square estimates that of the error in u; None where the estimate does not apply.

    It applies to a scalar equation without time in 1-3 dimensions whose only second derivatives are those of one Laplacian, with a
    coefficient of one sign for every u that jumps nowhere, where all boundary conditions state values of u.
    """
    if term.kind != "equation" or problem.time is not None or len(term.expressions) != 1 or flux_conditions(problem):
        return None
    (expression,) = term.expressions
    unknown = [s for s in expression.atoms(Stream) if not s.known]
    heads = [s for s in unknown if sum(s.index) >= 2]
    dim = len(problem.coordinates)
    laplacian = {tuple(2 * (i == k) for i in range(dim)) for k in range(dim)}
    if {s.index for s in heads} != laplacian or len({s.component for s in heads}) != 1 or len(heads) != dim:
        return None
    coefficients = {sp.diff(expression, s) for s in heads}
    if len(coefficients) != 1:
        return None
    (coefficient,) = coefficients
    if coefficient.has(*heads) or not (coefficient.is_positive or coefficient.is_negative):
        return None
    stated = {each.label for each in essential(problem) if each.component == heads[0].component}
    if not problem.conditions or set(problem.conditions) != stated:
        return None
    return replace(term, label=f"{term.label}.error", kind="error", expressions=(expression / coefficient,))


def mean_square_error(residual: Tensor, points: Tensor, depth: Tensor, measure: Tensor) -> Tensor:
    """Mean over the points of `e_i^2`, `e_i = |Omega| / n sum_(j != i) G(x_i, x_j) r_j`.

    Shapes: residual "b n", points "b n d" uniform in the domain, depth "b n" the distance to the boundary, measure "b" -> "b".
    """
    n, dim = points.shape[1:]
    square = (points[:, :, None] - points[:, None]).square().sum(-1)
    apart = ~torch.eye(n, dtype=torch.bool, device=points.device)
    safe = torch.where(apart, square, torch.ones_like(square)).clamp_min(1e-12 * float(square.detach().max()))
    image = safe + 4 * depth[:, :, None] * depth[:, None]
    kernel = torch.where(apart, fundamental(safe, dim) - fundamental(image, dim), torch.zeros_like(safe))
    error = (kernel @ residual[..., None]).squeeze(-1) * (measure / n)[:, None]
    return error.square().mean(-1)


def fundamental(square: Tensor, dim: int) -> Tensor:
    """E of -lap as a function of the squared distance: -s/2, -log(s)/2 pi, 1/(4 pi s) with s the distance."""
    if dim == 1:
        return -0.5 * square.sqrt()
    if dim == 2:
        return -square.log() / (4 * math.pi)
    return square.rsqrt() / (4 * math.pi)
