"""Evaluation: errors of a trained operator on held-out samples against the reference solver, and
the time both take."""

from __future__ import annotations

import dataclasses
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from compiler.batches import sample as sampling
from compiler.chance import seeded
from compiler.derivatives import Request, exact
from compiler.evaluation.reference_files import run_against_files
from compiler.evaluation.result import POINTS, Evaluation, Sample
from compiler.fem import SampleError, SolverError
from compiler.fem.energy_gap import energy_of
from compiler.files import write_atomically
from compiler.functionals.output_errors import compare_outputs
from compiler.geometry.metrics import (
    Misfit,
    free_signs,
    gathered,
    interior,
    misfit,
    slope_misfit,
)
from compiler.loss.blocks import StepEngine
from compiler.loss.physics import PhysicsLoss
from compiler.solvers import solve, solve_each
from compiler.training.checkpoint import dtype_of, load_run
from compiler.training.progress import Display, Silent, percent
from compiler.training.runs import EVALUATION, Run, RunError
from compiler.workers import Workers
from operators.field import capabilities

# samples whose reference's error is estimated: each takes about a third of a solve more
ESTIMATED = 4


def compare_with_reference(  # noqa: PLR0913 (a public call: its options are keywords)
    directory: str | Path,
    samples: int = 32,
    *,
    checkpoint: str = "last",
    model: nn.Module | None = None,
    resolution: int | None = None,
    sampler: Callable[..., Any] | None = None,
    solver: Callable[..., Any] | None = None,
    display: Display | None = None,
    workers: Workers | int = 1,
) -> Evaluation:
    """Compares a run with the reference solver on `samples` held-out samples; writes
    evaluation.json.

    The samples are the same for every run of a problem and are never drawn in training. `sampler`
    and `solver` default to `compiler.sample` and `compiler.solve`, the latter with `resolution`
    where one is given. `workers`: processes that share the solving, or `compiler.Workers`.

    Raises: RunError where there is no run, no checkpoint, or no sample could be solved; NoWeakForm
    for a problem without reference.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    run = load_run(directory, checkpoint, model, device)
    found, failures = _measure(
        run, samples, device, resolution, sampler, solver, display or Silent(), workers
    )
    if not found:
        raise RunError(
            f"the reference solver failed on all {samples} samples, first with:"
            f" {next(iter(failures.values()))}"
        )
    files = run_against_files(run, device)
    evaluation = Evaluation(run, tuple(found), checkpoint, str(device), failures, files)
    write_atomically(
        run.directory / EVALUATION, (json.dumps(evaluation.as_json(), indent=2) + "\n").encode()
    )
    return evaluation


def _measure(
    run: Run,
    samples: int,
    device: torch.device,
    resolution: int | None,
    sampler: Callable[..., Any] | None,
    solver: Callable[..., Any] | None,
    display: Display,
    workers: Workers | int,
) -> tuple[list[Sample], dict[int, str]]:
    sampler, solver = sampler or sampling.sample, solver or solve
    workers = workers if isinstance(workers, Workers) else Workers(workers)
    chosen = {} if resolution is None else {"resolution": resolution}
    violations = _requirements(run, device)
    counts = {**run.options.points, "interior": POINTS}
    found: list[Sample] = []
    gaps: list[Misfit] = []
    slopes: list[Misfit | None] = []
    lifts: list[Misfit | None] = []
    failures: dict[int, str] = {}
    display.start(f"evaluate {run.problem.name}", 0, samples, "samples")
    try:
        batches = [
            sampler(
                run.problem,
                1,
                counts,
                seeded(0, "evaluate", index),
                dtype=torch.float64,
                **run.options.ansatz,
            )
            for index in range(samples)
        ]
        if run.trainables:
            batches = [each.with_trainables(run.trainables) for each in batches]
        truths = solve_each(run.problem, batches, workers, solver, **chosen)
        for index, (batch, truth) in enumerate(zip(batches, truths, strict=True)):
            if isinstance(truth, SampleError):
                failures[index] = str(truth)
                continue
            batch = batch.to(dtype=dtype_of(run.options), device=device)
            points = interior(run.problem, batch)
            if not found:
                # the first call also loads kernels and plans transforms
                _timed(run.model, batch, points)
            answer, values, seconds = _timed(run.model, batch, points)
            if not values.isfinite().all():
                raise RunError(
                    f"the operator's answer to held-out sample {index} is not finite; this run"
                    " answers nothing there"
                )
            at, own, expected = (each.double().cpu() for each in (points, values, truth(points)))
            gaps.append(misfit(run.problem, at, own, expected))
            lifts.append(_lift(run, batch, points, expected))
            energy = _energy(run.problem, batch, truth, answer, dtype_of(run.options))
            outputs = compare_outputs(run.problem, answer, truth, batch, points, run.trainables)
            broken = violations(answer, batch)
            sign = free_signs(run.problem, at, own, expected)
            slopes.append(_slopes(run.problem, answer, truth, points, sign))
            own_error = _reference_error(truth) if len(found) < ESTIMATED else None
            took = float(truth.seconds)
            seen = Sample(
                index,
                batch,
                answer,
                truth,
                0.0,
                {},
                seconds,
                took,
                energy,
                broken,
                outputs,
                sign,
                own_error,
            )
            found.append(seen)
            error = statistics.fmean(one.relative_l2 for one in _judged(found, gaps, slopes, lifts))
            display.step({"step": index + 1, "error": error}, ())
    finally:
        display.stop()
    return _judged(found, gaps, slopes, lifts), failures


def _lift(run: Run, batch: Any, points: Tensor, expected: Tensor) -> Misfit | None:
    """How far the coarse solution is off that an answer holds; None where it holds none."""
    if not run.options.lift:
        return None
    lifted = batch.inputs.ansatz.offset(points).detach().double().cpu()
    return misfit(run.problem, points.double().cpu(), lifted, expected)


def _reference_error(truth: Any) -> float | None:
    """The estimated relative error of a reference solution; None for a solver of the user's own,
    or where there is no estimate."""
    try:
        return float(truth.relative_error.max())
    except (AttributeError, SolverError):
        return None


def _slopes(
    problem: Any, answer: Any, truth: Any, points: Tensor, sign: Tensor | None
) -> Misfit | None:
    """How far the gradient in space is from the reference's; None where one of them has none."""
    if not capabilities(answer).pointwise or not hasattr(truth, "derivatives"):
        return None
    axes, size = range(len(problem.coordinates)), points.shape[-1]
    firsts = [tuple(int(k == axis) for k in range(size)) for axis in axes]
    count = len(problem.components)
    request = Request({c: frozenset(firsts) for c in range(count)})
    one, other = (
        torch.stack([torch.stack([each[c, i] for i in firsts], -1) for c in range(count)], -2)
        for each in (exact(answer, points, request), truth.derivatives(points, request))
    )  # b n c d
    one, other = one.detach().double().cpu(), other.double().cpu()
    one = one if sign is None else one * sign[:, None, :, None].to(one)
    return slope_misfit(problem, points.double().cpu(), one, other)


def _judged(
    samples: list[Sample],
    gaps: list[Misfit],
    slopes: list[Misfit | None],
    lifts: list[Misfit | None],
) -> list[Sample]:
    """The samples with their errors, which depend on the size of the unknowns in all of them."""
    if not samples:
        return []
    errors = _errors(gaps)
    gradients, lifted = (
        [{}] * len(samples) if None in each else _errors(each) for each in (slopes, lifts)
    )
    return [
        dataclasses.replace(
            each, squared_error=max(own.values()) ** 2, unknowns=own, gradients=gradient, lift=lift
        )
        for each, own, gradient, lift in zip(samples, errors, gradients, lifted, strict=True)
    ]


def _errors(gaps: list[Misfit]) -> list[dict[str, float]]:
    """The relative error of each unknown, by sample."""
    rows = gathered(gaps).squared().sqrt().tolist()
    return [dict(zip(gaps[0].gap, row, strict=True)) for row in rows]


def _energy(
    problem: Any, batch: Any, truth: Any, answer: Callable[[Tensor], Tensor], dtype: torch.dtype
) -> float | None:
    """The functional at what the operator says; None where there is none, or no mesh to take it
    on."""
    if getattr(truth, "energy", None) is None:
        return None
    device = batch.inputs.points.device
    return float(
        energy_of(problem, batch, truth, lambda points: answer(points.to(device, dtype)))[0]
    )


def _requirements(run: Run, device: torch.device) -> Callable[[Any, Any], dict[str, float]]:
    """By requirement, the fraction of a sample's points where a field does not meet it."""
    loss = PhysicsLoss(run.problem, run.options.derivatives).to(device, dtype_of(run.options))
    if not loss.requirements:
        return lambda field, batch: {}
    loss.refusing = False
    loss.take(run.trainables)
    engine = StepEngine(loss)

    @torch.no_grad()
    def violations(field: Any, batch: Any) -> dict[str, float]:
        return {label: float(share) for label, share in engine(field, batch).violations.items()}

    return violations


@torch.no_grad()
def _timed(
    model: nn.Module, batch: Any, points: Tensor
) -> tuple[Callable[[Tensor], Tensor], Tensor, float]:
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


def shown(title: str, value: float) -> str:
    """A number of a line of `rows`: in percent, squares as they are."""
    return f"{value:.2e}" if "squared" in title else percent(value)


def rows(evaluation: Evaluation) -> dict[str, dict[str, float]]:
    """The lines of the table of an evaluation: each unknown first, then the worst of them,
    energies and outputs."""
    several = len(evaluation.unknowns) > 1
    found = (
        {f"relative L2 error of {name}": values for name, values in evaluation.unknowns.items()}
        if several
        else {}
    )
    found["relative L2 error" + (", worst unknown of each sample" if several else "")] = (
        evaluation.relative_l2
    )
    if evaluation.lift is not None:
        found["the same of the lift, without the network"] = evaluation.lift
    if several:
        found["relative L2 error, mean over unknowns"] = evaluation.mean_of_unknowns
    for name, values in evaluation.gradients.items():
        found["relative L2 error of the gradient" + (f" of {name}" if several else "")] = values
    found["relative squared error" + (", worst unknown" if several else "")] = (
        evaluation.relative_squared_error
    )
    if evaluation.energy_gap is not None:
        found["energy above the reference's, relative"] = evaluation.energy_gap
    for name, value in evaluation.files.items():
        title = f"relative L2 error of {name} over the rows of its reference file"
        found[title] = dict.fromkeys(("mean", "median", "max"), value)
    return found | {
        f"output {name}, relative error": values
        for name, values in evaluation.outputs.items()
        if values is not None
    }
