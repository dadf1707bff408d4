"""Estimate of the L2 error of u from its residual, by the Green's function of the equation.

The mean square of a residual weighs the error's fine scales by the fourth power of their wave
number; a small residual can go with a large error. For an equation `a lap(u) + ... = 0` with u
given on the boundary the error solves `a lap(e) = r` up to lower order, so

    e(x) = -integral G(x, y) r(y)/a dy,      G(x, y) = E(|x - y|) - E(sqrt(|x - y|^2 + 4 d(x) d(y)))

with E the fundamental solution of -lap and d the distance to the boundary: exact where the boundary
is a plane, and on the disk with d = (1 - |x|^2)/2; elsewhere an approximation with the right
singularity that vanishes on the boundary. Minimising the estimate together with the residual
removes the ill-conditioning of the residual and moves no solution: both vanish together.

The same holds for `a lap^m(u) + ... = 0` with u and its first m - 1 normal derivatives given on the
boundary (a clamped plate, m = 2):

    G(x, y) = k |x - y|^(2m - n) integral_1^A (v^2 - 1)^(m - 1) v^(1 - n) dv,
    A^2 = 1 + 4 d(x) d(y) / |x - y|^2,

n the dimension, 1/k = |S^(n-1)| 4^(m-1) ((m - 1)!)^2, which for m = 1 is the difference above.

Source: method of images (Evans, Partial Differential Equations, 2.2.4); T. Boggio 1905 (Gazzola,
Grunau and Sweers, Polyharmonic Boundary Value Problems, 2010, lemma 2.27); measured in
docs/notes/poisson_training.md.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import sympy as sp
import torch
from jaxtyping import Float
from torch import Tensor

from compiler.lowering.essential import essential, normal_slopes
from compiler.lowering.terms import JetVariable, Term
from pdespec.jets import MultiIndex
from pdespec.statements.interfaces import flux_conditions
from pdespec.statements.problem import Problem


def error_term(problem: Problem, term: Term) -> Term | None:
    """The term `LABEL.error` whose mean square estimates that of the error in u; None where the
    estimate does not apply.

    It applies to a scalar equation without time in 1-3 dimensions whose highest derivatives are
    those of lap(u) or lap(lap(u)), with a coefficient of one sign for every u that jumps nowhere,
    where all boundary conditions state values of u, for lap(lap(u)) its normal derivatives as well.
    `target` of the term is the power of the Laplacian.
    """
    if (
        term.kind != "equation"
        or problem.time is not None
        or len(term.expressions) != 1
        or flux_conditions(problem)
    ):
        return None
    (expression,) = term.expressions
    unknown = [s for s in expression.atoms(JetVariable) if not s.known]
    power = max((sum(s.index) for s in unknown), default=0) // 2
    heads = [s for s in unknown if sum(s.index) >= max(2, 2 * power)]
    dim = len(problem.coordinates)
    principal = multinomials(power, dim) if power in (1, 2) else {}
    if (
        {s.index for s in heads} != set(principal)
        or len({s.component for s in heads}) != 1
        or len(heads) != len(principal)
    ):
        return None
    coefficients = {sp.diff(expression, s) / principal[s.index] for s in heads}
    if len(coefficients) != 1:
        return None
    (coefficient,) = coefficients
    if coefficient.has(*heads) or not (coefficient.is_positive or coefficient.is_negative):
        return None
    stated = {
        each.label: each.condition.region
        for each in essential(problem)
        if each.component == heads[0].component
    }
    sloped = {
        each.label: each.condition.region
        for each in normal_slopes(problem)
        if each.component == heads[0].component
    }
    if not problem.conditions or set(problem.conditions) != {*stated, *sloped}:
        return None
    if (set(sloped.values()) != set(stated.values())) if power == 2 else sloped:
        return None
    return replace(
        term,
        label=f"{term.label}.error",
        kind="error",
        expressions=(expression / coefficient,),
        target=sp.Integer(power),
    )


def multinomials(power: int, dim: int) -> dict[MultiIndex, int]:
    """The coefficients of lap^power by multi-index."""
    return {
        tuple(2 * each for each in index): (
            math.factorial(power) // math.prod(map(math.factorial, index))
        )
        for index in itertools.product(range(power + 1), repeat=dim)
        if sum(index) == power
    }


def mean_square_error(
    residual: Float[Tensor, "b n"],
    points: Float[Tensor, "b n d"],
    depth: Float[Tensor, "b n"],
    measure: Float[Tensor, " b"],
    power: int = 1,
) -> Float[Tensor, " b"]:
    """Mean over the points of `e_i^2`, `e_i = |Omega| / n sum_(j != i) G(x_i, x_j) r_j`.

    Shapes: residual "b n", points "b n d" uniform in the domain, depth "b n" the distance to the
    boundary, measure "b" -> "b".
    """
    n, dim = points.shape[1:]
    square = (points[:, :, None] - points[:, None]).square().sum(-1)  # (b, n, n)
    apart = ~torch.eye(n, dtype=torch.bool, device=points.device)
    safe = torch.where(apart, square, torch.ones_like(square)).clamp_min(
        1e-12 * float(square.detach().max())
    )
    kernel = green(safe, depth[:, :, None] * depth[:, None], dim, power)  # (b, n, n)
    kernel = torch.where(apart, kernel, torch.zeros_like(safe))
    error = (kernel @ residual[..., None]).squeeze(-1) * (measure / n)[:, None]  # (b, n)
    return error.square().mean(-1)


def green(
    square: Float[Tensor, "*s"], depths: Float[Tensor, "*s"], dim: int, power: int
) -> Float[Tensor, "*s"]:
    """G of (-lap)^power as a function of the squared distance and of the product of the depths
    d(x) d(y)."""
    if power == 1:
        return fundamental(square, dim) - fundamental(square + 4 * depths, dim)
    ratio = 4 * depths / square
    stretch = (1 + ratio).sqrt()  # A
    if dim == 1:
        return square**1.5 * ((stretch * (1 + ratio) - 1) / 3 - (stretch - 1)) / 8
    if dim == 2:
        return square * (ratio - ratio.log1p()) / (16 * math.pi)
    return square.sqrt() * (stretch - 1).square() / stretch / (16 * math.pi)


def fundamental(square: Float[Tensor, "*s"], dim: int) -> Float[Tensor, "*s"]:
    """E of -lap as a function of the squared distance: -s/2, -log(s)/2 pi, 1/(4 pi s) with s the
    distance."""
    if dim == 1:
        return -0.5 * square.sqrt()
    if dim == 2:
        return -square.log() / (4 * math.pi)
    return square.rsqrt() / (4 * math.pi)
