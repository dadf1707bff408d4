"""Training: a problem, a model and options in, a run on disk out. Read `train` from top to
bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from compiler.batches.own_model import as_operator
from compiler.batches.recipe import Recipe
from compiler.chance import seeded
from compiler.loss.physics import PhysicsLoss
from compiler.training import runs
from compiler.training.balancers import Signals, gradient_statistics
from compiler.training.callbacks import Callback
from compiler.training.checkpoint import as_begun, refuse_older
from compiler.training.diagnosis import remarks
from compiler.training.found import tell_found
from compiler.training.instances import Instances, refuse_other_samples
from compiler.training.not_finite import gradient_not_finite, loss_not_finite, refuse_lost
from compiler.training.objective import Sampler, Validator
from compiler.training.optimizers import Progress
from compiler.training.options import OptionError, TrainOptions, refuse_changed
from compiler.training.processes import any_process, lost_process, mean, refuse_parted
from compiler.training.progress import Display, Silent
from compiler.training.runs import Run, RunError
from compiler.training.set_up import Training, begin, set_up
from compiler.training.state import TrainState, follow, put_weights, using
from compiler.training.stopping import Interrupted, stop_requests
from compiler.training.threads import kept
from pdespec.statements.problem import Problem

Row = dict[str, float]  # of the history, by column


def train(  # noqa: PLR0913 (a public call: its options are keywords)
    problem: Problem,
    model: nn.Module,
    options: TrainOptions | None = None,
    directory: str | Path | None = None,
    *,
    resume: bool = False,
    loss: PhysicsLoss | None = None,
    sampler: Sampler | None = None,
    recipe: Recipe | None = None,
    preset: str | None = None,
    display: Display | None = None,
    callbacks: Sequence[Callback] = (),
) -> Run:
    """Trains `model` on the physics of `problem` and keeps everything needed to go on, and to
    evaluate, in `directory`. A model is an operator, from `OperatorInput` to a field, or for a
    problem of one solution any module from points "b n D" to values "b n c".

    Solved samples are seen only where `options.solutions` asks for them.

    Every step draws fresh geometries, inputs and points from a generator seeded by (seed, step), so
    that a run that was killed and resumed, or shared by several processes, takes the same steps.
    `loss` defaults to `compile(problem, options.derivatives)`, `sampler` to `compiler.sample`,
    `directory` to a new one in `runs/`, `recipe` to the one that `compiler.build` left on the
    model; `preset` is recorded; `callbacks` are called in addition to those of the
    options (see `compiler.training.callbacks`). `resume` continues the run in `directory` where
    there is one. The model is trained in place.

    Raises: RunError for a directory that is taken or damaged; OptionError; ProblemError R01 when a
    loss or gradient is no longer finite, the last checkpoint being left as it was; Interrupted on
    SIGINT and SIGTERM, after saving.
    """
    began, options = time.process_time(), options or TrainOptions()
    model = as_operator(problem, model)
    if getattr(model, "adapts", False):
        raise OptionError(
            f"a {type(model).__name__} is adapted to every sample; compiler.meta_train learns where"
            " it begins"
        )
    directory = Path(directory) if directory is not None else runs.free_directory(problem.name)
    recipe = recipe or getattr(model, "recipe", None)
    given = sampler.record(problem) if isinstance(sampler, Instances) else None
    run = Run(directory, problem, options, recipe, preset, model, instances=given)
    resuming = resume and runs.holds_run(directory)
    if resuming:
        _refuse_another(run)
    elif runs.is_rank_zero():
        runs.refuse_occupied(directory)
    claimed = (
        runs.claimed(directory, not resuming) if runs.is_rank_zero() else contextlib.nullcontext()
    )
    with claimed, lost_process(directory, options.timeout) as roll, kept():
        shown = display or Silent()
        training, state = set_up(run, resuming, loss, sampler, shown, roll, callbacks)
        begin(training, state, resuming)
        interrupted = _loop(training, state)
        return _finish(training, state, interrupted, time.process_time() - began)


def _loop(training: Training, state: TrainState) -> bool:
    """Steps until the last one, or until a stop is asked for: whether from outside."""
    options, interrupted, row = training.run.options, False, {}
    with stop_requests() as stop_requested, contextlib.ExitStack() as cleanup:
        cleanup.callback(training.display.stop)
        while state.step < options.steps:
            row = take_step(training, state)
            over = state.step == options.steps
            if training.validator and (over or state.step % options.validate_every == 0):
                row |= validate(training, training.validator, state)
            interrupted = any_process(training.fabric, stop_requested())
            late = options.seconds is not None and row["seconds"] >= options.seconds
            stopping = interrupted or any_process(training.fabric, late)
            record(training, state, row, over or stopping)
            if called(training, state, row) or stopping:
                break
        for each in training.callbacks if training.is_rank_zero else ():
            each.on_end(training.moment(state, row))
    return interrupted


def take_step(training: Training, state: TrainState) -> Row:
    """Draws a batch, takes one step down its weighted loss, and says what it met.

    Raises: ProblemError R01 where a loss or the gradient is not finite.
    """
    run, objective, options = training.run, training.objective, training.run.options
    factor, state.schedule = training.schedule.update(
        Progress(state.step, options.steps, state.pending), state.schedule
    )
    state.pending = None
    if state.growth:
        state.growth.step(state.step)
    for group in training.stepper.param_groups:
        group["lr"] = options.lr * factor

    weights, losses, violated = _descend(training, state)
    if objective.placement:
        objective.placement.weights = dict(zip(objective.labels, weights.tolist(), strict=True))
    norm = get_total_norm([each.grad for each in training.parameters if each.grad is not None])
    if not norm.isfinite():
        raise gradient_not_finite(objective, state.step, run)
    if getattr(training.stepper.optimizer, "searches", False):
        training.stepper.step(lambda: _again(training, state.step, weights))
    else:
        if options.clip:
            clip_grads_with_norm_(training.parameters, options.clip, norm)
        training.stepper.step()
    training.stepper.zero_grad()
    if state.ema and options.ema:
        follow(state.ema, objective, options.ema, state.step)
    state.step += 1

    labels = objective.labels
    row = {"step": state.step, "seconds": round(state.elapsed(), 3), "lr": options.lr * factor}
    row |= {"gradient": float(norm), "total": float(weights @ losses)}
    row |= dict(zip(map(runs.column, labels), losses.tolist(), strict=True))
    row |= {runs.column(name, labels): value for name, value in objective.trainables().items()}
    row |= {f"weight {k}": value for k, value in zip(labels, weights.tolist(), strict=True)}
    return row | objective.violations(violated)


def _descend(training: Training, state: TrainState) -> tuple[Tensor, Tensor, Tensor]:
    """Puts the gradient of the weighted loss of a step in place, a part of the batch at a time.
    Gives the weights, the unweighted terms over all processes, and how much of each requirement is
    violated in this process's share. Shapes: "m", "m" in float64 on the CPU, "r".

    Raises: ProblemError R01 where a term is not finite.
    """
    fabric, count, step = training.fabric, training.run.options.accumulate, state.step
    if count == 1:
        values, violated = training.forward("train", step)
        losses = _finite(training, values.detach(), step)
        weights = training.base * _balance(training, state, values, losses)
        fabric.backward((weights.to(values) * values).sum())
        return weights, losses, violated
    fixed = training.run.options.balancer == "fixed"  # others look at the losses first
    ahead = torch.zeros_like(training.base) if fixed else training.objective.losses(step)
    weights = training.base * _balance(training, state, None, ahead)
    values, violated = _accumulate(training, step, weights)
    return weights, _finite(training, values, step), violated


def _accumulate(training: Training, step: int, weights: Tensor) -> tuple[Tensor, Tensor]:
    """Adds up the gradients of the weighted loss over the parts of a batch. Gives the unweighted
    terms of this process's share, and how much of each requirement is violated. Shapes: "m" ->
    "m", "r"."""
    fabric, count, found = training.fabric, training.run.options.accumulate, []
    for part in range(count):
        # the processes add up their gradients once, with the last part
        with fabric.no_backward_sync(training.forward, enabled=part < count - 1):
            values, violated = training.forward("train", step, part)
            fabric.backward((weights.to(values) * values).sum() / count)
        found.append((values.detach(), violated.detach()))
    values, violated = (torch.stack(each).mean(0) for each in zip(*found, strict=True))
    return values, violated


def _again(training: Training, step: int, weights: Tensor) -> Tensor:
    """The weighted loss of a step over all processes, its gradient put in place: asked for several
    times by an optimiser that searches for its step. Shapes: "m" -> ""."""
    training.stepper.zero_grad()
    values, _ = _accumulate(training, step, weights)
    return mean(training.fabric, (weights.to(values) * values).sum())


def _finite(training: Training, values: Tensor, step: int) -> Tensor:
    """Terms, mean over the processes. Raises: ProblemError R01 where one is not finite."""
    losses = mean(training.fabric, values).double().cpu()
    if not losses.isfinite().all():
        raise loss_not_finite(training.objective, losses, step, training.run)
    return losses


def _balance(
    training: Training, state: TrainState, values: Tensor | None, losses: Tensor
) -> Tensor:
    """The balancer's weights of a step. Shapes: values, with their graph, and losses "m" -> "m"."""
    balancer, gradients = training.balancer, None
    every = balancer.gradients_every
    if values is not None and every and state.step % every == 0:
        gradients = gradient_statistics(
            values, training.parameters, lambda flat: mean(training.fabric, flat)
        )
    scale = training.base if balancer.direction else torch.ones_like(training.base)
    generator = seeded(training.run.options.seed, "balance", state.step)
    signals = Signals(
        losses * scale, state.step, generator, gradients.scaled(scale) if gradients else None
    )
    weights, state.balance = balancer.update(signals, state.balance)
    return weights


def validate(training: Training, validator: Validator, state: TrainState) -> Row:
    """The validation loss, of averaged weights where there are any."""
    with using(state.ema, training.objective):
        # what decides a step is known to one process, which sends it to all
        found = training.fabric.broadcast(validator())
    refuse_parted(training.fabric, training.objective, state.step)
    state.pending = found["validation"]
    return found


def record(training: Training, state: TrainState, row: Mapping[str, float], due: bool) -> None:
    """Writes checkpoints and history, and shows the step; `due`: also where it is not the turn.

    Raises: ProblemError R01 instead of writing a checkpoint that is not finite.
    """
    run, options = training.run, training.run.options
    save = due or state.step % options.checkpoint_every == 0
    better = state.improved()
    if save or better:
        refuse_lost(training.objective, state.step, run)
    if not training.is_rank_zero:
        return
    if better:
        training.save(state, "best")
    over, validated = state.step == options.steps, state.pending is not None
    if over or validated or state.step % options.log_every == 0:
        runs.append_history(run.directory, training.columns, row)
    if save:
        training.save(state, "last")
    # after saving: a terminal that hung up cannot be written to
    training.display.step(row, training.objective.labels)


def called(training: Training, state: TrainState, row: Mapping[str, float]) -> bool:
    """Calls the callbacks after a step. Gives whether one of them stops the training: the state is
    on disk then, and the reason is said."""
    reason, moment = None, training.moment(state, row)
    for each in training.callbacks if training.is_rank_zero else ():
        reason = each.on_step(moment) or reason
        if "validation" in row:
            reason = each.on_validation(moment) or reason
    stopping = any_process(training.fabric, reason is not None)
    if stopping:
        refuse_lost(training.objective, state.step, training.run)
        if training.is_rank_zero:
            training.save(state, "last")
            training.display.message(f"stopped after step {state.step}: {reason}")
    return stopping


def _finish(training: Training, state: TrainState, interrupted: bool, cpu: float) -> Run:
    """The run so far, its model with averaged weights where there are any; `cpu` seconds
    went into this session.

    Raises: Interrupted where it was stopped from outside before its last step.
    """
    training.fabric.barrier()
    if training.is_rank_zero:
        runs.end_session(training.run.directory, {"cpu_seconds": round(cpu, 3)})
    if state.ema:
        put_weights(training.objective, state.ema)
    if state.growth:
        state.growth.finish()
    found = training.objective.trainables()
    run = dataclasses.replace(training.run, step=state.step, trainables=found)
    for remark in remarks(run.history) if training.is_rank_zero else ():
        training.display.message(f"warning: {remark}")
    if interrupted and not run.finished:
        raise Interrupted(run)
    if run.finished and training.is_rank_zero:
        tell_found(run, training.display)
    return run


def _refuse_another(run: Run) -> None:
    """Raises: RunError or OptionError where the directory trains another problem, on other
    files, or with options that cannot change."""
    known = as_begun(runs.open_run(run.directory))
    if known.problem != run.problem:
        raise RunError(
            f"{run.directory} trains another problem than this `{run.problem.name}`; name another"
            " directory with --out"
        )
    refuse_older(known)
    runs.refuse_changed_files(run.problem, run.directory)
    refuse_other_samples(known.instances, run.instances)
    refuse_changed(known.options, run.options)
