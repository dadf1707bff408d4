"""Messages for a loss, gradient or weight that is not a finite number."""

from __future__ import annotations

from torch import Tensor

from compiler.training.objective import Objective
from compiler.training.processes import any_process
from compiler.training.runs import Run
from pdespec.errors import ProblemError, fail


def refuse_lost(objective: Objective, step: int, run: Run) -> None:
    """Before a state is saved. Raises: ProblemError R01 where its weights, or its losses on the
    batch of the last step, are not finite."""
    fabric = objective.fabric
    broken = [name for name, value in objective.named_parameters() if not value.isfinite().all()]
    if any_process(fabric, bool(broken)):
        which = f"`{broken[0]}`" if broken else "a weight of another process"
        raise fail(
            "R01", f"the update of step {step - 1} made {which} infinite or no number", _advice(run)
        )
    losses = objective.losses(step - 1)
    if not losses.isfinite().all():
        raise loss_not_finite(objective, losses, step - 1, run)


def loss_not_finite(objective: Objective, losses: Tensor, step: int, run: Run) -> ProblemError:
    """R01 for a loss that is infinite or none, with the term and the place where it became so.
    Shapes: losses (terms,)."""
    label = objective.labels[int((~losses.isfinite()).nonzero()[0])]
    value = float(losses[objective.labels.index(label)])
    place = locate(objective, label, step)
    return fail(
        "R01", f"the loss of `{label}` is {value} at step {step}{place}", _advice(run), label=label
    )


def gradient_not_finite(objective: Objective, step: int, run: Run) -> ProblemError:
    """R01 for a gradient that is infinite or none while the losses are finite, with the first
    parameter that has it."""
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


def locate(objective: Objective, label: str, step: int) -> str:
    """The sample and the point where a term first is not finite, in words; nothing where no
    single point is to blame."""
    term = next((each for each in objective.loss.terms if each.label == label), None)
    if term is None:  # of solved samples, of measured data, of the weak residual
        return ""
    batch = objective.seen(step)
    points = batch.points[term.points].points
    field = objective.model(batch.inputs)
    if term.kind == "equation":
        inputs = {
            name: lambda x, name=name: batch.evaluate(name, x) for name in objective.problem.inputs
        }
        values = objective.loss.residuals(field, points, inputs, batch.params)[label]
    else:
        values = field(points)
    bad = (~values.isfinite().all(-1)).nonzero()
    if not len(bad):
        return ""
    sample, point = bad[0].tolist()
    names = [
        each.name
        for each in (*objective.problem.coordinates, objective.problem.time)
        if each is not None
    ]
    place = ", ".join(
        f"{name} = {value:.6g}"
        for name, value in zip(names, points[sample, point].tolist(), strict=True)
    )
    return f", first in sample {sample} at {place}"


def _advice(run: Run) -> str:
    last = run.checkpoint("last")
    kept = f"the last good state is in {last}; " if last.is_file() else ""
    return (
        f"{kept}lower lr, clip gradients, train in float64, or add a `require` that keeps"
        " logarithms and roots in their domain"
    )
