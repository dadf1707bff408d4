"""Errors against the values of `reference u from "file"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from compiler.measurements.measured import referenced
from compiler.training.checkpoint import dtype_of
from compiler.training.data_terms import data_terms
from compiler.training.runs import Run
from pdespec.statements.problem import Problem

BLOCK = 64  # samples that are looked at together
Answer = Callable[[Any], Callable[[Tensor], Tensor]]  # of a batch, a field


def against_files(
    problem: Problem,
    answer: Answer,
    form: Mapping[str, Any],
    dtype: torch.dtype = torch.float64,
    device: torch.device | str = "cpu",
    operator_points: int = 1024,
) -> dict[str, float]:
    """By unknown, the relative L2 error over the rows of its file: sqrt(sum w |u - u_k|^2 / sum w
    |u_k|^2), of all samples that the file holds. `form`: of the fields, as `TrainOptions.ansatz`.

    Raises: ProblemError D01 to D09.
    """
    stated = referenced(problem)
    terms = data_terms(stated, None, 0, operator_points, 0, form)
    if terms is None:
        return {}
    terms = terms.to(dtype, torch.device(device))
    names = [each.measured.label.removeprefix("data.") for each in terms.terms]
    gaps, sizes = np.zeros(len(names)), np.zeros(len(names))
    with torch.no_grad():
        for first in range(0, terms.samples, BLOCK):
            own = list(range(first, min(first + BLOCK, terms.samples)))
            batch = terms.batch.select(own) if terms.samples > 1 else terms.batch
            field = answer(batch)
            for k, each in enumerate(terms.terms):
                points, values, weights = each.taken(own, each.all_of(own, None)[0])
                there = each.observed(field, batch, points, {})
                weights = weights[..., None].double()
                gaps[k] += float((weights * (there - values).double().square()).sum())
                sizes[k] += float((weights * values.double().square()).sum())
    return dict(zip(names, np.sqrt(gaps / sizes).tolist(), strict=True))


def run_against_files(run: Run, device: torch.device) -> dict[str, float]:
    """The same of a trained operator."""
    options = run.options
    answer = lambda batch: run.model(batch.inputs)  # noqa: E731
    count = options.points["operator"]
    return against_files(run.problem, answer, options.ansatz, dtype_of(options), device, count)
