"""The rules by which a training is fitted to its problem, in words: what was decided, and why.
Printed at the start, saved in `run.json`."""

from __future__ import annotations

from compiler.batches.ansatz_residual import (
    bent,
    gain,
    has_amplitude,
    reads_sources,
)
from compiler.batches.build import (
    highest_order,
    latent_grid,
    lengths_across,
    stationary_of_fourth_order,
    usual_grid,
)
from compiler.loss.hard_conditions import HardCondition, plan_hard_conditions
from compiler.scales import scaled
from pdespec.statements.problem import Problem
from pdespec.text.write.summary import statements


def fitted(problem: Problem) -> dict[str, str]:
    """By subject: scales, size of each unknown, conditions, output, latent grid; those that
    leave things as they are are left out."""
    frame, computed = scaled(problem)
    found = {} if frame.trivial else {"scales": str(frame)}
    for name, label in frame.reasons.items():
        found[f"size of {name}"] = f"{frame.size(name):.3g}, from the balance of `{label}`"
    imposed = plan_hard_conditions(computed)
    for component, each in imposed.items():
        if each.labels:
            found[f"built into {component}"] = built_in(each)
    held = {label for each in imposed.values() for label in each.labels}
    if left := [label for label in computed.conditions if label not in held]:
        known = statements(problem)  # `tip.T.u` says nothing
        said = [known.get(label, label).replace(f" {label}:", "") for label in left]
        found["left to the loss"] = "; ".join(said)
    if reads_sources(computed):
        found["told of sources"] = (
            "the residuals where the unknowns are zero, as nothing is built in: what the equations"
            " hold beside them"
        )
    if has_amplitude(computed):
        found["output"] = (
            f"in {gain(computed):.3g} times the residual of the lift, where the equation changes by"
            " as much as that"
            + (
                ", found anew for each sample: no one multiple does for all"
                if bent(computed)
                else ""
            )
        )
    nodes = " x ".join(map(str, latent_grid(computed)))
    if latent_grid(computed) != usual_grid(computed):
        most = max(each for each in lengths_across(computed) if each is not None)
        found["latent grid"] = (
            f"{nodes} by default, as many nodes as ever, moved to where an input changes: over"
            f" {most:.3g} of its lengths along one axis"
        )
    elif stationary_of_fourth_order(computed):
        found["latent grid"] = (
            f"{nodes} by default, since derivatives of order {highest_order(computed)} magnify what"
            " differs between nodes"
        )
    return found


def built_in(imposed: HardCondition) -> str:
    """The conditions that hold by construction, and the function that meets them."""
    parts = []
    if imposed.sides:
        parts.append(
            "a lift of the data on one boundary"
            if len(imposed.sides) == 1
            else "a transfinite lift of the data on the boundaries"
        )
    if imposed.slopes:
        parts.append("their normal derivatives, by the square of the factor")
    if imposed.start is not None:
        parts.append(
            "the state and its rate at the start"
            if imposed.rate is not None
            else "the state at the start"
        )
    return f"{', '.join(imposed.labels)}: {', '.join(parts)}"
