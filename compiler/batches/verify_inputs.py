"""Checks the derivatives of a caller's input functions that the problem needs."""

from __future__ import annotations

import logging
from functools import lru_cache

import torch

from compiler.data.distributions import GivenFunction
from compiler.data.samples import DrawnSamples
from compiler.derivatives import Request
from compiler.derivatives.interface import MultiIndex, parts
from compiler.loss.hard_conditions import plan_hard_conditions
from compiler.loss.verify import IdentitySet, made_of, verify
from compiler.lowering.terms import lower
from pdespec.statements.problem import Problem
from pdespec.symbols import InputField

LOG = logging.getLogger(__name__)
# what was tried in this process, by the derivatives asked: instances are made in loops
MET: dict[frozenset, IdentitySet] = {}
POINTS = 16


def verify_inputs(drawn: DrawnSamples) -> None:
    """Tries each function of the caller's once, at points of the domain that it is declared on.
    Raises: ProblemError P06."""
    for name, request in needed(drawn.problem).items():
        function = drawn.functions.get(name)
        if not isinstance(function, GivenFunction):
            continue
        met, who = (
            MET.setdefault(frozenset(parts(request).items()), IdentitySet()),
            tuple(made_of(function.function)),
        )
        if who in met:
            continue
        declaration = drawn.problem.inputs[name]
        generator = torch.Generator(drawn.device).manual_seed(0)
        points = drawn.geometry[declaration.region.domain.name].interior(POINTS, generator)
        if declaration.time is not None:
            share = torch.rand(
                *points.shape[:2], 1, generator=generator, dtype=points.dtype, device=points.device
            )
            points = torch.cat([points, drawn.start + drawn.duration * share], -1)
        names = tuple(variable.name for variable in drawn.problem.variables[: points.shape[-1]])
        for told in verify(function, points, request, names, declaration.components, known=True):
            LOG.warning(f"input `{name}` of `{drawn.problem.name}`: {told}")
        met.add(who)


@lru_cache(maxsize=64)
def needed(problem: Problem) -> dict[str, Request]:
    """The derivatives of every input: those in the terms, and where it is built into a
    component, those of the component."""
    wanted: dict[str, dict[int, set[MultiIndex]]] = {name: {} for name in problem.inputs}

    def add(name: str, component: int, index: MultiIndex) -> None:
        width = len(problem.coordinates) + (problem.inputs[name].time is not None)
        if any(index[:width]):
            wanted[name].setdefault(component, set()).add(index[:width])

    for jet in (s for term in lower(problem) for s in term.jet_variables() if s.known):
        for name, declaration in problem.inputs.items():
            if jet.component in declaration.components:
                add(name, declaration.components.index(jet.component), jet.index)
    for component, imposed in plan_hard_conditions(problem).items():
        stated = [
            *(value for value, _ in imposed.sides),
            *(each for each in (imposed.start, imposed.rate) if each is not None),
        ]
        for field in set().union(*(each.atoms(InputField) for each in stated)):
            for index in problem.derivatives().get(component, ()):
                add(field.func.declaration.name, field.func.component, index)
    return {
        name: Request({k: frozenset(found) for k, found in own.items()})
        for name, own in wanted.items()
        if own
    }
