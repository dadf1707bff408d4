"""The level of an unknown into which nothing is built: `u = c + N`, c the constant for which the
equations balance over the whole domain, Galerkin's solution among the constants.

A heat sink whose walls lose heat to air of 300 K lies at 350 K and varies by two. In the equation
and on the walls a constant weighs little beside what varies (k/L against h), so that a network
learns it last: it was 62 % off after 300 steps. What comes in and what leaves through the walls
tell it at once: the weak form tested with 1, linear or not, solved for c in each sample.
Differentiable in params, inputs and shapes.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from compiler.fem.forms.nonsmooth import WIDTH
from compiler.fem.forms.weak import by_region
from compiler.geometry.shapes.meshfile import files
from compiler.loss.hard_conditions import plan_hard_conditions, positive_channels
from compiler.lowering.terms import JetVariable, Term
from pdespec.errors import ProblemError
from pdespec.functions import unknown_functions
from pdespec.geometry import Boundary, Domain
from pdespec.jumps import slope
from pdespec.statements.problem import Problem

POINTS = {"interior": 1024, "boundary": 512}
DRAWN = 8  # samples on which a level is looked at before a problem gets one
# of Newton's method for a balance that is not linear, and the most that one adds, in levels: where
# heat is radiated, as T^4, the first would go far beyond
STEPS, MOST = 40, 2.0
# how far a next step may lead from a level that was found, and a level beyond which single
# precision does not hold what varies by 1: no balance but a slope of rounding
MET, LARGEST = 1e-4, 1 / torch.finfo(torch.float32).eps


def has_level(problem: Problem) -> bool:
    """Whether a problem is stationary, for one real unknown into which nothing is built, and its
    balance fixes a constant: sources and losses grow with it at every place, or fall."""
    return _has_level(problem, files(problem))


@lru_cache(maxsize=64)
def _has_level(problem: Problem, read: tuple[Any, ...]) -> bool:
    if not _balance(problem, read):
        return False
    parts = _parts(probed(problem, DRAWN))
    found = _solved(parts)
    further = (_step(parts, found) - found).abs()
    if not ((further <= MET * found.abs().clamp_min(1.0)) & (found.abs() < LARGEST)).all():
        return False
    slopes = torch.cat([each(found)[1].flatten() for each in parts])
    return bool(slopes.isfinite().all() and ((slopes >= 0).all() or (slopes <= 0).all()))


def with_level(drawn: DrawnSamples) -> DrawnSamples:
    """The draws with the level of each sample, where the problem has one."""
    if not has_level(drawn.problem):
        return drawn
    with torch.set_grad_enabled(torch.is_grad_enabled() and drawn.attached):
        found = _solved(_parts(drawn))
    return replace(drawn, coarse=Constant(found.to(drawn.dtype)[:, None]))


@dataclass(frozen=True)
class _Part:
    """A region's part of the balance: what it brings in at each of its points, and how that changes
    with the level. Shapes: level "b" -> "b n" each; measure "b"."""

    balance: Residuals
    known: Mapping[sp.Symbol, Tensor]
    measure: Tensor
    like: Tensor

    @property
    def varies(self) -> bool:
        """Whether the slope depends on the level, as it does where the balance is not linear."""
        (term,) = self.balance.terms
        return not term.expressions[1].free_symbols.isdisjoint(self.balance.jet_variables)

    def __call__(self, level: Tensor) -> tuple[Tensor, ...]:
        jets = dict.fromkeys(self.balance.jet_variables, level[:, None])
        return self.balance.graph(jets | self.known, self.like)


def _parts(drawn: DrawnSamples) -> list[_Part]:
    """The balance by region, its points placed once for all levels that are tried."""
    chance = Chance(seeded(2, "level", 0), drawn.size, alike=True)  # the same in every draw
    found = []
    for each in _balance(drawn.problem, files(drawn.problem)):
        (term,) = each.terms
        at = place(drawn, term.points, term.points, term.region, POINTS, chance, "sobol")
        known = each.known(at.points, at.normals, drawn)
        found.append(_Part(each, known, at.measure, at.points[..., 0].detach()))
    return found


def _solved(parts: list[_Part]) -> Tensor:
    """By Newton's method, from the size of the unknown. One step is exact where the balance is
    linear; where it is not, the last two hold the derivatives of the level up to the third in what
    it depends on. Shapes: -> "b"."""
    level = torch.ones_like(parts[0].like[:, 0])
    if any(each.varies for each in parts):
        with torch.no_grad():
            for _ in range(STEPS):
                most = MOST * level.abs().clamp_min(1.0)
                step = _step(parts, level) - level
                level = level + torch.minimum(torch.maximum(step, -most), most)
        level = _step(parts, level)
    return _step(parts, level)


def _step(parts: list[_Part], level: Tensor) -> Tensor:
    """Shapes: "b" -> "b"."""
    found = [[each.measure * one.mean(1) for one in each(level)] for each in parts]
    excess, change = (torch.stack(each).sum(0) for each in zip(*found, strict=True))
    return level - excess / change


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
        if density.has(WIDTH, sp.zoo, sp.nan):
            return ()
        if density != 0:
            constants = [s for s in density.atoms(JetVariable) if not s.known]
            slopes = sp.Add(*(slope(density, s) for s in constants))
            if any(unknown_functions(slopes)):
                return ()
            on_boundary = isinstance(region, Boundary)
            kind, points = ("boundary",) * 2 if on_boundary else ("equation", "interior")
            term = Term("level", kind, (density, slopes), region, points)
            found.append(Residuals(problem, (term,)))
    return tuple(found)
