"""The defect of the ansatz: the residual of every equation at `u = offset`, which is what the
network is left to invert.

Where there is one equation for one unknown, the mean size of the defect in a sample also gives the
unit of the network's output, `u = offset + gain * unit * factor * N(defect / unit, ..)`. For a
linear equation this is what linearity says; for a nonlinear one the unit is an input channel as
well. Without it, samples of rare amplitude stay wrong (docs/notes/poisson_training.md). `gain` is
one number of the problem, 5 over the size of the operator at the factor: a clamped plate on the
unit disk, D lap(lap(w)) = q, has w = q/(64 D) (1 - r^2)^2.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from compiler.batches.residuals import Residuals, Shifted
from compiler.data.samples import Draws, probed
from compiler.geometry.shapes.meshfile import files
from compiler.loss.hard_conditions import ansatz, plan_hard_conditions
from compiler.lowering.terms import Term, lower, strong_form
from operators.field import PointFunction
from pdespec.rules.subdomains import merged
from pdespec.statements.problem import Problem

UNLOADED = 1e-6  # of the loads on the boundary: a source below that is none

DRAWN, POINTS, ROUNDS = 8, 64, 3  # samples, points and secants by which the gain is found
# what a network begins below and soon reaches: a step moves its output by about the learning rate
OUTPUT = 0.2
MOST = 1e6  # by which a secant may change it
# of the size of the residuals, which is 1 in the problem as it is computed (see `compiler.scales`)
LEAST = 1e-6


@lru_cache(maxsize=64)
def defect_names(problem: Problem) -> tuple[str, ...]:
    """A name for each component of the defect; none where a component of the unknowns has
    nothing built in, so that there is no offset."""
    if not problem.equations or not all(
        each.labels for each in plan_hard_conditions(problem).values()
    ):
        return ()
    return tuple(
        f"defect of {t.label}{'' if len(t.expressions) == 1 else f'[{k}]'}"
        for t in strong_form(merged(problem) or problem)
        for k in range(len(t.expressions))
    )


def output_scale(drawn: Draws, points: Tensor) -> Tensor | None:
    """Mean absolute defect of each sample over interior points, at least `LEAST`: a lift may solve
    the equation, which leaves nothing to invert. None where the problem has no defect or several.
    Shapes: "b".
    """
    if len(defect_names(drawn.problem)) != 1 or len(drawn.problem.components) != 1:
        return None
    size = defect(drawn, points).abs().mean((1, 2))
    load = loads(drawn)
    size = torch.where(size > UNLOADED * load, size, load)
    return size.clamp_min(LEAST)


def gain(problem: Problem) -> float:
    """What a network of size OUTPUT is multiplied by, over the size of the defect, so that the
    equation changes by as much as the defect.

    With s = OUTPUT * gain * unit the median over points and samples of `|A(offset + s factor) -
    A(offset)| / unit` is 1; 1 where there is none.
    """
    return _gain(problem, files(problem))


@lru_cache(maxsize=64)
def _gain(problem: Problem, read: tuple[Any, ...]) -> float:
    drawn = probed(problem, DRAWN)
    geometry = drawn.geometry[next(iter(problem.unknowns.values())).region.name]
    points = geometry.interior(POINTS, torch.Generator().manual_seed(2))
    if problem.time is not None:
        share = (torch.arange(POINTS, dtype=points.dtype) + 0.5) / POINTS
        points = torch.cat(
            [points, (drawn.start + drawn.duration * share).expand(drawn.size, -1)[..., None]], -1
        )
    built, size = ansatz(drawn, plan_hard_conditions(problem)), output_scale(drawn, points)
    if built is None or size is None:
        return 1.0
    base = _residuals(drawn, points, built.offset)

    def change(scale: float) -> float:
        moved = _residuals(
            drawn, points, lambda x: built.offset(x) + scale * size[:, None, None] * built.factor(x)
        )
        found = ((moved - base).abs() / size[:, None, None]).median(1).values
        return float(found.detach().median())

    scale = 1.0
    for _ in range(ROUNDS):  # secants on a logarithmic scale: one of them is enough for a power
        here, there = change(scale), change(2 * scale)
        if not 0 < here < math.inf or not 0 < there < math.inf:
            return 1.0
        power = min(max(math.log2(there / here), 0.25), 8.0)
        scale *= math.exp(min(max(-math.log(here) / power, -math.log(MOST)), math.log(MOST)))
    return scale / OUTPUT


def loads(drawn: Draws) -> Tensor:
    """What natural conditions bring in at the offset, as a source in the domain: mean absolute
    residual times their share of its measure.

    Shapes: "b".
    """
    problem = drawn.problem
    built = ansatz(drawn, plan_hard_conditions(problem))
    total = torch.zeros(drawn.size, dtype=drawn.dtype, device=drawn.device)
    for residuals in _loading(problem) if built is not None else ():
        region = residuals.terms[0].region
        geometry = drawn.geometry[region.domain.name]
        points, normals = geometry.boundary(
            region, 64, torch.Generator(drawn.device).manual_seed(0)
        )
        if problem.time is not None:
            time = torch.linspace(
                drawn.start,
                drawn.start + drawn.duration,
                64,
                dtype=points.dtype,
                device=points.device,
            )
            points = torch.cat([points, time.expand(len(points), -1)[..., None]], -1)
        (found,) = residuals(Shifted(built.offset), points, normals, drawn).values()
        found = found if drawn.attached else found.detach()
        found = torch.where(found.isfinite(), found, torch.zeros_like(found))
        total = total + found.abs().mean((1, 2)) * geometry.measure(region) / geometry.measure()
    return total


@lru_cache(maxsize=64)
def _loading(problem: Problem) -> tuple[Residuals, ...]:
    """The natural conditions that are left to the loss, each alone, those of one boundary one
    after the other."""
    stated = merged(problem) or problem
    held = {label for each in plan_hard_conditions(problem).values() for label in each.labels}
    found: dict[str, list[Residuals]] = {}
    for term in lower(stated):
        slopes = any(any(s.index) for s in term.streams())
        if term.kind == "boundary" and term.label not in held and not term.inner and slopes:
            found.setdefault(term.points, []).append(Residuals(stated, (term,)))
    return tuple(each for group in found.values() for each in group)


def defect_channels(drawn: Draws, points: Tensor) -> Tensor:
    """asinh of the defect in its unit, since near the boundary of an odd shape it grows by decades,
    and the unit's logarithm.

    Shapes: points "b n D" -> "b n k", k the number of `defect_names`, and one more where there is a
    unit.
    """
    found = defect(drawn, points)
    if drawn.unit is None:
        return found.asinh()
    size = drawn.unit[:, None, None]
    return torch.cat([(found / size).asinh(), size.log().expand_as(found)], -1)


def defect(drawn: Draws, points: Tensor) -> Tensor:
    """The residuals at the offset. Where one of them is not finite, as 1/u is at u = 0, all count
    as zero.

    It keeps its graph where the points, a param or an input function require grad, and no graph
    else. Shapes: points "b n D" -> "b n k", k the number of `defect_names`.
    """
    problem = drawn.problem
    if not defect_names(problem):
        return points.new_zeros(*points.shape[:2], 0)
    built = ansatz(drawn, plan_hard_conditions(problem))
    found = _residuals(drawn, points, built.offset)
    finite = found.isfinite().all(-1, keepdim=True)
    if not (torch.is_grad_enabled() and (points.requires_grad or drawn.attached)):
        found = found.detach()
    elif not finite.all():
        found = _residuals(
            drawn, points, built.offset, (~finite).to(points.dtype)
        )  # off u = 0 there: the gradient of what is not finite is NaN even where it is masked
    return torch.where(finite, found, torch.zeros_like(found))


def _residuals(
    drawn: Draws, points: Tensor, function: PointFunction, added: Tensor | float = 0.0
) -> Tensor:
    """The residuals of all equations at `function + added`. Shapes: "b n D" -> "b n k"."""
    shifted, found = Shifted(function, added), {}
    labels, equations = _equations(drawn.problem)
    for residuals in equations:
        found |= residuals(shifted, points, None, drawn)
    return torch.cat([found[label] for label in labels], -1)


@lru_cache(maxsize=64)
def _equations(problem: Problem) -> tuple[tuple[str, ...], tuple[Residuals, ...]]:
    """The labels of the equations, and their residuals by the points that they are taken at."""
    stated = merged(problem) or problem
    terms = strong_form(stated)
    found: dict[str, list[Term]] = {}
    for term in terms:
        found.setdefault(term.points, []).append(term)
    return tuple(t.label for t in terms), tuple(Residuals(stated, tuple(t)) for t in found.values())
