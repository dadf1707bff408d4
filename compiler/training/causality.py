"""Whether and how strongly residuals are weighed by what came before them (see
`compiler.loss.causality`)."""

from __future__ import annotations

import sympy as sp
import torch

from compiler.batches.ansatz_residual import ansatz_residual, ansatz_residual_names
from compiler.data.samples import probed
from compiler.lowering.terms import JetVariable, strong_form
from compiler.training.options import TrainOptions
from pdespec.statements.problem import Problem

# a residual of 40 % of that at the start hides the end of the time interval, one of 10 % no longer
# does
STRENGTH = 20.0
SAMPLES, POINTS = 8, 128  # on which the residual at the start is measured


def causal_weights(problem: Problem, options: TrainOptions) -> tuple[dict[str, float], str]:
    """What `options.causal` asks for: the strengths by label of the equation, and why."""
    if options.causal is None or not options.physics:
        return {}, ""
    if options.block is not None:
        return {}, "no causal weights: blocks see some of the points of a sample at a time"
    if options.adaptive is not None:
        return {}, "no causal weights: they add up residuals at points that are uniform in time"
    if options.causal == "auto" and not nonlinear(problem):
        return {}, ""
    found = causal_strengths(
        problem, STRENGTH if options.causal == "auto" else float(options.causal)
    )
    reason = (
        "causal, since a nonlinear equation may rest at another state: a residual counts once those"
        " at earlier times are small"
    )
    return found, reason if found else ""


def causal_strengths(problem: Problem, strength: float = STRENGTH) -> dict[str, float]:
    """`strength / R^2` by label of the equation, R^2 the mean square of its residual where
    everything stays as it begins, or 1, the size of residuals, where that is not known. Empty where
    information does not travel: without time, or with one that repeats.
    """
    if problem.time is None or problem.time.periodic or not problem.equations:
        return {}
    terms = [term for term in strong_form(problem) if term.kind == "equation"]
    if not ansatz_residual_names(problem):
        return dict.fromkeys((term.label for term in terms), strength)
    drawn = probed(problem, SAMPLES)
    geometry = drawn.geometry[next(iter(problem.unknowns.values())).region.name]
    points = geometry.interior(POINTS, torch.Generator().manual_seed(3))
    share = (torch.arange(POINTS, dtype=points.dtype) + 0.5) / POINTS
    points = torch.cat(
        [points, (drawn.start + drawn.duration * share).expand(drawn.size, -1)[..., None]], -1
    )
    squares = ansatz_residual(drawn, points).square().mean((0, 1)).tolist()
    found, place = {}, 0
    for term in terms:
        size = sum(squares[place : place + len(term.expressions)])
        found[term.label] = strength / size if size > 0 else strength
        place += len(term.expressions)
    return found


def nonlinear(problem: Problem) -> bool:
    """Whether an equation is not linear in the unknowns and their derivatives, so that it may
    rest at other states than its solution."""
    for expression in (
        each
        for term in strong_form(problem)
        if term.kind == "equation"
        for each in term.expressions
    ):
        jets = {s for s in expression.atoms(JetVariable) if not s.known}
        if any(sp.diff(expression, s).free_symbols & jets for s in jets):
            return True
    return False
