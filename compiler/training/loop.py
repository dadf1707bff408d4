"""Training: a problem, a model and options in, a run on disk out. Read `train` from top to
bottom."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import os
import platform
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta, timezone
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from lightning_fabric.strategies.ddp import DDPStrategy
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from compiler.batches.recipe import Recipe
from compiler.chance import seeded
from compiler.loss.physics import PhysicsLoss
from compiler.loss.physics import compile as compile_loss
from compiler.scales import scaled
from compiler.training import runs
from compiler.training.balancers import BALANCERS, Signals, gradient_statistics
from compiler.training.causality import STRENGTH, causal_strengths, nonlinear
from compiler.training.checkpoint import dtype_of, load_state, save_tree
from compiler.training.choice import Choice, References, choose
from compiler.training.diagnosis import remarks
from compiler.training.dual import LABEL as WEAK
from compiler.training.dual import Window, meshed
from compiler.training.objective import (
    Objective,
    Sampler,
    Validator,
    locate,
    mean,
)
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES, Progress
from compiler.training.options import OptionError, TrainOptions, made, refuse_changed
from compiler.training.progress import Display, Silent
from compiler.training.rules import fitted
from compiler.training.runs import Run, RunError
from compiler.training.solved_samples import LABEL, kept, solved
from compiler.training.variational import trained_as
from pdespec.errors import ProblemError, fail
from pdespec.statements.problem import Problem

FABRIC_PRECISION: dict[str, Literal["32-true", "bf16-mixed"]] = {
    "float32": "32-true",
    "float64": "32-true",
    "bfloat16": "bf16-mixed",
}  # "32-true" leaves dtypes alone
LOST = (
    "Connection closed",
    "Connection reset",
    "closed by peer",
    "Timed out",
    "timed out",
    "NCCL",
    "Broken pipe",
)
STOPPING = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
# how many a launcher has started
COPIES = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}
MAY_BE_IGNORED = STOPPING[2:]  # SIGHUP, under nohup
VERSIONS = (
    "pdespec",
    "torch",
    "lightning-fabric",
    "safetensors",
    "sympy",
    "numpy",
    "scipy",
    "scikit-fem",
)


class Interrupted(KeyboardInterrupt):
    """Training was stopped from outside and has saved its state; `run` says where."""

    def __init__(self, run: Run) -> None:
        super().__init__(
            f"stopped at step {run.step} of {run.options.steps}; {run.directory} continues with"
            " --resume"
        )
        self.run = run


def train(
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
) -> Run:
    """Trains `model` on the physics of `problem` and keeps everything needed to go on, and to
    evaluate, in `directory`.

    Solved samples are seen only where `options.solutions` asks for them.

    Every step draws fresh geometries, inputs and points from a generator seeded by (seed, step), so
    that a run that was killed and resumed, or shared by several processes, takes the same steps.
    `loss` defaults to `compile(problem, options.derivatives)`, `sampler` to `compiler.sample`,
    `directory` to a new one in `runs/`, `recipe` to the one that `compiler.build` left on the
    model; `preset` is kept for the record. `resume` continues the run in `directory` where there is
    one. The model is trained in place.

    Raises: RunError for a directory that is taken or damaged; OptionError; ProblemError R01 when a
    loss or gradient is no longer finite, the last checkpoint being left as it was; Interrupted on
    SIGINT and SIGTERM, after saving.
    """
    options = options or TrainOptions()
    directory = Path(directory) if directory is not None else runs.free_directory(problem.name)
    display = display or Silent()
    resuming = resume and runs.holds_run(directory)
    if not resuming and runs.leads():
        runs.refuse_occupied(directory)
    recipe = recipe or getattr(model, "recipe", None)
    if resuming:
        known = runs.open_run(directory)
        if known.problem != problem:
            raise RunError(
                f"{directory} trains another problem than this `{problem.name}`; name another"
                " directory with --out"
            )
        runs.refuse_changed_meshes(problem, directory)
        refuse_changed(known.options, options)
    with runs.claimed(directory, not resuming) if runs.leads() else contextlib.nullcontext():
        try:
            return _train(
                problem, model, options, directory, resuming, loss, sampler, recipe, preset, display
            )
        except (
            RuntimeError
        ) as error:  # what gloo and NCCL raise when they wait for a process that is gone
            if torch.distributed.is_initialized() and any(word in str(error) for word in LOST):
                kept = (
                    f"; continue {directory} with --resume"
                    if runs.checkpoint_path(directory, "last").is_file()
                    else ""
                )
                raise RunError(
                    "another process of this run has ended, or did not answer in"
                    f" {options.timeout:g} s{kept}"
                ) from error
            raise


def _train(
    problem: Problem,
    model: nn.Module,
    options: TrainOptions,
    directory: Path,
    resuming: bool,
    loss: PhysicsLoss | None,
    sampler: Sampler | None,
    recipe: Recipe | None,
    preset: str | None,
    display: Display,
) -> Run:

    stated = trained_as(problem, options.form) if loss is None else problem
    if (
        stated is not problem
        and options.form == "auto"
        and made(BALANCERS, options.balancer, options.balancer_options).ratios
    ):
        stated = problem  # these balancers take no energy
    if stated is not problem:
        display.say(
            f"`{problem.name}` is trained on its energy, since a coefficient jumps; form=strong"
            " lowers the residuals instead"
        )
    choice = Choice("strong")
    if stated is problem and loss is None:
        references = References(problem, model, options, sampler is None)
        choice = choose(
            scaled(problem)[1], options, references, runs.choice(directory) if resuming else None
        )
    dual = choice.dual
    if not (options.physics or dual or options.solutions):
        raise OptionError(
            f"without physics nothing is left to train on ({choice.reason}); set solutions, e.g."
            " solutions=64"
        )
    within = None
    if stated is not problem:  # in the frame that the model was fitted to
        frame, computed = scaled(problem)
        within = frame, stated if computed is problem else trained_as(computed, "energy")
    loss = loss or compile_loss(
        stated, options.derivatives, options.term_weights, options.estimate and dual is None, within
    )
    if dual is not None:
        loss.weights = {
            label: loss.weights.get(label, 1.0) * dual.share(label) for label in loss.labels
        }
    labels = loss.labels if options.physics else ()
    labels += (WEAK,) if dual else ()
    labels += (LABEL,) if options.solutions else ()
    balancer = made(BALANCERS, options.balancer, options.balancer_options)
    if balancer.ratios and (
        signed := [t.name for t in loss.terms if t.kind == "energy" and t.name in labels]
    ):
        raise OptionError(
            f"balancer {options.balancer!r} compares losses by ratio and log, but `{signed[0]}` is"
            " an energy, which may be negative; take fixed, softadapt or lr_annealing, none of"
            " which does"
        )
    schedule = made(SCHEDULES, options.schedule, options.schedule_options)
    fabric = _fabric(options)
    objective = Objective(problem, model, loss, options, sampler, fabric)
    if dual is not None:
        objective.dual, objective.batch = dual, dual.affordable(options.batch, fabric.world_size)
        objective.window = Window(
            lambda step: meshed(dual, objective.draw("train", step), loss.inner_batch), options.seed
        )
    objective.causal, why_causal = _causal(scaled(stated)[1], options)
    parameters = [each for each in objective.parameters() if each.requires_grad]
    optimizer = made(
        OPTIMIZERS, options.optimizer, options.optimizer_options, parameters, lr=options.lr
    )
    wrapped, stepper = fabric.setup(objective, optimizer)

    run = Run(directory, problem, options, recipe, preset, model)
    last, best = run.checkpoint("last"), run.checkpoint("best")
    saved = _checkpoint(run, display) if resuming else None
    _refuse_other_view(fabric, directory, (resuming, saved["step"] if saved else None))
    start, lowest, pending, seconds_before, ema = (
        0,
        math.inf,
        None,
        0.0,
        _copy_weights(objective) if options.ema else None,
    )
    if saved:
        _restore(objective, optimizer, saved, last)
        start, lowest, pending, seconds_before = (
            saved["step"],
            saved["best"],
            saved["pending"],
            saved["seconds"],
        )
        if saved.get("weights", options.weights) != options.weights:
            lowest = math.inf  # of validation losses with other weights
        ema = (
            {name: value.to(fabric.device) for name, value in saved["ema"].items()}
            if ema and saved["ema"]
            else ema
        )
    balance_state = _state(balancer.init(len(labels)), saved, "balance")
    schedule_state = _state(schedule.init(), saved, "schedule")
    base = torch.tensor(
        [
            {
                LABEL: options.weights.get(LABEL, 1.0),
                WEAK: options.weights.get(WEAK, 1.0),
                **loss.weights,
            }.get(label, 1.0)
            for label in labels
        ],
        dtype=torch.float64,
    )
    columns = _columns(labels, objective, options)
    # what does not fit together is said here, before anything is written
    objective.physics("train", start)
    validator = Validator(objective, options, fabric, display) if options.validation else None

    def row_at(step: int, **values: float) -> dict[str, float]:
        return {
            "step": step,
            "seconds": round(seconds_before + time.monotonic() - began, 3),
            **values,
        }

    def snapshot(step: int) -> dict[str, Any]:
        state = {
            "balance": tuple(balance_state),
            "schedule": tuple(schedule_state),
            "ema": ema,
            "best": lowest,
            "pending": pending,
        }
        state |= {
            "step": step,
            "seconds": seconds_before + time.monotonic() - began,
            "identity": belongs,
            "weights": dict(options.weights),
        }
        return state | {"objective": objective.state_dict(), "optimizer": optimizer.state_dict()}

    if fabric.is_global_zero:
        for each in problem.data:
            display.say(
                f"warning: the data from {each.source!r} are not seen: measurements are no term of"
                " the loss yet"
            )
        rules = fitted(problem)
        if choice.reason:
            fewer = (
                f"; {objective.batch} samples a step instead of {options.batch}"
                if objective.batch < options.batch
                else ""
            )
            rules["loss"] = choice.reason + fewer
        if why_causal:
            rules["weights in time"] = why_causal
        for subject, rule in rules.items():
            display.say(f"{subject}: {rule}")
        session = _session(fabric, start)
        if resuming:
            runs.continue_run(run, session, choice.record(options.dual), rules)
        else:
            runs.create_run(run, session, choice.record(options.dual), rules)
        runs.write_history(
            directory,
            columns,
            [row for row in runs.read_history(directory) if row["step"] <= start],
        )
        if options.solutions:
            solved(problem, objective.solutions_drawn, options.solutions, directory, display)
        display.start(problem.name, start, options.steps)
    fabric.barrier()
    belongs = runs.identity(run) if fabric.is_global_zero else None
    if options.solutions:
        objective.solutions = kept(
            problem, objective.solutions_drawn, options.solutions, directory
        ).to(dtype_of(options), fabric.device)

    began, step, interrupted = time.monotonic(), start, False
    with _stop_requests() as stop_requested, contextlib.ExitStack() as cleanup:
        cleanup.callback(display.stop)
        while step < options.steps:
            factor, schedule_state = schedule.update(
                Progress(step, options.steps, pending), schedule_state
            )
            pending = None
            for group in stepper.param_groups:
                group["lr"] = options.lr * factor

            # (m,): the unweighted terms of this process's share of the batch
            values, violated = wrapped("train", step)
            losses = mean(fabric, values.detach()).double().cpu()
            if not losses.isfinite().all():
                raise _not_finite(objective, labels, losses, step, run)
            gradients = None
            if balancer.gradients_every and step % balancer.gradients_every == 0:
                gradients = gradient_statistics(values, parameters, lambda flat: mean(fabric, flat))
            scale = base if balancer.direction else torch.ones_like(base)
            gradients = gradients.scaled(scale) if gradients else None
            signals = Signals(
                losses * scale, step, seeded(options.seed, "balance", step), gradients
            )
            balance, balance_state = balancer.update(signals, balance_state)

            weights = base * balance
            fabric.backward((weights.to(values) * values).sum())
            norm = get_total_norm([each.grad for each in parameters if each.grad is not None])
            if not norm.isfinite():
                raise _gradient_not_finite(objective, step, run)
            if options.clip:
                clip_grads_with_norm_(parameters, options.clip, norm)
            stepper.step()
            stepper.zero_grad()
            if ema and options.ema:
                _follow(ema, objective, options.ema, step)
            step += 1

            row = row_at(
                step, lr=options.lr * factor, gradient=float(norm), total=float(weights @ losses)
            )
            row |= dict(zip(map(runs.column, labels), losses.tolist(), strict=True))
            row |= {
                runs.column(name, labels): value for name, value in objective.trainables().items()
            }
            row |= {
                f"weight {label}": value
                for label, value in zip(labels, weights.tolist(), strict=True)
            }
            row |= objective.violations(violated)
            over = step == options.steps
            if validator and (over or step % options.validate_every == 0):
                with _using(ema, objective):
                    # what decides a step is known to one process, and told to all
                    found = fabric.broadcast(validator())
                _refuse_parted(fabric, objective, step)
                row |= found
                pending = found["validation"]
            interrupted = _any(fabric, stop_requested())
            stopping = interrupted or _any(
                fabric, options.seconds is not None and row["seconds"] >= options.seconds
            )
            due = over or stopping or step % options.checkpoint_every == 0
            better = pending is not None and pending < lowest and math.isfinite(pending)
            if due or better:
                _refuse_lost(fabric, objective, labels, step, run)
            lowest = pending if better else lowest
            if fabric.is_global_zero:
                if better:
                    save_tree(best, snapshot(step))
                if over or pending is not None or step % options.log_every == 0:
                    runs.append_history(directory, columns, row)
                if due:
                    save_tree(last, snapshot(step))
                # after saving: a terminal that hung up cannot be written to
                display.step(row, labels)
            if stopping:
                break
    fabric.barrier()
    if ema:
        _put_weights(objective, ema)
    run = dataclasses.replace(run, step=step, trainables=objective.trainables())
    for remark in remarks(run.history) if fabric.is_global_zero else ():
        display.say(f"warning: {remark}")
    if interrupted and not run.finished:
        raise Interrupted(run)
    return run


def _causal(problem: Problem, options: TrainOptions) -> tuple[dict[str, float], str]:
    """The strengths of causal weights by equation, and why."""
    if options.causal is None or not options.physics:
        return {}, ""
    if options.block is not None:
        return {}, "no causal weights: blocks see some of the points of a sample at a time"
    if options.causal == "auto" and not nonlinear(problem):
        return {}, ""
    found = causal_strengths(
        problem, STRENGTH if options.causal == "auto" else float(options.causal)
    )
    reason = (
        "causal, since a nonlinear equation may rest at another state: a residual counts once those"
        " at earlier times are small"
    )
    return found, reason if found else ""


def _fabric(options: TrainOptions) -> Fabric:
    """Under torchrun the processes that it started, else `options.devices` of them, started
    here."""
    accelerator = options.accelerator
    if accelerator == "auto":
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and not torch.cuda.is_available():
        raise OptionError(
            "accelerator = cuda, and this machine has no GPU that torch can use; leave it out, or"
            " take cpu"
        )
    _refuse_copies()
    local = int(os.environ.get("LOCAL_WORLD_SIZE", options.devices))
    nodes = int(os.environ.get("WORLD_SIZE", local)) // local
    fabric = Fabric(
        accelerator=accelerator,
        devices=local,
        num_nodes=nodes,
        strategy=(
            DDPStrategy(find_unused_parameters=True, timeout=timedelta(seconds=options.timeout))
            if local * nodes > 1
            else "auto"
        ),
        precision=FABRIC_PRECISION[options.precision],
    )
    for name in ("batch", "validation"):
        if getattr(options, name) % (local * nodes):
            raise OptionError(
                f"{name} = {getattr(options, name)} does not divide among {local * nodes} processes"
            )
    fabric.launch()
    return fabric


def _refuse_copies() -> None:
    """Raises: OptionError where a launcher has started several copies of the program that know
    nothing of each other."""
    if "RANK" in os.environ or "LOCAL_RANK" in os.environ:
        return
    for name, launcher in COPIES.items():
        if os.environ.get(name, "1").isdigit() and int(os.environ.get(name, "1")) > 1:
            raise OptionError(
                f"{launcher} has started {os.environ[name]} copies of this run, each of which would"
                " train all of it; let it start one task a node, and that call torchrun"
                " (docs/running.md, several processes)"
            )


def _any(fabric: Fabric, flag: bool) -> bool:
    """Whether any process says so: all of them must stop at the same step."""
    return flag if fabric.world_size == 1 else float(mean(fabric, torch.tensor(float(flag)))) > 0


def _restore(
    objective: Objective, optimizer: torch.optim.Optimizer, saved: Mapping[str, Any], path: Path
) -> None:
    try:
        objective.load_state_dict(saved["objective"])
        optimizer.load_state_dict(saved["optimizer"])
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise RunError(
            f"checkpoint {path} does not fit this model and optimiser: {error}"
        ) from error


def _state(fresh: tuple, saved: Mapping[str, Any] | None, name: str) -> Any:
    """A named tuple as `init` made it, or with the values of a checkpoint."""
    if saved is None:
        return fresh
    if len(saved[name]) != len(fresh):
        raise RunError(
            f"the checkpoint holds the state of another {name}; resume with the options of the run"
        )
    return type(fresh)(*saved[name])


def _copy_weights(objective: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in objective.named_parameters()}


@torch.no_grad()
def _follow(ema: Mapping[str, Tensor], objective: nn.Module, decay: float, step: int) -> None:
    """ema <- decay ema + (1 - decay) weights, with a shorter memory in the first steps."""
    share = 1 - min(decay, (1 + step) / (10 + step))
    for name, value in objective.named_parameters():
        ema[name].lerp_(value, share)


@torch.no_grad()
def _put_weights(objective: nn.Module, weights: Mapping[str, Tensor]) -> None:
    for name, value in objective.named_parameters():
        value.copy_(weights[name])


@contextlib.contextmanager
def _using(ema: Mapping[str, Tensor] | None, objective: nn.Module) -> Iterator[None]:
    """The model with its averaged weights, if there are any."""
    if ema is None:
        yield
        return
    kept = _copy_weights(objective)
    _put_weights(objective, ema)
    try:
        yield
    finally:
        _put_weights(objective, kept)


@contextlib.contextmanager
def _stop_requests() -> Iterator[Callable[[], bool]]:
    """A first SIGINT, SIGTERM or SIGHUP is remembered, to be obeyed after the step; a second one
    acts at once.

    Only the main thread of a program may catch signals; elsewhere this never says stop.
    """
    requests: list[int] = []
    previous: dict[int, Any] = {}

    def remember(number: int, _frame: Any) -> None:
        requests.append(number)
        signal.signal(number, previous[number])

    with contextlib.suppress(ValueError):  # not the main thread
        for number in STOPPING:
            if number not in MAY_BE_IGNORED or signal.getsignal(number) != signal.SIG_IGN:
                previous[number] = signal.signal(number, remember)
    try:
        yield lambda: bool(requests)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _columns(labels: tuple[str, ...], objective: Objective, options: TrainOptions) -> list[str]:
    columns = ["step", "seconds", "lr", "gradient", "total", *map(runs.column, labels)]
    columns += [
        *(runs.column(name, labels) for name in objective.trainables()),
        *(f"weight {label}" for label in labels),
    ]
    violated = [f"violated {label}" for label in objective.loss.requirements]
    return (
        columns
        + violated
        + ["validation", "prediction", "error", *(f"validation {name}" for name in violated)]
        * bool(options.validation)
    )


def _session(fabric: Fabric, step: int) -> dict[str, Any]:
    def found(name: str) -> str | None:
        with contextlib.suppress(PackageNotFoundError):
            return version(name)
        return None

    return {
        "started": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "from_step": step,
        "processes": fabric.world_size,
        "device": str(fabric.device),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "versions": {name: found(name) for name in VERSIONS},
    }


def _checkpoint(run: Run, display: Display) -> Mapping[str, Any] | None:
    """The state to go on from; None, which is said, where the run ended before its first
    checkpoint.

    Raises: RunError where a checkpoint was there and is no longer, is damaged, or is that of
    another problem or setting.
    """
    last = run.checkpoint("last")
    if last.is_file():
        saved = load_state(last)
        for note in runs.refuse_foreign(run, saved.get("identity"), last):
            display.say(f"note: {note}")
        return saved
    done = max((row["step"] for row in run.history), default=0)
    if run.checkpoint("best").is_file() or done > run.options.checkpoint_every:
        raise RunError(
            f"{last} is missing, though the run came to step {done:.0f}; put it back, or train anew"
            " in another directory"
        )
    display.say(f"{run.directory} holds no checkpoint yet: starting again at step 0")
    return None


def _refuse_lost(
    fabric: Fabric, objective: Objective, labels: tuple[str, ...], step: int, run: Run
) -> None:
    """Before a state is saved. Raises: ProblemError R01 where its weights, or its losses on the
    batch of the last step, are not finite."""
    broken = [name for name, value in objective.named_parameters() if not value.isfinite().all()]
    if _any(fabric, bool(broken)):
        which = f"`{broken[0]}`" if broken else "a weight of another process"
        raise fail(
            "R01", f"the update of step {step - 1} made {which} infinite or no number", _advice(run)
        )
    with torch.no_grad(), fabric.autocast():
        values, _ = objective("train", step - 1)
    losses = mean(fabric, values).double().cpu()
    if not losses.isfinite().all():
        raise _not_finite(objective, labels, losses, step - 1, run)


def _refuse_other_view(fabric: Fabric, directory: Path, own: tuple[bool, int | None]) -> None:
    """Raises: RunError on every process where one of them does not find the run that the first
    one finds."""
    if fabric.world_size > 1 and _any(fabric, fabric.broadcast(own) != own):
        raise RunError(
            f"the processes do not see the same run in {directory}; put it where all nodes can"
            " read it"
        )


def _refuse_parted(fabric: Fabric, objective: Objective, step: int) -> None:
    """Raises: RunError where the weights of the processes, which are equal bit for bit, have
    parted."""
    if fabric.world_size == 1:
        return
    with torch.no_grad():
        own = torch.stack(
            [each.detach().double().abs().sum() for each in objective.parameters()]
        ).cpu()
    if _any(fabric, not torch.equal(fabric.broadcast(own), own)):
        raise RunError(
            f"the weights of the processes have parted by step {step}; this is a fault of the"
            " program, please report it"
        )


def _not_finite(
    objective: Objective, labels: tuple[str, ...], losses: Tensor, step: int, run: Run
) -> ProblemError:
    label = labels[int((~losses.isfinite()).nonzero()[0])]
    place = locate(objective, label, step)
    return fail(
        "R01",
        f"the loss of `{label}` is {float(losses[labels.index(label)])} at step {step}{place}",
        _advice(run),
        label=label,
    )


def _gradient_not_finite(objective: Objective, step: int, run: Run) -> ProblemError:
    broken = [
        name
        for name, value in objective.named_parameters()
        if value.grad is not None and not value.grad.isfinite().all()
    ]
    where = (
        f"of `{broken[0]}`" + (f" and {len(broken) - 1} more" if len(broken) > 1 else "")
        if broken
        else "norm"
    )
    return fail(
        "R01",
        f"the losses are finite at step {step}, but the gradient {where} is not",
        _advice(run),
    )


def _advice(run: Run) -> str:
    last = run.checkpoint("last")
    kept = f"the last good state is in {last}; " if last.is_file() else ""
    return (
        f"{kept}lower lr, clip gradients, train in float64, or add a `require` that keeps"
        " logarithms and roots in their domain"
    )
