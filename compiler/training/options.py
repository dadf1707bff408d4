"""The options of a training run: one frozen value, and the `key=value` words that change it. No
torch here."""

from __future__ import annotations

import dataclasses
import inspect
import json
import math
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from compiler.batches.recipe import PLACINGS
from pdespec.errors import PdespecError, nearest

POINTS = {"interior": 256, "boundary": 64, "initial": 64, "operator": 512}
LARGEST = 1.7e308
CHOICES: dict[str, tuple[str, ...]] = {
    "accelerator": ("auto", "cpu", "cuda"),
    "form": ("auto", "strong", "energy"),
    "precision": ("float32", "float64", "bfloat16"),
    "points_by": PLACINGS,
}
# The least and the most that a number may be; the least is left out where it is a float.
RANGES: dict[str, tuple[float, float]] = {
    **dict.fromkeys(("steps", "validate_every", "checkpoint_every", "log_every"), (1, 10**12)),
    **dict.fromkeys(("batch", "devices", "accumulate"), (1, 2**16)),
    "points": (1, 2**24),
    **dict.fromkeys(("solutions", "validation", "references", "held_out"), (0, 2**20)),
    "rows": (1, 2**31),
    **dict.fromkeys(("lr", "seconds", "clip", "timeout"), (0.0, math.inf)),
    "seed": (-(2**63), 2**63 - 1),
}
# What the numbers in a checkpoint hang on: they cannot change when a run is resumed.
FIXED = (
    *(
        "seed",
        "batch",
        "precision",
        "hard",
        "optimizer",
        "optimizer_options",
        "balancer",
        "balancer_options",
    ),
    *("form", "estimate", "dual", "physics", "solutions", "validation", "rows", "held_out"),
)


class OptionError(PdespecError, ValueError):
    """An option that does not exist or a value it cannot take."""


@dataclass(frozen=True, slots=True)
class TrainOptions:
    """How a problem is trained. Equal options, problem and model give equal weights on the CPU,
    whatever the interruptions.

    `points` are collocation points a sample, by kind of region, and `operator` those at which the
    operator reads its inputs. `points_by` places them: sobol, uniform, or mesh (see
    `compiler.data.quadrature`), in training; validation is on Sobol points. `weights` multiply
    terms by label, or by kind (equation, boundary, initial, point, energy, error), under the
    balancer. `hard` builds essential conditions into the field where it can (see
    `compiler.sample`). `estimate` adds the error in u that the residual causes as a term of kind
    error, where the equation allows an estimate (see `compiler.loss.error_estimate`). `precision`:
    float32, float64, or bfloat16 mixed with float32. `form`: strong lowers squared residuals,
    energy the energy that the equations come from (see `compiler.training.variational`); auto takes
    the energy where coefficients jump and there is one with a minimum, else the residuals. `batch`
    is the global batch: processes share it, and each takes its share in `accumulate` parts one
    after the other, the same step in less memory. `seconds` stops a run early, for good or to be
    resumed; schedules follow steps alone. `validate_every`, `log_every` and `checkpoint_every`
    count steps. `validation` is the number of held-out samples of the validation loss, `references`
    of those that are also solved once and give the error in u while training. `solutions` is a
    number of samples that are solved once by the reference solver and seen in training, with the
    weight `weights.data` on their relative squared error (see `compiler.training.solved_samples`);
    without `physics` they, and measured data, are all that is seen. Of the problem's `data`, `rows`
    of each sample are seen in a step, drawn anew, or all where it is none, with the weight
    `weights.data` on their squared misfit (see `compiler.training.data_terms`); the last `held_out`
    samples of them are seen in validation only. With `uncertainty` the last step is followed by
    reference solutions that tell how sure the trainables are (see `compiler.estimation`). `dual`
    measures the weak residual in the dual norm of a coarse mesh of that resolution (see
    `compiler.training.dual`), with the weight `weights.weak`; the strong residuals are then weighed
    to what the mesh does not see. With auto that is done, on a mesh that fits the problem, where
    neither an energy nor `estimate` measures the error (see `compiler.training.choice`), as in the
    presets demo and small. `causal` lets a residual count once those at earlier times are small
    (see `compiler.loss.causality`), with that strength relative to the residual of what stays as it
    begins; auto takes it where an equation with an initial state is nonlinear. `timeout`: seconds
    that processes wait for one another, among them while the first one solves samples. `ema`: decay
    of the running mean of the weights that is evaluated instead of the last ones. `callbacks` act
    beside the steps, by name, each with its options (see `compiler.training.callbacks`). `block`
    takes loss and gradient over blocks of that many queries, whatever their number in the same
    memory; with `captured` as one compiled graph (see `compiler.loss.blocks`).
    """

    steps: int = 2000
    seconds: float | None = None
    batch: int = 8
    accumulate: int = 1
    points: Mapping[str, int] = field(default_factory=lambda: dict(POINTS))
    optimizer: str = "adam"
    lr: float = 1e-3
    optimizer_options: Mapping[str, Any] = field(default_factory=dict)
    schedule: str = "cosine"
    schedule_options: Mapping[str, Any] = field(default_factory=dict)
    clip: float | None = 1.0
    ema: float | None = None
    balancer: str = "fixed"
    balancer_options: Mapping[str, Any] = field(default_factory=dict)
    weights: Mapping[str, float] = field(default_factory=dict)
    points_by: str = "sobol"
    hard: bool = True
    estimate: bool = False
    form: str = "auto"
    derivatives: str | Mapping[str, str] = "auto"
    block: int | None = None
    captured: bool = False
    precision: str = "float32"
    seed: int = 0
    accelerator: str = "auto"
    devices: int = 1
    timeout: float = 1800.0
    physics: bool = True
    solutions: int = 0
    rows: int | None = 1024
    held_out: int = 0
    uncertainty: bool = True
    dual: int | str | None = None
    causal: float | str | None = None
    validation: int = 8
    references: int = 0
    validate_every: int = 250
    checkpoint_every: int = 250
    log_every: int = 10
    callbacks: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

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

    @property
    def term_weights(self) -> dict[str, float]:
        """The weights of the problem's own terms."""
        return {
            name: weight
            for name, weight in self.weights.items()
            if name not in ("data", "weak") and not name.startswith("data.")
        }


# What options must fulfil beside their types, ranges and words; what is said where they do not.
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
        lambda o: o.ema is None or 0 <= o.ema < 1,
        "ema = {o.ema} is a decay: 0 <= ema < 1",
    ),
    (
        lambda o: o.dual in (None, "auto") or (isinstance(o.dual, int) and 1 <= o.dual <= 4096),
        "dual = {o.dual!r} is the resolution of a coarse mesh, at least 1, or auto, or none",
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
        lambda o: "weak" not in o.weights or bool(o.dual),
        "weights.weak weighs the weak residual, and there is none; set dual, e.g. dual=auto",
    ),
    (
        lambda o: o.references <= o.validation,
        "references = {o.references} must lie between 0 and validation = {o.validation}",
    ),
    (
        lambda o: not (o.estimate and o.points_by == "mesh"),
        "estimate sums over uniform points; take points_by=sobol or uniform",
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


def option_names() -> list[str]:
    return [each.name for each in dataclasses.fields(TrainOptions)]


def with_settings(options: TrainOptions, settings: Mapping[str, str]) -> TrainOptions:
    """The options with `{"lr": "1e-4", "points.interior": "512"}` put in; `name.key` enters a
    mapping.

    Raises `OptionError` for an unknown name, with the nearest one, and for a value of the wrong
    type.
    """
    hints = typing.get_type_hints(TrainOptions)
    changes: dict[str, Any] = {}
    for name, text in settings.items():
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


def parse_value(text: str, kind: Any, name: str) -> Any:
    """The text as JSON where it is, else as a word; checked against the annotation `kind`.
    `none` is None, 1e3 may stand for an int."""
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
    """Raises: OptionError for a number that is infinite, none, or too large for a float64, also
    inside of lists and mappings."""
    if isinstance(value, (list, tuple)):
        for each in value:
            _refuse_infinite(each, name, shown)
    elif isinstance(value, Mapping):
        for key, each in value.items():
            _refuse_infinite(each, f"{name}.{key}", repr(each))
    elif isinstance(value, (int, float)) and not abs(value) < LARGEST:
        raise OptionError(f"option {name} = {shown[:40]} should be a finite number")


def _in_range(name: str, value: Any, called: str = "") -> None:
    """Raises: OptionError for a number beyond what RANGES allows."""
    if name not in RANGES or not isinstance(value, (int, float)):
        return
    (least, most), called = RANGES[name], called or name
    if isinstance(least, float):
        if not value > least:
            raise OptionError(f"{called} = {value} must be positive")
    elif not least <= value <= most:
        what = f"at least {least}" if value < least else f"at most {most}"
        raise OptionError(f"{called} = {value} must be {what}")


def from_json(values: Mapping[str, Any]) -> TrainOptions:
    """The options that `dataclasses.asdict` once gave. Names that no longer exist raise
    `OptionError`."""
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
