"""Samples whose given params and inputs come from the caller, and all others from their laws."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import sympy as sp
import torch
from torch import Tensor

from compiler.batches.sample import Batch, instance, sample
from compiler.data.from_files import varying
from compiler.data.samples import known_names
from pdespec.laws import Gaussians
from pdespec.statements.problem import Problem


def completed(
    problem: Problem, params: Mapping[str, Any], inputs: Mapping[str, Any], seed: int = 0
) -> Batch:
    """One sample with the caller's params and inputs, as `compiler.instance` takes them. What is
    not given is that of the sample of this seed, where it has a law or a file.

    Raises: ProblemError S01 for names that do not exist, B03 for what is neither given nor drawn.
    """
    known_names("param", params, {**problem.params, **problem.trainables}, problem.name)
    known_names("input", inputs, problem.inputs, problem.name)
    names = [name for name, p in problem.params.items() if p.law is not None]
    rest = [name for name in names if name not in params]
    read = [name for name in varying(problem) if name not in inputs and _is_drawn(problem, name)]
    if rest or read:
        generator = torch.Generator().manual_seed(seed)
        drawn = sample(
            _drawable(problem, params, inputs), 1, generator=generator, dtype=torch.float64
        )
        params = {**{name: drawn.params[name] for name in rest}, **params}
        inputs = {**{name: _asked(drawn, name) for name in read}, **inputs}
    return instance(problem, params, inputs, dtype=torch.float64)


def _is_drawn(problem: Problem, name: str) -> bool:
    declared = problem.inputs[name]
    return declared.law is not None or declared.source is not None


def _asked(drawn: Batch, name: str) -> Any:
    def function(points: Tensor) -> Tensor:
        return drawn.evaluate(name, points)

    return function


def _drawable(problem: Problem, params: Mapping[str, Any], inputs: Mapping[str, Any]) -> Problem:
    """The problem with something to draw for what is given and has no law, so that the rest is
    drawn as it is without it."""
    return problem.revised(
        params={
            name: replace(p, value=sp.S.One)
            if name in params and p.law is None and p.value is None
            else p
            for name, p in problem.params.items()
        },
        inputs={
            name: replace(i, law=Gaussians(1, sp.S.One))
            if name in inputs and not _is_drawn(problem, name)
            else i
            for name, i in problem.inputs.items()
        },
    )
