"""How far answers are from the values that a problem names as its reference, `reference u from
"file"`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from compiler.measurements.measured import referenced
from compiler.training.checkpoint import dtype_of
from compiler.training.data_terms import data_terms
from compiler.training.runs import Run
from pdespec.statements.problem import Problem

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
    found = {}
    with torch.no_grad():
        field = answer(terms.batch)
        for each in terms.terms:
            values = each.observed(field, terms.batch, each.points, {})
            weights = each.weights[..., None].double()
            gap = (weights * (values - each.values).double().square()).sum()
            size = (weights * each.values.double().square()).sum()
            name = each.measured.label.removeprefix("data.")
            found[name] = float((gap / size).sqrt())
    return found


def run_against_files(run: Run, device: torch.device) -> dict[str, float]:
    """The same of a trained operator."""
    options = run.options
    answer = lambda batch: run.model(batch.inputs)  # noqa: E731
    count = options.points["operator"]
    return against_files(run.problem, answer, options.ansatz, dtype_of(options), device, count)
