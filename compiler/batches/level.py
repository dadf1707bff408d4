"""The level of an unknown into which nothing is built: `u = c + N`, c the constant for which the
equations balance over the whole domain, Galerkin's solution among the constants.

A heat sink whose walls lose heat to air of 300 K lies at 350 K and varies by two. In the equation
and on the walls a constant weighs little beside what varies (k/L against h), so that a network
learns it last: it was 62 % off after 300 steps. What comes in and what leaves through the walls
tell it at once: the weak form tested with 1, linear or not, solved for c in each sample.
Differentiable in params, inputs and shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sympy as sp
import torch
from torch import Tensor

from compiler.batches.residuals import Residuals
from compiler.chance import Chance, seeded
from compiler.data.interfaces import inner, kinks
from compiler.data.points import place
from compiler.data.polynomials import Constant
from compiler.data.samples import DrawnSamples, probed
from compiler.fem import NoWeakForm, weak_form
from compiler.fem.forms.weak import by_region
from compiler.geometry.shapes.meshfile import files
from compiler.loss.hard_conditions import plan_hard_conditions, positive_channels
from compiler.lowering.terms import JetVariable, Term
from pdespec.errors import ProblemError
from pdespec.geometry import Boundary, Domain
from pdespec.statements.problem import Problem

POINTS = {"interior": 1024, "boundary": 512}
DRAWN = 8  # samples on which a level is looked at before a problem gets one
# of Newton's method for a balance that is not linear, and the most that one adds, in levels: where
# heat is radiated, as T^4, the first would go far beyond
STEPS, MOST = 40, 2.0


def has_level(problem: Problem) -> bool:
    """Whether a problem is stationary, for one real unknown into which nothing is built, and its
    balance fixes a constant: sources and losses grow with it at every place, or fall."""
    return _has_level(problem, files(problem))


@lru_cache(maxsize=64)
def _has_level(problem: Problem, read: tuple[Any, ...]) -> bool:
    if not _balance(problem, read):
        return False
    drawn = probed(problem, DRAWN)
    found = _solved(drawn)
    slopes = torch.cat([each.slope.flatten() for each in _parts(drawn, found)])
    if not (found.isfinite().all() and slopes.isfinite().all()):
        return False
    return bool(slopes.abs().max() > 0 and ((slopes >= 0).all() or (slopes <= 0).all()))


def with_level(drawn: DrawnSamples) -> DrawnSamples:
    """The draws with the level of each sample, where the problem has one."""
    if not has_level(drawn.problem):
        return drawn
    with torch.set_grad_enabled(torch.is_grad_enabled() and drawn.attached):
        found = _solved(drawn)
    return replace(drawn, coarse=Constant(found.to(drawn.dtype)[:, None]))


def _solved(drawn: DrawnSamples) -> Tensor:
    """By Newton's method, from the size of the unknown. The last step, by itself exact where the
    balance is linear, keeps the graph of what the level depends on. Shapes: -> "b"."""
    level = torch.ones(drawn.size, dtype=drawn.dtype, device=drawn.device)
    linear = _is_linear(drawn.problem, files(drawn.problem))
    for _ in range(0 if linear else STEPS):
        most = MOST * level.abs().clamp_min(1.0)
        step = (_step(drawn, level) - level).detach()
        level = level + torch.minimum(torch.maximum(step, -most), most)
    return _step(drawn, level)


def _step(drawn: DrawnSamples, level: Tensor) -> Tensor:
    parts = _parts(drawn, level)
    excess = torch.stack([each.measure * each.density.mean(1) for each in parts]).sum(0)
    slope = torch.stack([each.measure * each.slope.mean(1) for each in parts]).sum(0)
    return level - excess / slope


@dataclass(frozen=True)
class _Part:
    """A part of the balance: what a region brings in at each of its points, and how that changes
    with the level. Shapes: measure "b", density and slope "b n"."""

    measure: Tensor
    density: Tensor
    slope: Tensor


def _parts(drawn: DrawnSamples, level: Tensor) -> list[_Part]:
    """The balance at a level. Shapes: level "b"."""
    keep, found = torch.is_grad_enabled(), []
    chance = Chance(seeded(2, "level", 0), drawn.size, alike=True)  # the same in every draw
    for each in _balance(drawn.problem, files(drawn.problem)):
        (term,) = each.terms
        at = place(drawn, term.points, term.points, term.region, POINTS, chance, "sobol")
        known = each.known(at.points, at.normals, drawn)
        like = at.points[..., 0].detach()
        with torch.enable_grad():
            own = level[:, None].expand_as(like).detach().requires_grad_()
            (density,) = each.graph(dict.fromkeys(each.jet_variables, own) | known, like)
            density = density.expand_as(like) + 0 * own
            (slope,) = torch.autograd.grad(density.sum(), own, create_graph=keep)
        density, slope = (one if keep else one.detach() for one in (density, slope))
        found.append(_Part(at.measure, density, slope))
    return found


@lru_cache(maxsize=64)
def _balance(problem: Problem, read: tuple[Any, ...]) -> tuple[Residuals, ...]:
    """The weak form tested with 1 at a constant, by region; empty where it says nothing of one."""
    if problem.time is not None or len(problem.components) != 1:
        return ()
    if problem.requirements or problem.trainables or positive_channels(problem):
        return ()
    if any(each.labels for each in plan_hard_conditions(problem).values()):
        return ()
    try:
        form = weak_form(problem)
        if kinks(probed(problem, 1)) is not None:
            return ()
    except (NoWeakForm, ProblemError):
        return ()
    if form.components != problem.components or form.essentials or form.pins or form.obstacles:
        return ()
    found = []
    for region, integrands in by_region(form):
        if not isinstance(region, Domain | Boundary):
            return ()
        whole = sp.Add(*(each.coefficient for each in integrands if not any(each.test)))
        changing = [s for s in whole.atoms(JetVariable) if not s.known and any(s.index)]
        density = whole.xreplace(dict.fromkeys(changing, sp.S.Zero))
        if isinstance(region, Boundary) and inner(region, problem):
            return ()
        if density != 0:
            kind = "boundary" if isinstance(region, Boundary) else "equation"
            points = "boundary" if isinstance(region, Boundary) else "interior"
            found.append(Residuals(problem, (Term("level", kind, (density,), region, points),)))
    return tuple(found)


@lru_cache(maxsize=64)
def _is_linear(problem: Problem, read: tuple[Any, ...]) -> bool:
    return not any(
        sp.diff(term.expressions[0], s, 2) != 0
        for each in _balance(problem, read)
        for term in each.terms
        for s in each.jet_variables
    )
