"""Remarks on the history of a training that went wrong, each with what to try. Imports no torch."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from compiler.training.progress import Row

# a norm of the gradient at which weights of about 1 do not move, in float32 nor in float64
FLAT = 1e-12
# a loss of the scaled problem, whose terms begin at about 1, that leaves nothing to learn
SOLVED = 1e-8
# root mean square of the predictions, in the sizes of the unknowns, which are about 1
SILENT = 1e-5
FALLEN = 0.9  # of the loss at the beginning: above that it has not fallen
ROWS = 10  # of the history, and
STEPS = 50  # of the training, from which on it says anything
UNLEARNED = 0.5  # a relative error; that of the answer zero is 1
NOT_LEARNED = "not learned in"  # what is said then
WORSE = 3.0  # the last validation over the best


def remarks(rows: Sequence[Row]) -> tuple[str, ...]:
    """What is doubtful about a run with this history, in words; nothing where it is too short to
    tell."""
    if len(rows) < ROWS or rows[-1]["step"] < STEPS:
        return ()
    still = _no_gradient(rows)
    found = (
        (still,)
        if still
        else (
            _not_falling(rows),
            _silent(rows),
            _misleading(rows) or _unlearned(rows),
            _estimate(rows),
            _worse(rows),
        )
    )
    return tuple(each for each in found if each)


def _no_gradient(rows: Sequence[Row]) -> str:
    late = rows[len(rows) // 2 :]
    if any(row["gradient"] > FLAT for row in late):
        return ""
    what = f"the gradient is {late[-1]['gradient']:.1e} since step {late[0]['step']:.0f}"
    if abs(late[-1]["total"]) < SOLVED and late[-1].get("error", 0.0) < 0.01:
        return (
            f"{what}: what is built into the field solves the problem already, and there is nothing"
            " to learn"
        )
    return (
        f"{what}: the loss does not depend on the weights, nothing is learned; try"
        " hard_conditions=false, or another unit of the equation"
    )


def _not_falling(rows: Sequence[Row]) -> str:
    """The validation loss where there is one, which has no noise of the batch; else the total,
    if the weights of its terms stood."""
    values = _column(rows, "validation")
    if len(values) < 4:
        if any(
            _column(rows, name)[0] != _column(rows, name)[-1]
            for name in rows[0]
            if name.startswith("weight ")
        ):
            return ""
        values = _column(rows, "total")
    third = max(1, len(values) // 3)
    first, last = statistics.median(values[:third]), statistics.median(values[-third:])
    if first < SOLVED or last < FALLEN * first or first <= 0:
        return ""
    return (
        f"the loss has not fallen: {first:.2e} at the beginning, {last:.2e} at the end; try another"
        " lr (a tenth, or ten times), a longer schedule_options.warmup, another balancer, or a"
        " larger model"
    )


def _silent(rows: Sequence[Row]) -> str:
    sizes, values = _column(rows, "prediction"), _column(rows, "validation")
    if not sizes or sizes[-1] > SILENT or values[-1] < SOLVED:
        return ""
    return (
        f"the predictions are zero everywhere (their size is {sizes[-1]:.1e}) though the loss is"
        f" {values[-1]:.2e}: the operator does not answer; try a smaller weight of the boundary"
        " terms, hard_conditions=false, or another lr"
    )


def _misleading(rows: Sequence[Row]) -> str:
    both = [
        (row["validation"], row["error"]) for row in rows if "validation" in row and "error" in row
    ]
    if len(both) < 3 or both[0][0] <= 0 or both[-1][0] <= 0:
        return ""
    (loss, error), (less, left) = both[0], both[-1]
    if less > loss / 10 or left < 0.7 * error or left < 0.05:
        return ""
    return (
        f"the loss fell {loss / less:.3g} times, the error did not ({100 * error:.3g} % to"
        f" {100 * left:.3g} %): a small residual does not mean a small error here; try dual=auto,"
        " error_estimate=true, or weights of the boundary terms"
    )


def _unlearned(rows: Sequence[Row]) -> str:
    values = _column(rows, "error")
    return unlearned(values[-1], rows[-1]["step"]) if values else ""


def unlearned(error: float, step: float) -> str:
    """A remark on an error that is hardly less than that of the answer zero; "" of another."""
    if not error >= UNLEARNED:
        return ""
    return (
        f"the answer is {100 * error:.3g} % off, where zero would be 100 %: {NOT_LEARNED}"
        f" {step:.0f} steps; train on (--resume with more steps), and if the error stays, try a"
        " larger model, a narrower law of what is drawn, or solved samples (solutions=64)"
    )


def _estimate(rows: Sequence[Row]) -> str:
    """Terms `LABEL.error` estimate the mean square of the error in u that a residual causes, in
    the sizes of the unknowns."""
    last = next(
        (row for row in reversed(rows) if "error" in row and row.get("prediction", 0.0) > SILENT),
        None,
    )
    terms = (
        []
        if last is None
        else [
            value
            for name, value in last.items()
            if name.endswith(".error") and not name.startswith("weight ")
        ]
    )
    if not terms:
        return ""
    estimated, measured = math.sqrt(max(0.0, sum(terms))) / last["prediction"], last["error"]
    if measured < 0.05 or estimated > measured / 10:
        return ""
    return (
        f"the estimated error is {100 * estimated:.2g} %, the measured one"
        f" {100 * measured:.2g} %: the points are too few for the estimate, or the equation has"
        " another solution; try more points.interior"
    )


def _worse(rows: Sequence[Row]) -> str:
    values = [(row["validation"], row["step"]) for row in rows if "validation" in row]
    if len(values) < 3:
        return ""
    best, step = min(values)
    if best <= 0 or values[-1][0] < WORSE * best:
        return ""
    return (
        f"the last validation loss, {values[-1][0]:.2e}, is {values[-1][0] / best:.3g} times that"
        f" of step {step:.0f}: evaluate with --checkpoint best, or try a lower lr"
    )


def _column(rows: Sequence[Row], name: str) -> list[float]:
    return [row[name] for row in rows if name in row]
