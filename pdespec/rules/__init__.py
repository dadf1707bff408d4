"""The rules of well-posedness, by what they look at. Importing this package registers them, in
the order of the codes."""

from pdespec.rules import (
    axis,
    boundary,
    data,
    energy,
    equations,
    functions,
    initial,
    interfaces,
    known,
    names,
    null_space,
    points,
    shapes,
    values,
)

__all__ = [
    "axis",
    "boundary",
    "data",
    "energy",
    "equations",
    "functions",
    "initial",
    "interfaces",
    "known",
    "names",
    "null_space",
    "points",
    "shapes",
    "values",
]
