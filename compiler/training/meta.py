"""Meta-learning: the start from which a physics-informed network is adapted to any sample of a
problem in a few steps.

DIR/problem.pde, meta.json (model recipe, options), history.csv, checkpoints/last.safetensors.
Source: Qin, Beatson, Oktay, McGreivy, Adams 2022 (Meta-PDE).
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import pdespec
from compiler.batches.build import build
from compiler.batches.recipe import Recipe
from compiler.batches.sample import Batch, sample
from compiler.chance import seeded
from compiler.files import write_atomically
from compiler.loss.physics import PhysicsLoss
from compiler.loss.physics import compile as compile_loss
from compiler.training import runs
from compiler.training.checkpoint import load_tree, refuse_infinite, save_tree
from compiler.training.inner_loop import Inner, Losses, adapted, leap, maml
from compiler.training.options import OptionError, renamed
from compiler.training.progress import Display, Silent
from compiler.training.runs import RunError
from compiler.training.stopping import stop_requests
from operators.models.meta_pinn import AdaptedField, MetaPINN
from pdespec.errors import nearest
from pdespec.statements.problem import Problem

RECORD, FORMAT = runs.META, "pdespec-meta-1"
COLUMNS = ["step", "seconds", "loss", "gradient"]


@dataclass(frozen=True)
class MetaOptions:
    """How a start is learned. Equal options, problem and model give equal weights on the CPU,
    whatever the interruptions."""

    method: str = "maml"  # maml: through the path, to second order; leap: along it
    steps: int = 2000  # of the outer optimiser, Adam
    lr: float = 1e-3  # of the start
    rate_lr: float = 0.05  # maml: of the learned rates, one a step and weight
    batch: int = 8  # tasks a step
    inner_steps: int = 5
    inner_optimizer: str = "sgd"  # sgd or adam
    inner_lr: float = 1e-3
    discount: float = 0.1  # maml: weight of the loss a step before
    inner_clip: float | None = 100.0  # largest norm of a task's gradient
    clip: float | None = 100.0  # and of that of the start
    points: Mapping[str, int] = field(default_factory=lambda: {"interior": 256, "boundary": 64})
    hard_conditions: bool = True  # conditions built into every network, as an operator has them
    weights: Mapping[str, float] = field(default_factory=dict)  # of terms, by label or kind
    finetune_lr: float = 1e-3  # of Adam, after the inner steps
    precision: str = "float32"  # or float64
    seed: int = 0
    checkpoint_every: int = 250
    log_every: int = 10

    def __post_init__(self) -> None:
        for name, words in WORDS.items():
            value = getattr(self, name)
            if value not in words:
                close = nearest(str(value), words)
                hint = f"did you mean {close!r}?" if close else f"one of {', '.join(words)}"
                raise OptionError(f"unknown {name} {value!r}; {hint}")
        for name in ("steps", "batch", "inner_steps", "checkpoint_every", "log_every"):
            value = getattr(self, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise OptionError(f"{name} = {value!r} should be a whole number from 1")
        for name in ("lr", "rate_lr", "inner_lr", "discount", "finetune_lr"):
            if not 0 < getattr(self, name) < float("inf"):
                raise OptionError(f"{name} = {getattr(self, name)!r} should be positive")
        if self.method == "maml" and self.inner_optimizer != "sgd":
            raise OptionError("maml learns the rates of sgd steps; set inner_optimizer=sgd")

    @property
    def inner(self) -> Inner:
        """The inner optimiser as a value."""
        return Inner(self.inner_optimizer, self.inner_lr, self.inner_steps, self.inner_clip)  # type: ignore[arg-type]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of weights and points."""
        return torch.float64 if self.precision == "float64" else torch.float32


WORDS = {
    "method": ("maml", "leap"),
    "inner_optimizer": ("sgd", "adam"),
    "precision": ("float32", "float64"),
}
# what may be another when a run goes on: how long, and how often it is written
FREE = ("steps", "checkpoint_every", "log_every", "finetune_lr")


@dataclass(frozen=True)
class Adaptation:
    """What a batch was adapted to: its field, and `(steps, seconds, whatever seen)` along the way.
    Seconds count the steps alone, not what was looked at."""

    field: AdaptedField
    curve: list[tuple[int, float, Any]]


@dataclass(frozen=True, repr=False)
class MetaRun:
    """A learned start on disk. `rates` are those of MAML's steps, before softplus: "K p"."""

    directory: Path
    problem: Problem
    options: MetaOptions
    recipe: Recipe
    model: MetaPINN
    rates: Tensor
    step: int = 0

    def __repr__(self) -> str:
        return (
            f"<MetaRun of {self.problem.name} by {self.options.method} in {self.directory}: step"
            f" {self.step} of {self.options.steps}>"
        )

    @property
    def history(self) -> list[dict[str, float]]:
        """The rows of history.csv, a mapping each."""
        return [dict(row) for row in _read_rows(self.directory)]

    def adapt(
        self,
        batch: Batch,
        steps: int = 0,
        look: Callable[[AdaptedField], Any] | None = None,
        every: int = 5,
    ) -> Adaptation:
        """The networks of a batch after the inner steps and `steps` more of Adam, all at the
        batch's own points. `look` is called with the field after the inner steps, then every
        `every` steps."""
        options, loss = self.options, _loss(self.problem, self.options)
        losses = _losses(loss, self.model, [batch])
        curve: list[tuple[int, float, Any]] = []
        clock = [time.perf_counter(), 0.0]  # when the clock was started, what it had counted

        def seen(count: int, rows: Tensor) -> None:
            taken = clock[1] + time.perf_counter() - clock[0]
            found = look(self.model.field(batch.inputs, rows.detach())) if look else None
            curve.append((count, taken, found))
            clock[:] = time.perf_counter(), taken

        rates = self.rates if options.method == "maml" else None
        rows = self.model.theta.detach().expand(batch.size, -1)
        rows = adapted(losses, rows, options.inner, rates)
        seen(options.inner_steps, rows)
        if steps:
            further = Inner("adam", options.finetune_lr, steps, options.inner_clip)

            def sometimes(taken: int, now: Tensor) -> None:
                if taken % every == 0 or taken == steps:
                    seen(options.inner_steps + taken, now)

            rows = adapted(losses, rows, further, None, sometimes)
        return Adaptation(self.model.field(batch.inputs, rows), curve)


def meta_train(
    problem: Problem,
    model: MetaPINN,
    options: MetaOptions | None = None,
    directory: str | Path | None = None,
    *,
    resume: bool = False,
    display: Display | None = None,
) -> MetaRun:
    """Learns the start of `model`, of `compiler.build(problem, "meta_pinn")`, and keeps it in
    `directory`.

    Every step draws tasks and points from a generator seeded by (seed, step), so that a run that
    was stopped and resumed takes the same steps. Raises: RunError for a directory that is taken or
    damaged, or that holds another run; OptionError; ValueError for a model of another kind.
    """
    options = options or MetaOptions()
    if not isinstance(model, MetaPINN):
        raise ValueError(
            f"a {type(model).__name__} is not adapted to samples; take compiler.build(problem,"
            ' "meta_pinn")'
        )
    recipe = getattr(model, "recipe", None)
    if recipe is None:
        raise ValueError("a model that compiler.build did not make cannot be kept; build it")
    try:
        _loss(problem, options)
    except KeyError as reason:  # a misspelt weight, before anything is written
        raise OptionError(str(reason.args[0])) from None
    directory = Path(directory) if directory is not None else runs.free_directory(problem.name)
    model.to(options.dtype)
    rates = torch.ones(options.inner_steps, model.theta.numel(), dtype=options.dtype)
    run = MetaRun(directory, problem, options, recipe, model, rates.requires_grad_())
    known = (directory / RECORD).is_file()
    if known and not resume:
        raise RunError(f"{directory} already holds a run; resume it, or name another directory")
    if known:
        _refuse_other(run)
    else:
        runs.refuse_occupied(directory)
    with runs.claimed(directory, not known):
        optimizer = torch.optim.Adam(
            [{"params": [model.theta]}, {"params": [run.rates], "lr": options.rate_lr}],
            lr=options.lr,
            betas=(0.9, 0.99),
        )
        step, seconds = _begin(run, optimizer, known)
        return _loop(run, optimizer, step, seconds, display or Silent())


def load_meta(directory: str | Path) -> MetaRun:
    """The run in a directory with the start it learned. Raises: RunError where there is none."""
    directory = Path(directory)
    record = _read_record(directory)
    problem = pdespec.load(directory / runs.PROBLEM)
    options = MetaOptions(**record["options"])
    recipe = Recipe(record["model"]["operator"], record["model"]["options"])
    model = build(problem, recipe.operator, **recipe.options).to(options.dtype)
    saved = load_tree(runs.checkpoint_path(directory, "last"))
    run = MetaRun(directory, problem, options, recipe, model, saved["rates"], saved["step"])  # type: ignore[arg-type]
    _put(run, saved)
    return run


def _loop(
    run: MetaRun, optimizer: torch.optim.Optimizer, step: int, seconds: float, display: Display
) -> MetaRun:
    options, loss, began = run.options, _loss(run.problem, run.options), time.monotonic()
    display.start(run.problem.name, step, options.steps)
    with stop_requests() as stop_requested, contextlib.ExitStack() as cleanup:
        cleanup.callback(display.stop)
        while step < options.steps:
            optimizer.zero_grad()
            met = _descend(run, loss, step)
            norm = torch.nn.utils.get_total_norm([run.model.theta.grad])
            if not norm.isfinite():
                raise RunError(
                    f"the gradient of step {step} is not finite; {run.directory} keeps the last"
                    " checkpoint: lower inner_lr or lr"
                )
            if options.clip:
                torch.nn.utils.clip_grads_with_norm_([run.model.theta], options.clip, norm)
            optimizer.step()
            step += 1
            row = {
                "step": step,
                "seconds": round(seconds + time.monotonic() - began, 3),
                "loss": met,
                "gradient": float(norm),
            }
            stopping = stop_requested()
            if step % options.log_every == 0 or step == options.steps or stopping:
                runs.append_history(run.directory, COLUMNS, row)
            if step % options.checkpoint_every == 0 or step == options.steps or stopping:
                _save(run, optimizer, step, row["seconds"])
            display.step({**row, "total": met, "lr": options.lr}, ())
            if stopping:
                raise KeyboardInterrupt(f"stopped after step {step}; resume {run.directory}")
    return replace(run, step=step, rates=run.rates.detach())


def _descend(run: MetaRun, loss: PhysicsLoss, step: int) -> float:
    """Puts the gradients of a step in place. Gives the mean over its tasks of the loss at the end
    of their paths, or of what MAML lowers."""
    options, model = run.options, run.model
    parts = options.inner_steps * (2 if options.method == "maml" else 1) + 1
    batch = sample(
        run.problem,
        options.batch,
        {**options.points, **{k: parts * n for k, n in options.points.items() if k != "operator"}},
        seeded(options.seed, "meta", step),
        dtype=options.dtype,
        hard_conditions=options.hard_conditions,
    )
    drawn = batch.in_parts(parts, seeded(options.seed, "meta points", step))
    if options.method == "maml":
        inner, outer = drawn[: options.inner_steps], drawn[options.inner_steps :]
        total = maml(
            _losses(loss, model, inner),
            _losses(loss, model, outer),
            model.theta.expand(options.batch, -1),
            run.rates,
            options.inner,
            options.discount,
        )
        (total / options.batch).backward()
        return float(total.detach()) / options.batch
    directions, last = [], 0.0
    for k in range(options.batch):
        own = [each.select([k]) for each in drawn]
        direction, met = leap(_losses(loss, model, own), model.theta.detach(), options.inner)
        directions.append(direction)
        last += met[-1] / options.batch
    model.theta.grad = torch.stack(directions).mean(0)
    return last


def _loss(problem: Problem, options: MetaOptions) -> PhysicsLoss:
    return compile_loss(problem, "auto", dict(options.weights)).to(options.dtype)


def _losses(loss: PhysicsLoss, model: MetaPINN, batches: list[Batch]) -> Losses:
    """The sum over the samples of the physics loss of their networks: it is a mean over samples of
    what each of them has."""

    def found(number: int, rows: Tensor) -> Tensor:
        batch = batches[number]
        return batch.size * loss(model.field(batch.inputs, rows), batch, scaled=True).total

    return found


# ---- on disk


def _begin(run: MetaRun, optimizer: torch.optim.Optimizer, known: bool) -> tuple[int, float]:
    """Step and seconds from which a run goes on, its weights in place; a new one is written."""
    directory = run.directory
    (directory / runs.CHECKPOINTS).mkdir(parents=True, exist_ok=True)
    step, seconds, last = 0, 0.0, runs.checkpoint_path(directory, "last")
    if known and last.is_file():
        saved = load_tree(last)
        _put(run, saved)
        optimizer.load_state_dict(saved["optimizer"])
        step, seconds = saved["step"], saved["seconds"]
    rows = [row for row in _read_rows(directory) if row["step"] <= step] if known else []
    runs.write_history(directory, COLUMNS, rows)
    write_atomically(directory / runs.PROBLEM, run.problem.to_dsl().encode())
    record = {
        "format": FORMAT,
        "model": dataclasses.asdict(run.recipe),
        "options": dataclasses.asdict(run.options),
    }
    text = json.dumps(record, indent=2, default=list) + "\n"
    write_atomically(directory / RECORD, text.encode())
    return step, seconds


def _save(run: MetaRun, optimizer: torch.optim.Optimizer, step: int, seconds: float) -> None:
    path = runs.checkpoint_path(run.directory, "last")
    tree = {"theta": run.model.theta.detach(), "rates": run.rates.detach()}
    refuse_infinite(tree, path)
    save_tree(path, {**tree, "optimizer": optimizer.state_dict(), "step": step, "seconds": seconds})


@torch.no_grad()
def _put(run: MetaRun, saved: Mapping[str, Any]) -> None:
    if saved["theta"].shape != run.model.theta.shape or saved["rates"].shape != run.rates.shape:
        raise RunError(f"the checkpoint of {run.directory} is of another model")
    run.model.theta.copy_(saved["theta"])
    run.rates.copy_(saved["rates"])


def _refuse_other(run: MetaRun) -> None:
    """Raises: RunError or OptionError where the directory holds another problem, model or
    setting."""
    record = _read_record(run.directory)
    if pdespec.load(run.directory / runs.PROBLEM) != run.problem:
        raise RunError(f"{run.directory} trains another problem; name another directory")
    own = json.loads(
        json.dumps(
            {"model": dataclasses.asdict(run.recipe), "options": dataclasses.asdict(run.options)},
            default=list,
        )
    )
    if own["model"] != record["model"]:
        raise RunError(f"{run.directory} trains another model; name another directory")
    for name, value in own["options"].items():
        if name not in FREE and record["options"].get(name) != value:
            raise OptionError(
                f"{name} = {value!r} cannot change on resuming: {run.directory} has"
                f" {record['options'].get(name)!r}"
            )


def _read_record(directory: Path) -> dict[str, Any]:
    path = directory / RECORD
    if not path.is_file():
        raise RunError(f"{directory} holds no meta-learned start ({RECORD} is missing)")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise RunError(f"{path} is damaged ({error})") from error
    schema = {"model": {"operator": str, "options": dict}, "options": dict}
    runs.refuse_unlike(record, schema, path)
    return {**record, "options": renamed(record["options"])}


def _read_rows(directory: Path) -> list[Mapping[str, float]]:
    """The rows of the history."""
    path = directory / runs.HISTORY
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").splitlines()
    names = lines[0].split(",") if lines else []
    rows = [line.split(",") for line in lines[1:]]
    return [
        {name: float(cell) for name, cell in zip(names, row, strict=True) if cell}
        for row in rows
        if len(row) == len(names)
    ]
