"""Inputs and outputs of an exported program: names, shapes, units and ranges."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from pdespec.laws import NumberLaw, truncated_support
from pdespec.statements.problem import Problem

QUERIES = "points"


@dataclass(frozen=True)
class Argument:
    """An array that goes in or comes out. Sizes that a caller is free in are called by a letter.

    `axes`: the nodes (first, last, how many) of a grid along each coordinate, which its axes run
    over after the one of samples; `components` what is on the last axis; `range` what the
    operator was trained on.
    """

    name: str
    shape: tuple[int | str, ...]
    dtype: str
    meaning: str
    axes: Mapping[str, tuple[float, float, int]] = field(default_factory=dict)
    components: tuple[str, ...] = ()
    range: tuple[float, float] | None = None


@dataclass(frozen=True)
class Interface:
    """The arguments of a program in the order in which it takes them, and its results by name."""

    problem: str
    text: str
    samples: int
    inputs: tuple[Argument, ...]
    outputs: tuple[Argument, ...]
    constants: Mapping[str, Any]
    versions: Mapping[str, str]

    def to_json(self) -> str:
        return json.dumps(asdict(self), indent=1)

    def __str__(self) -> str:
        rows = [(each, "in ") for each in self.inputs] + [(each, "out") for each in self.outputs]
        width = max(len(each.name) for each, _ in rows)
        return "\n".join(
            f"{way} {each.name:{width}} {each.dtype} ({', '.join(map(str, each.shape))}):"
            f" {each.meaning}"
            for each, way in rows
        )


def interface(
    problem: Problem,
    samples: int,
    dtypes: tuple[str, str],
    grids: Mapping[str, Mapping[str, tuple[float, float, int]]],
    constants: Mapping[str, Any],
    versions: Mapping[str, str],
) -> Interface:
    """`dtypes` are those of points and of everything else; `grids` the axes of every input that is
    an argument; `constants` the params that are none."""
    variables = tuple(each.name for each in problem.variables)
    at_points, dtype = dtypes
    arguments = [
        Argument(
            queries(problem),
            (samples, "n", len(variables)),
            at_points,
            f"where the answer is asked, as many as you like: {', '.join(variables)}",
            components=variables,
        )
    ]
    for name, param in problem.params.items():
        if name in constants:
            continue
        known = truncated_support(param.law) if isinstance(param.law, NumberLaw) else None
        said = "" if known is None else f", trained on {known[0]:.6g} to {known[1]:.6g}"
        shape = (samples,) if param.size is None else (samples, param.size)
        arguments.append(
            Argument(name, shape, dtype, f"the param {name} of each sample{said}", range=known)
        )
    for name, axes in grids.items():
        parts = tuple(problem.inputs[name].components)
        shape = (samples, *(count for _, _, count in axes.values()))
        nodes = "; ".join(
            f"{axis} = {low:.9g} to {high:.9g} in {count} nodes"
            for axis, (low, high, count) in axes.items()
        )
        arguments.append(
            Argument(
                name,
                shape if len(parts) == 1 else (*shape, len(parts)),
                dtype,
                f"the input {name} on the grid {nodes}, both ends among them",
                axes,
                () if len(parts) == 1 else parts,
            )
        )
    results = []
    for name, unknown in problem.unknowns.items():
        parts = tuple(unknown.components)
        shape = (samples, "n") if len(parts) == 1 else (samples, "n", len(parts))
        results.append(
            Argument(
                name,
                shape,
                at_points,
                f"the unknown {name} at the points",
                components=() if len(parts) == 1 else parts,
            )
        )
    return Interface(
        problem.name,
        problem.to_dsl(),
        samples,
        tuple(arguments),
        tuple(results),
        constants,
        versions,
    )


def queries(problem: Problem) -> str:
    """The name of the points, which a param or an input may have taken."""
    taken = {*problem.params, *problem.inputs, *problem.unknowns}
    name = QUERIES
    while name in taken:
        name = f"query_{name}"
    return name
