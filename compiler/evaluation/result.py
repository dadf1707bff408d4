"""Results of an evaluation: errors, times and energies of held-out samples."""

from __future__ import annotations

import dataclasses
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from compiler.functionals.output_errors import Compared, errors
from compiler.training.diagnosis import NOT_LEARNED, STEPS, remarks, unlearned
from compiler.training.progress import percent
from compiler.training.runs import Run

# Sobol points a sample at which u is compared: the error of the L2 norm is then well under 1 % of
# it
POINTS = 4096
CLEARLY = 3.0  # times the reference's error, above which an operator's error is its own
# of the energy, by which one may lie below the minimum through rounding in single precision
ALARM = 1e-4
BELOW = (
    "the minimum of the reference: conditions or requirements are not met, or the reference is no"
    " minimum"
)


@dataclass(frozen=True)
class Sample:
    """One held-out sample: what was drawn, what the operator says, the truth, and how far apart
    they are.

    `unknowns` holds the relative L2 error of each unknown, see `compiler.geometry.metrics`, and
    `squared_error` is the square of the largest of them; `violations` the fraction of points where
    each requirement does not hold. `energy` is that of the operator where the problem has a
    functional, see `compiler.fem.energy_gap`; `outputs` are the declared outputs and those of
    the reference, `sign` that of the channels in which the field is nearest to the reference, where
    the problem leaves signs open. `reference_error`: the estimated relative L2 error of the
    reference, of its worst unknown. `gradients`: the relative L2 error of the gradient in space of
    each unknown, empty where the reference or the operator has no derivatives; `lift`: the
    relative L2 error of each unknown in the coarse solution that the answer holds, empty where it
    holds none. Units: seconds.
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
    reference_error: float | None = None
    gradients: Mapping[str, float] = dataclasses.field(default_factory=dict)
    lift: Mapping[str, float] = dataclasses.field(default_factory=dict)

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
        """The mean of the relative L2 errors of the unknowns; `relative_l2` is that of the
        worst."""
        return statistics.fmean(self.unknowns.values())


@dataclass(frozen=True)
class Evaluation:
    """The held-out samples of a run. `failures` are those that the reference solver gave up on,
    with its words; `files` the relative L2 error of each unknown that the problem has a reference
    file of, over its rows."""

    run: Run
    samples: tuple[Sample, ...]
    checkpoint: str
    device: str
    failures: Mapping[int, str] = dataclasses.field(default_factory=dict)
    files: Mapping[str, float] = dataclasses.field(default_factory=dict)

    @property
    def relative_l2(self) -> dict[str, float]:
        """Of the worst unknown of each sample: none hides behind another, and no two units are
        mixed."""
        return summary([each.relative_l2 for each in self.samples])

    @property
    def mean_of_unknowns(self) -> dict[str, float]:
        """Of the mean over the unknowns of each sample."""
        return summary([each.mean_of_unknowns for each in self.samples])

    @property
    def unknowns(self) -> dict[str, dict[str, float]]:
        """The relative L2 error of each unknown."""
        return {
            name: summary([each.unknowns[name] for each in self.samples])
            for name in self.samples[0].unknowns
        }

    @property
    def gradients(self) -> dict[str, dict[str, float]]:
        """The relative L2 error of the gradient in space of each unknown; empty where it is not
        known."""
        return {
            name: summary([each.gradients[name] for each in self.samples])
            for name in self.samples[0].gradients
        }

    @property
    def lift(self) -> dict[str, float] | None:
        """The relative L2 error of the coarse solutions that the answers hold, of the worst unknown
        of each sample; None where they hold none."""
        found = [max(each.lift.values()) for each in self.samples if each.lift]
        return summary(found) if found else None

    @property
    def worst_unknown(self) -> str:
        """The unknown with the largest mean error."""
        return max(self.unknowns, key=lambda name: self.unknowns[name]["mean"])

    @property
    def outputs(self) -> dict[str, dict[str, float] | None]:
        """The relative error of each declared output; None where they are not compared in some
        sample."""
        found = errors([each.outputs for each in self.samples])
        return {name: None if None in values else summary(values) for name, values in found.items()}

    @property
    def alarms(self) -> dict[int, str]:
        """Samples whose energy lies below the minimum that the reference found, by more than
        rounding."""
        minimal = any(each.kind == "minimize" for each in self.run.problem.functionals)
        low = [
            each
            for each in self.samples
            if minimal and each.energy_gap is not None and each.energy_gap < -ALARM
        ]
        return {
            each.index: (
                f"its energy {each.energy:.6g} lies below {float(each.truth.energy[0]):.6g},"
                f" {BELOW}"
            )
            for each in low
        }

    @property
    def reference_error(self) -> dict[str, float] | None:
        """The estimated relative L2 error of the reference, of the worst unknown; None where it
        is not known."""
        known = [each.reference_error for each in self.samples if each.reference_error is not None]
        return summary(known) if known else None

    @property
    def doubt(self) -> str | None:
        """Says so where the operator's error is not clearly above that of what it is measured
        against."""
        own, reference = self.relative_l2, self.reference_error
        if reference is None or own["median"] > CLEARLY * reference["median"]:
            return None
        return (
            f"the reference's own error is about {percent(reference['median'])}, the operator's"
            f" {percent(own['median'])}: what is measured may be the reference's; take a higher"
            " --resolution"
        )

    @property
    def relative_squared_error(self) -> dict[str, float]:
        """Mean, median and maximum over the samples of the squared relative L2 error."""
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
        """The samples that violate a requirement somewhere, with the fraction of points where
        they do."""
        found = {
            each.index: {label: share for label, share in each.violations.items() if share > 0}
            for each in self.samples
        }
        return {index: shares for index, shares in found.items() if shares}

    @property
    def remarks(self) -> tuple[str, ...]:
        """What could not be checked of the run, and what is doubtful about its training."""
        history = self.run.history
        found = [*self.run.notes, *remarks(history)]
        step = history[-1]["step"] if history else 0
        late = unlearned(self.relative_l2["mean"], step) if step >= STEPS else ""
        if late and not any(NOT_LEARNED in each for each in found):
            found.append(late)
        return tuple(found)

    def ranked(self) -> dict[str, Sample]:
        """The best, the median and the worst sample, each once: of two there is no median, a
        single one is the worst."""
        order = sorted(self.samples, key=lambda each: each.squared_error)
        places = {"best": 0, "median": (len(order) - 1) // 2, "worst": len(order) - 1}
        others = len(order) - 1  # than the worst
        names = ["worst"] if others == 0 else ["best", "worst"] if others == 1 else list(places)
        return {name: order[places[name]] for name in names}

    def as_json(self) -> dict[str, Any]:
        """What evaluation.json holds: errors as fractions, not percent, times in seconds. What was
        not measured is left out."""
        wrong = errors([each.outputs for each in self.samples])
        return {
            "problem": self.run.problem.name,
            "samples": len(self.samples),
            "relative_l2": self.relative_l2,
            "relative_squared_error": self.relative_squared_error,
            "seconds": self.seconds,
            **({} if self.energy_gap is None else {"energy_gap": self.energy_gap}),
            **({} if self.reference_error is None else {"reference_error": self.reference_error}),
            **({} if self.doubt is None else {"doubt": self.doubt}),
            "relative_l2_is": "of the worst unknown of each sample",
            "worst_unknown": self.worst_unknown,
            **({} if self.lift is None else {"lift": self.lift}),
            "mean_of_unknowns": self.mean_of_unknowns,
            "unknowns": self.unknowns,
            **({"gradients": self.gradients} if self.gradients else {}),
            **({"reference_files": dict(self.files)} if self.files else {}),
            **({"outputs": self.outputs} if self.run.problem.outputs else {}),
            **(
                {"alarms": {str(index): text for index, text in self.alarms.items()}}
                if self.alarms
                else {}
            ),
            "trainables": dict(self.run.trainables),
            "checkpoint": self.checkpoint,
            "step": self.run.step,
            "steps": self.run.options.steps,
            "device": self.device,
            "threads": torch.get_num_threads(),
            "points": POINTS,
            **({"remarks": list(self.remarks)} if self.remarks else {}),
            "violations": {str(index): shares for index, shares in self.violations.items()},
            "failures": {str(index): text for index, text in self.failures.items()},
            "each": [
                {
                    "sample": each.index,
                    "relative_l2": each.relative_l2,
                    "relative_squared_error": each.squared_error,
                    "unknowns": dict(each.unknowns),
                    **({"gradients": dict(each.gradients)} if each.gradients else {}),
                    **(
                        {"outputs": _shown(each, {name: wrong[name][k] for name in wrong})}
                        if each.outputs
                        else {}
                    ),
                    **(
                        {}
                        if each.energy is None
                        else {"energy": each.energy, "energy_gap": each.energy_gap}
                    ),
                    "seconds": {
                        "operator": each.operator_seconds,
                        "reference": each.reference_seconds,
                    },
                }
                for k, each in enumerate(self.samples)
            ],
        }


def summary(values: Sequence[float]) -> dict[str, float]:
    """Mean, median and largest of several numbers, by those names."""
    return {
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "max": max(values),
    }


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
