"""Names of what is drawn, with the units that a problem gives them."""

from __future__ import annotations

from pdespec.statements.problem import Problem


def labelled(name: str, problem: Problem) -> str:
    """A coordinate, the time, an input, an unknown, one of its components or its length `|u|`, with
    its unit: `x [m]`, `|u| [mm]`; without one as it is."""
    units = {each.name: each.unit for each in problem.variables}
    for field in (*problem.inputs.values(), *problem.unknowns.values()):
        units |= dict.fromkeys((field.name, f"|{field.name}|", *field.components), field.unit)
    unit = units.get(name)
    return f"{name} [{unit}]" if unit else name
