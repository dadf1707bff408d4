"""The residual of the ansatz: of every equation at `u = offset` (softplus of it where u is declared
positive). The network has to make it zero. Where nothing is built in the offset is zero, and the
residual is the sources, which the operator reads in this way alone where they are written out, as
the load P dirac(x - a, w) of a beam. Where some components have something built in and others have
not there is none: Stokes' flow, whose pressure is free, ended farther off with it
(docs/notes/learned.md).

Where there is one equation for one unknown, the scale is the mean size of this residual in a
sample. The network gets the residual divided by it, and its output has an amplitude, `u = offset +
amplitude * factor * N(residual / scale, ..)`. For a linear equation the amplitude is the scale over
the size of the operator at the factor: a clamped plate on the unit disk, D lap(lap(w)) = q,
has w = q/(64 D) (1 - r^2)^2. For one that is nonlinear at its size it is found sample by sample,
and the scale is an input channel as well: u of -div(|grad u|^(m-2) grad u) = f goes as f^(1/(m-1)).
Without them, samples of rare amplitude stay wrong (docs/notes/poisson_training.md,
docs/notes/dual_norm.md)."""

from __future__ import annotations

import math
from functools import lru_cache, partial
from typing import Any

import torch
from torch import Tensor

from compiler.batches.residuals import Residuals, Shifted
from compiler.chance import Chance, seeded
from compiler.data.samples import DrawnSamples, probed
from compiler.geometry.shapes.meshfile import files
from compiler.loss.hard_conditions import ansatz, plan_hard_conditions
from compiler.lowering.terms import Term, lower, strong_form
from operators.field import Ansatz, PointFunction, kept_positive
from pdespec.rules.subdomains import merged
from pdespec.statements.problem import Problem

UNLOADED = 1e-6  # of the loads on the boundary: a source below that is none

DRAWN, POINTS, ROUNDS = 8, 64, 3  # samples, points and secants by which a gain is found
# what a network begins below and soon reaches: a step moves its output by about the learning rate
OUTPUT = 0.2
# what the power differs from 1 by, and the largest amplitude in the size of the defect over the
# smallest, from which on samples have amplitudes of their own
BENT, SPREAD = 0.1, 1.5
MOST = 1e6  # by which a secant may change it
# of the size of the residuals, which is 1 in the problem as it is computed (see `compiler.scales`)
LEAST = 1e-6


@lru_cache(maxsize=64)
def ansatz_residual_names(problem: Problem) -> tuple[str, ...]:
    """A name for each component of the defect; none for an energy, which has no equations, nor
    where something is built into some components of the unknowns alone."""
    built = {bool(each.labels) for each in plan_hard_conditions(problem).values()}
    if not problem.equations or len(built) > 1:
        return ()
    return tuple(
        f"defect of {t.label}{'' if len(t.expressions) == 1 else f'[{k}]'}"
        for t in strong_form(merged(problem) or problem)
        for k in range(len(t.expressions))
    )


def reads_sources(problem: Problem) -> bool:
    """Whether an operator reads the residual where nothing at all is built in: the sources."""
    return bool(ansatz_residual_names(problem)) and not _all_built_in(problem)


@lru_cache(maxsize=64)
def _all_built_in(problem: Problem) -> bool:
    return all(each.labels for each in plan_hard_conditions(problem).values())


def has_amplitude(problem: Problem) -> bool:
    """Whether the network's output is multiplied by an amplitude found sample by sample: there is
    one equation for one unknown, whose conditions are built in."""
    single = len(ansatz_residual_names(problem)) == len(problem.components) == 1
    return single and _all_built_in(problem)


def residual_scale(drawn: DrawnSamples, points: Tensor) -> Tensor | None:
    """Mean absolute defect of each sample over interior points, at least `LEAST`: a lift may solve
    the equation, which leaves nothing to invert. None where the problem has no defect or several;
    with a coarse lift each has its own. Shapes: "b", "b k" of several.
    """
    if not has_amplitude(drawn.problem):
        if drawn.coarse is None:
            return None
        return ansatz_residual(drawn, points).abs().mean(1).clamp_min(LEAST)
    size = ansatz_residual(drawn, points).abs().mean((1, 2))
    load = loads(drawn)
    size = torch.where(size > UNLOADED * load, size, load)
    if drawn.problem.trainables:  # a load that is still to be found has the size of residuals
        size = torch.where(size > LEAST, size, torch.ones_like(size))
    return size.clamp_min(LEAST)


def output_amplitude(drawn: DrawnSamples, size: Tensor) -> Tensor:
    """What the network is multiplied by in each sample: with a network of size OUTPUT the equation
    changes by as much as its defect, `size`. `gain` times that where the equation is all but linear
    at this scale; else it is found for each sample, in the median over points that are the same in
    every draw. Shapes: "b" -> "b".

    Of a linear equation such a median is no better: with a coefficient that jumps it says which
    side of the jump most points lie on.
    """
    ratio = gain(drawn.problem)
    return _amplitude(drawn, size, ratio, 1)[0] if bent(drawn.problem) else ratio * size


def bent(problem: Problem) -> bool:
    """Whether each sample has an amplitude of its own: the equation is far from linear at its size,
    and one multiple of the defect does not do for all samples."""
    return nonlinear(problem) and _typical(problem, files(problem))[2] >= SPREAD


def nonlinear(problem: Problem) -> bool:
    """Whether the equation is far from linear at its size."""
    return _typical(problem, files(problem))[1] >= BENT


def gain(problem: Problem) -> float:
    """`output_amplitude` over the size of the defect, the median over some samples of a problem
    with an output scale; 1 where there is none."""
    return _typical(problem, files(problem))[0]


@lru_cache(maxsize=64)
def _typical(problem: Problem, read: tuple[Any, ...]) -> tuple[float, float, float]:
    """The gain, and how far from 1 the power is with which the equation changes; medians. And the
    largest gain over the smallest."""
    drawn = probed(problem, DRAWN)
    size = residual_scale(drawn, _fixed_points(drawn))
    if size is None:
        return 1.0, 0.0, 1.0
    amplitude, power = _amplitude(drawn, size, 1.0, ROUNDS)
    gains = (amplitude / size).detach()
    spread = float(gains.max() / gains.min())
    return float(gains.median()), float((power - 1).abs().median().detach()), spread


def _amplitude(
    drawn: DrawnSamples, size: Tensor, start: float, rounds: int
) -> tuple[Tensor, Tensor]:
    """From `start` times the size, by secants on a logarithmic scale: one of them is enough for a
    power of the unknown. And the power, of the last one. Shapes: "b" -> "b", "b"."""
    built = ansatz(drawn, plan_hard_conditions(drawn.problem))
    power = torch.ones_like(size)
    if built is None:
        return size, power
    points = _fixed_points(drawn)
    levels = points.new_tensor([0.0, 1.0, 2.0]).repeat_interleave(POINTS)[:, None]
    points = points.repeat(1, 3, 1)  # at the offset, a scale above it and twice that, in one go
    scale, most = OUTPUT * start * size, math.log(MOST)
    for _ in range(rounds):
        above = scale[:, None, None] * levels
        found = _residuals(drawn, points, lambda x, above=above: _state(built, x, above))
        base, *moved = found.flatten(1).chunk(3, 1)  # "b P" each: there is one equation
        here, there = ((each - base).abs().median(1).values / size for each in moved)
        fits = torch.stack([here, there]).isfinite().all(0) & (here > 0) & (there > 0)
        here, there = here.where(fits, torch.ones_like(here)), there.where(fits, 2 * fits + 1.0)
        power = (there / here).log2().clamp(0.25, 8.0)
        scale = scale * (-here.log() / power).clamp(-most, most).exp()
    return (scale if drawn.attached else scale.detach()) / OUTPUT, power


def _fixed_points(drawn: DrawnSamples) -> Tensor:
    """Points of the domain that are the same for all samples and draws. Shapes: -> "b n D"."""
    geometry = drawn.geometry[next(iter(drawn.problem.unknowns.values())).region.name]
    alike = Chance(seeded(2, "amplitude", 0), drawn.size, alike=True)
    points = geometry.interior(POINTS, alike)
    if drawn.problem.time is None:
        return points
    share = (torch.arange(POINTS, dtype=points.dtype, device=points.device) + 0.5) / POINTS
    times = (drawn.start + drawn.duration * share).expand(drawn.size, -1)
    return torch.cat([points, times[..., None]], -1)


def loads(drawn: DrawnSamples) -> Tensor:
    """What natural conditions bring in at the offset, as a source in the domain: mean absolute
    residual times their share of its measure; and initial states that are left to the loss, as one
    that brings them in over the whole time.

    Shapes: "b".
    """
    problem = drawn.problem
    built = ansatz(drawn, plan_hard_conditions(problem))
    total = torch.zeros(drawn.size, dtype=drawn.dtype, device=drawn.device)
    for residuals, order in starting(problem) if built is not None else ():
        geometry = drawn.geometry[residuals.terms[0].region.name]
        places = geometry.interior(POINTS, Chance(seeded(2, "start", 0), drawn.size, alike=True))
        points = torch.cat([places, torch.full_like(places[..., :1], drawn.start)], -1)
        (found,) = residuals(Shifted(partial(_state, built)), points, None, drawn).values()
        found = found if drawn.attached else found.detach()
        found = torch.where(found.isfinite(), found, torch.zeros_like(found))
        total = total + found.abs().mean((1, 2)) / drawn.duration**order
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
        (found,) = residuals(Shifted(partial(_state, built)), points, normals, drawn).values()
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
        slopes = any(any(s.index) for s in term.jet_variables())
        if term.kind == "boundary" and term.label not in held and not term.inner and slopes:
            found.setdefault(term.points, []).append(Residuals(stated, (term,)))
    return tuple(each for group in found.values() for each in group)


@lru_cache(maxsize=64)
def starting(problem: Problem) -> tuple[tuple[Residuals, int], ...]:
    """The initial conditions that are left to the loss, and of what order in time the equation is
    above each."""
    held = {label for each in plan_hard_conditions(problem).values() for label in each.labels}
    orders = [s.index[-1] for t in lower(problem) for s in t.jet_variables() if not s.known]
    return tuple(
        (Residuals(problem, (term,)), max(orders) - max(s.index[-1] for s in own))
        for term in lower(problem)
        if term.kind == "initial" and term.label not in held
        if (own := [s for s in term.jet_variables() if not s.known])
    )


def ansatz_residual_channels(drawn: DrawnSamples, points: Tensor) -> Tensor:
    """asinh of the defect in its unit, since near the boundary of an odd shape it grows by decades,
    and the unit's logarithm.

    Shapes: points "b n D" -> "b n k", k the number of `ansatz_residual_names`, and one more where
    there is a scale.
    """
    found = ansatz_residual(drawn, points)
    if drawn.residual_scale is None:
        return found.asinh()
    if drawn.residual_scale.ndim == 2:
        return (found / drawn.residual_scale[:, None]).asinh()
    size = drawn.residual_scale[:, None, None]
    return torch.cat([(found / size).asinh(), size.log().expand_as(found)], -1)


def ansatz_residual(drawn: DrawnSamples, points: Tensor) -> Tensor:
    """The residuals at the offset. Where one of them is not finite, as 1/u is at u = 0, all count
    as zero.

    It keeps its graph where the points, a param or an input function require grad, and no graph
    else. Shapes: points "b n D" -> "b n k", k the number of `ansatz_residual_names`.
    """
    problem = drawn.problem
    if not ansatz_residual_names(problem):
        return points.new_zeros(*points.shape[:2], 0)
    if torch.is_inference_mode_enabled():  # in which there are no derivatives
        with torch.inference_mode(False), torch.no_grad():
            return ansatz_residual(drawn, points.clone())
    built = ansatz(drawn, plan_hard_conditions(problem))
    lifted = partial(_zero, len(problem.components)) if built is None else partial(_state, built)
    found = _residuals(drawn, points, lifted)
    finite = found.isfinite().all(-1, keepdim=True)
    if not (torch.is_grad_enabled() and (points.requires_grad or drawn.attached)):
        found = found.detach()
    elif not finite.all():
        found = _residuals(
            drawn, points, lifted, (~finite).to(points.dtype)
        )  # off u = 0 there: the gradient of what is not finite is NaN even where it is masked
    return torch.where(finite, found, torch.zeros_like(found))


def _state(built: Ansatz, points: Tensor, above: Tensor | None = None) -> Tensor:
    """The field of a network that is `above` everywhere, zero without it. Shapes: points "b n D"
    -> "b n c"."""
    offset = built.offset(points)
    inner = offset if above is None else offset + above * built.factor(points)
    return kept_positive(inner, built.positive)


def _zero(components: int, points: Tensor) -> Tensor:
    """The field without an ansatz, of a network that is zero. Shapes: points "b n D" -> "b n
    c"."""
    return points.new_zeros(*points.shape[:2], components)


def _residuals(
    drawn: DrawnSamples, points: Tensor, function: PointFunction, added: Tensor | float = 0.0
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
