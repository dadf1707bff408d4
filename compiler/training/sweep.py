"""Many trainings of one problem, their options chosen by optuna from a space that a file states.
They are judged by the error in u on solved samples of validation, which evaluation never sees.
"""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from compiler.batches.build import build
from compiler.batches.recipe import Recipe
from compiler.files import Busy, held
from compiler.training.callbacks import Callback, Moment
from compiler.training.loop import train
from compiler.training.options import OptionError
from compiler.training.progress import Display, Silent
from compiler.training.runs import RunError
from compiler.training.start import Start
from pdespec.errors import ProblemError, suggestion
from pdespec.statements.problem import Problem

STORAGE = "sweep.log"  # in the directory of a sweep: optuna's journal
JUDGE = ("references", "validation", "seed")  # what decides which samples trials are judged by
KEYS = ("trials", "seed", "space")
RANGE = ("low", "high", "step", "log")
TRIALS = 20
STATES = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed"}


@dataclass(frozen=True)
class Space:
    """What the table `sweep` of a file asks for: `trials` of them, and by option the values that
    it may take, a list, or a mapping of `low`, `high` and, if wanted, `step` and `log`."""

    options: Mapping[str, Any]
    trials: int = TRIALS
    seed: int = 0

    def first(self) -> dict[str, Any]:
        """A value of each option that it may take."""
        return {
            name: value[0] if isinstance(value, list) else value["low"]
            for name, value in self.options.items()
        }

    def choose(self, trial: Any) -> dict[str, Any]:
        """The settings of a trial of optuna's."""
        return {name: _chosen(trial, name, value) for name, value in self.options.items()}


def _chosen(trial: Any, name: str, value: Any) -> Any:
    if isinstance(value, list):
        # optuna chooses among plain values; a list stands for itself as text
        return json.loads(trial.suggest_categorical(name, [json.dumps(each) for each in value]))
    bounds = {key: value[key] for key in ("step", "log") if key in value}
    suggest = trial.suggest_int if _whole(value) else trial.suggest_float
    return suggest(name, value["low"], value["high"], **bounds)


def _whole(bounds: Mapping[str, Any]) -> bool:
    return all(isinstance(bounds.get(key, 1), int) for key in ("low", "high", "step"))


def space_of(table: Mapping[str, Any]) -> Space:
    """The space that a file states. Raises: OptionError for what does not exist or is not a
    space."""
    for key in table:
        if key not in KEYS:
            raise OptionError(
                f"sweep has no {key!r}; " + suggestion(key, KEYS, f"it has {', '.join(KEYS)}", "'")
            )
    for key in ("trials", "seed"):
        if not isinstance(table.get(key, 0), int):
            raise OptionError(f"sweep.{key} = {table[key]!r} should be a whole number")
    options = _flat(table.get("space", {}))
    if not options:
        raise OptionError(
            "the file states no space to search; write below [sweep.space], e.g. lr = {low = 1e-4,"
            " high = 1e-2, log = true}"
        )
    for name, value in options.items():
        if name in JUDGE:
            raise OptionError(f"{name} decides by what trials are judged; it is one for all")
        if not (isinstance(value, list) and value) and not _is_range(value):
            raise OptionError(
                f"sweep.space.{name} = {value!r} should be a list of values, or"
                " {low = .., high = ..}, with step or log = true"
            )
    return Space(options, table.get("trials", TRIALS), table.get("seed", 0))


def _flat(space: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """`model.hidden = [..]` of TOML is a table in a table: options by the keys of `--set`."""
    found: dict[str, Any] = {}
    for name, value in space.items():
        if isinstance(value, Mapping) and not set(value) & set(RANGE):
            found |= _flat(value, f"{prefix}{name}.")
        else:
            found[f"{prefix}{name}"] = value
    return found


def _is_range(value: Any) -> bool:
    numbers = (int, float)
    return (
        isinstance(value, Mapping)
        and set(value) <= set(RANGE)
        and all(isinstance(value.get(key), numbers) for key in ("low", "high"))
        and value["low"] < value["high"]
        and (not value.get("log") or value["low"] > 0)
        and not ("step" in value and value.get("log"))
    )


class Pruning(Callback):
    """Tells optuna of the error at every validation, and stops a trial that is worse than the
    median of those before it."""

    def __init__(self, trial: Any) -> None:
        self.trial, self.pruned = trial, False

    def on_validation(self, moment: Moment) -> str | None:
        self.trial.report(moment.row["error"], moment.step)
        self.pruned = bool(self.trial.should_prune())
        return "worse than the median of the trials before" if self.pruned else None


@dataclass(frozen=True)
class Trial:
    """One training of a sweep. `state` is complete, pruned or failed; `error` the error in u of
    its last validation."""

    directory: Path
    state: str
    error: float | None
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Sweep:
    """`trials` of a problem in a directory. `begin` puts settings into what all of them begin
    with, which came from a `preset`.
    """

    problem: Problem
    directory: Path
    space: Space
    begin: Callable[[Mapping[str, Any]], Start]
    preset: str | None = None

    def run(self, display: Display | None = None) -> list[Trial]:
        """Trains until there are as many trials as the space asks for, those of earlier calls
        counted, and gives them, the best first. A trial that was interrupted goes on where it was.

        Raises: OptionError for a space that does not fit the options; RunError where the directory
        holds another sweep, or another process works there.
        """
        optuna, display = _optuna(), display or Silent()
        if self.begin(self.space.first()).options.references < 1:
            raise OptionError(
                "a sweep is judged by the error in u on validation samples; set references, e.g. 4"
            )
        self.directory.mkdir(parents=True, exist_ok=True)
        try:
            with held(self.directory):
                study = self._study(optuna)
                display.start(
                    f"sweep {self.problem.name}", len(_done(study)), self.space.trials, "trials"
                )
                try:
                    while len(_done(study)) < self.space.trials:
                        self._try(study, optuna.trial.TrialState, display)
                finally:
                    display.stop()
                return self._ranked(study)
        except Busy:
            raise RunError(
                f"another process sweeps in {self.directory}; wait for it, or name another"
                " directory with --out"
            ) from None

    def _study(self, optuna: Any) -> Any:
        """The study that the directory holds, or a new one. Trials that were interrupted wait in
        it to be asked again."""
        backend = optuna.storages.journal.JournalFileBackend(str(self.directory / STORAGE))
        study = optuna.create_study(
            study_name=self.problem.name,
            storage=optuna.storages.JournalStorage(backend),
            direction="minimize",
            pruner=optuna.pruners.MedianPruner(),
            load_if_exists=True,
        )
        asked = self._digest()
        if study.user_attrs.get("asked", asked) != asked:
            raise RunError(
                f"{self.directory} holds a sweep of another problem, other options or another"
                " space; name another directory with --out"
            )
        study.set_user_attr("asked", asked)
        # a study that goes on draws other random numbers than it did before
        study.sampler = optuna.samplers.TPESampler(seed=self.space.seed + len(study.trials))
        for trial in study.get_trials(states=(optuna.trial.TrialState.RUNNING,)):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
            study.enqueue_trial(trial.params, user_attrs=trial.user_attrs)
        return study

    def _digest(self) -> str:
        """Of what all trials have in common; more of them may be asked for later."""
        start = self.begin({})
        options = dataclasses.asdict(start.options)
        text = f"TrainOptions({', '.join(f'{name}={each!r}' for name, each in options.items())})"
        common = f"[{start.operator!r}, {start.model!r}, {text}, {self.space.options!r}]"
        return hashlib.sha256(f"{self.problem.to_dsl()}{common}".encode()).hexdigest()

    def _try(self, study: Any, states: Any, display: Display) -> None:
        """Trains once more, and tells the study what came of it."""
        trial = study.ask()
        name = trial.user_attrs.get("directory", f"trial-{trial.number:04d}")
        trial.set_user_attr("directory", name)
        settings = self.space.choose(trial)
        pruning = Pruning(trial)
        found = self._error(self.directory / name, self.begin(settings), pruning)
        if isinstance(found, str):
            trial.set_user_attr("failed", found)
            study.tell(trial, state=states.FAIL)
        elif pruning.pruned:
            study.tell(trial, state=states.PRUNED)
        else:
            study.tell(trial, found)
        said = found if isinstance(found, str) else f"relative error {100 * found:.3g} %"
        chosen = ", ".join(f"{key} = {shown(value)}" for key, value in settings.items())
        display.message(f"{name}: {chosen}: {said}{', pruned' * pruning.pruned}")
        display.step({"step": len(_done(study))}, ())

    def _error(self, directory: Path, start: Start, pruning: Pruning) -> float | str:
        """The error in u of the last validation of a training, which goes on where it was; or why
        there is none: a model that cannot be built so, a loss that is not finite, no time.
        """
        options = {"seed": start.options.seed, **start.model}
        try:
            model = build(self.problem, start.operator, **options)
        except (ValueError, RuntimeError) as reason:
            if isinstance(reason, ProblemError):
                raise
            return str(reason)
        try:
            run = train(
                self.problem,
                model,
                start.options,
                directory,
                resume=True,
                recipe=Recipe(start.operator, start.model),
                preset=self.preset,
                callbacks=[pruning],
            )
        except ProblemError as reason:
            if reason.diagnostics[0].code != "R01":
                raise
            return reason.diagnostics[0].message
        errors = [row["error"] for row in run.history if "error" in row]
        return errors[-1] if errors else "it ended before its first validation"

    def _ranked(self, study: Any) -> list[Trial]:
        found = []
        for each in _done(study):
            reported = list(each.intermediate_values.values())
            error = reported[-1] if reported and each.state.name != "FAIL" else None
            settings = {
                name: json.loads(value) if isinstance(value, str) else value
                for name, value in each.params.items()
            }
            place = self.directory / each.user_attrs["directory"]
            found.append(Trial(place, STATES[each.state.name], error, settings))
        order = list(STATES.values())
        return sorted(found, key=lambda each: (order.index(each.state), each.error or 0.0))


def shown(value: Any) -> str:
    """A setting in a table."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _optuna() -> Any:
    try:
        optuna = importlib.import_module("optuna")
        importlib.import_module("optuna.storages.journal")
    except ImportError as missing:
        raise OptionError("a sweep needs the package optuna: pip install optuna") from missing
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _done(study: Any) -> list[Any]:
    """Trials that are over, without those that were interrupted and asked again."""
    return [
        each
        for each in study.trials
        if each.state.name in ("COMPLETE", "PRUNED") or "failed" in each.user_attrs
    ]
