"""W01: initial conditions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pdespec.errors import Diagnostic
from pdespec.rules.registry import Analysis, counted, rule
from pdespec.symbols import Unknown


@rule("W01")
def initial_conditions_match_time_orders(analysis: Analysis) -> Iterator[Diagnostic]:
    """As many initial conditions as the highest time derivative has orders, for every component."""
    problem = analysis.problem
    if problem.time is None or analysis.failures:
        return
    if problem.time.periodic:
        for row in analysis.initial_rows:
            message = (
                f"a condition at {problem.time} = {row.condition.at}, and the problem is periodic"
                f" in {problem.time}"
            )
            hint = f"leave the condition out, or {problem.time} out of `periodic`"
            yield row.report("W04", message, hint, "what repeats has no start")
        return
    given: dict[Any, set[tuple[int, Any]]] = {}
    shared = 0
    for row in analysis.initial_rows:
        fields = dict.fromkeys(jet.field for jet in row.unknown_jets)
        if len(fields) == 1:
            order = max(sum(jet.over((problem.time,))) for jet in row.unknown_jets)
            given.setdefault(next(iter(fields)), set()).add((order, row.condition.at))
        else:
            shared += 1
    for unknown in problem.unknowns.values():
        seen = set()
        for component in unknown.fields:
            needed, have = analysis.order(component, problem.time), len(given.get(component, ()))
            if (needed, have) in seen or (
                have < needed and (shared or unknown.name in analysis.measured)
            ):
                continue
            seen.add((needed, have))
            if have != needed:
                yield _initial_mismatch(analysis, unknown, component, needed, have)


@rule("W01")
def conditions_stand_within_the_time(analysis: Analysis) -> Iterator[Diagnostic]:
    """No condition is stated at a time before the start or after the end."""
    time = analysis.problem.time
    for label, condition in analysis.problem.conditions.items():
        if time is None or condition.at is None:
            continue
        if (condition.at - time.start).is_negative or (time.end - condition.at).is_negative:
            message = (
                f"the condition is given at {time} = {condition.at}, outside of [{time.start},"
                f" {time.end}]"
            )
            hint = (
                f"write `at {time} = {time.start}`"
                if condition.kind == "initial"
                else f"give a {time} from {time.start} to {time.end}"
            )
            yield Diagnostic("W01", message, hint, "", condition.span, label)


def _initial_mismatch(
    analysis: Analysis, unknown: Unknown, component: Any, needed: int, have: int
) -> Diagnostic:
    time: Any = analysis.problem.time
    name = unknown.name
    orders = [
        "without time derivative",
        "of first order in time",
        "of second order in time",
        "of third order in time",
    ]
    order = orders[needed] if needed < len(orders) else f"of order {needed} in time"
    message = f"`{name}` is {order}: {counted(needed, 'initial condition')} needed, {have} given"
    missing = " and ".join(f"d{str(time) * k}({name})" if k else name for k in range(have, needed))
    surplus = f"leave out {counted(have - needed, 'condition')} `at {time} = ..`"
    hint = f"state {missing} `at {time} = {time.start}`" if have < needed else surplus
    cause = (
        "a time derivative needs where to start from"
        if have < needed
        else "the equations determine it at every time"
    )
    row = analysis.first(component, None if have < needed else reversed(analysis.initial_rows))
    return (
        row.report("W01", message, hint, cause)
        if row
        else Diagnostic("W01", message, hint, cause, label=name)
    )
