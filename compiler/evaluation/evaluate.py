"""Evaluation: how wrong a trained operator is in u, on held-out samples, against the reference solver; and how long both take."""

from __future__ import annotations

import dataclasses
import json
import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compiler.fem import SampleError
from compiler.fem.energy_gap import energy_of
from compiler.functionals.output_errors import Compared, compare_outputs, errors
from compiler.geometry.metrics import (
    Misfit,
    free_signs,
    gathered,
    interior,
    misfit,
)
from compiler.loss.blocks import StepEngine
from compiler.loss.physics import PhysicsLoss
from compiler.training.checkpoint import dtype_of, load_run
from compiler.training.objective import seeded
from compiler.training.progress import Display, Silent
from compiler.training.runs import Run, RunError, write_atomically

POINTS = 4096  # Sobol points a sample at which u is compared: the error of the L2 norm is then well under 1 % of it
EVALUATION = "evaluation.json"
ALARM = 1e-4  # of the energy, by which one may lie below the minimum through rounding in single precision
BELOW = "the minimum of the reference: conditions or requirements are not met, or the reference is no minimum"


@dataclass(frozen=True)
class Sample:
    """One held-out sample: what was drawn, what the operator says, the truth, and how far apart they are.

    `unknowns` holds the relative L2 error of each unknown, see `compiler.geometry.metrics`, and `squared_error` is the square of the
    largest of
    them; `violations` the fraction of points where each requirement does not hold. `energy` is that of the operator where the problem has a
    functional, see `compiler.fem.energy_gap`; `outputs` are the declared outputs beside those of the reference, `sign` that of the
    channels in
    which the field is nearest to the reference, where the problem leaves signs open. Units: seconds.
    """

    index: int
    batch: Any
    field: Callable[[Tensor], Tensor]
    truth: Any
    squared_error: float
    unknowns: Mapping[str, float]
    operator_seconds: float
    reference_seconds: float
    energy: float | None = None
    violations: Mapping[str, float] = dataclasses.field(default_factory=dict)
    outputs: Mapping[str, Compared] = dataclasses.field(default_factory=dict)
    sign: Tensor | None = None

    @property
    def energy_gap(self) -> float | None:
        """(E(u) - E(u_h)) / |E(u_h)|: what the operator's energy exceeds the reference's by."""
        if self.energy is None:
            return None
        reference = float(self.truth.energy[0])
        return (self.energy - reference) / (abs(reference) or 1.0)

    @property
    def relative_l2(self) -> float:
        """That of the worst unknown."""
        return math.sqrt(self.squared_error)

    @property
    def mean_of_unknowns(self) -> float:
        return statistics.fmean(self.unknowns.values())


@dataclass(frozen=True)
class Evaluation:
    """The held-out samples of a run. `failures` are those that the reference solver gave up on, with its words."""

    run: Run
    samples: tuple[Sample, ...]
    checkpoint: str
    device: str
    failures: Mapping[int, str] = dataclasses.field(default_factory=dict)

    @property
    def relative_l2(self) -> dict[str, float]:
        """Of the worst unknown of each sample: none hides behind another, and no two units are mixed."""
        return summary([each.relative_l2 for each in self.samples])

    @property
    def mean_of_unknowns(self) -> dict[str, float]:
        """Of the mean over the unknowns of each sample."""
        return summary([each.mean_of_unknowns for each in self.samples])

    @property
    def unknowns(self) -> dict[str, dict[str, float]]:
        """The relative L2 error of each unknown."""
        return {name: summary([each.unknowns[name] for each in self.samples]) for name in self.samples[0].unknowns}

    @property
    def worst_unknown(self) -> str:
        """The unknown with the largest mean error."""
        return max(self.unknowns, key=lambda name: self.unknowns[name]["mean"])

    @property
    def outputs(self) -> dict[str, dict[str, float] | None]:
        """The relative error of each declared output; None where they are not compared in some sample."""
        found = errors([each.outputs for each in self.samples])
        return {name: None if None in values else summary(values) for name, values in found.items()}

    @property
    def alarms(self) -> dict[int, str]:
        """Samples whose energy lies below the minimum that the reference found, by more than rounding."""
        minimal = any(each.kind == "minimize" for each in self.run.problem.functionals)
        low = [each for each in self.samples if minimal and each.energy_gap is not None and each.energy_gap < -ALARM]
        return {each.index: f"its energy {each.energy:.6g} lies below {float(each.truth.energy[0]):.6g}, {BELOW}" for each in low}

    @property
    def relative_squared_error(self) -> dict[str, float]:
        return summary([each.squared_error for each in self.samples])

    @property
    def energy_gap(self) -> dict[str, float] | None:
        """None for problems without a functional."""
        gaps = [each.energy_gap for each in self.samples]
        return None if None in gaps else summary(gaps)

    @property
    def seconds(self) -> dict[str, float]:
        """Mean seconds a sample."""
        return {
            "operator": statistics.fmean(each.operator_seconds for each in self.samples),
            "reference": statistics.fmean(each.reference_seconds for each in self.samples),
        }

    @property
    def violations(self) -> dict[int, dict[str, float]]:
        """The samples that violate a requirement somewhere, with the fraction of points where they do."""
        found = {each.index: {label: share for label, share in each.violations.items() if share > 0} for each in self.samples}
        return {index: shares for index, shares in found.items() if shares}

    def ranked(self) -> dict[str, Sample]:
        """The best, the median and the worst sample."""
        order = sorted(self.samples, key=lambda each: each.squared_error)
        return {"best": order[0], "median": order[(len(order) - 1) // 2], "worst": order[-1]}

    def as_json(self) -> dict[str, Any]:
        wrong = errors([each.outputs for each in self.samples])
        return {
            "problem": self.run.problem.name,
            "samples": len(self.samples),
            "relative_l2": self.relative_l2,
            "relative_squared_error": self.relative_squared_error,
            "seconds": self.seconds,
            **({} if self.energy_gap is None else {"energy_gap": self.energy_gap}),
            "relative_l2_is": "of the worst unknown of each sample",
            "worst_unknown": self.worst_unknown,
            "mean_of_unknowns": self.mean_of_unknowns,
            "unknowns": self.unknowns,
            **({"outputs": self.outputs} if self.run.problem.outputs else {}),
            **({"alarms": {str(index): text for index, text in self.alarms.items()}} if self.alarms else {}),
            "trainables": dict(self.run.trainables),
            "checkpoint": self.checkpoint,
            "step": self.run.step,
            "steps": self.run.options.steps,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "points": POINTS,
            "violations": {str(index): shares for index, shares in self.violations.items()},
            "failures": {str(index): text for index, text in self.failures.items()},
            "each": [
                {
                    "sample": each.index,
                    "relative_l2": each.relative_l2,
                    "relative_squared_error": each.squared_error,
                    "unknowns": dict(each.unknowns),
                    **({"outputs": _shown(each, {name: wrong[name][k] for name in wrong})} if each.outputs else {}),
                    **({} if each.energy is None else {"energy": each.energy, "energy_gap": each.energy_gap}),
                    "seconds": {"operator": each.operator_seconds, "reference": each.reference_seconds},
                }
                for k, each in enumerate(self.samples)
            ],
        }


def evaluate(
    directory: str | Path,
    samples: int = 32,
    *,
    checkpoint: str = "last",
    model: nn.Module | None = None,
    resolution: int | None = None,
    sampler: Callable[..., Any] | None = None,
    solver: Callable[..., Any] | None = None,
    report: bool = True,
    display: Display | None = None,
) -> Evaluation:
    """Compares a run with the reference solver on `samples` held-out samples; writes evaluation.json, pictures and report.html.

    The samples are the same for every run of a problem and are never drawn in training. `sampler` and `solver` default to
    `compiler.sample` and `compiler.solve`, the latter with `resolution` where one is given.

    Raises: RunError where there is no run, no checkpoint, or no sample could be solved; NoWeakForm for a problem without reference.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = load_run(directory, checkpoint, model, device)
    found, failures = _measure(run, samples, device, resolution, sampler, solver, display or Silent())
    if not found:
        raise RunError(f"the reference solver failed on all {samples} samples, first with: {next(iter(failures.values()))}")
    evaluation = Evaluation(run, tuple(found), checkpoint, str(device), failures)
    write_atomically(run.directory / EVALUATION, (json.dumps(evaluation.as_json(), indent=2) + "\n").encode())
    if report:
        from compiler.report.page import write_report

        write_report(evaluation)
    return evaluation


def _measure(
    run: Run,
    samples: int,
    device: torch.device,
    resolution: int | None,
    sampler: Callable[..., Any] | None,
    solver: Callable[..., Any] | None,
    display: Display,
) -> tuple[list[Sample], dict[int, str]]:
    if sampler is None:
        from compiler.batches.sample import sample as sampler
    if solver is None:
        from compiler.fem import solve as solver
    chosen = {} if resolution is None else {"resolution": resolution}
    violations = _requirements(run, device)
    found: list[Sample] = []
    gaps: list[Misfit] = []
    failures: dict[int, str] = {}
    display.start(f"evaluate {run.problem.name}", 0, samples, "samples")
    try:
        for index in range(samples):
            counts = {**run.options.points, "interior": POINTS}
            batch = sampler(run.problem, 1, counts, seeded(0, "evaluate", index), dtype=torch.float64, hard=run.options.hard)
            try:
                truth = solver(run.problem, batch, **chosen)
            except SampleError as error:
                failures[index] = str(error)
                continue
            batch = batch.to(dtype=dtype_of(run.options), device=device)
            points = interior(run.problem, batch)
            if not found:
                _timed(run.model, batch, points)  # the first call also loads kernels and plans transforms
            answer, values, seconds = _timed(run.model, batch, points)
            at, own, expected = (each.double().cpu() for each in (points, values, truth(points)))
            gaps.append(misfit(run.problem, at, own, expected))
            energy = _energy(run.problem, batch, truth, answer, dtype_of(run.options))
            outputs = compare_outputs(run.problem, answer, truth, batch, points, run.trainables)
            broken = violations(answer, batch)
            sign = free_signs(run.problem, at, own, expected)
            seen = Sample(index, batch, answer, truth, 0.0, {}, seconds, float(truth.seconds), energy, broken, outputs, sign)
            found.append(seen)
            error = statistics.fmean(one.relative_l2 for one in _judged(found, gaps))
            display.step({"step": index + 1, "error": error}, ())
    finally:
        display.stop()
    return _judged(found, gaps), failures


def _judged(samples: list[Sample], gaps: list[Misfit]) -> list[Sample]:
    """The samples with their errors, which depend on the size of the unknowns in all of them."""
    if not samples:
        return []
    names = list(gaps[0].gap)
    squared = gathered(gaps).squared()
    return [
        dataclasses.replace(each, squared_error=max(row), unknowns={name: math.sqrt(value) for name, value in zip(names, row, strict=True)})
        for each, row in zip(samples, squared.tolist(), strict=True)
    ]


def _shown(sample: Sample, wrong: Mapping[str, float | None]) -> dict[str, Any]:
    """The outputs of a sample for evaluation.json."""
    return {
        name: {
            **({} if each.operator is None else {"operator": each.operator}),
            **({} if each.reference is None else {"reference": each.reference}),
            **({"not_compared": each.why} if each.why else {"relative_error": wrong[name]}),
        }
        for name, each in sample.outputs.items()
    }


def _energy(problem: Any, batch: Any, truth: Any, answer: Callable[[Tensor], Tensor], dtype: torch.dtype) -> float | None:
    """The functional at what the operator says; None where there is none, or no mesh to take it on."""
    if getattr(truth, "energy", None) is None:
        return None
    device = batch.inputs.points.device
    return float(energy_of(problem, batch, truth, lambda points: answer(points.to(device, dtype)))[0])


def _requirements(run: Run, device: torch.device) -> Callable[[Any, Any], dict[str, float]]:
    """By requirement, the fraction of a sample's points where a field does not meet it."""
    loss = PhysicsLoss(run.problem, run.options.derivatives).to(device, dtype_of(run.options))
    if not loss.requirements:
        return lambda field, batch: {}
    loss.take(run.trainables)
    engine = StepEngine(loss)

    @torch.no_grad()
    def violations(field: Any, batch: Any) -> dict[str, float]:
        return {label: float(share) for label, share in engine(field, batch).violations.items()}

    return violations


@torch.no_grad()
def _timed(model: nn.Module, batch: Any, points: Tensor) -> tuple[Callable[[Tensor], Tensor], Tensor, float]:
    """The field of a batch, its values at the points, and the seconds both took."""
    _wait(points)
    began = time.perf_counter()
    answer = model(batch.inputs)
    values = answer(points)
    _wait(points)
    return answer, values, time.perf_counter() - began


def _wait(points: Tensor) -> None:
    if points.is_cuda:
        torch.cuda.synchronize(points.device)


def summary(values: Sequence[float]) -> dict[str, float]:
    return {"mean": statistics.fmean(values), "median": statistics.median(values), "max": max(values)}


def rows(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """The lines of the table of an evaluation: each unknown first, then the worst of them, energies and outputs."""
    several = len(evaluation.unknowns) > 1
    found = {f"relative L2 error of {name}": values for name, values in evaluation.unknowns.items()} if several else {}
    found["relative L2 error" + (", worst unknown of each sample" if several else "")] = evaluation.relative_l2
    if several:
        found["relative L2 error, mean over unknowns"] = evaluation.mean_of_unknowns
    found["relative squared error" + (", worst unknown" if several else "")] = evaluation.relative_squared_error
    if evaluation.energy_gap is not None:
        found["energy above the reference's, relative"] = evaluation.energy_gap
    return found | {f"output {name}, relative error": values for name, values in evaluation.outputs.items() if values is not None}
