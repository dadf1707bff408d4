"""Sets up a training from a problem, a model and options, and writes it to disk."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from compiler.batches.build import drawn_anew
from compiler.batches.coarse_lift import lift_degrees
from compiler.batches.level import has_level
from compiler.batches.sample import sample as drawn_by_laws
from compiler.data.polynomials import numbers
from compiler.loss.conservation import ConservationLoss
from compiler.loss.physics import PhysicsLoss
from compiler.loss.physics import compile as compile_loss
from compiler.scales import scaled
from compiler.training import runs
from compiler.training.balancers import BALANCERS, Balancer
from compiler.training.callbacks import CALLBACKS, Callback, Moment
from compiler.training.causality import causal_weights
from compiler.training.checkpoint import dtype_of, load_state
from compiler.training.choice import Choice, References, choose
from compiler.training.data_terms import DataTerms, data_terms
from compiler.training.dual import LABEL as WEAK
from compiler.training.growth import GrowingModes, growing_modes
from compiler.training.instances import Instances
from compiler.training.objective import Objective, Sampler, Validator, term_labels
from compiler.training.optimizers import OPTIMIZERS, SCHEDULES, Schedule
from compiler.training.options import OptionError, instantiate, refuse_unseen
from compiler.training.placement import Placement, placement, refuse_mixing
from compiler.training.processes import RollCall, launch, refuse_other_view, session
from compiler.training.progress import Display
from compiler.training.rules import fitted
from compiler.training.runs import Run, RunError
from compiler.training.solved_samples import LABEL, load_solutions, solve_unless_saved
from compiler.training.state import TrainState, copied_weights
from compiler.training.threads import set_threads
from compiler.training.variational import trained_as
from pdespec.statements.problem import Problem


@dataclass(frozen=True)
class Training:
    """What stays from step to step. `forward` is the objective and `stepper` the optimiser as the
    processes share them; `reasons` say why the loss is what it is."""

    run: Run
    fabric: Fabric
    display: Display
    objective: Objective
    forward: nn.Module
    stepper: Any
    balancer: Balancer
    schedule: Schedule
    validator: Validator | None
    choice: Choice
    reasons: Mapping[str, str]
    callbacks: Sequence[Callback]

    @property
    def is_rank_zero(self) -> bool:
        """Whether this is the process that writes and shows."""
        return self.fabric.is_global_zero

    @cached_property
    def parameters(self) -> list[Tensor]:
        """What the optimiser changes: weights and trainable numbers and functions."""
        return [each for each in self.objective.parameters() if each.requires_grad]

    @cached_property
    def base(self) -> Tensor:
        """The weights of the terms under those of the balancer. Shape: "m"."""
        own, loss = self.run.options.weights, self.objective.loss
        known = {name: own.get(name, 1.0) for name in (LABEL, WEAK)} | dict(loss.weights)
        known |= {each: self.objective.data_weight(each) for each in self.objective.data_labels}
        return torch.tensor(
            [known.get(label, 1.0) for label in self.objective.labels], dtype=torch.float64
        )

    @cached_property
    def columns(self) -> list[str]:
        """Those of the history."""
        labels = self.objective.labels
        violated = [f"violated {label}" for label in self.objective.loss.requirements]
        validated = ["validation", "prediction", "error"] + [f"validation {v}" for v in violated]
        return [
            *("step", "seconds", "lr", "gradient", "total"),
            *map(runs.column, labels),
            *(runs.column(name, labels) for name in self.objective.trainables()),
            *(f"weight {label}" for label in labels),
            *violated,
            *(validated if self.validator else ()),
        ]

    def moment(self, state: TrainState, row: Mapping[str, float]) -> Moment:
        """What callbacks receive."""
        save = partial(self.save, state)
        return Moment(self.run, self.objective.model, state.step, row, save)

    def save(self, state: TrainState, which: str) -> None:
        """Writes the checkpoint "last", "best" or of another name."""
        state.save(
            self.run.checkpoint(which),
            self.objective,
            self.stepper.optimizer,
            self.run.options.weights,
        )


def set_up(
    run: Run,
    resuming: bool,
    loss: PhysicsLoss | None,
    sampler: Sampler | None,
    display: Display,
    roll: RollCall,
    own: Sequence[Callback] = (),
    validated: bool = True,
) -> tuple[Training, TrainState]:
    """Everything that a training needs, and where it begins. Nothing is written yet, and no sample
    solved; `validated`: whether there is to be validation.

    Raises: OptionError for options that do not fit one another or the problem; RunError for a
    checkpoint that is missing, damaged, or of another run.
    """
    options = run.options
    refuse_unseen(options, bool(run.problem.data))
    lift = _coarse_lift(run)
    data = _measured(run)
    balancer = instantiate(BALANCERS, options.balancer, options.balancer_options)
    named = [instantiate(CALLBACKS, name, given) for name, given in options.callbacks.items()]
    if options.accumulate > 1 and balancer.gradients_every:
        raise OptionError(
            f"balancer {options.balancer!r} compares gradients of the whole batch, which parts of"
            " it do not give; set accumulate=1, or take fixed, relobralo or softadapt"
        )
    stated = run.problem if loss is not None else _stated(run, balancer, display)
    choice = Choice("strong")
    if stated is run.problem and loss is None:
        lawful = sampler is None or isinstance(sampler, Instances)
        references = References(run.problem, run.model, options, lawful)
        known = runs.choice(run.directory) if resuming else None
        choice = choose(scaled(run.problem)[1], options, references, known)
    if not (options.physics or choice.dual or options.solutions or data):
        raise OptionError(
            f"without physics nothing is left to train on ({choice.reason}); set solutions, e.g."
            " solutions=64"
        )
    loss = loss or _loss(run, stated, choice)
    loss.refusing = options.physics and choice.dual is None
    if choice.dual is not None:
        loss.weights = {
            label: loss.weights.get(label, 1.0) * choice.dual.share(label) for label in loss.labels
        }
    labels = term_labels(loss, options, choice.dual, data)
    _refuse_ratios(loss, labels, balancer, options.balancer)
    schedule = instantiate(SCHEDULES, options.schedule, options.schedule_options)
    placed = placement(run.problem, loss, options, _anew(run.problem, sampler))
    growth = growing_modes(run.model, options)
    if growth:
        growth.begin()
    fabric = launch(options, roll)
    objective = Objective(run.problem, run.model, loss, options, sampler, fabric, choice.dual, data)
    objective.placement = placed
    objective.causal, causality = causal_weights(scaled(stated)[1], options)
    parameters = [each for each in objective.parameters() if each.requires_grad]
    optimizer = instantiate(
        OPTIMIZERS, options.optimizer, options.optimizer_options, parameters, lr=options.lr
    )
    forward, stepper = fabric.setup(objective, optimizer)

    state = TrainState(
        balancer.init(len(objective.labels)),
        schedule.init(),
        copied_weights(objective) if options.ema else None,
        placement=placed,
        growth=growth,
    )
    saved = _checkpoint(run, display) if resuming else None
    refuse_other_view(fabric, run.directory, (resuming, saved["step"] if saved else None))
    if saved:
        state.load(saved, run.checkpoint("last"), objective, optimizer, options.weights)
    threads = set_threads(objective, state.step, runs.sessions(run.directory) if resuming else ())
    # what does not fit together is said here, before anything is written
    objective.physics("train", state.step)
    if placed:
        example = objective.draw("train", state.step)
        with torch.no_grad():
            refuse_mixing(placed, objective.model(example.inputs), example)
    validating = validated and options.validation
    validator = Validator(objective, options, fabric, display) if validating else None
    reasons = {"loss": _reason(choice, objective), "weights in time": causality}
    reasons |= {
        "data": _data(objective),
        "lift": lift,
        "level": _level(run),
        "points": _placed(placed),
        "threads": threads,
    }
    reasons |= {"modes": _growing(growth)}
    if lift:
        reasons["output"] = "in each component the size of what the two highest degrees add"
    reasons = {subject: reason for subject, reason in reasons.items() if reason}
    parts = (run, fabric, display, objective, forward, stepper)
    training = Training(*parts, balancer, schedule, validator, choice, reasons, (*named, *own))
    return training, state


def begin(training: Training, state: TrainState, resuming: bool) -> None:
    """Puts the run on disk, solves the samples that training and validation ask for, and says by
    what rules it is fitted to its problem."""
    run, options, display = training.run, training.run.options, training.display
    objective, fabric = training.objective, training.fabric
    if training.is_rank_zero:
        rules = fitted(run.problem) | dict(training.reasons)
        for subject, rule in rules.items():
            display.message(f"{subject}: {rule}")
        put = runs.continue_run if resuming else runs.create_run
        put(run, session(fabric, state.step), training.choice.record(options.dual), rules)
        rows = [row for row in runs.read_history(run.directory) if row["step"] <= state.step]
        runs.write_history(run.directory, training.columns, rows)
    fabric.barrier()
    if options.solutions:
        drawn, count = objective.solutions_drawn, options.solutions
        solve_unless_saved(run.problem, drawn, count, run.directory, display, fabric)
        objective.solutions = load_solutions(
            run.problem, objective.solutions_drawn, options.solutions, run.directory
        ).to(dtype_of(options), fabric.device)
    if training.validator:
        training.validator.solve(run.directory)
    if training.is_rank_zero:
        display.start(run.problem.name, state.step, options.steps)
    state.identity = runs.identity(run) if training.is_rank_zero else None
    for each in training.callbacks if training.is_rank_zero else ():
        each.on_start(training.moment(state, {}))
    state.began = time.monotonic()


def _anew(problem: Problem, sampler: Sampler | None) -> list[str] | None:
    """What differs from step to step in sample k of a batch; None for samples of a caller's own."""
    if isinstance(sampler, Instances):
        return []
    return drawn_anew(problem) if sampler in (None, drawn_by_laws) else None


def _placed(placed: Placement | None) -> str:
    """How points are placed inside of domains, in words."""
    if placed is None:
        return ""
    where = " and ".join(placed.regions)
    return f"in {where} by the residual, {placed.options.adaptive}: {placed.strategy.summary}"


def _growing(growth: GrowingModes | None) -> str:
    """How Fourier modes are added, in words."""
    if growth is None:
        return ""
    first, last = (" x ".join(map(str, each)) for each in (growth.active, growth.most))
    return f"{first} active, up to {last}: {growth.rule}"


def _coarse_lift(run: Run) -> str:
    """What coarse solution a field holds, in words; none where it holds none. Raises: OptionError
    where the problem has no such lift."""
    problem = scaled(run.problem)[1]
    try:
        degrees = (
            lift_degrees(problem, run.options.lift, run.options.hard_conditions)
            if run.options.lift
            else ()
        )
    except ValueError as error:
        raise OptionError(str(error)) from error
    if not degrees:
        return ""
    shown = " and ".join(dict.fromkeys(map(str, degrees)))
    return (
        f"{len(numbers(degrees))} polynomials of degree {shown} for each component, by least"
        " squares of the residuals: every answer holds this coarse solution"
    )


def _level(run: Run) -> str:
    """What level unknowns have, in words; none where they have none."""
    options, computed = run.options, scaled(run.problem)[1]
    if options.lift or not (options.level and options.hard_conditions and has_level(computed)):
        return ""
    (name,) = computed.unknowns
    return (
        f"{name} is the constant at which what comes in and what leaves balance in each sample, and"
        " what the network adds"
    )


def _measured(run: Run) -> DataTerms | None:
    """The measured values that training sees. Raises: ProblemError D01 to D09; OptionError."""
    options = run.options
    data = data_terms(
        run.problem,
        options.rows,
        options.held_out,
        options.points["operator"],
        options.seed,
        options.ansatz,
    )
    samples = 0 if data is None else data.samples
    if options.held_out and options.held_out >= samples:
        raise OptionError(
            f"held_out = {options.held_out} of {samples} measured samples leaves none to train on"
        )
    for name in options.weights if data else ():
        if name.startswith(("data.", "prior.")) and name not in data.labels:
            kind = "data are" if name.startswith("data.") else "prior is"
            raise OptionError(f"no {kind} called {name!r}; they are {', '.join(data.labels)}")
    return data


def _stated(run: Run, balancer: Balancer, display: Display) -> Problem:
    """The problem whose loss is lowered: as it is stated, or by its energy."""
    problem, options = run.problem, run.options
    stated = trained_as(problem, options.form)
    if stated is problem or (options.form == "auto" and balancer.ratios):
        return problem  # balancers that compare losses take no energy
    display.message(
        f"`{problem.name}` is trained on its energy, since a coefficient jumps; form=strong"
        " lowers the residuals instead"
    )
    return stated


def _loss(run: Run, stated: Problem, choice: Choice) -> PhysicsLoss:
    options, within = run.options, None
    if options.form == "balance":
        return ConservationLoss(stated, options.derivatives, options.term_weights)
    if stated is not run.problem:  # in the frame that the model was fitted to
        frame, computed = scaled(run.problem)
        energy = stated if computed is run.problem else trained_as(computed, "energy")
        within = frame, energy
    estimate = options.error_estimate and choice.dual is None
    return compile_loss(stated, options.derivatives, options.term_weights, estimate, within)


def _refuse_ratios(
    loss: PhysicsLoss, labels: tuple[str, ...], balancer: Balancer, name: str
) -> None:
    """Raises: OptionError where losses are compared by ratio, and one may be negative."""
    signed = [t.name for t in loss.terms if t.kind == "energy" and t.name in labels]
    if balancer.ratios and signed:
        raise OptionError(
            f"balancer {name!r} compares losses by ratio and log, but `{signed[0]}` is"
            " an energy, which may be negative; take fixed, softadapt or lr_annealing, none of"
            " which does"
        )


def _data(objective: Objective) -> str:
    """The measured values that training sees, and what is done where numbers are found."""
    data, found = objective.data, ", ".join(objective.problem.trainables)
    if data is None:
        return ""
    said = [data.summary]
    if found:
        weight = max(map(objective.data_weight, data.labels))
        said.append(f"weighed {weight:g}, to find {found} from them")
    if objective.measures:
        said.append("every other step has its physics at their samples, which alone moves these")
    return "; ".join(said)


def _reason(choice: Choice, objective: Objective) -> str:
    asked = objective.options.batch
    if not choice.reason or objective.batch >= asked:
        return choice.reason
    return f"{choice.reason}; {objective.batch} samples a step instead of {asked}"


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
            display.message(f"note: {note}")
        return saved
    done = max((row["step"] for row in run.history), default=0)
    if run.checkpoint("best").is_file() or done > run.options.checkpoint_every:
        raise RunError(
            f"{last} is missing, though the run came to step {done:.0f}; put it back, or train anew"
            " in another directory"
        )
    display.message(f"{run.directory} holds no checkpoint yet: starting again at step 0")
    return None
