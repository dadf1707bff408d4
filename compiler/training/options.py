"""The options of a training run: one frozen value, and the `key=value` words that change it. No
torch here."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from compiler.batches.recipe import PLACINGS
from pdespec.errors import PdespecError, nearest

POINTS = {"interior": 256, "boundary": 64, "initial": 64, "operator": 512}
LARGEST = 1e30  # well below what float32 holds, 3.4e38
CHOICES: dict[str, tuple[str, ...]] = {
    "accelerator": ("auto", "cpu", "cuda"),
    "form": ("auto", "strong", "energy", "balance"),
    "precision": ("float32", "float64", "bfloat16"),
    "sampling": PLACINGS,
}
# The least and the most that a number may be; the least is left out where it is a float.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("steps", "validate_every", "checkpoint_every", "log_every"), (1, 10**12)),
    **dict.fromkeys(("batch", "devices", "accumulate"), (1, 2**16)),
    "points": (1, 2**24),
    "lift": (0, 64),
    **dict.fromkeys(("solutions", "validation", "references", "held_out"), (0, 2**20)),
    "rows": (1, 2**31),
    **dict.fromkeys(("lr", "clip"), (0.0, math.inf)),
    **dict.fromkeys(("seconds", "timeout"), (0.0, 1e9)),
    "seed": (-(2**63), 2**63 - 1),
}
# What the numbers in a checkpoint hang on: they cannot change when a run is resumed.
FIXED = (
    *(
        "seed",
        "batch",
        "precision",
        "hard_conditions",
        "lift",
        "level",
        "optimizer",
        "optimizer_options",
        "balancer",
        "balancer_options",
        "incremental",
        "incremental_options",
    ),
    *("form", "error_estimate", "dual", "physics", "solutions", "validation", "rows", "held_out"),
)


RENAMED = {
    "hard": "hard_conditions",
    "estimate": "error_estimate",
    "points_by": "sampling",
}
"""Names of options that older runs and files hold, and those of today."""


class OptionError(PdespecError, ValueError):
    """An option that does not exist or a value it cannot take."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a problem is trained. Equal options, problem, model and threads give equal weights on the
    CPU, whatever the interruptions. `pdespec options` prints the text below each field.
    """

    # how long
    steps: int = 2000
    """Steps of the optimiser; schedules follow them alone."""
    seconds: float | None = None
    """Stops the run early, for good or to be resumed. Units: seconds."""

    # samples and points
    batch: int = 8
    """Samples a step, over all processes."""
    accumulate: int = 1
    """Parts in which each process takes its share of a batch, one after the other: the same step in
    less memory."""
    points: Mapping[str, int] = field(default_factory=lambda: dict(POINTS))
    """Collocation points a sample, by kind of region: interior, boundary, initial; and operator,
    those at which the operator reads its inputs."""
    sampling: str = "sobol"
    """What places the points in training: sobol, uniform, or mesh (see
    `compiler.data.quadrature`); validation is on Sobol points."""
    adaptive: str | None = None
    """What places points inside of domains by the residual there: rad, rar_d, r3; none: the law of
    `sampling` alone (see `compiler.training.adaptive`)."""
    adaptive_options: Mapping[str, Any] = field(default_factory=dict)
    """What that takes, by name: candidates, k, c, every, share."""
    solutions: int = 0
    """Samples that are solved once by the reference solver and seen in training, with the weight
    `weights.data` on their relative squared error (see `compiler.training.solved_samples`)."""
    rows: int | None = 1024
    """Rows of the problem's measured `data` that are seen of each sample in a step, drawn anew; all
    where it is none. Their squared misfit has the weight `weights.data` (see
    `compiler.training.data_terms`)."""
    held_out: int = 0
    """Samples of measured data, the last ones, that are seen in validation only."""
    seed: int = 0
    """Of the first weights, the samples and the points."""

    # optimiser
    optimizer: str = "adam"
    """Name of an optimiser: adam, adamw, soap, lbfgs."""
    lr: float = 1e-3
    """Learning rate, the largest of the schedule."""
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    """What the optimiser takes in addition to the learning rate, by name."""
    schedule: str = "cosine"
    """Of the learning rate: constant, cosine (warmup, floor), plateau (factor, patience)."""
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    """What the schedule takes, by name."""
    clip: float | None = 1.0
    """Largest norm of a gradient; a larger one is scaled down to it."""
    ema: float | None = None
    """Decay of the running mean of the weights, which is evaluated instead of the last ones."""

    incremental: str | None = None
    """What adds Fourier modes to the model's trunk while training: schedule, explained; none: all
    modes from the start (see `compiler.training.growth`)."""
    incremental_options: Mapping[str, Any] = field(default_factory=dict)
    """What that takes, by name: start, until, share, buffer, every."""

    # loss
    physics: bool = True
    """Whether the equations are lowered; without them solved samples and measured data are all
    that is seen."""
    form: str = "auto"
    """What is lowered: strong, squared residuals; energy, that which the equations come from (see
    `compiler.training.variational`); balance, squared balances over control volumes, for
    conservation laws with shocks (see `compiler.loss.conservation`); auto, the energy where
    coefficients jump and there is one with a minimum, else the residuals."""
    hard_conditions: bool = True
    """Builds essential conditions into the field where it can (see `compiler.batches.sample`)."""
    lift: int | Sequence[int] = 0
    """The degree of polynomials by which each sample is solved coarsely, or one for each variable;
    the network corrects that, and every answer holds a coarse solution (see
    `compiler.batches.coarse_lift`). 0: none."""
    level: bool = True
    """Gives an unknown into which nothing is built the level at which the equations balance, where
    there is one (see `compiler.batches.level`)."""
    error_estimate: bool = False
    """Adds the error in u that the residual causes as a term of kind error, where the equation
    allows an estimate (see `compiler.loss.error_estimate`)."""
    dual: int | str | None = None
    """Resolution of the coarse mesh on which the weak residual is measured in its dual norm, with
    the weight `weights.weak`; the strong residuals are then weighed to what the mesh does not see.
    auto: on a mesh that fits the problem, where neither an energy nor `error_estimate` measures the
    error (see `compiler.training.choice`)."""
    causal: float | str | None = None
    """Strength with which a residual waits until those at earlier times are small (see
    `compiler.loss.causality`), relative to the residual of what stays as it begins; auto: where an
    equation with an initial state is nonlinear."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Factors of terms by label, or by kind: equation, boundary, initial, point, energy, error,
    data, weak; under those of the balancer."""
    balancer: str = "fixed"
    """What weighs the terms against one another: fixed, relobralo, softadapt, gradnorm,
    lr_annealing, ntk, config, pcgrad."""
    balancer_options: Mapping[str, Any] = field(default_factory=dict)
    """What the balancer takes, by name."""
    derivatives: str | Mapping[str, str] = "auto"
    """Derivative backend, for all unknowns or by unknown; auto: the cheapest exact one."""
    uncertainty: bool = True
    """Follows the last step by reference solutions that tell how sure the trainables are (see
    `compiler.estimation`)."""

    # machine
    precision: str = "float32"
    """float32, float64, or bfloat16 mixed with float32."""
    accelerator: str = "auto"
    """cpu, cuda, or auto: a GPU where there is one."""
    devices: int = 1
    """Processes, which share the batch."""
    threads: int | str = "auto"
    """Threads of the processor; auto: all that torch takes or one, whichever is faster when the run
    begins (see `compiler.training.threads`)."""
    timeout: float = 1800.0
    """How long processes wait for one another, among them while each solves a sample. Units:
    seconds."""
    block: int | None = None
    """Queries in a block over which loss and gradient are taken, whatever their number in the same
    memory (see `compiler.loss.blocks`)."""
    captured: bool = False
    """Takes each block as one compiled graph."""

    # what is measured and kept
    validation: int = 8
    """Held-out samples of the validation loss."""
    references: int = 0
    """How many of them are also solved once, and give the error in u while training."""
    validate_every: int = 250
    """Steps from one validation to the next."""
    checkpoint_every: int = 250
    """Steps from one checkpoint to the next."""
    log_every: int = 10
    """Steps from one row of history.csv to the next."""
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What acts in addition to the steps, by name, each with its options (see
    `compiler.training.callbacks`)."""

    def __post_init__(self) -> None:
        for name, kind in typing.get_type_hints(TrainOptions).items():
            value = getattr(self, name)
            object.__setattr__(self, name, value := checked_type(value, kind, name, repr(value)))
            _in_range(name, value)
        for name, words in CHOICES.items():
            if getattr(self, name) not in words:
                raise OptionError(_unknown(f"unknown {name}", getattr(self, name), words))
        for fits, what in RULES:
            if not fits(self):
                raise OptionError(what.format(o=self))
        for name, count in self.points.items():
            if name not in POINTS:
                raise OptionError(_unknown("unknown kind of points", name, POINTS))
            checked_type(count, int, f"points.{name}", repr(count))
            _in_range("points", count, f"points.{name}")
        for name, weight in self.weights.items():
            checked_type(weight, float, f"weights.{name}", repr(weight))
        for name, given in self.callbacks.items():
            checked_type(given, Mapping, f"callbacks.{name}", repr(given))
        object.__setattr__(self, "points", {**POINTS, **self.points})

    def __repr__(self) -> str:
        """The options that are not the defaults."""
        default = TrainOptions()
        names = [each.name for each in dataclasses.fields(self)]
        changed = [
            f"{name}={getattr(self, name)!r}"
            for name in names
            if getattr(self, name) != getattr(default, name)
        ]
        return f"TrainOptions({', '.join(changed)})"

    @property
    def ansatz(self) -> dict[str, Any]:
        """What `compiler.sample` and `compiler.instance` need to know of the form of a field."""
        return (
            {"hard_conditions": self.hard_conditions}
            | ({"lift": self.lift} if self.lift else {})
            | ({} if self.level else {"level": False})
        )

    @property
    def term_weights(self) -> dict[str, float]:
        """The weights of the problem's own terms."""
        return {
            name: weight
            for name, weight in self.weights.items()
            if name not in ("data", "weak") and not name.startswith(("data.", "prior."))
        }


# What options must fulfil in addition to their types, ranges and words; what is said where they do
# not.
RULES: tuple[tuple[Callable[[TrainOptions], bool], str], ...] = (
    (
        lambda o: o.block is None or o.block >= 1,
        "block = {o.block} must be at least one query",
    ),
    (
        lambda o: not o.captured or o.block is not None,
        "captured steps are taken in blocks; set block, e.g. block=256",
    ),
    (
        lambda o: o.threads == "auto" or (isinstance(o.threads, int) and 1 <= o.threads <= 4096),
        "threads = {o.threads!r} is a number of threads, at least 1, or auto",
    ),
    (
        lambda o: o.ema is None or 0 <= o.ema < 1,
        "ema = {o.ema} is a decay: 0 <= ema < 1",
    ),
    (
        lambda o: o.dual in (None, "auto") or (isinstance(o.dual, int) and 1 <= o.dual <= 4096),
        "dual = {o.dual!r} is the resolution of a coarse mesh, at least 1, or auto, or none",
    ),
    (
        lambda o: isinstance(o.lift, int) or all(type(each) is int for each in o.lift),
        "lift = {o.lift!r} is a degree of polynomials, or one for each variable, or 0",
    ),
    (
        lambda o: o.hard_conditions or not o.lift,
        "lift = {o.lift!r} is a part of the field that conditions are built into; set"
        " hard_conditions=true",
    ),
    (
        lambda o: o.causal in (None, "auto") or (not isinstance(o.causal, str) and o.causal > 0),
        "causal = {o.causal!r} is a strength above zero, or auto, or none",
    ),
    (
        lambda o: o.causal in (None, "auto") or o.block is None,
        "causal weights look at all points of a sample at once, and blocks see some of them; set"
        " causal=none or block=none",
    ),
    (
        lambda o: o.form != "balance" or (o.block is None and o.causal in (None, "auto")),
        "form = 'balance' takes volumes and not points; set block=none and causal=none",
    ),
    (
        lambda o: o.form != "balance" or (o.adaptive is None and o.sampling != "mesh"),
        "form = 'balance' takes volumes about points that fill a domain evenly; set adaptive=none"
        " and sampling=sobol or uniform",
    ),
    (
        lambda o: o.form != "balance" or o.dual in (None, "auto"),
        "form = 'balance' and dual = {o.dual} are two weak forms; take one",
    ),
    (
        lambda o: o.form != "balance" or not o.error_estimate,
        "error_estimate takes the residual at points, and form = 'balance' has none; set"
        " error_estimate=false",
    ),
    (
        lambda o: o.adaptive is not None or not o.adaptive_options,
        "adaptive_options are those of what places points, and nothing does; set adaptive, e.g."
        " adaptive=rad",
    ),
    (
        lambda o: o.adaptive is None or o.physics,
        "adaptive = {o.adaptive!r} follows residuals, and physics=false lowers none; set"
        " adaptive=none",
    ),
    (
        lambda o: o.adaptive is None or o.sampling != "mesh",
        "adaptive = {o.adaptive!r} chooses among points that fill a domain evenly, and the nodes of"
        " a mesh have weights of their own; take sampling=sobol or uniform",
    ),
    (
        lambda o: o.adaptive is None or o.causal in (None, "auto"),
        "causal weights add up residuals at points that are uniform in time, and adaptive ="
        " {o.adaptive!r} gathers them; set causal=none or adaptive=none",
    ),
    (
        lambda o: o.incremental is not None or not o.incremental_options,
        "incremental_options are those of what adds Fourier modes, and nothing does; set"
        " incremental, e.g. incremental=schedule",
    ),
    (
        lambda o: "weak" not in o.weights or bool(o.dual),
        "weights.weak weighs the weak residual, and there is none; set dual, e.g. dual=auto",
    ),
    (
        lambda o: o.references <= o.validation,
        "references = {o.references} must lie between 0 and validation = {o.validation}: they are"
        " some of its samples; lower it too",
    ),
    (
        lambda o: not (o.error_estimate and o.sampling == "mesh"),
        "error_estimate sums over uniform points; take sampling=sobol or uniform",
    ),
)


def refuse_unseen(options: TrainOptions, seen: bool) -> None:
    """What hangs on whether the problem has measured data, `seen`. Raises: OptionError where there
    is nothing to train on, to validate on, or to weigh."""
    if not (options.physics or options.solutions or options.dual or seen):
        raise OptionError(
            "without physics, training needs at least one solved sample; set solutions, e.g."
            " solutions=64, or state measured `data` in the problem"
        )
    if not (options.physics or options.dual or options.references or seen):
        raise OptionError(
            "without physics, validation is the error in u; set references to the number of samples"
            " it is measured on"
        )
    weighed = [name for name in options.weights if name == "data" or name.startswith("data.")]
    if weighed and not (options.solutions or seen):
        raise OptionError(
            f"weights.{weighed[0]} weighs solved samples or measured data, and there are none; set"
            " solutions, e.g. solutions=64"
        )


def fixed(options: TrainOptions) -> dict[str, Any]:
    """The options that cannot change when a run is resumed, as JSON has them."""
    return json.loads(json.dumps({name: getattr(options, name) for name in FIXED}, default=list))


def refuse_changed(old: TrainOptions, new: TrainOptions) -> None:
    """Raises: OptionError that names an option which cannot change when a run is resumed, and
    has."""
    before, after = fixed(old), fixed(new)
    for name in FIXED:
        if before[name] != after[name]:
            raise OptionError(
                f"{name} cannot change when a run is resumed: it was {before[name]!r}, not"
                f" {after[name]!r}; leave it as it was, or train anew in another directory"
            )


def renamed(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by today's names."""
    return {RENAMED.get(name, name): value for name, value in options.items()}


def option_names() -> list[str]:
    """The names of all options of a training, in their order."""
    return [each.name for each in dataclasses.fields(TrainOptions)]


def with_settings(options: TrainOptions, settings: Mapping[str, Any]) -> TrainOptions:
    """The options with `{"lr": "1e-4", "points.interior": 512}` put in; `name.key` enters a
    mapping. Text is read as on the command line, other values are taken as they are.

    Raises `OptionError` for an unknown name, with the nearest one, and for a value of the wrong
    type.
    """
    hints = typing.get_type_hints(TrainOptions)
    changes: dict[str, Any] = {}
    for name, text in renamed(settings).items():
        head, _, key = name.partition(".")
        if head not in hints:
            raise OptionError(
                f"unknown option {head!r}{_hint(head, hints)}; options: {', '.join(hints)},"
                " model.NAME, operator"
            )
        if key:
            if not isinstance(changes.get(head, getattr(options, head)), Mapping):
                raise OptionError(f"option {head!r} has no parts; write {head}={text}")
            inner = int if head == "points" else float if head == "weights" else Any
            changes[head] = {
                **changes.get(head, getattr(options, head)),
                key: parse_value(text, inner, name),
            }
        else:
            changes[head] = parse_value(text, hints[head], name)
    return dataclasses.replace(options, **changes)


def parse_value(text: Any, kind: Any, name: str) -> Any:
    """The text as JSON where it is, else as a word, and what is no text as it is; checked against
    the annotation `kind`. `none` is None, 1e3 may stand for an int."""
    if not isinstance(text, str):
        return checked_type(text, kind, name, repr(text))
    try:
        value = json.loads(
            {"none": "null", "None": "null", "True": "true", "False": "false"}.get(text, text)
        )
    except json.JSONDecodeError:
        value = text
    return checked_type(value, kind, name, repr(text))


def checked_type(value: Any, kind: Any, name: str, shown: str) -> Any:
    """The value as the annotation `kind` has it: whole floats as ints, ints as floats. Numbers in
    it are finite.

    Raises: OptionError with what was `shown`.
    """
    _refuse_infinite(value, name, shown)
    kinds = typing.get_args(kind) if isinstance(kind, types.UnionType) else (kind,)
    for each in kinds:
        each = typing.get_origin(each) or each
        if each is Any or (each is type(None) and value is None):
            return value
        if each is float and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
        if each is int and isinstance(value, float) and value.is_integer():
            return int(value)
        if isinstance(value, each) and not (each is int and isinstance(value, bool)):
            return value
    words = {type(None): "none", Mapping: "dict"}
    wanted = " or ".join(
        words.get(each, getattr(each, "__name__", "value"))
        for each in (typing.get_origin(k) or k for k in kinds)
    )
    raise OptionError(f"option {name} = {shown} should be {wanted}")


def _refuse_infinite(value: Any, name: str, shown: str) -> None:
    """Raises: OptionError for a number that is infinite, none, or too large to compute with, also
    inside of lists and mappings."""
    if isinstance(value, (list, tuple)):
        for each in value:
            _refuse_infinite(each, name, shown)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _refuse_infinite(each, f"{name}.{key}", repr(each))
    elif isinstance(value, (int, float)) and not abs(value) < 1.7e308:
        raise OptionError(f"option {name} = {shown[:40]} should be a finite number")
    elif isinstance(value, float) and not abs(value) < LARGEST:
        raise OptionError(f"option {name} = {shown[:40]} must be at most {LARGEST:g}")


def _in_range(name: str, value: Any, called: str = "") -> None:
    """Raises: OptionError for a number beyond what RANGES allows."""
    if name not in RANGES or not isinstance(value, (int, float)):
        return
    (least, most), called = RANGES[name], called or name
    if isinstance(least, float):
        if not least < value <= most:
            what = f"at most {most:g}" if value > most else "positive"
            raise OptionError(f"{called} = {value} must be {what}")
    elif not least <= value <= most:
        what = f"at least {least}" if value < least else f"at most {most}"
        raise OptionError(f"{called} = {value} must be {what}")


def from_json(values: Mapping[str, Any]) -> TrainOptions:
    """The options that `dataclasses.asdict` once gave, maybe under the names of an older build.

    Raises: OptionError for a name that no longer exists."""
    values = renamed(values)
    for name in values:
        if name not in option_names():
            raise OptionError(f"unknown option {name!r}{_hint(name, option_names())}")
    return TrainOptions(**values)


def instantiate(
    registry: Mapping[str, Any],
    name: str,
    options: Mapping[str, Any],
    *arguments: Any,
    **fixed: Any,
) -> Any:
    """The registry's entry called with the options. Raises `OptionError` where it has no such
    entry or the entry no such option."""
    try:
        factory = registry[name]
    except KeyError as error:
        raise OptionError(str(error)) from error
    known = [each for each in inspect.signature(factory).parameters if each not in fixed][
        len(arguments) :
    ]
    for key in options:
        if key not in known:
            raise OptionError(
                f"{name!r} takes no option {key!r}{_hint(key, known)}; it takes"
                f" {', '.join(known) or 'none'}"
            )
    try:
        return factory(*arguments, **fixed, **options)
    except (TypeError, ValueError, ArithmeticError, IndexError, RuntimeError) as error:
        if isinstance(error, OptionError):
            raise
        raise OptionError(
            f"{name!r} with"
            f" {', '.join(f'{k} = {v!r}' for k, v in options.items()) or 'no options'}: {error}"
        ) from error


def _unknown(what: str, name: str, words: Iterable[str]) -> str:
    return f"{what} {name!r}{_hint(name, words)}; it is one of {', '.join(words)}"


def _hint(name: str, candidates: Iterable[str]) -> str:
    best = nearest(name, candidates)
    return f"; did you mean {best!r}?" if best else ""
