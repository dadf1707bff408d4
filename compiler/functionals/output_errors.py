"""Declared outputs of a field and those of the reference solution, sample by sample."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compiler.fem.errors import SolverError
from compiler.functionals.outputs import FieldOutput, output
from compiler.geometry.metrics import FLOOR
from pdespec.errors import ProblemError
from pdespec.statements.problem import Problem

TIMES = 9  # equally spaced, both ends included, at which outputs that change in time are compared


@dataclass(frozen=True)
class Compared:
    """One output in one sample.

    `operator` and `reference` are its values, at the end of time where there is time; None where it
    is a function of position. `gap` and `size` are mean squares over components, times and points.
    `why` says why they are not compared.
    """

    operator: Any
    reference: Any
    gap: float
    size: float
    why: str = ""

    def relative(self, scale: float) -> float | None:
        """|q - q_h| / |q_h|, the divisor at least FLOOR of its root mean square over the samples
        (`scale` is the mean square)."""
        if self.why:
            return None
        size = max(self.size, FLOOR**2 * scale)
        return (self.gap / size if size > 0 else self.gap) ** 0.5


@torch.no_grad()
def compare_outputs(
    problem: Problem,
    field: Callable[[Tensor], Tensor],
    truth: Any,
    batch: Any,
    points: Tensor,
    trainables: Mapping[str, float],
) -> dict[str, Compared]:
    """The outputs of an operator's field and of the reference, in a batch of one sample;
    functions of position at the points "1 n D"."""
    times = (
        None
        if problem.time is None
        else torch.linspace(float(problem.time.start), float(problem.time.end), TIMES).tolist()
    )
    found = {}
    for name in problem.outputs:
        own = None
        # a field may not be smooth enough for an output, and a reference has first derivatives only
        try:
            own = _values(problem, name, field, batch, points, times, trainables)
            exact = _values(
                problem, name, truth, batch.to(torch.float64), points.double(), times, trainables
            )
        except (SolverError, ProblemError) as error:
            found[name] = Compared(
                own and _shown(own, times), None, 0.0, 0.0, str(error).splitlines()[0]
            )
            continue
        value, expected = own[0], exact[0]
        known = ~expected.isnan()
        gap, size = (
            torch.where(known, value.double() - expected, 0),
            torch.where(known, expected, 0),
        )
        count = int(known.sum())
        lost = "the reference has no value there" if count == 0 else ""
        mean = max(1, count)
        found[name] = Compared(
            _shown(own, times),
            _shown(exact, times),
            float(gap.square().sum()) / mean,
            float(size.square().sum()) / mean,
            lost,
        )
    return found


def errors(samples: Sequence[Mapping[str, Compared]]) -> dict[str, list[float | None]]:
    """The relative error of every output in every sample."""
    result = {}
    for name in samples[0]:
        sizes = [each[name].size for each in samples if not each[name].why]
        scale = sum(sizes) / len(sizes) if sizes else 0.0
        result[name] = [each[name].relative(scale) for each in samples]
    return result


def _values(
    problem: Problem, name: str, field: Any, batch: Any, points: Tensor, times: Any, trainables: Any
) -> tuple[Tensor, bool]:
    """The values of an output, time last where there is time, on the CPU; and whether it varies
    in space."""
    found = output(problem, name, field, batch, times, trainables=trainables)
    varies = isinstance(found, FieldOutput)
    return (found(points) if varies else found)[0].detach().cpu(), varies


def _shown(values: tuple[Tensor, bool], times: Any) -> Any:
    """A number or a list of numbers, those at the last time; None for what varies in space."""
    value, varies = values
    return None if varies else (value if times is None else value[..., -1]).double().tolist()
