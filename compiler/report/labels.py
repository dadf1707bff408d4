"""Names of what is drawn or told, with the units that a problem gives them."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from pdespec.calculus import entries
from pdespec.errors import ProblemError
from pdespec.rules import dimensions
from pdespec.statements.problem import Problem
from pdespec.units import ANY, BASE, ONE, UNITS, Measure, power_text


def labelled(name: str, problem: Problem) -> str:
    """A coordinate, the time, a param, an input, an unknown, one of its components or its length
    `|u|`, or an output, with its unit: `x [m]`, `|u| [mm]`; without one as it is."""
    unit = unit_of(name, problem)
    return f"{name} [{unit}]" if unit else name


def unit_of(name: str, problem: Problem) -> str | None:
    """The unit of what has that name: as it is declared, or that of an output, where it follows."""
    return problem.once(_units).get(name)


def _units(problem: Problem) -> dict[str, str]:
    named = (*problem.variables, *problem.params.values(), *problem.constants.values())
    units = {each.name: each.unit for each in named}
    for field in (*problem.inputs.values(), *problem.unknowns.values()):
        units |= dict.fromkeys((field.name, f"|{field.name}|", *field.components), field.unit)
    declared = {name: unit for name, unit in units.items() if unit}
    written = {dimensions.measure(unit): unit for unit in reversed(declared.values())}
    measured = {name: _measure(each.value) for name, each in problem.outputs.items()}
    # as a unit of the problem is written where it is the same, `Pa`
    found = {
        name: written.get(each) or _in_words(each)
        for name, each in measured.items()
        if each is not None
    }
    return found | declared


def _measure(value: Any) -> dimensions.Unit:
    """The unit that all components of an output share; None where it is none or not known, or a
    number written in it would need one of its own."""
    try:
        first, *others = {dimensions.unit_of(each) for each in entries(value)}
    except ProblemError:
        return None
    return None if others or first in (ANY, ONE) else first


def _in_words(unit: Measure) -> str:
    """A unit with its forces in newtons and its powers in watts: `N*m`, `W/m^2`; in base units
    where it has none."""
    for name in ("N", "W"):
        rest = unit * inverse if (inverse := UNITS[name] ** Fraction(-1)) else unit
        powers = dict(zip(BASE, rest.powers, strict=True))
        if rest.factor == 1 and not powers["kg"] and not powers["s"]:
            above = [name, *(power_text(each, n) for each, n in powers.items() if n > 0)]
            return "/".join(
                ["*".join(above), *(power_text(each, -n) for each, n in powers.items() if n < 0)]
            )
    return str(unit).strip("[]")
